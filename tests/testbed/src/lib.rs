//! Servers as child processes, for tests and measurements: a single one ([`ServerProcess`]),
//! or a [`Cluster`] with Redis, a DynamoDB API and proxies that fail on request.

mod cluster;
mod command;
mod node;
mod seeded;
mod server_process;
pub mod token;
mod unary;

pub use cluster::{Cluster, NodeAddresses, Options, SHARES, Shared};
pub use command::run_command;
pub use node::Node;
pub use seeded::Seeded;
pub use server_process::{ServerProcess, free_ports, get, server_program, spawn};
pub use token::token;
pub use unary::Unary;
