//! The admin listener.

pub(crate) mod consumers;

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;

use crate::answer_headers::{self, AnswerHeaders};
use crate::consumers::Consumers;
use crate::guard::{self, Guard};
use crate::host;
use crate::readiness::{Readiness, healthz, readyz};
use crate::revoking::{self, Revoking};

/// The routes of the admin listener.
///
/// `is_local`: it only serves this machine, and requests under a domain name, as from a page in a local
/// browser whose name resolves here, are refused, except for probes.
pub(crate) fn routes(
    readiness: Readiness,
    metrics: Option<PrometheusHandle>,
    consumers: Option<Arc<Consumers>>,
    revoking: Option<Arc<Revoking>>,
    is_local: bool,
) -> Router {
    let render = move || {
        let text = metrics.as_ref().map(PrometheusHandle::render).unwrap_or_default();
        async move { text }
    };
    let of_consumers = consumers.map(consumers::routes).unwrap_or_default();
    let routes =
        of_consumers.route("/metrics", get(render)).merge(revoking.map(revoking::routes).unwrap_or_default());
    let routes = match is_local {
        true => routes.layer(middleware::from_fn_with_state(Guard::Local, guard::check)),
        false => routes,
    };
    // Load balancers use other host names, and these routes change nothing.
    let routes = routes.route("/healthz", get(healthz)).route("/readyz", get(readyz).with_state(readiness));
    let headers = AnswerHeaders::default();
    routes
        .layer(middleware::from_fn(host::check))
        .layer(middleware::from_fn_with_state(headers, answer_headers::add))
}
