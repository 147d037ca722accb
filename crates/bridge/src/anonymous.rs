//! Requests that belong to no caller: they have a rate for each address.

use std::sync::Arc;

use http::{Extensions, HeaderMap};
use parlance_peers::Peer;
use parlance_proto::error::Failure;
use tonic::Code;

/// Counts the answer to a request with these `extensions` and `headers`.
///
/// # Errors
/// Its address has got too many.
pub fn charge(extensions: &Extensions, headers: &HeaderMap) -> Result<(), Failure> {
    let Some(peer) = extensions.get::<Arc<Peer>>() else { return Ok(()) };
    peer.answer(headers).map_err(|wait| {
        let message = "too many requests without a caller from this address";
        Failure::new(Code::ResourceExhausted, "rate_limited", message).retry_after(wait)
    })
}
