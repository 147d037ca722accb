//! HTTP/2 as RFC 9113 and RFC 7541 have it: a table of frames, right and wrong, sent to the real binary on a
//! connection each, and what the RFCs let a server do about them. Where the library (h2) does otherwise, the table
//! says what and why it is left; it fails when that changes.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may give up, and say where")]

mod cases;
mod compression;
mod connections;
mod flow;
mod messages;
pub(crate) mod peer;
mod streams;
pub(crate) mod wire;
