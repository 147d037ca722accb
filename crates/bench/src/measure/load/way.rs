use std::fmt;

use super::bare::Bare;

/// The server and transport that a listener uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::measure) enum Way {
    Grpc,
    WebSocketJson,
    WebSocketBinary,
    /// A baseline server that only writes bytes to everyone.
    Bare(Bare),
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Grpc => f.write_str("gRPC"),
            Self::WebSocketJson => f.write_str("WebSocket (JSON)"),
            Self::WebSocketBinary => f.write_str("WebSocket (binary)"),
            Self::Bare(bare) => bare.fmt(f),
        }
    }
}
