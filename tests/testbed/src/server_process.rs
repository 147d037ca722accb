//! A server process: started on free ports with a fresh data directory, killed or stopped
//! by its process id.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use parlance_core::{Clock as _, SystemClock};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, interval, timeout, timeout_at};

/// How long the server may take to serve, including recovery of its data.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// How long it may take to drain and exit.
const STOP_DEADLINE: Duration = Duration::from_secs(60);

/// Ports for servers. Below the ephemeral ones: a client that repeatedly connects to a
/// closed ephemeral port may end up connected to itself.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A running server.
#[derive(Debug)]
pub struct ServerProcess {
    program: PathBuf,
    arguments: Vec<String>,
    address: String,
    admin: String,
    child: Child,
    /// Its data and its log, deleted on drop.
    folder: TempDir,
}

impl ServerProcess {
    /// Starts `program` in local mode, without rate limits, and waits until it serves.
    pub async fn start(program: &Path, extra: &[&str]) -> Result<Self> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            match Self::try_start(program, extra).await {
                // Another process may have taken a port in between.
                Err(_) if attempts < 3 => {}
                result => return result,
            }
        }
    }

    async fn try_start(program: &Path, extra: &[&str]) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("parlance-bench-").tempdir()?;
        let (listen, admin) = free_ports()?;
        let [address, admin] = [listen, admin].map(|port| format!("127.0.0.1:{port}"));
        let data = folder.path().join("data");
        let mut arguments: Vec<String> = ["serve", "--user-rate", "0", "--listen"].map(String::from).into();
        arguments.extend([address.clone(), "--admin-listen".to_owned(), admin.clone()]);
        arguments.extend(["--data-dir".to_owned(), data.to_string_lossy().into_owned()]);
        arguments.extend(extra.iter().map(ToString::to_string));
        let child = spawn(program, &arguments, &[], folder.path())?;
        let mut server = Self { program: program.to_owned(), arguments, address, admin, child, folder };
        server.wait_until_healthy().await?;
        Ok(server)
    }

    /// `host:port` for clients.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Kills it without warning and restarts it on the same ports and data.
    pub async fn kill_and_restart(&mut self) -> Result<()> {
        self.child.kill().await.context("cannot kill the server")?;
        self.child = spawn(&self.program, &self.arguments, &[], self.folder.path())?;
        self.wait_until_healthy().await
    }

    /// Stops it and waits until it exits with 0.
    pub async fn stop(mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            return Err(self.died(status));
        }
        let pid = self.child.id().context("the server has no process id")?;
        // Signals other than SIGKILL need unsafe code or a dependency; a shell can send
        // them.
        let sent = Command::new("sh").args(["-c", &format!("kill -TERM {pid}")]).status().await?;
        ensure!(sent.success(), "cannot signal the server");
        let Ok(status) = timeout(STOP_DEADLINE, self.child.wait()).await else {
            self.child.kill().await?;
            bail!("the server did not stop within {} s of SIGTERM", STOP_DEADLINE.as_secs());
        };
        let status = status?;
        if status.success() { Ok(()) } else { Err(self.died(status)) }
    }

    /// Its process id.
    pub fn pid(&self) -> Result<u32> {
        self.child.id().context("the server is not running")
    }

    /// A counter, summed over its labels.
    pub async fn metric(&self, name: &str) -> Result<f64> {
        metric(&self.arguments, name).await
    }

    /// Its current resident memory, bytes.
    pub fn resident_bytes(&self) -> Result<u64> {
        resident_bytes(self.pid()?)
    }

    async fn wait_until_healthy(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_DEADLINE;
        let mut again = interval(Duration::from_millis(20));
        loop {
            again.tick().await;
            if let Some(status) = self.child.try_wait()? {
                return Err(self.died(status));
            }
            match timeout_at(deadline, is_healthy(&self.admin)).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(_) => bail!(
                    "the server did not serve within {} s\n{}",
                    START_DEADLINE.as_secs(),
                    self.last_words()
                ),
            }
        }
    }

    fn died(&self, status: ExitStatus) -> anyhow::Error {
        anyhow::anyhow!("the server ended with {status}\n{}", self.last_words())
    }

    /// The end of its log.
    pub fn last_words(&self) -> String {
        last_words(self.folder.path())
    }
}

/// Current resident memory of a process, bytes.
pub(crate) fn resident_bytes(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(kilobytes.context("no VmRSS")?.trim().parse::<u64>()? * 1024)
}

/// The end of the log of a server that was started with this folder.
pub(crate) fn last_words(folder: &Path) -> String {
    let log = std::fs::read(folder.join(LOG)).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let lines: Vec<_> = log.lines().collect();
    let last = &lines[lines.len().saturating_sub(20)..];
    format!("its last words:\n{}", last.join("\n"))
}

const LOG: &str = "server.log";

/// Starts a server that logs into `folder`.
pub fn spawn(
    program: &Path,
    arguments: &[String],
    environment: &[(String, String)],
    folder: &Path,
) -> Result<Child> {
    let log = File::options().create(true).append(true).open(folder.join(LOG))?;
    let mut command = Command::new(program);
    // Variables that configure the caller's own server must not affect this one.
    for (key, _) in std::env::vars_os() {
        if key.to_string_lossy().starts_with("PARLANCE_") {
            command.env_remove(key);
        }
    }
    command.envs(environment.iter().map(|(key, value)| (key, value)));
    command.args(arguments).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
    command.spawn().with_context(|| format!("cannot start {}", program.display()))
}

/// Whether `GET /healthz` answers 200.
pub(crate) async fn is_healthy(address: &str) -> bool {
    let ask = async {
        let mut socket = TcpStream::connect(address).await?;
        let request = format!("GET /healthz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await?;
        let mut status = [0; 12];
        socket.read_exact(&mut status).await?;
        std::io::Result::Ok(status == *b"HTTP/1.1 200")
    };
    ask.await.unwrap_or(false)
}

/// The body of a page.
pub async fn get(address: &str, path: &str) -> Result<String> {
    let mut socket = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n");
    socket.write_all(request.as_bytes()).await?;
    let mut page = String::new();
    socket.read_to_string(&mut page).await?;
    let (head, body) = page.split_once("\r\n\r\n").context("no page")?;
    ensure!(head.contains(" 200 "), "{address}{path} answers {head}");
    Ok(body.to_owned())
}

/// A counter of a server that was started with these arguments, summed over its labels.
pub(crate) async fn metric(arguments: &[String], name: &str) -> Result<f64> {
    let admin = arguments.iter().skip_while(|argument| *argument != "--admin-listen").nth(1);
    let metrics = get(admin.context("it has an admin address")?, "/metrics").await?;
    let values = metrics
        .lines()
        .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])));
    values.map(|line| Ok(line.rsplit(' ').next().context("no value")?.parse::<f64>()?)).sum()
}

/// Two free ports of `PORTS`; the search starts at another one in each run.
pub fn free_ports() -> Result<(u16, u16)> {
    let size = PORTS.end - PORTS.start;
    let first = (SystemClock.now().0 as u32 ^ std::process::id().wrapping_mul(7919)) % u32::from(size);
    let ports = (0..size).map(|step| PORTS.start + (first as u16 + step) % size);
    // Both are held until both are known.
    let mut free = ports.filter_map(|port| Some((TcpListener::bind(("127.0.0.1", port)).ok()?, port)));
    match (free.next(), free.next()) {
        (Some((_a, listen)), Some((_b, admin))) => Ok((listen, admin)),
        _ => bail!("no free port between {} and {}", PORTS.start, PORTS.end),
    }
}

/// The server to start: `told`, or `parlance` next to this program.
pub fn server_program(told: Option<PathBuf>) -> Result<PathBuf> {
    let program = match told {
        Some(program) => program,
        None => std::env::current_exe()?.with_file_name("parlance"),
    };
    ensure!(program.is_file(), "no server at {}: build it, or say --server-bin", program.display());
    Ok(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_ports_are_two_and_below_the_ephemeral_ones() {
        let (a, b) = free_ports().unwrap();
        assert!(a != b && PORTS.contains(&a) && PORTS.contains(&b));
    }

    #[tokio::test]
    async fn crashed_server_is_reported_with_its_last_output() {
        // `sh serve ...` finds no script of that name.
        let error = ServerProcess::start(Path::new("/bin/sh"), &[]).await.unwrap_err();
        assert!(error.to_string().contains("its last words"), "{error}");
    }
}
