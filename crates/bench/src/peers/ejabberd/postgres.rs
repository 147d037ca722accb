//! A separate `PostgreSQL` cluster with the default durability: `fsync`, `synchronous_commit` and
//! `full_page_writes` stay on.

use std::path::PathBuf;

use anyhow::{Context, Result};
use tokio::process::Command;

use crate::peers::process::{Process, command_as, folder, free_port, run};

/// Debian's path of ejabberd's schema.
const SCHEMA: &str = "/usr/share/ejabberd/sql/pg.sql";

/// `PostgreSQL` refuses to run as root; its package creates this user.
const USER: &str = "postgres";

#[derive(Debug)]
pub(super) struct Postgres {
    pub(super) server: Process,
    pub(super) port: u16,
}

impl Postgres {
    /// Starts it with ejabberd's tables and with users `u0`, `u1`, ... whose password is `p`.
    pub(super) async fn start(users: usize, connections: usize) -> Result<Self> {
        let folder = folder(Some(USER)).await?;
        let data = folder.path().join("data");
        let programs = programs()?;
        // Loopback only, so every client is trusted; the files of an empty cluster need not be
        // synced before the start.
        let mut initdb = command_as(USER, programs.join("initdb"));
        initdb.args(["--username=ejabberd", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync"]);
        run(initdb.arg("--pgdata").arg(&data).current_dir(folder.path())).await?;

        let port = free_port()?;
        let mut command = command_as(USER, programs.join("postgres"));
        command.arg("-D").arg(&data).args(["-h", "127.0.0.1", "-k", "", "-p", &port.to_string()]);
        for setting in [
            format!("max_connections={}", connections + 10),
            // Its manual, "Resource Consumption": a quarter of the memory is a good start.
            // Everything written here fits into less.
            "shared_buffers=1GB".to_owned(),
            // Its manual, "Populating a Database": fewer checkpoints. None at all happens
            // within a measurement.
            "max_wal_size=4GB".to_owned(),
        ] {
            command.args(["-c", &setting]);
        }
        // Its immediate shutdown: SIGKILL would leave shared memory behind.
        let server = Process::start(folder, command, port).await?.ended_by("QUIT");
        let postgres = Self { server, port };
        postgres.sql("postgres", &["-c", "CREATE DATABASE ejabberd"]).await?;
        postgres.sql("ejabberd", &["-f", SCHEMA]).await?;
        let insert = format!(
            "INSERT INTO users (username, password) SELECT 'u' || n, 'p' FROM generate_series(0, {users} - 1) n"
        );
        postgres.sql("ejabberd", &["-c", &insert]).await?;
        Ok(postgres)
    }

    async fn sql(&self, database: &str, arguments: &[&str]) -> Result<()> {
        let mut psql = Command::new("psql");
        psql.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "ejabberd", "-d", database]);
        run(psql.args(["--no-psqlrc", "--quiet", "-v", "ON_ERROR_STOP=1"]).args(arguments)).await
    }
}

/// The newest version: Debian installs each in its own folder.
fn programs() -> Result<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").context("postgresql is not installed")?;
    let versions = versions.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let newest = versions.max().context("postgresql is not installed")?;
    Ok(format!("/usr/lib/postgresql/{newest}/bin").into())
}
