//! The DynamoDB API on loopback, and a proxy that injects faults.
//!
//! [`Dynamodb::start`] runs an emulator in memory and a [`Proxy`] in front of it, each on its own threads. The
//! emulator answers at once, consistently and one request at a time; the proxy adds everything else that the service
//! does to its callers:
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
//! Rules are evaluated in the order in which they were added, and the first match decides. Chance is seeded
//! ([`Plan::seed`]), so that sequential requests meet the same faults in every run.
//!
//! While [`Plan::answer_from_the_past`] is set, inconsistent reads are answered from the past: a new request finds
//! nothing at all, a repeated one finds what it found before, until that is too old.
//!
//! [`Shards`] does to the streams of the tables what the service may do to them.
//!
//! A separate process can use a fixed address ([`Dynamodb::start_at`]), and [`Proxy::start`] adds the faults to any
//! other HTTP endpoint.

mod answers;
mod emulator;
mod past;
mod plan;
mod proxy;
mod shards;
mod tally;
mod worker;

use std::io;
use std::net::SocketAddr;

pub use self::emulator::Emulator;
use self::emulator::free;
pub use self::plan::{ANY, Fault, Plan};
pub use self::proxy::Proxy;
pub use self::shards::{Habits, Shards};
pub use self::tally::Tally;

/// An emulator with a proxy in front of it. Both stop when dropped.
#[derive(Debug)]
pub struct Dynamodb {
    proxy: Proxy,
    emulator: Emulator,
}

/// Environment variables that point an AWS client to a DynamoDB API on this machine. The keys are placeholders, which
/// are not checked.
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
    /// Starts both on free loopback ports.
    pub fn start() -> io::Result<Self> {
        Self::start_at(free())
    }

    /// Starts both; the proxy listens on `address`.
    pub fn start_at(address: SocketAddr) -> io::Result<Self> {
        let emulator = Emulator::start()?;
        let proxy = Proxy::start(address, emulator.address())?;
        Ok(Self { proxy, emulator })
    }

    /// The URL of the proxy.
    pub fn endpoint(&self) -> String {
        self.proxy.endpoint()
    }

    /// The URL of the emulator, which bypasses all faults.
    pub fn direct_endpoint(&self) -> String {
        self.emulator.endpoint()
    }

    /// The fault plan.
    pub fn plan(&self) -> Plan {
        self.proxy.plan()
    }

    /// The streams of the tables, which can be made to split, close, be late and be trimmed.
    pub fn shards(&self) -> Shards {
        self.proxy.shards()
    }

    /// Switches the stream of a table off or on.
    pub async fn switch_stream(&self, table: &str, on: bool) {
        self.proxy.switch_stream(table, on).await;
    }

    /// Statistics of requests so far.
    pub fn tally(&self) -> Tally {
        self.proxy.tally()
    }
}
