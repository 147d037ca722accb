//! Nodes tell bridges whose call they have answered: bridges cannot verify tokens, and count the connections of users.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue};
use parlance_api::services::Identified;
use parlance_peers::Peer;

/// The user whose token a call had. The app's backend is not named: it has as many connections as it needs.
const CALLER: HeaderName = HeaderName::from_static("parlance-caller");

/// Names the caller in the answers to bridges.
pub(crate) async fn name(request: Request, next: Next) -> Response {
    let user = request.extensions().get::<Identified>().filter(|caller| !caller.is_service());
    let user = user.and_then(|caller| HeaderValue::from_str(caller.user()).ok());
    let mut response = next.run(request).await;
    if let Some(user) = user {
        response.headers_mut().insert(CALLER, user);
    }
    response
}

/// Records that the connection `peer` is of the user that `answer` names. A node of an earlier version names nobody.
///
/// # Errors
/// The most connections that the user may have: this is one more.
pub(super) fn claim(peer: &Peer, answer: &HeaderMap) -> Result<(), usize> {
    match answer.get(CALLER).and_then(|user| user.to_str().ok()) {
        Some(user) => peer.identify_as(user),
        None => {
            peer.identify();
            Ok(())
        }
    }
}
