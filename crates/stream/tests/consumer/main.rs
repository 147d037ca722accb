//! Consumers under seeded random failures; and planted mistakes, each of which is found.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod deleted;
mod dice;
mod free;
mod leases;
mod operators;
mod outages;
mod quiet;
mod readers;
mod runs;
mod stops;
mod tails;
mod trouble;
mod unreadable;
mod world;
