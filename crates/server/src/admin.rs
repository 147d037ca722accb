//! What operators ask.

pub(crate) mod consumers;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;

use crate::consumers::Consumers;
use crate::readiness::{Readiness, healthz, readyz};

/// What the admin listener serves.
pub(crate) fn routes(
    readiness: Readiness,
    metrics: Option<PrometheusHandle>,
    consumers: Option<Arc<Consumers>>,
) -> Router {
    let render = move || {
        let text = metrics.as_ref().map(PrometheusHandle::render).unwrap_or_default();
        async move { text }
    };
    let of_consumers = consumers.map(consumers::routes).unwrap_or_default();
    of_consumers
        .route("/metrics", get(render))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz).with_state(readiness))
}
