//! The `parlance` server as a library: configuration, wiring, listening, shutdown.
#![warn(missing_docs)]

mod admin;
mod admission;
mod answer_headers;
mod backend;
mod bridge;
pub mod cli;
#[cfg_attr(not(feature = "cluster"), path = "cluster/absent.rs")]
mod cluster;
pub mod config;
mod consumers;
mod data_dir;
mod descriptors;
pub mod features;
#[cfg(test)]
mod fuzz;
mod guard;
mod host;
mod http1;
mod keys;
mod limits;
mod listener;
mod node;
mod origin;
mod paced;
mod planned;
mod proxy_header;
mod readiness;
mod reflection;
mod revoking;
mod routes;
mod seams;
mod server;
mod tls;
mod web;
mod worker;

pub use keys::existing_local_key;
pub use origin::{Origin, OriginError};
pub use readiness::clock_error;
pub use seams::Seams;
pub use server::Server;
