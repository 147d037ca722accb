//! Who is calling: bearer tokens (JWT), the keys that verify them, and which of them were revoked.
//!
//! [`Auth`] verifies. Its keys are given at the start, or published by the issuer of the tokens at a URL
//! ([`Jwks`]). [`Revocations`] are what a node knows of revoked tokens; it ends what was begun with them.
#![warn(missing_docs)]

mod auth;
mod claims;
pub mod http;
mod jwk;
mod jwks;
mod key;
mod limits;
mod provider;
mod refusals;
mod revocations;

pub use auth::{Auth, Refused};
pub use claims::{Expectations, ME, TokenProblem};
pub use jwks::{Jwks, JwksUrl, JwksUrlError};
pub use key::{Key, KeyError};
pub use limits::Pace;
pub use revocations::{Live, Revocations};
