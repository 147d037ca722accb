//! A room as kept by a server, and what each source reports about it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use parlance_client_core::state::{ReadMark, Receipt};
use parlance_proto::v1;
use parlance_proto::v1::event::Body;
use prost_types::Struct;
use prost_types::value::Kind;

use super::told::{Sources, Told};

pub(crate) const SELF: &str = "alice";
pub(crate) const ROOM: &str = "r";
const OTHERS: [&str; 4] = ["bob", "carol", "dave", "erin"];
const EMOJI: [&str; 2] = ["👍", "🎉"];

/// An event in a room; numbers choose its targets.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Say(usize),
    /// The app imports a message of an earlier system.
    Import(usize),
    Edit(usize, usize),
    Delete(usize, usize),
    React(usize, usize, usize),
    /// A user is added, or leaves.
    Member(usize),
    Role(usize, bool),
    Title,
    /// The user reads up to a part of the room, in percent.
    Read(u64),
    Hide(bool),
    /// Another user receives or reads.
    Receipt(usize, u64, u64),
    /// Reads the inbox, the members or a part of the log.
    Inbox,
    Members,
    Page(u64, u64),
    /// Events that are not pushed yet never will be.
    Gap,
    /// A connection resumes this many events back.
    Resume(u64),
}

#[derive(Debug, Clone)]
struct Said {
    event: v1::Event,
    message: v1::Message,
}

/// The state of a client that has received all of a room.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Truth {
    pub(crate) title: String,
    pub(crate) member_count: u64,
    pub(crate) is_member: bool,
    pub(crate) head_seq: u64,
    pub(crate) read_seq: u64,
    pub(crate) unread_count: u64,
    pub(crate) is_hidden: bool,
    pub(crate) members: BTreeMap<String, v1::Role>,
    pub(crate) receipts: BTreeMap<String, Receipt>,
    pub(crate) messages: Vec<Shown>,
}

/// Seq, text, data, whether it is deleted, and who reacted.
pub(crate) type Shown = (u64, String, Option<Struct>, bool, Vec<(String, Vec<String>)>);

fn data(seq: u64) -> Struct {
    let value = prost_types::Value { kind: Some(Kind::NumberValue(seq as f64)) };
    Struct { fields: [("seq".to_owned(), value)].into() }
}

pub(crate) struct Log {
    epoch: u64,
    order: u64,
    events: Vec<v1::Event>,
    messages: Vec<Said>,
    members: BTreeMap<String, v1::Role>,
    receipts: BTreeMap<String, Receipt>,
    title: String,
    is_hidden: bool,
    read: ReadMark,
    pushed: usize,
    message_count: u64,
    deleted_count: u64,
    pub(crate) sources: Sources,
}

impl Log {
    pub(crate) fn new(epoch: u64) -> Self {
        let mut log = Self {
            epoch,
            order: epoch * 1_000,
            events: Vec::new(),
            messages: Vec::new(),
            members: BTreeMap::new(),
            receipts: BTreeMap::new(),
            title: "first".to_owned(),
            is_hidden: false,
            read: ReadMark::default(),
            pushed: 0,
            message_count: 0,
            deleted_count: 0,
            sources: Sources::default(),
        };
        let settings = Some(v1::RoomSettings { title: log.title.clone(), ..Default::default() });
        log.add(SELF, Body::RoomCreated(v1::RoomCreated { kind: v1::RoomKind::Group.into(), settings }));
        log.member(SELF, v1::Role::Owner);
        log.member("bob", v1::Role::Member);
        log
    }

    pub(crate) fn head(&self) -> u64 {
        self.events.len() as u64
    }

    pub(crate) fn run(&mut self, steps: &[Step]) {
        for step in steps {
            self.step(step);
        }
        self.push();
    }

    /// Reads everything again after a loss.
    pub(crate) fn read_all(&mut self) {
        self.inbox();
        self.list_members();
        self.page(1..=self.head());
    }

    /// Pushes pending events.
    pub(crate) fn push(&mut self) {
        let events = self.events[self.pushed..].iter().cloned().map(Told::Event);
        self.sources.stream.extend(events);
        self.pushed = self.events.len();
    }

    /// Deletes the room.
    pub(crate) fn delete(&mut self) {
        self.add(SELF, Body::RoomDeleted(v1::RoomDeleted {}));
        self.push();
    }

    /// Restores a backup with the events up to here, which are not pushed.
    pub(crate) fn restore(&mut self) {
        self.gap(v1::GapReason::Restored, 1);
    }

    fn gap(&mut self, reason: v1::GapReason, from_seq: u64) {
        let (room_id, to_seq, epoch) = (ROOM.to_owned(), self.head(), self.epoch);
        self.sources.stream.push(Told::Gap(v1::Gap {
            room_id,
            from_seq,
            to_seq,
            reason: reason.into(),
            epoch,
        }));
        self.pushed = self.events.len();
    }

    fn step(&mut self, step: &Step) {
        let actor =
            |log: &Self, number: usize| log.members.keys().nth(number % log.members.len().max(1)).cloned();
        match *step {
            Step::Say(by) | Step::Import(by) => {
                let Some(user) = actor(self, by) else { return };
                let text = format!("{}/{}", self.epoch, self.head() + 1);
                let is_imported = matches!(step, Step::Import(_));
                let sent_at = is_imported.then(prost_types::Timestamp::default);
                let message = v1::Message { text, sent_at, ..Default::default() };
                let event = self.add(&user, Body::Message(message.clone()));
                self.messages.push(Said { event, message });
                self.is_hidden = false;
                if user == SELF && !is_imported {
                    self.read_to(self.head());
                }
            }
            Step::Edit(which, by) => {
                let (Some(target), Some(user)) = (self.living(which), actor(self, by)) else { return };
                let text = format!("edited {}", self.head() + 1);
                let target_seq = self.messages[target].event.seq;
                // Some edits change data, too; the others leave it as it is.
                let data = (which + by).is_multiple_of(2).then(|| data(self.head() + 1));
                let message = &mut self.messages[target].message;
                message.text.clone_from(&text);
                message.data = data.clone().or(message.data.take());
                self.change(target, &user, Body::MessageEdited(v1::MessageEdited { target_seq, text, data }));
            }
            Step::Delete(which, by) => {
                let (Some(target), Some(user)) = (self.living(which), actor(self, by)) else { return };
                let target_seq = self.messages[target].event.seq;
                let message = &mut self.messages[target].message;
                *message = v1::Message { deleted: true, ..Default::default() };
                self.change(target, &user, Body::MessageDeleted(v1::MessageDeleted { target_seq }));
            }
            Step::React(which, by, emoji) => {
                let (Some(target), Some(user)) = (self.living(which), actor(self, by)) else { return };
                self.react(target, &user, EMOJI[emoji % EMOJI.len()]);
            }
            Step::Member(who) => {
                let user = OTHERS[who % OTHERS.len()];
                if self.members.remove(user).is_some() {
                    let removed = v1::MemberRemoved { user_id: user.to_owned() };
                    self.add(user, Body::MemberRemoved(removed));
                } else {
                    self.member(user, v1::Role::Member);
                }
            }
            Step::Role(who, is_admin) => {
                let Some(user) = actor(self, who) else { return };
                let role = if is_admin { v1::Role::Admin } else { v1::Role::Member };
                self.members.insert(user.clone(), role);
                let changed = v1::RoleChanged { user_id: user, role: role.into() };
                self.add(SELF, Body::RoleChanged(changed));
            }
            Step::Title => {
                self.title = format!("title {}", self.head() + 1);
                let settings = Some(v1::RoomSettings { title: self.title.clone(), ..Default::default() });
                self.add(SELF, Body::RoomChanged(v1::RoomChanged { settings }));
            }
            Step::Read(percent) => {
                self.read_to((self.head() * percent / 100).max(1));
                self.sources.reads.push(Told::Read(self.read, self.epoch));
            }
            Step::Hide(is_hidden) => {
                self.is_hidden = is_hidden;
                self.inbox();
            }
            Step::Receipt(who, delivered, read) => {
                let part = |percent: u64| self.head() * percent / 100;
                let told = Receipt { delivered_seq: part(delivered).max(1), read_seq: part(read) };
                let user = OTHERS[who % OTHERS.len()];
                let held = self.receipts.entry(user.to_owned()).or_default();
                held.read_seq = held.read_seq.max(told.read_seq);
                held.delivered_seq = held.delivered_seq.max(told.delivered_seq).max(held.read_seq);
                self.sources.receipts.push(Told::Receipt(user, told, self.epoch));
            }
            Step::Inbox => self.inbox(),
            Step::Members => self.list_members(),
            Step::Page(from, length) => {
                let from = (self.head() * from / 100).max(1);
                self.page(from..=(from + length).min(self.head()));
            }
            Step::Gap => self.gap(v1::GapReason::TooLong, self.pushed as u64 + 1),
            Step::Resume(back) => {
                self.push();
                let from = self.events.len().saturating_sub(back as usize);
                let again = self.events[from..].iter().cloned().map(Told::Event);
                self.sources.stream.extend(again);
            }
        }
    }

    fn add(&mut self, actor: &str, body: Body) -> v1::Event {
        self.message_count += u64::from(matches!(body, Body::Message(_)));
        self.deleted_count += u64::from(matches!(body, Body::MessageDeleted(_)));
        let seq = self.head() + 1;
        let event = v1::Event {
            room_id: ROOM.to_owned(),
            seq,
            actor_id: actor.to_owned(),
            request_id: format!("{actor}-{seq}"),
            message_count: self.message_count,
            deleted_count: self.deleted_count,
            body: Some(body),
            ..Default::default()
        };
        self.events.push(event.clone());
        event
    }

    fn change(&mut self, target: usize, actor: &str, body: Body) {
        self.messages[target].message.changed_seq = self.add(actor, body).seq;
    }

    fn react(&mut self, target: usize, user: &str, emoji: &str) {
        let target_seq = self.messages[target].event.seq;
        let reactions = &mut self.messages[target].message.reactions;
        let is_there = reactions
            .iter()
            .any(|reaction| reaction.emoji == emoji && reaction.user_ids.iter().any(|id| id == user));
        let emoji = emoji.to_owned();
        if is_there {
            for reaction in reactions.iter_mut().filter(|reaction| reaction.emoji == emoji) {
                reaction.user_ids.retain(|id| id != user);
            }
            reactions.retain(|reaction| !reaction.user_ids.is_empty());
            self.change(target, user, Body::ReactionRemoved(v1::ReactionRemoved { target_seq, emoji }));
            return;
        }
        match reactions.iter_mut().find(|reaction| reaction.emoji == emoji) {
            Some(reaction) => reaction.user_ids.push(user.to_owned()),
            None => reactions.push(v1::Reaction { emoji: emoji.clone(), user_ids: vec![user.to_owned()] }),
        }
        reactions.sort_by(|one, other| one.emoji.cmp(&other.emoji));
        self.change(target, user, Body::ReactionAdded(v1::ReactionAdded { target_seq, emoji }));
    }

    fn member(&mut self, user: &str, role: v1::Role) {
        self.members.insert(user.to_owned(), role);
        self.add(
            SELF,
            Body::MemberAdded(v1::MemberAdded {
                user_id: user.to_owned(),
                role: role.into(),
                ..Default::default()
            }),
        );
    }

    /// One of the last messages that are not deleted.
    fn living(&self, number: usize) -> Option<usize> {
        let last = self.messages.len().checked_sub(1 + number % 6)?;
        (!self.messages[last].message.deleted).then_some(last)
    }

    fn read_to(&mut self, seq: u64) {
        if let Some(event) = self.events.get(seq as usize - 1).filter(|_| seq > self.read.seq) {
            let (message_count, deleted_count) = (Some(event.message_count), Some(event.deleted_count));
            self.read = ReadMark { seq, message_count, deleted_count };
        }
    }

    fn unread_count(&self) -> u64 {
        let unread = |said: &&Said| said.event.seq > self.read.seq && !said.message.deleted;
        self.messages.iter().filter(unread).count() as u64
    }

    fn inbox(&mut self) {
        self.order += 1;
        let room = v1::Room {
            room_id: ROOM.to_owned(),
            kind: v1::RoomKind::Group.into(),
            settings: Some(v1::RoomSettings { title: self.title.clone(), ..Default::default() }),
            head_seq: self.head(),
            message_count: self.message_count,
            member_count: self.members.len() as u64,
            epoch: self.epoch,
            ..Default::default()
        };
        let role = self.members.get(SELF).copied().unwrap_or_default();
        let active = self.members.contains_key(SELF);
        let entry = v1::InboxEntry {
            room: Some(room),
            membership: Some(v1::Member { role: role.into(), active, ..Default::default() }),
            last_message: self.messages.last().map(present),
            unread_count: self.unread_count(),
            read: Some(v1::ReadMark {
                seq: self.read.seq,
                message_count: self.read.message_count.unwrap_or_default(),
            }),
            hidden: self.is_hidden,
            ..Default::default()
        };
        self.sources.inbox.push(Told::Inbox(Box::new(entry), self.order));
    }

    fn list_members(&mut self) {
        let members = self.members.iter().map(|(user, role)| (user.clone(), *role)).collect();
        self.sources.members.push(Told::Members(members, self.head(), self.epoch));
    }

    fn page(&mut self, covers: RangeInclusive<u64>) {
        let within = self.messages.iter().filter(|said| covers.contains(&said.event.seq));
        let events = within.map(present).collect();
        self.sources.pages.push(Told::Page(events, covers, self.head(), self.epoch));
    }

    pub(crate) fn truth(&self) -> Truth {
        Truth {
            title: self.title.clone(),
            member_count: self.members.len() as u64,
            is_member: self.members.contains_key(SELF),
            head_seq: self.head(),
            read_seq: self.read.seq,
            unread_count: self.unread_count(),
            is_hidden: self.is_hidden,
            members: self.members.clone(),
            receipts: self.receipts.clone(),
            messages: self.messages.iter().map(shown).collect(),
        }
    }
}

/// A message in its present form.
fn present(said: &Said) -> v1::Event {
    v1::Event { body: Some(Body::Message(said.message.clone())), ..said.event.clone() }
}

fn shown(Said { event, message }: &Said) -> Shown {
    let reactions = message.reactions.iter();
    let reactions = reactions.map(|reaction| (reaction.emoji.clone(), reaction.user_ids.clone())).collect();
    (event.seq, message.text.clone(), message.data.clone(), message.deleted, reactions)
}
