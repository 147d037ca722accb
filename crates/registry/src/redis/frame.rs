//! Wire format of messages between nodes.
//!
//! A frame is the length of its header in one byte, the header, then the payload. The header is the id of the sender;
//! in envelopes and beats it is followed by a `.`, the sender's fleet, a number and a seal. Nodes from before
//! envelopes were numbered take the whole header for an unknown id, and read the payload as usual; their own messages
//! have no number and no seal.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::fleet::Seal;
use crate::numbering::Beat;
use crate::{FleetKey, FleetTag, NodeId};

/// Ends the sender's id, which contains only letters and digits.
const ID_END: u8 = b'.';

/// Bytes after the id: separator, fleet, number, seal.
const NUMBERED: usize = 1 + FleetTag::LENGTH + 8 + FleetKey::SEAL; // format

/// A sender and its fleet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sender<'a> {
    pub(super) node: &'a NodeId,
    pub(super) fleet: FleetTag,
    pub(super) key: &'a FleetKey,
}

/// A parsed frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) sender: NodeId,
    /// The fleet, and the number in the channel. `None` in heartbeats and from earlier versions.
    pub(super) numbered: Option<(FleetTag, u64)>,
    /// `None` in heartbeats and from earlier versions.
    seal: Option<Seal>,
    pub(super) payload: Bytes,
}

/// A node's message to itself.
pub(super) fn heartbeat(node: &NodeId, number: u64) -> Bytes {
    let mut frame = head(node, 0, 8);
    frame.put_u64(number);
    frame.freeze()
}

/// A message to other nodes on `channel`.
pub(super) fn envelope(sender: Sender<'_>, channel: &str, number: u64, payload: &[u8]) -> Bytes {
    let Sender { node, fleet, key } = sender;
    let mut frame = head(node, NUMBERED, payload.len());
    put_number(&mut frame, fleet, number);
    let seal = key.seal(channel, &frame[1..], payload);
    frame.put_slice(&seal);
    frame.put_slice(payload);
    frame.freeze()
}

/// A node's announcement. Its payload: how often it could not publish, the number of channels, and for each the
/// length of the name, the name and the last number. Later versions may append.
pub(super) fn beat(sender: Sender<'_>, channel: &str, beat: &Beat) -> Bytes {
    let size = beat.last.iter().map(|(channel, _)| 2 + channel.len() + 8).sum::<usize>();
    let mut payload = BytesMut::with_capacity(10 + size);
    payload.put_u64(beat.unpublished);
    payload.put_u16(beat.last.len() as u16);
    for (channel, number) in &beat.last {
        payload.put_u16(channel.len() as u16);
        payload.put_slice(channel.as_bytes());
        payload.put_u64(*number);
    }
    envelope(sender, channel, beat.number, &payload)
}

fn put_number(head: &mut BytesMut, fleet: FleetTag, number: u64) {
    head.put_u8(ID_END);
    head.put_slice(fleet.as_bytes());
    head.put_u64(number);
}

fn head(sender: &NodeId, more: usize, payload: usize) -> BytesMut {
    let id = sender.as_str().as_bytes();
    let mut frame = BytesMut::with_capacity(1 + id.len() + more + payload);
    frame.put_u8((id.len() + more) as u8);
    frame.put_slice(id);
    frame
}

impl Frame {
    /// `None` if no node sends this.
    pub(super) fn parse(mut frame: Bytes) -> Option<Self> {
        let length = usize::from(frame.try_get_u8().ok()?);
        if frame.len() < length {
            return None;
        }
        let mut head = frame.split_to(length);
        let id = head.iter().position(|byte| *byte == ID_END).unwrap_or(length);
        let sender = NodeId::parse(std::str::from_utf8(&head[..id]).ok()?)?;
        head.advance(id);
        if head.is_empty() {
            return Some(Self { sender, numbered: None, seal: None, payload: frame });
        }
        head.advance(1);
        let mut fleet = [0; FleetTag::LENGTH];
        head.try_copy_to_slice(&mut fleet).ok()?;
        let numbered = Some((FleetTag::from_bytes(fleet), head.try_get_u64().ok()?));
        let mut seal = [0; FleetKey::SEAL];
        // Later versions may append to it.
        let seal = head.try_copy_to_slice(&mut seal).is_ok().then_some(seal);
        Some(Self { sender, numbered, seal, payload: frame })
    }

    /// Whether a node with `key` published this to `channel`.
    pub(super) fn is_sealed(&self, key: &FleetKey, channel: &str) -> bool {
        let (Some((fleet, number)), Some(seal)) = (self.numbered, self.seal) else { return false };
        let mut head = BytesMut::from(self.sender.as_str().as_bytes());
        put_number(&mut head, fleet, number);
        let expected = key.seal(channel, &head, &self.payload);
        // Constant time.
        seal.iter().zip(expected).fold(0, |differ, (one, other)| differ | (one ^ other)) == 0
    }
}

/// The beat with this number, parsed from its payload. `None` if invalid.
pub(super) fn parse_beat(number: u64, mut payload: Bytes) -> Option<Beat> {
    let unpublished = payload.try_get_u64().ok()?;
    let channels = payload.try_get_u16().ok()?;
    let mut last = Vec::new();
    for _ in 0..channels {
        let length = usize::from(payload.try_get_u16().ok()?);
        if payload.len() < length {
            return None;
        }
        let channel = std::str::from_utf8(&payload.split_to(length)).ok()?.to_owned();
        last.push((channel, payload.try_get_u64().ok()?));
    }
    Some(Beat { number, unpublished, last })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> NodeId {
        NodeId::parse("n0de").unwrap()
    }

    fn fleet() -> FleetTag {
        FleetTag::from_bytes(*b"thefleet")
    }

    fn key() -> FleetKey {
        FleetKey::derive(b"secret", fleet())
    }

    fn sent(payload: &[u8]) -> Bytes {
        envelope(Sender { node: &node(), fleet: fleet(), key: &key() }, "channel", 7, payload)
    }

    #[test]
    fn seals_cover_the_whole_frame_and_its_channel() {
        let frame = sent(b"payload");
        let parsed = Frame::parse(frame.clone()).unwrap();
        assert!(parsed.is_sealed(&key(), "channel"));
        assert!(!parsed.is_sealed(&key(), "another"));
        assert!(!parsed.is_sealed(&FleetKey::derive(b"guess", fleet()), "channel"));
        for at in 0..frame.len() {
            for bit in 0..8 {
                let mut forged = frame.to_vec();
                forged[at] ^= 1 << bit;
                let is_taken =
                    Frame::parse(forged.into()).is_some_and(|frame| frame.is_sealed(&key(), "channel"));
                assert!(!is_taken, "bit {bit} of byte {at}");
            }
        }
        assert!(!Frame::parse(heartbeat(&node(), 9)).unwrap().is_sealed(&key(), "channel"));
    }

    #[test]
    fn frames_round_trip() {
        for payload in [&b""[..], b"x", b"\xff\x00 and more."] {
            let frame = Frame::parse(sent(payload)).unwrap();
            assert_eq!((&frame.sender, frame.numbered), (&node(), Some((fleet(), 7))));
            assert_eq!(frame.payload, payload);
        }
        let frame = Frame::parse(heartbeat(&node(), 9)).unwrap();
        assert_eq!((frame.sender, frame.numbered), (node(), None));
        assert_eq!(frame.payload.as_ref(), 9_u64.to_be_bytes());
    }

    #[test]
    fn beats_round_trip() {
        let sent =
            Beat { number: 3, unpublished: 2, last: vec![("node:a".into(), 5), ("room:b".into(), 1 << 40)] };
        let mut frame =
            Frame::parse(beat(Sender { node: &node(), fleet: fleet(), key: &key() }, "beats", &sent))
                .unwrap();
        assert_eq!(frame.numbered, Some((fleet(), 3)));
        assert_eq!(parse_beat(3, frame.payload.clone()), Some(sent.clone()));
        let later = [frame.payload.as_ref(), b"of a later version"].concat();
        assert_eq!(parse_beat(3, later.into()), Some(sent));
        frame.payload.truncate(frame.payload.len() - 1);
        assert_eq!(parse_beat(3, frame.payload), None);
    }

    /// Earlier versions run next to this one while a fleet is updated.
    #[test]
    fn frames_of_both_versions_are_understood_by_both() {
        let old = Bytes::from_static(b"\x04n0depayload");
        let frame = Frame::parse(old).unwrap();
        assert_eq!((frame.sender, frame.numbered), (node(), None));
        assert_eq!(frame.payload.as_ref(), b"payload");
        // An earlier version skips as many bytes as the first one says.
        let new = sent(b"payload");
        assert_eq!(&new[1 + usize::from(new[0])..], b"payload");
        assert_ne!(&new[1..1 + usize::from(new[0])], b"n0de");
    }

    #[test]
    fn malformed_frames_are_refused() {
        for bytes in [&b""[..], b"\x05n0de", b"\x00", b"\x04n-de", b"\x05n0de.", b"\x0dn0de.thefleet"] {
            assert_eq!(Frame::parse(Bytes::copy_from_slice(bytes)), None, "{bytes:?}");
        }
    }
}
