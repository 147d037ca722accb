//! Who is at the other end of a connection, and what this process holds for them.
//!
//! A [`Peer`] is made by the listener for each connection and travels with every request as an
//! extension. Transports charge it for what they hold; the gate marks it as identified. What all
//! connections hold together is in the one [`Ledger`] of the process.
//!
//! Knows addresses and numbers. Knows nothing of HTTP/2, rooms or tokens.
#![warn(missing_docs)]

mod forwarded;
mod ledger;
pub mod limits;
mod peer;
mod proxies;

pub use forwarded::{FORWARDED_FOR, settled_client};
pub use ledger::{Held, Ledger, Place, Refused};
pub use limits::Limits;
pub use peer::{Peer, settle_client};
pub use proxies::{Network, NetworkError, Proxies};
