use std::io;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::server::cli;
use super::{RedisServer, free_port, until};

/// A master and a replica, and three Sentinels that promote the replica when the master dies.
#[derive(Debug)]
pub struct RedisSentinel {
    /// The initial master, and its replica.
    pub servers: Vec<RedisServer>,
    sentinels: Vec<(u16, Child)>,
    _dir: TempDir,
}

impl RedisSentinel {
    /// Their name for the master.
    const NAME: &str = "parlance";

    /// Starts them, and waits until they know each other.
    ///
    /// # Errors
    /// Redis is not installed, or they do not start.
    pub async fn start() -> io::Result<Self> {
        let master = RedisServer::start().await?;
        let port = master.address().port();
        let replica = RedisServer::start_with(&["--replicaof", "127.0.0.1", &port.to_string()]).await?;
        until("the replica follows", async || {
            let info = replica.command(&["INFO", "replication"]).await.unwrap_or_default();
            info.contains("master_link_status:up")
        })
        .await?;

        let dir = TempDir::new()?;
        let mut sentinels = Vec::new();
        for _ in 0..3 {
            let own = free_port()?;
            let file = dir.path().join(format!("{own}.conf"));
            let name = Self::NAME;
            std::fs::write(
                &file,
                format!(
                    "port {own}\nbind 127.0.0.1\ndir {}\nsentinel monitor {name} 127.0.0.1 {port} 2\n\
                     sentinel down-after-milliseconds {name} 500\nsentinel failover-timeout {name} 3000\n",
                    dir.path().display(),
                ),
            )?;
            let mut sentinel = Command::new("redis-sentinel");
            sentinel.arg(&file).stdout(Stdio::null()).kill_on_drop(true);
            let process = sentinel
                .spawn()
                .map_err(|error| io::Error::new(error.kind(), format!("redis-sentinel: {error}")))?;
            sentinels.push((own, process));
        }
        let sentinel = Self { servers: vec![master, replica], sentinels, _dir: dir };
        until("the sentinels know each other and the replica", async || {
            for (port, _) in &sentinel.sentinels {
                let state = cli(*port, &["SENTINEL", "MASTER", Self::NAME]).await.unwrap_or_default();
                let lines: Vec<&str> = state.lines().collect();
                let says = |name: &str, value: &str| lines.windows(2).any(|pair| pair == [name, value]);
                if !says("num-other-sentinels", "2") || !says("num-slaves", "1") {
                    return false;
                }
            }
            true
        })
        .await?;
        Ok(sentinel)
    }

    /// The URL.
    pub fn url(&self) -> String {
        let nodes: Vec<String> =
            self.sentinels[1..].iter().map(|(port, _)| format!("node=127.0.0.1:{port}")).collect();
        let (first, _) = self.sentinels[0];
        format!("redis-sentinel://127.0.0.1:{first}?sentinelServiceName={}&{}", Self::NAME, nodes.join("&"))
    }

    /// Kills the master, and waits until the replica is the new one.
    ///
    /// # Errors
    /// It is not promoted.
    pub async fn fail_over(&mut self) -> io::Result<()> {
        self.servers[0].kill().await?;
        let replica = &self.servers[1];
        until("the replica is the master", async || {
            let info = replica.command(&["INFO", "replication"]).await.unwrap_or_default();
            info.contains("role:master")
        })
        .await
    }
}
