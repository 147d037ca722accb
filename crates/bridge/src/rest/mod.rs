//! REST: every unary call of the contract, by its `google.api.http` annotations.

mod field_names;
mod query;
mod request;
mod routes;
mod template;
mod value;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, AUTHORIZATION};
use http::{HeaderValue, StatusCode};
use parlance_peers::Peer;
use parlance_proto::error::Failure;
use parlance_proto::json;
use prost::Message;
use prost_reflect::DynamicMessage;
use tonic::Code;

use crate::answer::{Refusal, json_response};
use crate::headers;
use crate::shared::Shared;

use routes::Lookup;
pub(crate) use routes::{Route, Routes};

/// Answered whatever the token is.
const GET_SERVER: &str = "/parlance.v1.ServerService/GetServer";

/// Carries out one call within the request deadline.
pub(crate) async fn handle(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    match tokio::time::timeout(shared.options.request_timeout, call(&shared, request)).await {
        Ok(Ok(json)) => json_response(StatusCode::OK, json),
        Ok(Err(refusal)) => refusal.into_response(),
        Err(_) => {
            let late = Failure::new(Code::DeadlineExceeded, "deadline_exceeded", "the call took too long");
            Refusal::from(late).into_response()
        }
    }
}

async fn call(shared: &Shared, request: Request) -> Result<Vec<u8>, Refusal> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    let (route, bound) = match shared.routes.find(&parts.method, path) {
        Lookup::Found(route, bound) => (route, bound),
        Lookup::OtherMethods(allow) => {
            let message = format!("{} is not for {path}, only {allow}", parts.method);
            let failure = Failure::new(Code::Unimplemented, "method_not_allowed", message);
            let allow = HeaderValue::try_from(allow).unwrap_or(HeaderValue::from_static(""));
            return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, failure).header(ALLOW, allow));
        }
        Lookup::Unknown => {
            let message = format!("there is no {path}");
            return Err(Failure::new(Code::NotFound, "unknown_path", message).into());
        }
    };
    let peer = parts.extensions.get::<Arc<Peer>>();
    let metadata = headers::metadata(&parts.headers, peer.map(Arc::as_ref), None);
    let admitted = shared.backend.admit(&metadata, route.rpc());
    let admitted = admitted.map_err(|status| field_names::in_json(Failure::from_status(&status)))?;
    if let Some(peer) = peer.filter(|_| admitted) {
        peer.identify();
    }
    let message = request::read(route, bound, &parts, body).await?;
    let has_token = metadata.contains_key(AUTHORIZATION);
    let answer = shared.backend.unary(metadata, route.rpc(), message.encode_to_vec().into()).await;
    if let Some(peer) = peer.filter(|_| has_token && answer.is_ok() && route.rpc() != GET_SERVER) {
        // A backend elsewhere has looked at the token.
        peer.identify();
    }
    let answer = answer.map_err(|status| field_names::in_json(Failure::from_status(&status)))?;
    let answer = DynamicMessage::decode(route.output().clone(), answer).map_err(|error| {
        tracing::error!(rpc = route.rpc(), %error, "the backend's answer cannot be decoded");
        Failure::new(Code::Internal, "internal", "the answer cannot be decoded")
    })?;
    Ok(json::to_json(&answer)?)
}
