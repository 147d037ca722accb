use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::{Buf, BufMut, Bytes};
use prost::encoding::{DecodeContext, WireType};
use prost::{DecodeError, Message};

use crate::{json, v1};

/// A server frame that is encoded once, whoever gets it: as protobuf when it is made,
/// as JSON when the first session asks for that. Cloning shares both.
#[derive(Clone, Default)]
pub struct SharedFrame(Arc<Encoded>);

#[derive(Default)]
struct Encoded {
    proto: Bytes,
    json: OnceLock<Bytes>,
}

impl SharedFrame {
    /// Encodes `frame`.
    pub fn new(frame: &v1::ServerFrame) -> Self {
        Self::from_encoded(frame.encode_to_vec().into())
    }

    /// Takes a frame that is encoded already.
    pub fn from_encoded(proto: Bytes) -> Self {
        Self(Arc::new(Encoded { proto, json: OnceLock::new() }))
    }

    /// The frame as protobuf.
    pub fn proto(&self) -> &Bytes {
        &self.0.proto
    }

    /// The frame as canonical proto3 JSON: always valid UTF-8.
    pub fn json(&self) -> &Bytes {
        self.json_made(|| {})
    }

    /// The same. Calls `made` if nobody has asked for the JSON before.
    pub fn json_made(&self, made: impl FnOnce()) -> &Bytes {
        self.0.json.get_or_init(|| {
            made();
            json::server_frame_to_json(&self.0.proto).into()
        })
    }

    /// Decodes it again.
    pub fn decode_frame(&self) -> Result<v1::ServerFrame, DecodeError> {
        v1::ServerFrame::decode(self.0.proto.clone())
    }
}

impl From<v1::server_frame::Frame> for SharedFrame {
    fn from(frame: v1::server_frame::Frame) -> Self {
        Self::new(&v1::ServerFrame { frame: Some(frame) })
    }
}

impl fmt::Debug for SharedFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedFrame({} bytes)", self.0.proto.len())
    }
}

/// On the wire it is the `ServerFrame` it holds.
impl Message for SharedFrame {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        buf.put_slice(&self.0.proto);
    }

    fn encoded_len(&self) -> usize {
        self.0.proto.len()
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        let mut frame = v1::ServerFrame::decode(self.0.proto.clone())?;
        frame.merge_field(tag, wire_type, buf, ctx)?;
        *self = Self::new(&frame);
        Ok(())
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}
