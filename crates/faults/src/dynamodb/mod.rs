//! The DynamoDB API on loopback, and a proxy that makes it fail.
//!
//! [`Dynamodb::start`] runs an emulator in memory and a [`Proxy`] in front of it, each on
//! threads of its own. The emulator answers at once, consistently and one request after
//! the other; everything else that the service does to its callers, the proxy does:
//!
//! ```no_run
//! use parlance_faults::dynamodb::{ANY, Dynamodb, Fault};
//! # fn main() -> std::io::Result<()> {
//! let dynamodb = Dynamodb::start()?;
//! let endpoint = dynamodb.endpoint(); // for the store
//! let plan = dynamodb.plan();         // cheap to clone; changes count from the next request on
//! plan.next("PutItem", 2, Fault::Throttle);
//! plan.often(ANY, 0.01, Fault::LoseAnswer);
//! # Ok(()) }
//! ```
//!
//! Rules are asked in the order in which they were made, and the first that strikes
//! decides. Chance is seeded ([`Plan::seed`]), so that one request after the other meets
//! the same faults in every run.
//!
//! Reads that do not ask for consistency are answered from the past while
//! [`Plan::answer_from_the_past`] says so: a request that was never made before finds
//! nothing at all, the same one again finds what it found before, until that is too old.
//!
//! A process of its own may listen on a fixed address ([`Dynamodb::start_at`]), and
//! [`Proxy::start`] puts the faults in front of any other endpoint that speaks HTTP.

mod answers;
mod emulator;
mod past;
mod plan;
mod proxy;
mod tally;
mod worker;

use std::io;
use std::net::SocketAddr;

pub use self::emulator::Emulator;
use self::emulator::free;
pub use self::plan::{ANY, Fault, Plan};
pub use self::proxy::Proxy;
pub use self::tally::Tally;

/// An emulator with a proxy in front of it. Both end when it is dropped.
#[derive(Debug)]
pub struct Dynamodb {
    proxy: Proxy,
    emulator: Emulator,
}

/// Environment variables that point an AWS client to a DynamoDB API on this machine. The
/// keys are none: nobody checks them there.
pub fn environment(endpoint: &str) -> Vec<(String, String)> {
    let settings = [
        ("AWS_ENDPOINT_URL_DYNAMODB", endpoint),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "local"),
        ("AWS_SECRET_ACCESS_KEY", "local"),
    ];
    settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

impl Dynamodb {
    /// Starts both on free ports of loopback.
    pub fn start() -> io::Result<Self> {
        Self::start_at(free())
    }

    /// Starts both; the proxy listens on `address`.
    pub fn start_at(address: SocketAddr) -> io::Result<Self> {
        let emulator = Emulator::start()?;
        let proxy = Proxy::start(address, emulator.address())?;
        Ok(Self { proxy, emulator })
    }

    /// Where the proxy is, as a URL.
    pub fn endpoint(&self) -> String {
        self.proxy.endpoint()
    }

    /// Where the emulator is, as a URL: the way around all faults.
    pub fn direct_endpoint(&self) -> String {
        self.emulator.endpoint()
    }

    /// What is to fail.
    pub fn plan(&self) -> Plan {
        self.proxy.plan()
    }

    /// What has gone through so far.
    pub fn tally(&self) -> Tally {
        self.proxy.tally()
    }
}
