use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use parlance_delivery::SharedFrame;
use prost::encoding::decode_key;

use super::limits::{SHARED_BYTES, SHARED_PARTS};

/// Fields with many recipients: `ServerFrame.event` and `ServerFrame.signal`. Replies and welcomes have one, and
/// caching them would only evict these.
const FOR_MANY: [u32; 2] = [3, 4];

/// Deduplicates frames that arrived on another stream before. One room with 1,000 sockets here is 1,000 streams that
/// bring the same bytes: they become one frame, encoded as JSON once.
pub(crate) struct Frames {
    parts: [Mutex<Part>; SHARED_PARTS],
    hasher: RandomState,
}

#[derive(Default)]
struct Part {
    known: HashSet<Known>,
    /// Ordered by age. A frame is seen again within moments or never.
    order: VecDeque<SharedFrame>,
    bytes: usize,
}

/// A frame, keyed by its bytes.
struct Known(SharedFrame);

impl PartialEq for Known {
    fn eq(&self, other: &Self) -> bool {
        self.0.proto() == other.0.proto()
    }
}

impl Eq for Known {}

impl Hash for Known {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::borrow::Borrow::<[u8]>::borrow(self).hash(state);
    }
}

impl std::borrow::Borrow<[u8]> for Known {
    fn borrow(&self) -> &[u8] {
        self.0.proto()
    }
}

impl Frames {
    pub(crate) fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the seed of a hash table, which nothing depends on")]
        let hasher = RandomState::new();
        Self { parts: Default::default(), hasher }
    }

    /// The frame with these bytes: the earlier one, if it is cached.
    pub(crate) fn share(&self, bytes: Bytes) -> SharedFrame {
        let tag = decode_key(&mut bytes.as_ref()).map_or(0, |(tag, _)| tag);
        if !FOR_MANY.contains(&tag) {
            return SharedFrame::from_encoded(&bytes);
        }
        let at = self.hasher.hash_one(&bytes) as usize % SHARED_PARTS;
        let mut part = self.parts[at].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = part.known.get(bytes.as_ref()) {
            return known.0.clone();
        }
        let frame = SharedFrame::from_encoded(&bytes);
        part.remember(frame.clone());
        frame
    }
}

impl Part {
    fn remember(&mut self, frame: SharedFrame) {
        self.bytes += frame.proto().len();
        self.known.insert(Known(frame.clone()));
        self.order.push_back(frame);
        while self.bytes > SHARED_BYTES / SHARED_PARTS {
            let Some(oldest) = self.order.pop_front() else { return };
            self.bytes -= oldest.proto().len();
            self.known.remove(oldest.proto().as_ref());
        }
    }
}

#[cfg(test)]
mod tests {
    use parlance_proto::v1::server_frame::Frame;
    use parlance_proto::v1::{Event, Reply};

    use super::*;

    fn event(seq: u64, room: &str) -> Bytes {
        let event = Event { room_id: room.to_owned(), seq, ..Default::default() };
        SharedFrame::from(Frame::Event(event)).proto().clone()
    }

    #[test]
    fn the_same_bytes_are_one_frame() {
        let frames = Frames::new();
        let one = frames.share(event(1, "a"));
        let same = frames.share(Bytes::copy_from_slice(&event(1, "a")));
        assert_eq!(one.proto().as_ptr(), same.proto().as_ptr());
        let other = frames.share(event(2, "a"));
        assert_ne!(one.proto(), other.proto());
        let reply = SharedFrame::from(Frame::Reply(Reply::default()));
        let (a, b) = (frames.share(reply.proto().clone()), frames.share(reply.proto().clone()));
        assert_ne!(a.proto().as_ptr(), b.proto().as_ptr(), "a reply is for one");
    }

    #[test]
    fn cache_is_bounded() {
        let frames = Frames::new();
        let room = "x".repeat(1000);
        let first = frames.share(event(1, &room));
        for seq in 2..20_000 {
            frames.share(event(seq, &room));
        }
        let held: usize = frames.parts.iter().map(|part| part.lock().unwrap().bytes).sum();
        assert!(held <= SHARED_BYTES, "{held} bytes");
        for part in &frames.parts {
            let part = part.lock().unwrap();
            assert_eq!(part.known.len(), part.order.len());
        }
        let again = frames.share(event(1, &room));
        assert_ne!(first.proto().as_ptr(), again.proto().as_ptr(), "long forgotten");
    }
}
