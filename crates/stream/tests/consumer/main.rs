//! Consumers under everything that goes wrong, by seed; and mistakes, each of which is found.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod dice;
mod leases;
mod runs;
mod trouble;
mod world;
