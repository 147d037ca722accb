use std::collections::BTreeMap;

use parlance_core::{
    Body, Event, Interval, Member, MemberData, Role, RoomId, SeqRange, Settings, Standing, UserId,
    Visibility, visible_ranges,
};
use parlance_proto::{convert, v1};

use crate::store::Tables;

/// A field only known to a later version, see `script::later`.
pub(crate) const LATER: &[u8] = b"of a later version";

/// What happened, according to the logs.
pub struct Truth {
    /// Rooms by id.
    pub rooms: BTreeMap<RoomId, RoomTruth>,
}

/// One room, folded from its log independently of the nodes.
pub struct RoomTruth {
    /// The room.
    pub id: RoomId,
    /// Its events by seq.
    pub events: BTreeMap<u64, Event>,
    /// The periods in which each user was a member.
    pub members: BTreeMap<UserId, Member>,
    /// How much of the history members may read. It does not change here.
    pub visibility: Visibility,
    /// Seq of the last event.
    pub head: u64,
    /// The current settings.
    settings: Option<Settings>,
    /// The texts of each message, with the seq of the event that set it; empty for a deletion.
    texts: BTreeMap<u64, Vec<(u64, String)>>,
}

impl Truth {
    /// Computes it from `tables`.
    pub fn of(tables: &Tables) -> Self {
        let rooms = tables.rooms.iter().map(|(id, row)| {
            let first_chunk = row.log.values().next().map_or(0, |chunk| chunk.head().seq());
            let events: BTreeMap<u64, Event> = row.events().map(|event| (event.seq, event.clone())).collect();
            let head = events.keys().next_back().copied().unwrap_or(0);
            let visibility = row.info.settings.visibility;
            let mut room = RoomTruth {
                id: id.clone(),
                members: BTreeMap::new(),
                visibility,
                head,
                settings: None,
                texts: BTreeMap::new(),
                events: BTreeMap::new(),
            };
            for event in events.values() {
                room.fold(event, first_chunk);
            }
            room.events = events;
            (id.clone(), room)
        });
        Self { rooms: rooms.collect() }
    }
}

impl RoomTruth {
    fn fold(&mut self, event: &Event, first_chunk: u64) {
        match &event.body {
            Body::RoomCreated { settings, .. } | Body::RoomChanged { settings } => {
                self.settings = Some(settings.clone());
            }
            Body::MemberAdded { user, role, .. } => {
                // Initial members see the room from its first event on.
                let joined = if event.seq <= first_chunk { 1 } else { event.seq };
                let member = self.members.entry(user.clone()).or_insert_with(|| Member {
                    user: user.clone(),
                    role: Role::Member,
                    intervals: Vec::new(),
                    standing: Standing::Free,
                    left_with: None,
                    ban_ends: None,
                    mute: None,
                    data: MemberData::default(),
                });
                member.role = *role;
                (member.standing, member.left_with) = (Standing::Free, None);
                member.intervals.push(Interval::starting_at(joined));
            }
            Body::MemberRemoved { user } => {
                let Some(member) = self.members.get_mut(user) else { return };
                member.standing = if event.actor == *user { Standing::Free } else { Standing::Removed };
                member.left_with = self.settings.clone();
                if let Some(last) = member.intervals.last_mut() {
                    last.left = Some(event.seq);
                    last.visibility = self.settings.as_ref().map(|settings| settings.visibility);
                }
            }
            Body::RoleChanged { user, role } => {
                if let Some(member) = self.members.get_mut(user) {
                    member.role = *role;
                }
            }
            Body::Message(message) => {
                let text = message.text.as_str().to_owned();
                self.texts.insert(event.seq, vec![(event.seq, text)]);
            }
            Body::MessageEdited { target, text, .. } => {
                self.texts.entry(*target).or_default().push((event.seq, text.as_str().to_owned()));
            }
            Body::MessageDeleted { target } => {
                self.texts.entry(*target).or_default().push((event.seq, String::new()));
            }
            _ => {}
        }
    }

    /// The ranges that `user` may read.
    pub fn visible(&self, user: &UserId) -> Vec<SeqRange> {
        let member = self.members.get(user);
        member.map(|member| visible_ranges(member, self.visibility, self.head)).unwrap_or_default()
    }

    /// Whether `user` may read the event at `seq`.
    pub fn may_see(&self, user: &UserId, seq: u64) -> bool {
        self.visible(user).iter().any(|range| range.contains(seq))
    }

    /// Messages up to `seq`.
    pub fn messages_up_to(&self, seq: u64) -> u64 {
        self.events.range(..=seq).filter(|(_, event)| matches!(event.body, Body::Message(_))).count() as u64
    }

    /// Messages after `seq` that are not deleted.
    pub fn kept_after(&self, seq: u64) -> u64 {
        let messages = self.events.range(seq + 1..);
        messages
            .filter(|(seq, event)| matches!(event.body, Body::Message(_)) && self.deleted_by(**seq).is_none())
            .count() as u64
    }

    /// The differences between `seen`, received by `user`, and the event at its position.
    pub fn differs(&self, user: &UserId, seen: &v1::Event) -> Option<String> {
        let Some(event) = self.events.get(&seen.seq) else {
            return Some(format!("{} of {} is not in the log", seen.seq, seen.room_id));
        };
        // A change of a message that they may not see reveals nothing of it.
        if event.body.target().is_some_and(|target| !self.may_see(user, target))
            && let Some(blank) = event.without_content()
        {
            let blank = convert::event(self.id.as_str(), &blank);
            return (blank != *seen).then(|| {
                format!("{} of {} tells {user} of a message that is not theirs", seen.seq, seen.room_id)
            });
        }
        if without_text(convert::event(self.id.as_str(), event)) != without_text(seen.clone()) {
            return Some(format!("{} of {} is not what the log has", seen.seq, seen.room_id));
        }
        let is_deleted = matches!(&seen.body, Some(v1::event::Body::Message(message)) if message.deleted);
        let shows_unknown = seen.raw.windows(LATER.len()).any(|part| part == LATER);
        if shows_unknown == (event.unknown.is_empty() || is_deleted) {
            return Some(format!(
                "{} of {} without what is unknown, or after its deletion",
                seen.seq, seen.room_id
            ));
        }
        let (message, text) = match &seen.body {
            Some(v1::event::Body::Message(message)) => (seen.seq, &message.text),
            Some(v1::event::Body::MessageEdited(edited)) => (edited.target_seq, &edited.text),
            _ => return None,
        };
        let known =
            self.texts.get(&message).is_some_and(|texts| texts.iter().any(|(_, known)| known == text));
        (!known).then(|| format!("{} of {} has a text that it never had", seen.seq, seen.room_id))
    }

    /// The texts of a message, with the seq of the event that set it; empty for a deletion.
    pub(super) fn texts(&self, message: u64) -> &[(u64, String)] {
        self.texts.get(&message).map_or(&[], Vec::as_slice)
    }

    /// The event that deleted a message.
    pub fn deleted_by(&self, message: u64) -> Option<u64> {
        let (seq, text) = self.texts.get(&message)?.last()?;
        text.is_empty().then_some(*seq)
    }
}

/// An event without the parts that may change later.
fn without_text(mut event: v1::Event) -> v1::Event {
    match &mut event.body {
        Some(v1::event::Body::Message(message)) => {
            // The whole encoded message.
            event.raw.clear();
            *message = v1::Message { reply_to_seq: message.reply_to_seq, ..Default::default() };
        }
        Some(v1::event::Body::MessageEdited(edited)) => edited.text.clear(),
        _ => {}
    }
    event
}
