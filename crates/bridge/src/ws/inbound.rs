use std::sync::Arc;

use parlance_peers::Peer;
use parlance_peers::limits::{HELLO_TRIES, UNCHARGED_BYTES};
use parlance_proto::v1::ClientFrame;
use parlance_proto::v1::client_frame::Operation;

use super::session::InboundSender;
use crate::backend::Received;

/// The queue of decoded frames for the backend. Large ones are charged to the connection, and wait alone: an element of two
/// bytes takes hundreds once it is decoded.
pub(super) struct Inbound {
    frames: InboundSender,
    peer: Option<Arc<Peer>>,
    /// A large frame may still be queued.
    has_large: bool,
    /// How often the session was asked for.
    hellos: usize,
}

impl Inbound {
    pub(super) fn new(frames: InboundSender, peer: Option<Arc<Peer>>) -> Self {
        Self { frames, peer, has_large: false, hellos: 0 }
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
    /// Too much is held already. The id of the request.
    pub(super) fn send(&mut self, frame: ClientFrame, cost: usize, bytes: usize) -> Result<bool, String> {
        let mut charge = None;
        // Nobody can do without. It may have been refused.
        let begins = self.hellos < HELLO_TRIES && matches!(frame.operation, Some(Operation::Hello(_)));
        self.hellos += usize::from(begins);
        if cost > UNCHARGED_BYTES {
            if !begins && self.peer.as_ref().is_some_and(|peer| peer.held().budget().refuses(cost)) {
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

#[cfg(test)]
mod tests {
    use parlance_peers::{Ledger, Limits, Proxies};
    use parlance_proto::v1::Hello;
    use tokio::sync::mpsc;

    use super::*;
    use crate::limits::INBOUND_FRAMES;

    /// While others hold all that there is.
    #[test]
    fn a_session_is_opened_whatever_is_held() {
        let ledger = Ledger::new(Limits { held_at_most: 10, ..Limits::production(8) }, Proxies::default());
        let connect = || {
            let address = "192.0.2.1".parse().unwrap();
            Peer::new(address, ledger.connect(address).unwrap())
        };
        let (other, (frames, mut queue)) = (connect(), mpsc::channel(INBOUND_FRAMES));
        let _held = other.hold(11);
        let mut inbound = Inbound::new(frames, Some(connect()));
        let frame = |operation| ClientFrame { request_id: "r".to_owned(), operation, as_user: String::new() };
        let hello = || frame(Some(Operation::Hello(Hello::default())));
        let mut send = |frame, cost| {
            let sent = inbound.send(frame, cost, cost);
            let _ = queue.try_recv();
            sent
        };
        assert_eq!(send(frame(None), UNCHARGED_BYTES + 1), Err("r".to_owned()));
        assert_eq!(send(frame(None), UNCHARGED_BYTES), Ok(true));
        for _ in 0..HELLO_TRIES {
            assert_eq!(send(hello(), 100_000), Ok(true));
        }
        assert_eq!(send(hello(), 100_000), Err("r".to_owned()), "it was refused often enough");
    }
}
