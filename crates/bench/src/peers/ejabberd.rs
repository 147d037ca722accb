//! ejabberd with rooms (MUC) and their archive (MAM) in `PostgreSQL`.
//!
//! A room is one Erlang process. It archives a message, which ends with the commit of its
//! insert, and only then sends it to its occupants including the sender: what the sender
//! receives is on disk. Two caveats: if the insert fails, the message is sent nevertheless;
//! and one room never has two inserts in flight.
//!
//! The sender has to be in the room, so a fan-out to N listeners has N + 1 recipients, of
//! which N are counted.

mod postgres;
mod xmpp;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, ensure};

use super::listeners::Listeners;
use super::process::{Process, command_as, folder, free_port};
use super::round::{FanOut, Round, connected, measured};
use postgres::Postgres;
use xmpp::User;

const CONFIG: &str = include_str!("ejabberd/ejabberd.yml");
const CONTROL: &str = include_str!("ejabberd/ejabberdctl.cfg");

/// Created by its package, and required by `ejabberdctl`.
const USER: &str = "ejabberd";

/// Existing users. Each connection of a measurement uses another one.
const USERS: usize = 20_000;

/// Connections to `PostgreSQL`.
const SQL_POOL: usize = 10;

#[derive(Debug)]
pub(crate) struct Ejabberd {
    server: Process,
    database: Postgres,
    port: u16,
    rooms: AtomicU64,
}

impl Ejabberd {
    /// Starts it as installed by Debian, which requires root: it and `PostgreSQL` run as
    /// users of their own.
    pub(crate) async fn start(_installed: &Path) -> Result<Self> {
        let database = Postgres::start(USERS, SQL_POOL).await?;
        let home = folder(Some(USER)).await?;
        let port = free_port()?;
        let values = [
            ("@PORT@", port.to_string()),
            ("@SQL_PORT@", database.port.to_string()),
            ("@SQL_POOL@", SQL_POOL.to_string()),
            ("@DISTRIBUTION_PORT@", free_port()?.to_string()),
        ];
        let filled =
            |text: &str| values.iter().fold(text.to_owned(), |text, (key, value)| text.replace(key, value));
        let [config, control] = ["ejabberd.yml", "ejabberdctl.cfg"].map(|name| home.path().join(name));
        std::fs::write(&config, filled(CONFIG))?;
        std::fs::write(&control, filled(CONTROL))?;

        let mut command = command_as(USER, "/usr/sbin/ejabberdctl");
        command.arg("--config").arg(config).arg("--ctl-config").arg(control);
        command.arg("--spool").arg(home.path().join("spool")).arg("--logs").arg(home.path());
        // Erlang keeps its cookie there.
        command.args(["--node", "peer@localhost", "foreground"]).env("HOME", home.path());
        let server = Process::start(home, command, port).await?;
        Ok(Self { server, database, port, rooms: AtomicU64::new(0) })
    }

    pub(crate) async fn fan_out(&self, load: FanOut) -> Result<Round> {
        let FanOut { listeners, messages, pipeline, payload } = load;
        ensure!(listeners < USERS, "more listeners than the {USERS} users that there are");
        let room = self.room();
        // The first user to join creates the room.
        let mut sender = User::join(self.port, 0, &room, payload).await?;
        let readers =
            connected(1..listeners + 1, async |number| User::join(self.port, number, &room, 0).await).await?;
        measured(&[&self.server, &self.database.server], async {
            let readers = Listeners::spawn(readers, move |mut listener| async move {
                listener.read_until(messages).await?;
                Ok(listener)
            });
            tokio::try_join!(sender.publish(messages, pipeline as u64), readers.finish())?;
            Ok(messages * listeners as u64)
        })
        .await
    }

    pub(crate) async fn sends(
        &self,
        senders: usize,
        rooms: usize,
        each: u64,
        payload: usize,
    ) -> Result<Round> {
        ensure!(senders <= USERS, "more senders than the {USERS} users that there are");
        ensure!(rooms > 0, "there is no room to send to");
        let names: Vec<_> = (0..rooms).map(|_| self.room()).collect();
        let join = async |number: usize| User::join(self.port, number, &names[number % rooms], payload).await;
        let users = connected(0..senders, join).await?;
        measured(&[&self.server, &self.database.server], async {
            let senders = Listeners::spawn(users, move |mut sender| async move {
                sender.publish(each, 1).await?;
                Ok(sender)
            });
            Ok(senders.finish().await?.len() as u64 * each)
        })
        .await
    }

    pub(crate) async fn stop(self) -> Result<()> {
        self.server.stop().await?;
        self.database.server.stop().await
    }

    fn room(&self) -> String {
        format!("room{}", self.rooms.fetch_add(1, Ordering::Relaxed))
    }
}
