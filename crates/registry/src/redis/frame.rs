//! What nodes publish, as bytes.
//!
//! A frame is the length of its head in one byte, the head, then the payload. The head is the id
//! of the sender; in envelopes and beats a `.`, the sender's fleet and a number follow. Nodes from
//! before envelopes were numbered take the whole head for an id that is not theirs, and the
//! payload as ever; what they publish themselves has no number.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::numbering::Beat;
use crate::{FleetTag, NodeId};

/// Ends the sender's id, which holds only letters and digits.
const ID_END: u8 = b'.';

/// Bytes after the id: the mark, the fleet, the number.
const NUMBERED: usize = 1 + FleetTag::LENGTH + 8;

/// A frame, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) sender: NodeId,
    /// The fleet, and the number in the channel. `None` in heartbeats and from earlier versions.
    pub(super) numbered: Option<(FleetTag, u64)>,
    pub(super) payload: Bytes,
}

/// What a node sends to itself.
pub(super) fn heartbeat(node: &NodeId, number: u64) -> Bytes {
    let mut frame = head(node, 0, 8);
    frame.put_u64(number);
    frame.freeze()
}

/// What a node sends to others.
pub(super) fn envelope(sender: &NodeId, fleet: FleetTag, number: u64, payload: &[u8]) -> Bytes {
    let mut frame = numbered_head(sender, fleet, number, payload.len());
    frame.put_slice(payload);
    frame.freeze()
}

/// What a node announces. Its payload: how often it could not publish, how many channels follow,
/// and for each the length of the name, the name and the last number. Later versions may append.
pub(super) fn beat(sender: &NodeId, fleet: FleetTag, beat: &Beat) -> Bytes {
    let size = beat.last.iter().map(|(channel, _)| 2 + channel.len() + 8).sum::<usize>();
    let mut frame = numbered_head(sender, fleet, beat.number, 10 + size);
    frame.put_u64(beat.unpublished);
    frame.put_u16(beat.last.len() as u16);
    for (channel, number) in &beat.last {
        frame.put_u16(channel.len() as u16);
        frame.put_slice(channel.as_bytes());
        frame.put_u64(*number);
    }
    frame.freeze()
}

fn numbered_head(sender: &NodeId, fleet: FleetTag, number: u64, payload: usize) -> BytesMut {
    let mut frame = head(sender, NUMBERED, payload);
    frame.put_u8(ID_END);
    frame.put_slice(fleet.as_bytes());
    frame.put_u64(number);
    frame
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
        let numbered = if head.is_empty() {
            None
        } else {
            head.advance(1);
            let mut fleet = [0; FleetTag::LENGTH];
            head.try_copy_to_slice(&mut fleet).ok()?;
            Some((FleetTag::from_bytes(fleet), head.try_get_u64().ok()?))
        };
        Some(Self { sender, numbered, payload: frame })
    }
}

/// The beat of this number, out of its payload. `None` if it is none.
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

    #[test]
    fn frames_are_parsed_as_they_were_made() {
        for payload in [&b""[..], b"x", b"\xff\x00 and more."] {
            let frame = Frame::parse(envelope(&node(), fleet(), 7, payload)).unwrap();
            assert_eq!((&frame.sender, frame.numbered), (&node(), Some((fleet(), 7))));
            assert_eq!(frame.payload, payload);
        }
        let frame = Frame::parse(heartbeat(&node(), 9)).unwrap();
        assert_eq!((frame.sender, frame.numbered), (node(), None));
        assert_eq!(frame.payload.as_ref(), 9_u64.to_be_bytes());
    }

    #[test]
    fn beats_are_parsed_as_they_were_made() {
        let sent =
            Beat { number: 3, unpublished: 2, last: vec![("node:a".into(), 5), ("room:b".into(), 1 << 40)] };
        let mut frame = Frame::parse(beat(&node(), fleet(), &sent)).unwrap();
        assert_eq!(frame.numbered, Some((fleet(), 3)));
        assert_eq!(parse_beat(3, frame.payload.clone()), Some(sent.clone()));
        let later = [frame.payload.as_ref(), b"of a later version"].concat();
        assert_eq!(parse_beat(3, later.into()), Some(sent));
        frame.payload.truncate(frame.payload.len() - 1);
        assert_eq!(parse_beat(3, frame.payload), None);
    }

    /// Earlier versions are side by side with this one while a fleet is updated.
    #[test]
    fn frames_of_both_versions_are_understood_by_both() {
        let old = Bytes::from_static(b"\x04n0depayload");
        let frame = Frame::parse(old).unwrap();
        assert_eq!((frame.sender, frame.numbered), (node(), None));
        assert_eq!(frame.payload.as_ref(), b"payload");
        // An earlier version skips as many bytes as the first one says.
        let new = envelope(&node(), fleet(), 7, b"payload");
        assert_eq!(&new[1 + usize::from(new[0])..], b"payload");
        assert_ne!(&new[1..1 + usize::from(new[0])], b"n0de");
    }

    #[test]
    fn what_no_node_sends_is_refused() {
        for bytes in [&b""[..], b"\x05n0de", b"\x00", b"\x04n-de", b"\x05n0de.", b"\x0dn0de.thefleet"] {
            assert_eq!(Frame::parse(Bytes::copy_from_slice(bytes)), None, "{bytes:?}");
        }
    }
}
