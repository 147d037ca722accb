use std::io;
use std::net::SocketAddr;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::{free_port, until};

/// A Redis server on its own port, without persistence.
#[derive(Debug)]
pub struct RedisServer {
    port: u16,
    args: Vec<String>,
    dir: TempDir,
    process: Option<Child>,
}

impl RedisServer {
    /// Starts one, and waits until it answers.
    ///
    /// # Errors
    /// It is not installed, or does not start.
    pub async fn start() -> io::Result<Self> {
        Self::start_with(&[]).await
    }

    /// Starts one with additional command line arguments.
    ///
    /// # Errors
    /// It is not installed, or does not start.
    pub async fn start_with(args: &[&str]) -> io::Result<Self> {
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        let mut server = Self { port: free_port()?, args, dir: TempDir::new()?, process: None };
        server.restart().await?;
        Ok(server)
    }

    /// The listening address.
    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// The URL.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// Starts it again, on the same port and empty. Stops it first if it is running.
    ///
    /// # Errors
    /// It does not start.
    pub async fn restart(&mut self) -> io::Result<()> {
        self.kill().await?;
        let port = self.port.to_string();
        let process = Command::new("redis-server")
            .args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--repl-diskless-sync-delay", "0", "--dir"])
            .arg(self.dir.path())
            .args(&self.args)
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("redis-server: {error}")))?;
        self.process = Some(process);
        until("redis answers", async || self.command(&["PING"]).await.is_ok_and(|answer| answer == "PONG"))
            .await
    }

    /// Kills it, with all its data.
    ///
    /// # Errors
    /// It cannot be killed.
    pub async fn kill(&mut self) -> io::Result<()> {
        match self.process.take() {
            Some(mut process) => process.kill().await,
            None => Ok(()),
        }
    }

    /// Suspends it: connections stay open and nothing is answered.
    ///
    /// # Errors
    /// It is not running.
    pub async fn pause(&self) -> io::Result<()> {
        self.signal("-STOP").await
    }

    /// Resumes it.
    ///
    /// # Errors
    /// It is not running.
    pub async fn resume(&self) -> io::Result<()> {
        self.signal("-CONT").await
    }

    async fn signal(&self, signal: &str) -> io::Result<()> {
        let id = self.process.as_ref().and_then(Child::id);
        let id = id.ok_or_else(|| io::Error::other("redis does not run"))?;
        let status = Command::new("kill").args([signal, &id.to_string()]).status().await?;
        if status.success() { Ok(()) } else { Err(io::Error::other(format!("kill {signal}: {status}"))) }
    }

    /// Deletes all data. Connections and subscriptions stay.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn flushall(&self) -> io::Result<()> {
        self.command(&["FLUSHALL"]).await.map(drop)
    }

    /// Deletes `count` random keys, or all that exist, like eviction.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn lose_keys(&self, count: u32) -> io::Result<()> {
        const LOSE: &str = "for _ = 1, ARGV[1] do \
            local key = redis.call('RANDOMKEY') \
            if not key then return end \
            redis.call('DEL', key) \
            end";
        self.command(&["EVAL", LOSE, "0", &count.to_string()]).await.map(drop)
    }

    /// Runs a command with `redis-cli`, and returns its output.
    ///
    /// # Errors
    /// It does not answer, or returns an error.
    pub async fn command(&self, args: &[&str]) -> io::Result<String> {
        cli(self.port, args).await
    }

    /// How often it has executed `command` so far.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn calls(&self, command: &str) -> io::Result<u64> {
        let stats = self.command(&["INFO", "commandstats"]).await?;
        let start = format!("cmdstat_{command}:calls=");
        let calls = stats.lines().find_map(|line| line.strip_prefix(&start)?.split(',').next()?.parse().ok());
        Ok(calls.unwrap_or(0))
    }

    /// A value of `INFO`, such as `used_memory`.
    ///
    /// # Errors
    /// It does not answer, or has no such value.
    pub async fn info(&self, name: &str) -> io::Result<u64> {
        let info = self.command(&["INFO"]).await?;
        let value =
            info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.trim().parse().ok());
        value.ok_or_else(|| io::Error::other(format!("no figure {name}")))
    }
}

pub(super) async fn cli(port: u16, args: &[&str]) -> io::Result<String> {
    let mut cli = Command::new("redis-cli");
    cli.args(["-e", "-p", &port.to_string()]).args(args).kill_on_drop(true);
    let output = tokio::time::timeout(std::time::Duration::from_secs(20), cli.output()).await??;
    let said = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
    if output.status.success() { Ok(said) } else { Err(io::Error::other(format!("redis-cli: {said}"))) }
}
