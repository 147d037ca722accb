//! When something last happened in a room, as a list with the latest first has it.

use parlance_core::{Body, Event, Member, Timestamp};

/// The search for a room's latest activity for one member: its last message, or when they became a member, if that is
/// later. Older events than [`Self::until`] are not looked at: there, the oldest one that was stands for what is before it.
///
/// The result never goes back while the room grows, so nobody meets a room twice in a walk from the latest on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Activity {
    joined: u64,
    until: u64,
    found: Option<Timestamp>,
    is_done: bool,
}

impl Activity {
    /// In the last `scan` events of a room whose head is `head`, none of which is kept before `floor`.
    pub(crate) fn new(member: &Member, head: u64, floor: u64, scan: usize) -> Self {
        let until = (head + 1).saturating_sub(scan as u64).max(floor).max(1);
        Self { joined: member.changed_at(), until, found: None, is_done: false }
    }

    /// The first seq that is looked at.
    pub(crate) fn until(&self) -> u64 {
        self.until
    }

    /// Looks at `events`, which end right before those of the call before.
    pub(crate) fn look_at(&mut self, events: &[Event]) {
        for event in events.iter().rev() {
            if self.is_done || event.seq < self.until {
                self.is_done = true;
                return;
            }
            self.found = Some(event.at);
            self.is_done = matches!(event.body, Body::Message(_)) || event.seq <= self.joined.max(self.until);
        }
    }

    /// Whether older events change nothing.
    pub(crate) fn is_done(&self) -> bool {
        self.is_done
    }

    /// The time of the activity.
    pub(crate) fn at(&self) -> Timestamp {
        self.found.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use parlance_core::{Message, RequestId, Role, Settings, Text, Unknown, UserId};

    use super::*;

    /// Events with the kinds named: `m` for a message, anything else for a change of settings. The time is ten times
    /// the seq.
    fn events(kinds: &str) -> Vec<Event> {
        let event = |(seq, kind): (u64, char)| Event {
            seq,
            at: Timestamp(seq * 10),
            actor: UserId::parse("alice").unwrap(),
            service: None,
            request: RequestId::parse("r").unwrap(),
            message_count: 0,
            deleted_count: 0,
            body: match kind {
                'm' => Body::Message(Message::plain(Text::parse("x").unwrap())),
                _ => Body::RoomChanged { settings: Settings::default() },
            },
            unknown: Unknown::default(),
        };
        (1..).zip(kinds.chars()).map(event).collect()
    }

    /// The latest activity in the last three events of a log, read in chunks of `chunk` events.
    fn latest(kinds: &str, joined: u64, chunk: usize) -> u64 {
        let log = events(kinds);
        let member = Member::joined(UserId::parse("alice").unwrap(), Role::Member, joined);
        let mut activity = Activity::new(&member, log.len() as u64, 0, 3);
        for part in log.rchunks(chunk) {
            if activity.is_done() {
                break;
            }
            activity.look_at(part);
        }
        activity.at().0 / 10
    }

    #[test]
    fn activity_is_the_last_message_or_the_joining() {
        for chunk in 1..5 {
            assert_eq!(latest("smm", 1, chunk), 3);
            assert_eq!(latest("smss", 1, chunk), 2, "in the last three");
            assert_eq!(latest("smsss", 1, chunk), 3, "the oldest of the last three stands for it");
            assert_eq!(latest("smsss", 4, chunk), 4, "joined after the last message");
            assert_eq!(latest("smssm", 4, chunk), 5);
            assert_eq!(latest("s", 1, chunk), 1);
        }
    }

    #[test]
    fn activity_never_goes_back_while_a_room_grows() {
        let log = "smsssmssmmsssssms";
        for joined in 1..=log.len() as u64 {
            let mut before = 0;
            for end in joined as usize..=log.len() {
                let now = latest(&log[..end], joined, 2);
                assert!(now >= before && now >= joined, "{now} after {before} in {}", &log[..end]);
                before = now;
            }
        }
    }

    #[test]
    fn events_that_are_no_longer_kept_are_not_waited_for() {
        let log = events("sssss");
        let member = Member::joined(UserId::parse("alice").unwrap(), Role::Member, 1);
        let mut activity = Activity::new(&member, 5, 4, 50);
        assert_eq!(activity.until(), 4);
        activity.look_at(&log[3..]);
        assert!(activity.is_done());
        assert_eq!(activity.at(), Timestamp(40));
    }
}
