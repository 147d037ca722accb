//! One node of a cluster: a process that can be killed, paused and stopped, and
//! restarts on the same ports.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, interval, timeout};

use crate::server_process::{free_ports, get, is_healthy, last_words, metric, resident_bytes, spawn};

const START_DEADLINE: Duration = Duration::from_secs(60);
/// Between two starts: a supervisor waits for about as long.
const RESTART_PAUSE: Duration = Duration::from_secs(1);
const STOP_DEADLINE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct Node {
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    address: String,
    child: Child,
    /// Its log, and its data if it keeps any.
    folder: TempDir,
}

impl Node {
    /// Starts a node and waits until it serves.
    pub async fn start(program: &Path, extra: &[String], environment: &[(String, String)]) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("parlance-torture-").tempdir()?;
        let (listen, admin) = free_ports()?;
        let address = format!("127.0.0.1:{listen}");
        let mut arguments: Vec<String> = ["serve", "--user-rate", "0", "--listen"].map(String::from).into();
        arguments.extend([address.clone(), "--admin-listen".to_owned(), format!("127.0.0.1:{admin}")]);
        arguments
            .extend(["--data-dir".to_owned(), folder.path().join("data").to_string_lossy().into_owned()]);
        arguments.extend_from_slice(extra);
        let child = spawn(program, &arguments, environment, folder.path())?;
        let (program, environment) = (program.to_owned(), environment.to_vec());
        let mut node = Self { program, arguments, environment, address, child, folder };
        node.wait_until_healthy().await?;
        Ok(node)
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn pid(&self) -> Result<u32> {
        self.child.id().context("the node is not running")
    }

    /// A counter, summed over its labels.
    pub async fn metric(&self, name: &str) -> Result<f64> {
        metric(&self.arguments, name).await
    }

    /// What its admin listener answers.
    pub async fn operators(&self, path: &str) -> Result<String> {
        let admin = self.arguments.iter().skip_while(|argument| *argument != "--admin-listen").nth(1);
        get(admin.context("it has an admin address")?, path).await
    }

    /// Resident memory, bytes.
    pub fn resident_bytes(&self) -> Result<u64> {
        resident_bytes(self.pid()?)
    }

    /// Open file descriptors.
    pub fn descriptors(&self) -> Result<u64> {
        Ok(std::fs::read_dir(format!("/proc/{}/fd", self.pid()?))?.count() as u64)
    }

    /// SIGKILL.
    pub async fn kill(&mut self) -> Result<()> {
        self.expect_alive()?;
        self.child.kill().await.context("cannot kill a node")
    }

    /// Sends SIGTERM, and waits for a clean exit.
    pub async fn end(&mut self) -> Result<()> {
        self.expect_alive()?;
        self.signal("TERM").await?;
        match timeout(STOP_DEADLINE, self.child.wait()).await {
            Ok(status) if status.as_ref().is_ok_and(std::process::ExitStatus::success) => Ok(()),
            Ok(status) => bail!("a node ended with {:?} after SIGTERM\n{}", status?, self.last_words()),
            Err(_) => {
                self.child.kill().await?;
                bail!("a node did not end within {} s of SIGTERM", STOP_DEADLINE.as_secs())
            }
        }
    }

    /// Restarts it after it has ended. A start that meets an injected fault may refuse and exit;
    /// it is tried again, as a supervisor does. A panic is not.
    pub async fn start_again(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_DEADLINE;
        let mut again = interval(RESTART_PAUSE);
        loop {
            again.tick().await;
            self.child = spawn(&self.program, &self.arguments, &self.environment, self.folder.path())?;
            let Err(error) = self.wait_until_healthy().await else { return Ok(()) };
            let refused = self.child.try_wait()?.is_some_and(|status| status.code() == Some(1));
            if !refused || Instant::now() > deadline {
                return Err(error);
            }
        }
    }

    /// Sends a signal by its name in `kill`: signals other than SIGKILL need unsafe
    /// code or a dependency.
    pub async fn signal(&self, name: &str) -> Result<()> {
        let pid = self.pid()?;
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status().await?;
        ensure!(sent.success(), "cannot signal a node");
        Ok(())
    }

    /// A node that exited on its own is a failure in any case.
    pub fn expect_alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("a node ended by itself with {status}\n{}", self.last_words()),
            None => Ok(()),
        }
    }

    pub fn last_words(&self) -> String {
        last_words(self.folder.path())
    }

    async fn wait_until_healthy(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_DEADLINE;
        let mut again = interval(Duration::from_millis(20));
        loop {
            again.tick().await;
            self.expect_alive()?;
            if timeout(Duration::from_secs(2), is_healthy(&self.address)).await == Ok(true) {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("a node did not serve within {} s\n{}", START_DEADLINE.as_secs(), self.last_words());
            }
        }
    }
}
