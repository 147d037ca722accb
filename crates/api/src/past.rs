use parlance_core::plant::{self, Plant};
use parlance_core::{Entry, PastForms, RoomId};
use parlance_store::{Store, StoreError};

use crate::limits::{MAX_PAST_EVENTS, PAST_PAGE};

/// The last seq that a reader may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// Of a member: the room's head when they were authorised.
    Head(u64),
    /// Of a former member: where they left.
    Left(u64),
}

impl Until {
    pub(crate) fn seq(self) -> u64 {
        match self {
            Self::Head(seq) | Self::Left(seq) => seq,
        }
    }
}

/// `entries` as they stood at `until`. Reads the log only where a message was changed after that: for
/// members, in a race with a change.
///
/// Messages too far back to be folded are withheld from former members: they are shown as deleted.
/// Members are to ask again, as of a later head.
pub(crate) async fn as_of(
    store: &dyn Store,
    room: &RoomId,
    until: Until,
    entries: Vec<Entry>,
) -> Result<Vec<Entry>, StoreError> {
    fold(store, room, until, entries, MAX_PAST_EVENTS).await
}

async fn fold(
    store: &dyn Store,
    room: &RoomId,
    until: Until,
    entries: Vec<Entry>,
    max_events: u64,
) -> Result<Vec<Entry>, StoreError> {
    let Some(mut past) = PastForms::of(&entries, until.seq()) else { return Ok(entries) };
    if plant::is(Plant::PresentForm) {
        return Ok(entries);
    }
    let earliest = (until.seq() + 1).saturating_sub(max_events);
    if past.needed().is_some_and(|needed| needed.from < earliest) {
        if let Until::Head(_) = until {
            return Err(StoreError::Overloaded);
        }
        metrics::counter!("parlance_past_forms_withheld_total").increment(1);
        past.withhold_before(earliest);
    }
    if let Some(needed) = past.needed() {
        let mut at = needed.from;
        while at <= needed.to {
            let chunks = store.chunks_after(room, at - 1, PAST_PAGE).await?;
            let Some(last) = chunks.last() else { break };
            at = last.head().seq() + 1;
            chunks.iter().flat_map(parlance_core::Chunk::events).for_each(|event| past.fold(event));
        }
    }
    Ok(past.put(entries))
}

#[cfg(test)]
mod tests {
    use parlance_core::{Body, SeqRange};
    use parlance_proto::v1;

    use super::*;
    use crate::testing::{TestNode, caller, group};

    /// A message at the first seq, as many others as `between`, and at last an edit of the first.
    async fn edited(between: usize) -> (TestNode, RoomId, u64, Vec<Entry>) {
        let node = TestNode::start();
        node.store.answer_all();
        let room = node.api.rooms().create(group("first")).await.unwrap().into_parts().0.info.id;
        let alice = caller("alice");
        let mut seqs = Vec::new();
        for number in 0..=between {
            let request = v1::SendMessageRequest {
                text: "as sent".into(),
                client_message_id: format!("message-{number}"),
                target: Some(v1::send_message_request::Target::RoomId(room.to_string())),
                ..Default::default()
            };
            seqs.push(node.api.send_message(&alice, request).await.unwrap().seq);
        }
        for seq in [seqs[0], seqs[between]] {
            let request = v1::EditMessageRequest {
                room_id: room.to_string(),
                seq,
                text: "edited".into(),
                request_id: format!("edit-{seq}"),
                ..Default::default()
            };
            node.api.edit_message(&alice, request).await.unwrap();
        }
        let (from, to) = (seqs[0], seqs[between]);
        let entries = node.store.read(&room, SeqRange { from, to }, 100, false).await.unwrap();
        (node, room, to, entries)
    }

    fn texts(entries: &[Entry]) -> Vec<(&str, bool)> {
        let text = |entry: &Entry| entry.overlay.as_ref().is_some_and(|overlay| overlay.deleted);
        let messages = entries.iter().filter_map(|entry| match &entry.event.body {
            Body::Message(message) => Some((message.text.as_str(), text(entry))),
            _ => None,
        });
        messages.collect()
    }

    #[tokio::test]
    async fn what_is_folded_is_bounded() {
        let (node, room, left, entries) = edited(4).await;
        assert_eq!(texts(&entries)[0], ("edited", false));
        let until = Until::Left(left);
        let sent = [("as sent", false); 5];
        let within = fold(node.store.as_ref(), &room, until, entries.clone(), 5).await.unwrap();
        assert_eq!(texts(&within), sent);
        let reads = node.store.reads();
        let beyond = fold(node.store.as_ref(), &room, until, entries.clone(), 4).await.unwrap();
        assert_eq!(texts(&beyond), [&[("", true)], &sent[1..]].concat(), "no form is shown");
        assert!(beyond.iter().all(|entry| entry.overlay.as_ref().is_none_or(|now| now.changed <= left)));
        assert_eq!(node.store.reads() - reads, 1, "what is withheld is not read for");
        // A member was too early, and may see what it is now.
        let early = fold(node.store.as_ref(), &room, Until::Head(left), entries.clone(), 4).await;
        assert_eq!(early, Err(StoreError::Overloaded));
        let now = Until::Head(left + 2);
        assert_eq!(fold(node.store.as_ref(), &room, now, entries.clone(), 4).await, Ok(entries));
    }
}
