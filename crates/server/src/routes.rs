use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use parlance_api::services::Services;
use parlance_bridge::Bridge;
use parlance_proto::DESCRIPTOR;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_web::GrpcWebLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::admin::{self, Readiness};
use crate::backend::InProcess;
use crate::guard::{self, Guard};
use crate::web;

/// How long a browser may remember that it may call, rather than ask each time.
const PREFLIGHT_AGE: Duration = Duration::from_secs(3600);

/// Everything that the one listener serves, and the bridge within it, whose WebSockets
/// outlive the connections that they came on.
pub(crate) fn routes(
    services: &Services,
    health: HealthServer<impl Health>,
    readiness: Readiness,
    guard: Guard,
    shutdown: &CancellationToken,
) -> anyhow::Result<(Router, Bridge)> {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTOR)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let chat = Routes::new(services.chat())
        .add_service(services.users())
        .add_service(services.rooms())
        .add_service(services.inbox());
    let backend = InProcess::new(services.clone(), chat.clone().prepare().into_axum_router());
    let grpc = chat
        .add_service(health)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?)
        .prepare()
        .into_axum_router()
        .layer(GrpcWebLayer::new());
    let bridge = Bridge::new(Arc::new(backend), parlance_bridge::Options::default(), shutdown.clone());
    let app = grpc
        .merge(bridge.router())
        .route("/healthz", get(admin::healthz))
        .route("/readyz", get(admin::readyz).with_state(readiness))
        .merge(web::router())
        .fallback(unknown);
    let app = app.layer(cors(guard.clone())).layer(middleware::from_fn_with_state(guard, guard::check));
    Ok((app, bridge))
}

/// Nothing is here: told in the terms of whoever asks.
async fn unknown(headers: HeaderMap) -> Response {
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    if kind.starts_with(b"application/grpc") {
        return tonic::Status::unimplemented("no such service").into_http();
    }
    StatusCode::NOT_FOUND.into_response()
}

/// Lets the pages that the guard allows read the answers.
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
        ]))
        .expose_headers(named(&["grpc-status", "grpc-message", "grpc-status-details-bin", "retry-after"]))
        .max_age(PREFLIGHT_AGE)
}
