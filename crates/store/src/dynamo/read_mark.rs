//! Derives how far a user has read a room. Sending marks the room read up to the sent
//! message without a write, which would double the writes per message. Instead, the user's
//! last message after the stored mark is searched for on demand. After a long search the
//! result is stored, so that each event is scanned about once.

use aws_sdk_dynamodb::types::ReturnConsumedCapacity;
use parlance_core::{Chunk, Mark, RoomId, UserId};

use super::item::number;
use super::limits::WORTH_STORING;
use super::log::Walk;
use super::user_rooms::{self, EXAMINED, READ, READ_COUNT, READ_DELETED, Row};
use super::{Dynamo, units};
use crate::{StoreError, UserRoom};

/// The result of searching for a user's last own message.
#[derive(Debug, Default)]
struct Look {
    own: Option<Mark>,
    /// The seq up to which it searched.
    examined: u64,
    events: usize,
}

impl Look {
    /// Scans the part of a chunk in `after..=until`, backwards.
    fn at(&mut self, chunk: &Chunk, user: &UserId, after: u64, until: u64) -> Walk {
        self.examined = self.examined.max(chunk.head().seq().min(until));
        for event in chunk.events().iter().rev() {
            if event.seq <= after {
                return Walk::Stop;
            }
            if event.seq > until {
                continue;
            }
            self.events += 1;
            if event.actor == *user && event.body.is_sent() {
                self.own = Some(Mark::at(event));
                return Walk::Stop;
            }
        }
        if chunk.first_seq() <= after + 1 { Walk::Stop } else { Walk::On }
    }
}

impl Dynamo {
    /// Returns a row whose read mark includes the user's own messages.
    pub(super) async fn derived(
        &self,
        operation: &'static str,
        user: &UserId,
        room: &RoomId,
        row: Row,
    ) -> Result<UserRoom, StoreError> {
        let Row { member, mut cursors, examined, preferences } = row;
        let after = cursors.read.seq.max(examined);
        // A user who has left sends nothing any more.
        let left = member.intervals.last().and_then(|interval| interval.left);
        let until = left.unwrap_or(u64::MAX);
        let mut look = Look::default();
        if after < until {
            let visit = |chunk: Chunk| look.at(&chunk, user, after, until);
            // Most users have read everything, or sent last.
            self.walk(operation, room, (1, until), true, 1, visit).await?;
        }
        if let Some(own) = look.own {
            cursors.read = own;
        }
        if look.events > WORTH_STORING {
            self.store_look(operation, user, room, cursors.read, look.examined).await;
        }
        Ok(UserRoom { room: room.clone(), member, cursors, preferences })
    }

    /// Saves the next search. Errors are ignored; another node may have stored a later
    /// mark.
    async fn store_look(
        &self,
        operation: &'static str,
        user: &UserId,
        room: &RoomId,
        read: Mark,
        examined: u64,
    ) {
        let stored = self
            .client
            .update_item()
            .table_name(&self.tables.user_rooms)
            .set_key(Some(user_rooms::key(user, room)))
            .update_expression("SET #x = :x, #r = :r, #c = :c, #e = :e")
            .condition_expression(
                "attribute_exists(#u) AND (attribute_not_exists(#x) OR #x < :x) \
                 AND (attribute_not_exists(#r) OR #r <= :r)",
            )
            .expression_attribute_names("#u", user_rooms::USER)
            .expression_attribute_names("#x", EXAMINED)
            .expression_attribute_names("#r", READ)
            .expression_attribute_names("#c", READ_COUNT)
            .expression_attribute_names("#e", READ_DELETED)
            .expression_attribute_values(":x", number(examined))
            .expression_attribute_values(":r", number(read.seq))
            .expression_attribute_values(":c", number(read.message_count))
            .expression_attribute_values(":e", number(read.deleted_count))
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await;
        match stored {
            Ok(answer) => units::written(operation, answer.consumed_capacity()),
            Err(error) => tracing::debug!(%error, "a derived read mark was not stored"),
        }
    }
}

#[cfg(test)]
mod tests {
    use parlance_core::{Body, Event, Message, RequestId, Text, Timestamp, Unknown};

    use super::*;

    /// A chunk of messages from `first` on, with the senders named.
    fn chunk(first: u64, senders: &str) -> Chunk {
        let event = |(seq, sender): (u64, char)| Event {
            seq,
            at: Timestamp(0),
            actor: UserId::parse(&sender.to_string()).unwrap(),
            request: RequestId::parse("r").unwrap(),
            message_count: seq,
            deleted_count: 0,
            body: Body::Message(Message::plain(Text::parse("x").unwrap())),
            unknown: Unknown::default(),
            service: None,
        };
        let events: Vec<Event> = (first..).zip(senders.chars()).map(event).collect();
        let count = events[events.len() - 1].seq;
        Chunk::new([0; 16], events, count, 2).unwrap()
    }

    /// Searches for messages of `a` in chunks from 1 on.
    fn check(chunks: &[&str], after: u64, until: u64, expected: Option<u64>, looked_at: usize) {
        let mut first = 1;
        let mut log = Vec::new();
        for senders in chunks {
            log.push(chunk(first, senders));
            first += senders.len() as u64;
        }
        let a = UserId::parse("a").unwrap();
        let mut look = Look::default();
        for chunk in log.iter().rev().filter(|chunk| chunk.first_seq() <= until) {
            if look.at(chunk, &a, after, until) == Walk::Stop {
                break;
            }
        }
        let own = look.own.map(|mark| mark.seq);
        assert_eq!((own, look.events), (expected, looked_at), "in {chunks:?} after {after} until {until}");
    }

    #[test]
    fn the_last_own_message_behind_the_mark_is_found() {
        check(&["bab", "b", "bb"], 0, u64::MAX, Some(2), 5);
        check(&["bab", "b", "ab"], 0, u64::MAX, Some(5), 2);
        // Messages before the mark are already included, even within its chunk.
        check(&["bab", "b"], 2, u64::MAX, None, 2);
        check(&["baab"], 2, u64::MAX, Some(3), 2);
        check(&["bab", "b"], 4, u64::MAX, None, 0);
        // Events after leaving are not scanned.
        check(&["bab", "ba"], 0, 4, Some(2), 3);
    }
}
