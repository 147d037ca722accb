//! Consumers to start.

use std::sync::Arc;

use parlance_stream::Options;
use parlance_stream::sink::EventSink;

/// A consumer to start.
#[derive(Clone)]
pub(crate) struct Planned {
    pub(crate) options: Options,
    pub(crate) sink: Arc<dyn EventSink>,
    /// The destination, without secrets.
    pub(crate) shown: String,
}
