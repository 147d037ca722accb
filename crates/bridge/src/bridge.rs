use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::routing::{any, get};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backend::ChatBackend;
use crate::meters::Meters;
use crate::openapi;
use crate::options::Options;
use crate::rest::{self, Routes};
use crate::shared::Shared;
use crate::ws;

/// The bridge in front of one backend.
///
/// On `shutdown` new streams are refused; the backend ends the open ones. Those that remain after
/// [`Options::shutdown_grace`] are closed.
pub struct Bridge {
    shared: Arc<Shared>,
    routes: Routes,
}

impl Bridge {
    /// Reads the routes from the contract. The metrics recorder must be installed first.
    pub fn new(backend: Arc<dyn ChatBackend>, options: Options, shutdown: CancellationToken) -> Self {
        let routes = Routes::from_contract(parlance_proto::json::pool())
            .unwrap_or_else(|error| unreachable!("the contract is compiled in: {error}"));
        let (connections, meters) = (TaskTracker::new(), Arc::new(Meters::new()));
        Self { shared: Arc::new(Shared { backend, options, shutdown, connections, meters }), routes }
    }

    /// `/ws`, everything under `/v1`, and `/openapi.json`. Must be served with upgrades over HTTP/1.1 or later;
    /// `Host` and `Origin` are checked by a layer of the server.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/ws", any(ws::upgrade))
            .route("/openapi.json", get(openapi::serve))
            .merge(rest::router(&self.routes))
            .with_state(Arc::clone(&self.shared))
    }

    /// Waits until every WebSocket has ended. Does not end them: `shutdown` does.
    pub async fn finished(&self) {
        self.shared.connections.close();
        self.shared.connections.wait().await;
    }
}

impl fmt::Debug for Bridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bridge").field("options", &self.shared.options).finish_non_exhaustive()
    }
}
