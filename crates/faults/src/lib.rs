//! Deliberate faults, for tests and for `parlance-trials torture`: real servers started on loopback, and proxies in
//! front of them that cut, delay, refuse and return wrong answers.
#![warn(missing_docs)]

pub mod dynamodb;
pub mod fixture;

mod authority;
mod certificate;
pub mod kafka;
pub mod redis;
mod store;
mod tcp;
mod tls;
mod tls_client;

pub use authority::Authority;
pub use certificate::Certificate;
pub use store::ControlledStore;
pub use tcp::TcpProxy;
pub use tls::TlsProxy;
pub use tls_client::{TlsClient, exchange_by_tls};
