use std::io;
use std::time::Duration;

use tokio::process::Command;

use super::{RedisServer, free_port, until};

/// Three masters that share the slots.
#[derive(Debug)]
pub struct RedisCluster {
    /// The masters.
    pub masters: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts a cluster, and waits until it covers all slots.
    ///
    /// # Errors
    /// Redis is not installed, or the cluster does not come up.
    pub async fn start() -> io::Result<Self> {
        let mut masters = Vec::new();
        for _ in 0..3 {
            let bus = free_port()?.to_string();
            let args = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-port", &bus];
            masters.push(RedisServer::start_with(&args).await?);
        }
        let addresses: Vec<String> = masters.iter().map(|master| master.address().to_string()).collect();
        let mut create = Command::new("redis-cli");
        create.args(["--cluster", "create"]).args(&addresses).args([
            "--cluster-replicas",
            "0",
            "--cluster-yes",
        ]);
        let created =
            tokio::time::timeout(Duration::from_secs(30), create.kill_on_drop(true).output()).await??;
        if !created.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&created.stdout).into_owned()));
        }
        let cluster = Self { masters };
        until("all masters know all slots", async || {
            for master in &cluster.masters {
                let info = master.command(&["CLUSTER", "INFO"]).await.unwrap_or_default();
                if !info.contains("cluster_state:ok") || !info.contains("cluster_size:3") {
                    return false;
                }
            }
            true
        })
        .await?;
        Ok(cluster)
    }

    /// Moves the slot of `key`, which must exist, with its contents to another master.
    ///
    /// # Errors
    /// The masters fail to do so.
    pub async fn move_slot_of(&self, key: &str) -> io::Result<()> {
        let slot = &self.masters[0].command(&["CLUSTER", "KEYSLOT", key]).await?;
        let mut owner = None;
        for (at, master) in self.masters.iter().enumerate() {
            if master.command(&["CLUSTER", "COUNTKEYSINSLOT", slot]).await? != "0" {
                owner = Some(at);
            }
        }
        let owner = owner.ok_or_else(|| io::Error::other("nothing is in that slot"))?;
        let (from, to) = (&self.masters[owner], &self.masters[(owner + 1) % 3]);
        let (from_id, to_id) =
            (from.command(&["CLUSTER", "MYID"]).await?, to.command(&["CLUSTER", "MYID"]).await?);
        to.command(&["CLUSTER", "SETSLOT", slot, "IMPORTING", &from_id]).await?;
        from.command(&["CLUSTER", "SETSLOT", slot, "MIGRATING", &to_id]).await?;
        let port = to.address().port().to_string();
        loop {
            let keys = from.command(&["CLUSTER", "GETKEYSINSLOT", slot, "1000"]).await?;
            let keys: Vec<&str> = keys.lines().filter(|key| !key.is_empty()).collect();
            if keys.is_empty() {
                break;
            }
            let migrate = ["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
            from.command(&[&migrate[..], &keys].concat()).await?;
        }
        for master in [to, from, &self.masters[(owner + 2) % 3]] {
            master.command(&["CLUSTER", "SETSLOT", slot, "NODE", &to_id]).await?;
        }
        Ok(())
    }

    /// The URL.
    pub fn url(&self) -> String {
        let nodes: Vec<String> =
            self.masters[1..].iter().map(|master| format!("node={}", master.address())).collect();
        format!("redis-cluster://{}?{}", self.masters[0].address(), nodes.join("&"))
    }
}
