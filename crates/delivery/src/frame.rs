use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::{BufMut, Bytes};
use parlance_proto::error::Failure;
use parlance_proto::{json, v1};
use prost::{DecodeError, Message};

/// A server frame that is encoded once for all recipients: as protobuf when it is created, in other forms on first
/// use. Clones share all of them.
#[derive(Clone)]
pub struct SharedFrame(Arc<Encoded>);

struct Encoded {
    /// As a gRPC message, see [`message`].
    grpc: Bytes,
    /// The same without the prefix.
    proto: Bytes,
    forms: Forms,
}

/// Length of the prefix of a gRPC message: no compression, and the size.
const PREFIX_BYTES: usize = 5; // format

/// A gRPC message whose content is written by `encode`.
fn message(size: usize, encode: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut message = Vec::with_capacity(PREFIX_BYTES + size);
    message.put_u8(0);
    message.put_u32(size as u32);
    encode(&mut message);
    message.into()
}

/// An encoding that a transport sends frames in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Form {
    /// Text messages of a WebSocket.
    Text,
    /// Binary messages of a WebSocket.
    Binary,
}

/// The encodings of a frame or a run, by [`Form`].
#[derive(Default)]
struct Forms([OnceLock<Bytes>; 2]);

impl Forms {
    fn get_or_make(&self, form: Form, make: impl FnOnce() -> Bytes) -> &Bytes {
        self.0[form as usize].get_or_init(make)
    }
}

impl SharedFrame {
    /// Encodes `frame`.
    pub fn new(frame: &v1::ServerFrame) -> Self {
        Self::from_message(message(frame.encoded_len(), |bytes| frame.encode_raw(bytes)))
    }

    /// Takes an encoded frame and copies it, so that it does not keep a larger buffer alive.
    pub fn from_encoded(proto: &[u8]) -> Self {
        Self::from_message(message(proto.len(), |bytes| bytes.put_slice(proto)))
    }

    /// Encodes a frame that carries `signal`.
    pub fn signal(signal: v1::signal::Signal) -> Self {
        v1::server_frame::Frame::Signal(v1::Signal { signal: Some(signal) }).into()
    }

    fn from_message(grpc: Bytes) -> Self {
        let proto = grpc.slice(PREFIX_BYTES..);
        Self(Arc::new(Encoded { grpc, proto, forms: Forms::default() }))
    }

    /// The frame as a gRPC message: a prefix of five bytes and the protobuf.
    #[inline]
    pub fn grpc(&self) -> &Bytes {
        &self.0.grpc
    }

    /// The frame as protobuf.
    #[inline]
    pub fn proto(&self) -> &Bytes {
        &self.0.proto
    }

    /// The frame as canonical proto3 JSON: always valid UTF-8. Encodes on each call; see [`Self::in_form`].
    ///
    /// # Errors
    /// Those of [`json::to_json`].
    pub fn to_json(&self) -> Result<Vec<u8>, Failure> {
        Ok(json::server_frame_to_json(&self.0.proto)?)
    }

    /// The frame in `form`, as encoded by `make` on first use.
    #[inline]
    pub fn in_form(&self, form: Form, make: impl FnOnce(&Self) -> Bytes) -> &Bytes {
        self.0.forms.get_or_make(form, || make(self))
    }

    /// Decodes the frame.
    pub fn decode_frame(&self) -> Result<v1::ServerFrame, DecodeError> {
        v1::ServerFrame::decode(self.0.proto.clone())
    }
}

impl Default for SharedFrame {
    fn default() -> Self {
        Self::from_encoded(&[])
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

/// Frames that were committed together and are usually sent together: a session that is at the first of them takes
/// all at once.
#[derive(Clone)]
pub struct SharedRun(Arc<Run>);

struct Run {
    frames: Box<[SharedFrame]>,
    grpc: OnceLock<Bytes>,
    forms: Forms,
}

impl SharedRun {
    /// A run of these frames, in this order.
    pub fn new(frames: impl IntoIterator<Item = SharedFrame>) -> Self {
        Self(Arc::new(Run {
            frames: frames.into_iter().collect(),
            grpc: OnceLock::new(),
            forms: Forms::default(),
        }))
    }

    /// Its frames.
    #[inline]
    pub fn frames(&self) -> &[SharedFrame] {
        &self.0.frames
    }

    /// The run as gRPC messages.
    #[inline]
    pub fn grpc(&self) -> &Bytes {
        self.0.grpc.get_or_init(|| {
            let frames: Vec<&[u8]> = self.frames().iter().map(|frame| &frame.grpc()[..]).collect();
            frames.concat().into()
        })
    }

    /// The run in `form`: its frames one after the other, as encoded by `make` on first use.
    #[inline]
    pub fn in_form(&self, form: Form, mut make: impl FnMut(&SharedFrame) -> Bytes) -> &Bytes {
        self.0.forms.get_or_make(form, || {
            let frames: Vec<&[u8]> =
                self.frames().iter().map(|frame| &frame.in_form(form, &mut make)[..]).collect();
            frames.concat().into()
        })
    }
}

/// One delivery of a session.
#[derive(Debug, Clone)]
pub enum Delivery {
    /// A frame.
    Frame(SharedFrame),
    /// Several, in order.
    Run(SharedRun),
}

impl Delivery {
    /// As gRPC messages.
    #[inline]
    pub fn grpc(&self) -> &Bytes {
        match self {
            Self::Frame(frame) => frame.grpc(),
            Self::Run(run) => run.grpc(),
        }
    }

    /// The contained frames.
    #[inline]
    pub fn frames(&self) -> &[SharedFrame] {
        match self {
            Self::Frame(frame) => std::slice::from_ref(frame),
            Self::Run(run) => run.frames(),
        }
    }
}

impl From<SharedFrame> for Delivery {
    fn from(frame: SharedFrame) -> Self {
        Self::Frame(frame)
    }
}

impl fmt::Debug for SharedRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedRun({} frames)", self.frames().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_is_encoded_once_for_single_frame_and_run() {
        let frames = [b"a", b"b", b"c"].map(|bytes| SharedFrame::from_encoded(bytes));
        let run = SharedRun::new(frames.clone());
        let mut made = 0;
        let mut in_brackets = |frame: &SharedFrame| {
            made += 1;
            [b"<", &frame.proto()[..], b">"].concat().into()
        };
        assert_eq!(frames[1].in_form(Form::Text, &mut in_brackets), "<b>");
        assert_eq!(run.in_form(Form::Text, &mut in_brackets), "<a><b><c>");
        assert_eq!(run.clone().in_form(Form::Text, &mut in_brackets), "<a><b><c>");
        assert_eq!(frames[0].in_form(Form::Text, &mut in_brackets), "<a>");
        assert_eq!(made, 3);
        assert_eq!(run.in_form(Form::Binary, |frame| frame.proto().clone()), "abc");
        assert_eq!(frames[2].grpc(), &b"\0\0\0\0\x01c"[..]);
        assert_eq!(run.grpc(), &b"\0\0\0\0\x01a\0\0\0\0\x01b\0\0\0\0\x01c"[..]);
    }
}
