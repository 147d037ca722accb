use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use fred::interfaces::FredResult;
use fred::types::Message;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

use super::notices::Notices;
use super::recovery::Cause;
use crate::{NodeId, Notice};

/// `payload` as it is published: the length of the sender's id, the id, then the payload.
pub(super) fn framed(sender: &NodeId, payload: &[u8]) -> Bytes {
    let id = sender.as_str().as_bytes();
    let mut frame = BytesMut::with_capacity(1 + id.len() + payload.len());
    frame.put_u8(id.len() as u8);
    frame.put_slice(id);
    frame.put_slice(payload);
    frame.freeze()
}

/// The sender's id, and the payload.
fn unframed(frame: Bytes) -> Option<(Bytes, Bytes)> {
    let length = usize::from(*frame.first()?);
    (frame.len() > length).then(|| (frame.slice(1..=length), frame.slice(length + 1..)))
}

/// What sorts the messages that reach this node.
#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) node: NodeId,
    /// This node's own channel. What comes from itself there is a heartbeat.
    pub(super) channel: String,
    pub(super) notices: Arc<Notices>,
    /// The last heartbeat that was heard.
    pub(super) heard: watch::Sender<u64>,
}

impl Inbox {
    pub(super) async fn sort(self, mut messages: Receiver<Message>) -> FredResult<()> {
        loop {
            match messages.recv().await {
                Ok(message) => self.take(message),
                // Only messages were lost; everything is subscribed and registered still.
                Err(RecvError::Lagged(_)) => {
                    Cause::Lag.count();
                    self.notices.missed();
                }
                Err(RecvError::Closed) => return Ok(()),
            }
        }
    }

    fn take(&self, message: Message) {
        let Some((sender, payload)) = message.value.into_bytes().and_then(unframed) else {
            tracing::warn!(channel = %message.channel, "a message that no node of this fleet sends was ignored");
            return;
        };
        if sender != self.node.as_str() {
            if self.notices.send(Notice::Payload(payload)) {
                Cause::Overflow.count();
            }
        } else if message.channel == self.channel
            && let Ok(beat) = payload.as_ref().try_into()
        {
            self.heard.send_replace(u64::from_be_bytes(beat));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_apart_as_they_were_put_together() {
        let node = NodeId::parse("n0de").unwrap();
        for payload in [&b""[..], b"x", b"\xff\x00 and more"] {
            let (sender, rest) = unframed(framed(&node, payload)).unwrap();
            assert_eq!((sender.as_ref(), rest.as_ref()), (&b"n0de"[..], payload));
        }
        assert_eq!(unframed(Bytes::new()), None);
        assert_eq!(unframed(Bytes::from_static(b"\x05n0de")), None);
    }
}
