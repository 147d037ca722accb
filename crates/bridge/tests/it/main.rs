//! The bridge over real loopback connections, before a backend that does what the test
//! says.

#![allow(clippy::unwrap_used, reason = "tests may give up, and so may what they share")]

mod common;

mod closing;
mod frames;
mod handshake;
mod pressure;
mod pushing;
mod rest;
