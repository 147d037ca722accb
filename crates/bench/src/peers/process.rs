//! A server process with its own folder, its cost including children, and its end.

use std::fs::File;
use std::process::{Command as Blocking, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, interval, timeout};

use crate::processes;
use parlance_testbed::free_ports;

/// How long a server may take to accept connections, or to exit.
const DEADLINE: Duration = Duration::from_secs(60);

/// A process that is killed with all its descendants on drop.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    end_signal: &'static str,
    folder: TempDir,
}

/// A new folder for a server, writable by `user` if given.
pub(super) async fn folder(user: Option<&str>) -> Result<TempDir> {
    let folder = tempfile::Builder::new().prefix("parlance-peer-").tempdir()?;
    if let Some(user) = user {
        run(Command::new("chown").arg(format!("{user}:")).arg(folder.path())).await?;
    }
    Ok(folder)
}

/// Runs `program` as `user`, which that server requires; only root can switch users.
pub(super) fn command_as(user: &str, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args([&format!("--reuid={user}"), &format!("--regid={user}"), "--init-groups", "--"]);
    command.arg(program);
    command
}

/// Runs a command to completion.
pub(super) async fn run(command: &mut Command) -> Result<()> {
    let output = command.kill_on_drop(true).output().await.with_context(|| format!("{command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{:?} ended with {}: {said}", command.as_std(), output.status);
    Ok(())
}

/// A free port.
pub(super) fn free_port() -> Result<u16> {
    Ok(free_ports()?.0)
}

impl Process {
    /// Starts `command` with its log in `folder`, and waits until it accepts connections on
    /// `port` of the loopback address.
    pub(super) async fn start(folder: TempDir, mut command: Command, port: u16) -> Result<Self> {
        let log = File::create(folder.path().join("log"))?;
        command.current_dir(folder.path()).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.kill_on_drop(true).spawn().with_context(|| format!("{command:?}"))?;
        let mut process = Self { child, end_signal: "KILL", folder };
        process.accepts(port).await?;
        Ok(process)
    }

    /// Sets the signal that ends it, instead of SIGKILL.
    pub(super) fn ended_by(mut self, signal: &'static str) -> Self {
        self.end_signal = signal;
        self
    }

    async fn accepts(&mut self, port: u16) -> Result<()> {
        let deadline = Instant::now() + DEADLINE;
        let mut again = interval(Duration::from_millis(20));
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            again.tick().await;
            let ended = self.child.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                bail!("a server does not accept connections ({ended:?}); its log:\n{log}");
            }
        }
        Ok(())
    }

    /// User and system time of it and all its descendants so far, including those that have
    /// exited.
    pub(super) fn cpu(&self) -> Result<Duration> {
        processes::cpu(self.child.id().context("a server has ended")?)
    }

    /// Kills it. Its data is discarded, so it has nothing to finish.
    pub(super) async fn stop(mut self) -> Result<()> {
        self.signal()?;
        timeout(DEADLINE, self.child.wait()).await.context("a server does not end")??;
        Ok(())
    }

    fn signal(&self) -> Result<()> {
        let Some(root) = self.child.id() else { return Ok(()) };
        let family = processes::family(root)?.into_iter().map(|member| member.pid.to_string());
        // Sending a child other signals than SIGKILL needs unsafe code or a dependency.
        // Processes that have already exited are not an error.
        Blocking::new("kill").args(["-s", self.end_signal]).args(family).stderr(Stdio::null()).status()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Its folder is removed next: no process may write there any more.
        if self.signal().is_ok() {
            for _ in 0..200 {
                if !matches!(self.child.try_wait(), Ok(None)) {
                    break;
                }
                let _ = Blocking::new("sleep").arg("0.02").status();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn children_count_and_end_with_it() {
        let folder = folder(None).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut command = Command::new("sh");
        command.args(["-c", "sh -c 'while :; do :; done' & wait"]);
        let process = Process::start(folder, command, port).await.unwrap();
        let root = process.child.id().unwrap();
        let deadline = Instant::now() + DEADLINE;
        while process.cpu().unwrap() < 3 * processes::TICK {
            assert!(Instant::now() < deadline);
            tokio::task::yield_now().await;
        }
        let child = processes::family(root).unwrap().last().unwrap().pid;
        assert_ne!(child, root);
        process.stop().await.unwrap();
        while std::fs::read_to_string(format!("/proc/{child}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
        {
            assert!(Instant::now() < deadline);
            tokio::task::yield_now().await;
        }
    }
}
