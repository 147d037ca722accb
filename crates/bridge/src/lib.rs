//! The contract for JSON clients: `/ws` carries the `Chat` stream over a WebSocket, `/v1/...` the unary calls as
//! REST, by the annotations of the contract. Depends on the contract and [`ChatBackend`], and on nothing behind it.
//!
//! The path of a frame: [`ws`](self) handshake -> connection -> frame -> backend, and back through outbound. The path
//! of a call: rest -> routes -> request -> backend -> answer.
#![warn(missing_docs)]

pub mod anonymous;
mod answer;
mod backend;
pub mod bodies;
mod bridge;
mod headers;
mod limits;
mod meters;
mod openapi;
mod options;
mod rest;
mod shared;
mod ws;

pub use backend::{ChatBackend, Received};
pub use bridge::Bridge;
pub use options::Options;
