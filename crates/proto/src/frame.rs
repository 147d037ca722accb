use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::{Buf, BufMut, Bytes};
use prost::encoding::{DecodeContext, WireType};
use prost::{DecodeError, Message};

use crate::{json, v1};

/// A server frame that is encoded once, whoever gets it: as protobuf when it is made, in
/// other forms when the first session asks for them. Cloning shares all of them.
#[derive(Clone, Default)]
pub struct SharedFrame(Arc<Encoded>);

#[derive(Default)]
struct Encoded {
    proto: Bytes,
    forms: Forms,
}

/// A form that a door sends frames in, other than as they are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Form {
    /// Text messages of a WebSocket.
    Text,
    /// Binary messages of a WebSocket.
    Binary,
}

/// What was made of a frame or a run, by [`Form`].
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
        Self::from_encoded(frame.encode_to_vec().into())
    }

    /// Takes a frame that is encoded already.
    pub fn from_encoded(proto: Bytes) -> Self {
        Self(Arc::new(Encoded { proto, forms: Forms::default() }))
    }

    /// The frame as protobuf.
    pub fn proto(&self) -> &Bytes {
        &self.0.proto
    }

    /// The frame as canonical proto3 JSON: always valid UTF-8. Made anew with each call; see
    /// [`Self::in_form`].
    pub fn to_json(&self) -> Vec<u8> {
        json::server_frame_to_json(&self.0.proto)
    }

    /// The frame as it is sent in `form`: what `make` made of it the first time.
    pub fn in_form(&self, form: Form, make: impl FnOnce(&Self) -> Bytes) -> &Bytes {
        self.0.forms.get_or_make(form, || make(self))
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

/// Frames that were committed together, and mostly go out together: a session that is at
/// the first of them takes all at once.
#[derive(Clone)]
pub struct SharedRun(Arc<Run>);

struct Run {
    frames: Box<[SharedFrame]>,
    forms: Forms,
}

impl SharedRun {
    /// A run of these frames, in this order.
    pub fn new(frames: impl IntoIterator<Item = SharedFrame>) -> Self {
        Self(Arc::new(Run { frames: frames.into_iter().collect(), forms: Forms::default() }))
    }

    /// Its frames.
    pub fn frames(&self) -> &[SharedFrame] {
        &self.0.frames
    }

    /// The run as it is sent in `form`: its frames one after the other, each as `make` made
    /// it the first time.
    pub fn in_form(&self, form: Form, mut make: impl FnMut(&SharedFrame) -> Bytes) -> &Bytes {
        self.0.forms.get_or_make(form, || {
            let frames: Vec<&[u8]> =
                self.frames().iter().map(|frame| &frame.in_form(form, &mut make)[..]).collect();
            frames.concat().into()
        })
    }
}

/// What a session hands out at a time.
#[derive(Debug, Clone)]
pub enum Delivery {
    /// A frame.
    Frame(SharedFrame),
    /// Several, in order.
    Run(SharedRun),
}

impl Delivery {
    /// The frames in it.
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
    fn a_form_is_made_once_for_a_frame_alone_and_in_a_run() {
        let frames = [b"a", b"b", b"c"].map(|bytes| SharedFrame::from_encoded(Bytes::from_static(bytes)));
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
    }
}
