//! Numbers of the envelopes between nodes, so that receivers notice what was lost.
//!
//! The envelopes that a node publishes to one channel are numbered. Once a second each node
//! publishes a [`Beat`] to all others, with the last number of every channel that it has used
//! since. A number that has not arrived a heartbeat after it was known to be sent is lost; so is
//! everything from a node whose beats do not arrive. All of this is pure: time is counted in
//! ticks, one in each heartbeat.

mod arrivals;
mod sent;
mod stream;
#[cfg(test)]
mod tests;

pub use arrivals::{Arrivals, Loss, Patience};
pub use sent::{Beat, Sent};

/// A stream that begins anew gets another generation, in the bits above these of its numbers.
const GENERATION_SHIFT: u32 = 32;
