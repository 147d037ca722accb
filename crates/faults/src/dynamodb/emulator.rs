use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use dynoxide::Database;

use super::worker::Worker;

/// The DynamoDB API without faults. Stops when dropped.
#[derive(Debug)]
pub struct Emulator {
    address: SocketAddr,
    _worker: Worker,
}

impl Emulator {
    /// Starts one in memory, on a free loopback port.
    pub fn start() -> io::Result<Self> {
        Self::start_at(free(), None)
    }

    /// Starts one on `address`, in memory or in a `file`.
    pub fn start_at(address: SocketAddr, file: Option<&Path>) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let database = match file {
            Some(path) => Database::new(&path.to_string_lossy()),
            None => Database::memory(),
        };
        let database = database.map_err(|error| io::Error::other(error.to_string()))?;
        let serve = |listener| dynoxide::server::serve_on(listener, database);
        Ok(Self { address, _worker: Worker::start("dynamodb", listener, serve)? })
    }

    /// The listening address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The listening address, as a URL.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Any free loopback port.
pub(super) fn free() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}
