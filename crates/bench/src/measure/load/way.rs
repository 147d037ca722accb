use std::fmt;

use super::bare::Bare;

/// What a listener listens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::measure) enum Way {
    Grpc,
    WebSocketJson,
    WebSocketBinary,
    /// A server that writes bytes to everyone and does nothing else.
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
