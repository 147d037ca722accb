use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backend::ChatBackend;
use crate::meters::Meters;
use crate::options::Options;

/// State shared by all requests.
pub(crate) struct Shared {
    pub(crate) backend: Arc<dyn ChatBackend>,
    pub(crate) options: Options,
    pub(crate) shutdown: CancellationToken,
    pub(crate) connections: TaskTracker,
    pub(crate) meters: Arc<Meters>,
}
