use std::sync::Arc;

use parlance_peers::Peer;
use parlance_peers::limits::UNCHARGED_BYTES;
use parlance_proto::v1::ClientFrame;

use super::session::InboundSender;
use crate::backend::Received;

/// The queue of decoded frames for the backend. Large ones are charged to the connection, and wait alone: an element of two
/// bytes takes hundreds once it is decoded.
pub(super) struct Inbound {
    frames: InboundSender,
    peer: Option<Arc<Peer>>,
    /// A large frame may still be queued.
    has_large: bool,
}

impl Inbound {
    pub(super) fn new(frames: InboundSender, peer: Option<Arc<Peer>>) -> Self {
        Self { frames, peer, has_large: false }
    }

    /// Whether nothing should be read, since it could not be passed on. Once the backend no longer listens, pings and the
    /// close still matter.
    pub(super) fn is_full(&mut self) -> bool {
        let (free, most) = (self.frames.capacity(), self.frames.max_capacity());
        self.has_large &= free < most;
        (free == 0 || self.has_large) && !self.frames.is_closed()
    }

    /// Waits until it is no longer full.
    pub(super) async fn emptied(&self) {
        let needed = if self.has_large { self.frames.max_capacity() } else { 1 };
        drop(self.frames.reserve_many(needed).await);
    }

    /// Queues a frame that takes `cost` bytes, and came in `bytes`. Returns whether the backend still listens.
    ///
    /// # Errors
    /// Too much is held for the connection already. The id of the request.
    pub(super) fn send(&mut self, frame: ClientFrame, cost: usize, bytes: usize) -> Result<bool, String> {
        let mut charge = None;
        if cost > UNCHARGED_BYTES {
            if self.peer.as_ref().is_some_and(|peer| peer.held().is_full()) {
                return Err(frame.request_id);
            }
            charge = self.peer.as_ref().map(|peer| peer.hold(cost));
            self.has_large = true;
        }
        // There is room, or nothing would have been read; or the backend no longer listens, and will end its own half
        // too.
        Ok(self.frames.try_send(Received { frame: Box::new(frame), bytes, charge }).is_ok())
    }
}
