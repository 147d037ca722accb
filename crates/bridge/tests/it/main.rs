//! The bridge over real loopback connections, with a backend controlled by the test.

#![allow(clippy::unwrap_used, reason = "tests may give up, and so may what they share")]

mod common;

mod closing;
mod frames;
mod fuzz;
mod handshake;
mod held;
mod pressure;
mod pushing;
mod rest;
