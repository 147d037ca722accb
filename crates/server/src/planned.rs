//! Consumers that are to be started.

use std::sync::Arc;

use parlance_stream::Options;
use parlance_stream::sink::EventSink;

/// A consumer that is to be started.
#[derive(Clone)]
pub(crate) struct Planned {
    pub(crate) options: Options,
    pub(crate) sink: Arc<dyn EventSink>,
    /// Where events go, without secrets.
    pub(crate) shown: String,
}
