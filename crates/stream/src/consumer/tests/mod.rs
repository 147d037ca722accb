//! Consumers under everything that goes wrong, by seed; and mistakes, each of which is found.

mod leases;
mod runs;
mod trouble;
mod world;
