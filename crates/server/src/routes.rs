use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use parlance_api::services::Services;
use parlance_bridge::{Bridge, ChatBackend, anonymous};
use parlance_delivery::Deliveries;
use parlance_delivery::grpc::{self, is_native};
use parlance_proto::error::{Failure, with_details};
use parlance_proto::{DESCRIPTOR, ERROR_DETAILS_DESCRIPTOR, EVENTS_DESCRIPTOR};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_web::GrpcWebLayer;
use tower::util::MapResponseLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::admission;
use crate::answer_headers::{self, AnswerHeaders};
use crate::backend::InProcess;
use crate::bridge::caller;
use crate::guard::{self, Guard};
use crate::host;
use crate::limits::{PREFLIGHT_AGE, PROBE_BYTES};
use crate::paced::{pace, uncounted};
use crate::readiness::{Readiness, healthz, readyz};
use crate::reflection;
use crate::web;

/// Settings of every listener for clients.
pub(crate) struct Common {
    pub(crate) readiness: Readiness,
    pub(crate) guard: Guard,
    pub(crate) headers: AnswerHeaders,
    /// Origins of the pictures that the web app shows.
    pub(crate) image_origins: Vec<String>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) bridge: parlance_bridge::Options,
}

/// The routes of a node.
pub(crate) struct NodeRoutes {
    /// Routes for clients.
    pub(crate) app: Router,
    /// Routes for bridges: only the gRPC services.
    pub(crate) for_bridges: Router,
    /// The bridge, whose WebSockets outlive the HTTP connections that they were upgraded from.
    pub(crate) bridge: Option<Bridge>,
}

/// Everything that a node serves; without `serves_browsers`, nothing that browsers need.
pub(crate) fn node(
    services: &Services,
    health: HealthServer<impl Health>,
    serves_browsers: bool,
    common: Common,
) -> anyhow::Result<NodeRoutes> {
    let files = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTOR)
            .register_encoded_file_descriptor_set(EVENTS_DESCRIPTOR)
            .register_encoded_file_descriptor_set(ERROR_DETAILS_DESCRIPTOR)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let grpc = Routes::new(services.chat())
        .add_service(services.users())
        .add_service(services.rooms())
        .add_service(services.inbox())
        .add_service(services.server())
        .add_service(services.events());
    // Reflection and health need no authentication.
    let health = health.max_decoding_message_size(PROBE_BYTES);
    let admit = || middleware::from_fn_with_state(services.clone(), admission::admit);
    let unary = grpc.clone().prepare().into_axum_router();
    let only_grpc = || middleware::from_fn(grpc_alone);
    let for_bridges = with_streams(grpc.clone().add_service(health.clone()), services)
        .route_layer(only_grpc())
        .fallback(unknown_to_grpc)
        .layer(middleware::from_fn(caller::name))
        .layer(admit());
    // In local mode web pages of other origins must be refused on this listener too.
    let for_bridges = for_bridges
        .layer(middleware::from_fn_with_state(common.guard.clone(), guard::check))
        .layer(middleware::from_fn(host::check))
        .layer(middleware::from_fn_with_state(AnswerHeaders::default(), answer_headers::add));
    let grpc = grpc
        .add_service(health)
        .add_service(files().build_v1()?.max_decoding_message_size(PROBE_BYTES))
        .add_service(files().build_v1alpha()?.max_decoding_message_size(PROBE_BYTES));
    let bounded = middleware::from_fn_with_state(reflection::streams(), reflection::bound);
    let grpc = with_streams(grpc, services)
        .layer(bounded)
        .layer(admit())
        .layer(GrpcWebLayer::new())
        .route_layer(only_grpc());
    if !serves_browsers {
        let app = with_common(grpc.fallback(unknown_to_grpc), common);
        return Ok(NodeRoutes { app, for_bridges, bridge: None });
    }
    let backend = InProcess::new(services.clone(), unary);
    let bridge = Bridge::new(Arc::new(backend), common.bridge.clone(), common.shutdown.clone());
    let app = grpc.merge(bridge.router()).merge(web::router(&common.image_origins)?).fallback(unknown);
    Ok(NodeRoutes { app: with_common(app, common), for_bridges, bridge: Some(bridge) })
}

/// `grpc` with `Chat` and `Subscribe`, whose bodies are written by `parlance_delivery` instead of tonic.
fn with_streams(grpc: Routes, services: &Services) -> Router {
    let streams = Router::new()
        .route("/parlance.v1.ChatService/Chat", post(chat))
        .route("/parlance.v1.ChatService/Subscribe", post(subscribe))
        .with_state(services.clone());
    grpc.prepare().into_axum_router().merge(streams)
}

async fn chat(State(services): State<Services>, request: Request) -> Response {
    streamed(services.chat_stream(request).await)
}

async fn subscribe(State(services): State<Services>, request: Request) -> Response {
    streamed(services.subscribe_stream(request).await)
}

fn streamed(opened: Result<Deliveries, tonic::Status>) -> Response {
    match opened {
        Ok(session) => grpc::response(session).map(Body::new),
        Err(status) => status.into_http(),
    }
}

/// The routes of a bridge in front of `backend`.
pub(crate) fn bridge(backend: Arc<dyn ChatBackend>, common: Common) -> anyhow::Result<(Router, Bridge)> {
    let bridge = Bridge::new(backend, common.bridge.clone(), common.shutdown.clone());
    let web = web::router(&common.image_origins)?;
    let app = bridge.router().merge(web).fallback(not_at_a_bridge);
    Ok((with_common(app, common), bridge))
}

/// The routes of a worker: health only.
pub(crate) fn worker(common: Common) -> Router {
    with_common(Router::new().fallback(not_at_a_worker), common)
}

async fn not_at_a_worker() -> Response {
    (StatusCode::NOT_FOUND, "a worker delivers events and serves no clients\n").into_response()
}

fn with_common(app: Router, common: Common) -> Router {
    let guard = common.guard;
    let probes = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz).with_state(common.readiness))
        .layer(MapResponseLayer::new(uncounted));
    app.merge(probes)
        .layer(MapResponseLayer::new(with_error_details))
        .layer(cors(guard.clone()))
        .layer(MapResponseLayer::new(without_cors))
        .layer(middleware::from_fn_with_state(guard, guard::check))
        .layer(middleware::from_fn(host::check))
        .layer(middleware::from_fn(pace))
        .layer(middleware::from_fn_with_state(common.headers, answer_headers::add))
}

/// Refuses what is sent to a method of a service and is no call of gRPC or grpc-web, before it is read.
async fn grpc_alone(request: Request, next: middleware::Next) -> Response {
    if request.method() != Method::POST {
        let allow = [(header::ALLOW, "POST")];
        return (StatusCode::METHOD_NOT_ALLOWED, allow, "calls of grpc are sent with POST\n").into_response();
    }
    if !is_grpc(request.headers()) {
        let message = "calls of grpc have the content type application/grpc or application/grpc-web\n";
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, message).into_response();
    }
    next.run(request).await
}

/// Refuses gRPC, which the load balancer should route to the nodes.
async fn not_at_a_bridge(extensions: Extensions, headers: HeaderMap) -> Response {
    if let Err(limited) = anonymous::charge(&extensions, &headers) {
        return too_many(&headers, limited);
    }
    if is_grpc(&headers) {
        let message =
            "this is a bridge for websocket and rest; grpc and grpc-web are served by the api nodes";
        return tonic::Status::unimplemented(message).into_http();
    }
    not_found(&headers)
}

/// Answers unknown paths, in the protocol of the caller.
async fn unknown(extensions: Extensions, headers: HeaderMap) -> Response {
    if let Err(limited) = anonymous::charge(&extensions, &headers) {
        return too_many(&headers, limited);
    }
    if is_grpc(&headers) { no_such_service() } else { not_found(&headers) }
}

/// The same for listeners that serve only gRPC.
async fn unknown_to_grpc(extensions: Extensions, headers: HeaderMap) -> Response {
    if let Err(limited) = anonymous::charge(&extensions, &headers) {
        return too_many(&headers, limited);
    }
    if is_grpc(&headers) {
        return no_such_service();
    }
    (StatusCode::NOT_FOUND, "only gRPC is served here\n").into_response()
}

/// Refuses a request of an address with too many unknown paths.
fn too_many(headers: &HeaderMap, limited: Failure) -> Response {
    let seconds = limited.retry_after.unwrap_or_default().as_secs() + 1;
    let mut response = match is_grpc(headers) {
        true => tonic::Status::from(limited).into_http(),
        false => (StatusCode::TOO_MANY_REQUESTS, format!("{}\n", limited.message)).into_response(),
    };
    response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    response
}

fn no_such_service() -> Response {
    tonic::Status::unimplemented("no such service").into_http()
}

fn not_found(headers: &HeaderMap) -> Response {
    let upgrade = headers.get(header::UPGRADE).map(HeaderValue::as_bytes).unwrap_or_default();
    let message = if upgrade.eq_ignore_ascii_case(b"websocket") {
        "there is no WebSocket at this path: connect to /ws\n"
    } else {
        "not found: REST is under /v1, described by /openapi.json\n"
    };
    (StatusCode::NOT_FOUND, message).into_response()
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let rest = kind.strip_prefix(b"application/grpc").map(|rest| match rest.strip_prefix(b"-web") {
        Some(web) => web.strip_prefix(b"-text").unwrap_or(web),
        None => rest,
    });
    // A format of messages, or parameters, may follow.
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// Native gRPC calls have no origin, and their answers are not cached. Without these headers, connections need not
/// keep them in their HPACK tables.
fn without_cors(mut response: Response) -> Response {
    let headers = response.headers_mut();
    if is_native(headers) {
        headers.remove(header::VARY);
        headers.remove(header::ACCESS_CONTROL_EXPOSE_HEADERS);
    }
    response
}

/// Adds error details to refusals that tonic makes itself. Refusals of operations already have details, or their
/// status in trailers.
fn with_error_details(mut response: Response) -> Response {
    let headers = response.headers_mut();
    if headers.contains_key(tonic::Status::GRPC_STATUS)
        && let Some(status) = tonic::Status::from_header_map(headers)
    {
        // Fails only for metadata that is not a valid header; this was parsed from one.
        let _ = with_details(status).add_header(headers);
    }
    response
}

/// CORS for the origins that the guard allows.
fn cors(guard: Guard) -> CorsLayer {
    let allowed = move |origin: &HeaderValue, parts: &request::Parts| {
        let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        origin.to_str().is_ok_and(|origin| guard.allows_origin(origin, host))
    };
    let named =
        |names: &[&'static str]| names.iter().map(|name| HeaderName::from_static(name)).collect::<Vec<_>>();
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(allowed))
        .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::DELETE])
        .allow_headers(named(&[
            "authorization",
            "content-type",
            "x-grpc-web",
            "x-user-agent",
            "grpc-timeout",
            "connect-protocol-version",
            "parlance-unknown-fields",
            // Trace headers of instrumented web pages, for the operation's span.
            "traceparent",
            "tracestate",
        ]))
        .expose_headers(named(&[
            "grpc-status",
            "grpc-message",
            "grpc-status-details-bin",
            "retry-after",
            answer_headers::VERSION,
        ]))
        .max_age(PREFLIGHT_AGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_of_grpc() {
        let is = |kind: &'static str| {
            let kind = HeaderValue::from_static(kind);
            is_grpc(&HeaderMap::from_iter([(header::CONTENT_TYPE, kind)]))
        };
        for kind in ["", "+proto", "; charset=utf-8", "-web", "-web+proto", "-web-text", "-web-text+proto"] {
            assert!(is(format!("application/grpc{kind}").leak()), "{kind}");
        }
        for kind in [
            "",
            "text/plain",
            "application/json",
            "application/grpcx",
            "application/grpc-text",
            "application/grpc-webby",
        ] {
            assert!(!is(kind), "{kind}");
        }
        assert!(!is_grpc(&HeaderMap::new()));
    }
}
