//! Helpers for the end-to-end tests: the real `parlance` binary as a child process,
//! and users who talk to it over every transport.
//!
//! A test starts a [`Server`], creates a few [`Person`]s, lets each open a
//! [`Conversation`] through some [`Door`], and states what arrives. Nothing sleeps:
//! [`eventually`] and [`within`] wait for conditions, with a deadline.
//!
//! A failing test prints its server's output.
#![allow(clippy::print_stderr, clippy::print_stdout, reason = "tests talk to whoever runs them")]
#![allow(clippy::missing_panics_doc, reason = "panicking is how a test fails")]

mod balancer;
mod binary;
mod cluster;
mod contiguity;
mod conversation;
mod grpc_web;
mod http_client;
mod later;
mod operations;
mod person;
mod ports;
mod raw_grpc;
mod raw_websocket;
mod refused;
mod server;
mod tokens;
mod wait;

pub use balancer::{BALANCERS, Balancer, Kind, deploy, run_program};
pub use binary::{parlance, run_to_end};
pub use cluster::{Cluster, Setup};
pub use contiguity::{Contiguity, Item};
pub use conversation::{Conversation, End};
pub use grpc_web::GrpcWeb;
pub use http_client::{Answer, Http};
pub use later::{LATER, Later, LaterVersion};
pub use operations::{OPERATIONS, Operation, VARIANTS};
pub use parlance_client::transport::Door;
pub use person::{Person, text_of};
pub use ports::free_port;
pub use raw_grpc::RawGrpc;
pub use raw_websocket::RawWebSocket;
pub use refused::{Refused, refused};
pub use server::{Launch, Server};
pub use tokens::{Signer, claims};
pub use wait::{DEADLINE, eventually, fresh, now, within};

/// All transports.
pub const DOORS: [Door; 3] = [Door::Grpc, Door::WebSocketJson, Door::WebSocketBinary];

/// Runs the same scenario over every transport, one after the other.
pub async fn for_each_door(scenario: impl AsyncFn(Door)) {
    for door in DOORS {
        // Shown if the test fails.
        println!("through {door}");
        Box::pin(scenario(door)).await;
    }
}
