//! Authentication: bearer tokens (JWT), the keys that verify them, and revocations.
//!
//! [`Auth`] verifies tokens. Its keys are configured, or published by the issuer at a URL ([`Jwks`]).
//! [`Revocations`] holds the revoked tokens known to a node, and ends sessions that were opened with
//! them.
#![warn(missing_docs)]

mod auth;
mod claims;
mod expectations;
#[cfg(test)]
mod fuzz;
pub mod http;
mod jwk;
mod jwks;
mod key;
mod limits;
mod live;
mod problem;
mod profile;
mod provider;
mod revocations;

pub use auth::{Auth, Refused};
pub use expectations::Expectations;
pub use jwks::{Jwks, JwksUrl, JwksUrlError};
pub use key::{Key, KeyError};
pub use limits::Pace;
pub use live::{Ending, Live};
pub use problem::{ME, TokenProblem};
pub use revocations::Revocations;
