//! REST: every unary call of the contract, by its `google.api.http` annotations.

mod field_names;
mod query;
mod request;
mod routes;
mod template;
mod value;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any};
use http::header::ALLOW;
use http::{HeaderValue, Method, StatusCode, Version};
use parlance_peers::{BODY_BYTES, HeaderCharge, Peer, Reservation};
use parlance_proto::answers::expected_bytes;
use parlance_proto::error::Failure;
use parlance_proto::json;
use prost_reflect::DynamicMessage;
use tonic::Code;

use crate::answer::{Refusal, json_response};
use crate::limits::{MAX_ANONYMOUS_BODY_BYTES, MAX_BODY_BYTES};
use crate::shared::Shared;
use crate::{anonymous, bodies, headers};

pub(crate) use routes::{Route, Routes};

/// Answered regardless of the token.
const GET_SERVER: &str = "/parlance.v1.ServerService/GetServer";

/// Routes every path in the annotations, and refuses everything else under `/v1`.
pub(crate) fn router(routes: &Routes) -> Router<Arc<Shared>> {
    let mut paths: BTreeMap<String, Vec<&Arc<Route>>> = BTreeMap::new();
    for route in routes.all() {
        paths.entry(route.pattern()).or_default().push(route);
    }
    let unknown = || any(unknown_path);
    let router =
        Router::new().route("/v1", unknown()).route("/v1/", unknown()).route("/v1/{*call}", unknown());
    paths.into_iter().fold(router, |router, (path, routes)| router.route(&path, methods(&routes)))
}

/// The methods of one path.
fn methods(routes: &[&Arc<Route>]) -> MethodRouter<Arc<Shared>> {
    // The HTTP layer drops the body of a HEAD response.
    let mut allowed: Vec<&str> = routes.iter().map(|route| route.method().as_str()).collect();
    if allowed.contains(&"GET") {
        allowed.push("HEAD");
    }
    allowed.sort_unstable();
    let allowed: Arc<str> = allowed.join(", ").into();
    let refuse =
        move |request: Request| std::future::ready(refuse_method(&request, &allowed).into_response());
    routes.iter().fold(MethodRouter::new().fallback(refuse), |methods, route| {
        let (method, route) = (route.method().clone(), Arc::clone(route));
        let handle = move |State(shared): State<Arc<Shared>>, request: Request| async move {
            handle(&shared, &route, request).await
        };
        match method {
            Method::GET => methods.get(handle),
            Method::PUT => methods.put(handle),
            Method::POST => methods.post(handle),
            Method::DELETE => methods.delete(handle),
            _ => methods.patch(handle),
        }
    })
}

fn refuse_method(request: &Request, allowed: &str) -> Refusal {
    if let Err(limited) = anonymous::charge(request.extensions(), request.headers()) {
        return limited.into();
    }
    let message = format!("{} is not for {}, only {allowed}", request.method(), request.uri().path());
    let failure = Failure::new(Code::Unimplemented, "method_not_allowed", message);
    let allow = HeaderValue::try_from(allowed).unwrap_or(HeaderValue::from_static(""));
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, failure).header(ALLOW, allow)
}

async fn unknown_path(request: Request) -> Response {
    if let Err(limited) = anonymous::charge(request.extensions(), request.headers()) {
        return Refusal::from(limited).into_response();
    }
    let message = format!("there is no {}", request.uri().path());
    Refusal::from(Failure::new(Code::NotFound, "unknown_path", message)).into_response()
}

/// Executes one call within the request deadline.
async fn handle(shared: &Shared, route: &Route, request: Request) -> Response {
    match tokio::time::timeout(shared.options.request_timeout, call(shared, route, request)).await {
        Ok(Ok((json, reserved))) => {
            let mut response = json_response(StatusCode::OK, json);
            if let Some(reserved) = reserved {
                response.extensions_mut().insert(reserved);
            }
            response
        }
        Ok(Err(refusal)) => refusal.into_response(),
        Err(_) => {
            let late = Failure::new(Code::DeadlineExceeded, "deadline_exceeded", "the call took too long");
            Refusal::from(late).into_response()
        }
    }
}

/// The answer as JSON, and the room that was made for it.
async fn call(
    shared: &Shared,
    route: &Route,
    request: Request,
) -> Result<(Vec<u8>, Option<Reservation>), Refusal> {
    let (mut parts, body) = request.into_parts();
    let needs_caller = route.rpc() != GET_SERVER;
    if !needs_caller {
        anonymous::charge(&parts.extensions, &parts.headers)?;
    }
    let bound = route.bind(parts.uri.path());
    let peer = parts.extensions.get::<Arc<Peer>>().cloned();
    let peer = peer.as_deref();
    let mut metadata = headers::metadata(&parts.headers, peer, None);
    let admitted = shared.backend.admit(&metadata, route.rpc(), peer).await;
    let admitted = match admitted.map_err(|status| Failure::from_status(&status)) {
        Ok(admitted) => admitted,
        Err(refused) => {
            if parts.version < Version::HTTP_2 && refused.reason == "rate_limited" {
                bodies::discard(body, MAX_BODY_BYTES).await;
            }
            return Err(field_names::in_json(refused).into());
        }
    };
    let bound = bound?;
    let budget = peer.map(|peer| peer.budget_of(admitted.as_deref()));
    let most = if needs_caller { MAX_BODY_BYTES } else { MAX_ANONYMOUS_BODY_BYTES };
    let body = request::receive(route, &parts, body, most, budget.as_ref()).await?;
    HeaderCharge::end_if_small(&mut parts.extensions);
    // As JSON it takes up to twice as much as in protobuf. Not while the request may still come, and before it is decoded.
    let expected = 2 * expected_bytes(route.rpc());
    let reserved = match budget.as_ref().filter(|_| expected > 0) {
        Some(budget) => Some(budget.reserve(expected).await),
        None => None,
    };
    // It counts by its size, which may be larger than that of the message.
    metadata.insert(BODY_BYTES, body.value.len().into());
    let message = request::decode(route, bound, &parts, &body.value)?;
    let answer = shared.backend.unary(metadata, route.rpc(), message, peer).await;
    // The decoded request is in memory until the answer is there.
    drop(body.charge);
    let answer = answer.map_err(|status| field_names::in_json(Failure::from_status(&status)))?;
    let answer = DynamicMessage::decode(route.output().clone(), answer).map_err(|error| {
        tracing::error!(rpc = route.rpc(), %error, "cannot decode the backend's response");
        Failure::new(Code::Internal, "internal", "cannot decode the response")
    })?;
    Ok((json::to_json(&answer)?, reserved))
}
