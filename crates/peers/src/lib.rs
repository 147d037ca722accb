//! The remote ends of connections, and the resources that this process holds for them.
//!
//! The listener creates a [`Peer`] for each connection, which accompanies every request as an
//! extension. Transports charge it for held resources; the gate marks it as identified. The
//! totals of all connections are in the process's single [`Ledger`].
//!
//! Knows addresses and numbers. Does not depend on HTTP/2, rooms or tokens.
#![warn(missing_docs)]

mod budget;
mod forwarded;
mod held;
mod ledger;
pub mod limits;
mod peer;
mod proxies;
mod total;
mod used;
mod users;

pub use budget::{Budget, Charge, Charged, ChargedTo, HeaderCharge, Reservation};
pub use forwarded::{BODY_BYTES, FORWARDED_FOR, settled_client};
pub use held::Held;
pub use ledger::{Ledger, Place, Refused, counted_as};
pub use limits::Limits;
pub use peer::{Peer, settle_client};
pub use proxies::{Network, NetworkError, Proxies};
