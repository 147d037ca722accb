use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::command::{Action, Authority, Command, Refusal};
use super::decide::{Appended, Stop, Verdict, View, decide};
use super::decision::{Decision, Outcome};
use super::state::{Room, RoomInfo};
use crate::limits::{
    MAX_CHUNK_BYTES, MAX_CHUNK_EVENTS, MAX_DATA_BYTES, MAX_ITEMS_PER_APPEND, MAX_MEMBERS_PER_REQUEST,
    MAX_TEXT_BYTES,
};
use crate::{
    Body, Chunk, Event, Head, Invitations, InvitationsChange, Link, LinkHash, Listed, Listing, ListingChange,
    Mark, Member, Nonce, Overlay, Reason, RequestEnd, RequestId, Timestamp, Unknown, UserId,
};

/// Commands decided on top of a room but not stored yet: the contents of one append.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The state with the events so far folded in.
    room: Room,
    /// The head to append after.
    base: Head,
    events: Vec<Event>,
    text_bytes: usize,
    message_count: u64,
    deleted_count: u64,
    member_count: u64,
    changed_members: BTreeSet<UserId>,
    changed_messages: BTreeSet<u64>,
    /// Events that set data which a member no longer has, with those that replaced or removed it.
    outdated: BTreeMap<u64, u64>,
    /// The room's data before the first event that changes it.
    old_info: Option<RoomInfo>,
    /// The invitations before the first event that changes them.
    old_invitations: Option<Arc<Invitations>>,
    /// What the command that is being carried out brings along.
    unlogged: Option<Unlogged>,
    /// See [`InvitationsChange::lists`].
    lists: BTreeMap<UserId, Option<Listed>>,
    /// Senders who are not members.
    outsiders: BTreeSet<UserId>,
}

/// What is stored, and stands in no event.
#[derive(Debug, Clone)]
enum Unlogged {
    /// Of a link that is made.
    Link { hash: LinkHash, by_app: bool },
    /// Of a user who asks to join.
    Note(Reason),
}

impl Unlogged {
    fn of(command: &Command) -> Option<Self> {
        match &command.action {
            Action::CreateLink { hash, .. } => {
                let by_app = matches!(command.authority, Authority::App { .. });
                Some(Self::Link { hash: *hash, by_app })
            }
            Action::Request { note } => Some(Self::Note(note.clone())),
            _ => None,
        }
    }
}

/// Who causes an event, and by which request.
#[derive(Clone, Copy)]
struct Author<'a> {
    actor: &'a UserId,
    service: Option<&'a UserId>,
    request: &'a RequestId,
}

impl<'a> Author<'a> {
    fn of(command: &'a Command) -> Self {
        Self { actor: &command.actor, service: command.authority.service(), request: &command.request }
    }
}

/// One append: the chunk, and everything that must be written atomically with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// The head that the chunk follows. The store refuses any other.
    pub expected: Head,
    /// The chunk.
    pub chunk: Chunk,
    /// Member rows that changed.
    pub members: Vec<Member>,
    /// Overlays of messages that changed, and of events whose data is outdated.
    pub overlays: Vec<(u64, Overlay)>,
    /// Users who joined, with their initial mark.
    pub joins: Vec<(UserId, Mark)>,
    /// Users who sent messages (imported ones are not sent), each with the mark of their last message, up to which they
    /// have read the room.
    pub sent: Vec<(UserId, Mark)>,
    /// The room's own item, if it changed.
    pub info: Option<RoomInfo>,
    /// The invitations to the room, if they changed.
    pub invitations: Option<InvitationsChange>,
    /// The room's row in the directory, if it changed.
    pub listing: Option<ListingChange>,
}

impl Room {
    /// Starts to decide commands on top of this state.
    pub fn draft(&mut self) -> Draft {
        self.settle();
        // They may have changed since the last draft.
        self.blocks.clear();
        Draft::new(self.clone())
    }
}

impl Draft {
    fn new(room: Room) -> Self {
        let base = room.head;
        Self {
            room,
            base,
            events: Vec::new(),
            text_bytes: 0,
            message_count: base.message_count(),
            deleted_count: base.deleted_count(),
            member_count: base.member_count(),
            changed_members: BTreeSet::new(),
            changed_messages: BTreeSet::new(),
            outdated: BTreeMap::new(),
            old_info: None,
            old_invitations: None,
            unlogged: None,
            lists: BTreeMap::new(),
            outsiders: BTreeSet::new(),
        }
    }

    /// The state so far; load what a [`Need`](crate::Need) asks for into it.
    pub fn room_mut(&mut self) -> &mut Room {
        &mut self.room
    }

    /// Whether there is anything to append.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Whether any one further command is guaranteed to fit into this append.
    pub fn can_take_more(&self) -> bool {
        let overlays = self.changed_messages.len() + self.outdated.len();
        let items = 2 * self.changed_members.len() + overlays + self.lists.len();
        self.events.len() + MAX_MEMBERS_PER_REQUEST <= MAX_CHUNK_EVENTS
            && self.text_bytes + MAX_TEXT_BYTES + MAX_DATA_BYTES <= MAX_CHUNK_BYTES
            && items + 2 * MAX_MEMBERS_PER_REQUEST <= MAX_ITEMS_PER_APPEND
    }

    /// Decides `command`. `now` is the node's clock; the events' time is never before
    /// the room's last.
    pub fn decide(&mut self, command: &Command, now: Timestamp) -> Result<Decision, Refusal> {
        let (first, at) = (self.next_seq(), now.max(self.room.last_at));
        let mut is_repeat = false;
        match decide(self.view(now), command, self.newest(now)) {
            Ok(Verdict::Change(bodies)) => {
                let author = Author::of(command);
                self.unlogged = Unlogged::of(command);
                bodies.into_iter().for_each(|body| self.push(author, at, body));
            }
            Ok(Verdict::Import(messages)) => {
                is_repeat = messages.is_empty();
                for Appended { message, body } in messages {
                    let service = (message.sender != command.actor).then_some(&command.actor);
                    self.push(
                        Author { actor: &message.sender, service, request: &message.request },
                        at,
                        body,
                    );
                }
            }
            Ok(Verdict::Repeat(outcome)) => return Ok(Decision::Done(outcome)),
            Err(Stop::Need(need)) => return Ok(Decision::Need(need)),
            Err(Stop::Refused(refusal)) => return Err(refusal),
        }
        let changed = self.next_seq() > first;
        Ok(Decision::Done(Outcome {
            first: if changed { first } else { 0 },
            last: if changed { self.next_seq() - 1 } else { 0 },
            // If nothing changes, the answer must not reveal anything about the log.
            at: if changed { at } else { now },
            message_count: if changed { self.message_count } else { 0 },
            is_repeat,
        }))
    }

    /// Returns the append, if there is anything to append, and the room as it will be once
    /// stored.
    pub fn finish(self, nonce: Nonce) -> (Option<Append>, Room) {
        let Self { mut room, base, events, message_count, member_count, .. } = self;
        let joins = events
            .iter()
            .filter_map(|event| match &event.body {
                Body::MemberAdded { user, .. } => Some((user.clone(), Mark::at(event))),
                _ => None,
            })
            .collect();
        let mut sent = BTreeMap::new();
        for event in &events {
            // Non-members have no mark to move, and what is imported was not sent by somebody who has read the room.
            if event.body.is_sent() && !self.outsiders.contains(&event.actor) {
                sent.insert(event.actor.clone(), Mark::at(event));
            }
        }
        let members = self
            .changed_members
            .iter()
            .filter_map(|user| room.members.get(user).cloned().flatten())
            .collect();
        let messages = self
            .changed_messages
            .iter()
            .filter_map(|seq| Some((*seq, room.messages.get(seq)?.as_ref()?.overlay.clone())));
        let outdated = self.outdated.iter().map(|(seq, by)| (*seq, Overlay::outdated(*by)));
        let overlays = messages.chain(outdated).collect();
        let Some(chunk) = Chunk::new(nonce, events, message_count, member_count) else { return (None, room) };
        let chunk = chunk.with_previous(Some(*base.nonce()));
        room.head = chunk.head();
        let listing = if self.old_info.is_some() || member_count != base.member_count() {
            let before = self.old_info.as_ref().unwrap_or(&room.info);
            let before = Listing::of(before, base.member_count());
            ListingChange::between(before, Listing::of(&room.info, member_count))
        } else {
            None
        };
        let info = self.old_info.map(|_| room.info.clone());
        let lists = self.lists.into_iter().collect();
        let invitations = match (&self.old_invitations, &room.invitations) {
            (Some(before), Some(all)) => InvitationsChange::between(before, all, lists),
            _ => None,
        };
        let sent = sent.into_iter().collect();
        let expected = base;
        (Some(Append { expected, chunk, members, overlays, joins, sent, info, invitations, listing }), room)
    }

    /// The time taken as the log's end. Time windows are measured by the log's own
    /// timestamps: a node whose clock is ahead would otherwise take recent events for old
    /// ones. Bounded by `now` in case such a node has stamped the log.
    fn newest(&self, now: Timestamp) -> Timestamp {
        self.room.last_at.min(now)
    }

    fn view(&self, now: Timestamp) -> View<'_> {
        View {
            room: &self.room,
            head: self.next_seq() - 1,
            base: self.base.seq(),
            member_count: self.member_count,
            at: now.max(self.room.last_at),
        }
    }

    fn next_seq(&self) -> u64 {
        self.base.seq() + self.events.len() as u64 + 1
    }

    /// Records that `body`, the next event, changes the invitations.
    fn note_invitations(&mut self, actor: &UserId, body: &Body) {
        let Some(known) = &self.room.invitations else { return };
        let is_invited = |user: &UserId| known.get(user).is_some();
        let has_asked = |user: &UserId| known.request_of(user).is_some();
        let at_event = |seq| Some(Listed { seq, ..Listed::default() });
        // Whether they change, and who finds the room in their list from then on, or no longer.
        let (changes, listed) = match body {
            Body::LinkCreated { .. } | Body::LinkRevoked { .. } => (true, None),
            Body::MemberInvited { user, .. } => (true, Some((user, at_event(self.next_seq())))),
            Body::JoinRequested { user, .. } => {
                let note = match &self.unlogged {
                    Some(Unlogged::Note(note)) => note.clone(),
                    _ => Reason::default(),
                };
                (true, Some((user, Some(Listed { seq: self.next_seq(), note }))))
            }
            // Either may stand without the other.
            Body::InvitationEnded { user } => {
                let is_found =
                    known.request_of(user).is_some_and(|it| it.ended != Some(RequestEnd::Withdrawn));
                (is_invited(user), Some((user, None)).filter(|_| !is_found))
            }
            // Who was rejected finds that in their list, without their note.
            Body::JoinRequestEnded { user } => {
                let invited_at = known.get(user).map(|invitation| invitation.seq);
                let asked_at = known.request_of(user).map(|request| request.seq);
                let seq = if user == actor { invited_at } else { asked_at };
                (asked_at.is_some(), Some((user, seq.and_then(at_event))))
            }
            Body::MemberBanned { user, .. } => (is_invited(user) || has_asked(user), Some((user, None))),
            Body::MemberAdded { user, link, .. } => {
                let ends = is_invited(user) || has_asked(user);
                (ends || link.is_some(), Some((user, None)).filter(|_| ends && user == actor))
            }
            // They may be the last member, with whom all of them end.
            Body::MemberRemoved { .. } => (self.member_count == 1 && !known.is_empty(), None),
            Body::RoomDeleted => (!known.is_empty(), None),
            _ => return,
        };
        if !changes {
            return;
        }
        if let Some((user, listed)) = listed {
            self.lists.insert(user.clone(), listed);
        }
        self.old_invitations.get_or_insert_with(|| known.clone());
    }

    /// Records that the next event replaces or removes the data of a member.
    fn end_data(&mut self, user: &UserId) {
        let by = self.next_seq();
        if let Some(Some(member)) = self.room.members.get(user)
            && !member.data.values.is_empty()
        {
            self.outdated.insert(member.data.seq, by);
        }
    }

    /// The invitations with the link that `event` makes, of which only the command has all.
    fn with_link(&mut self, event: &Event) -> Option<Arc<Invitations>> {
        let Body::LinkCreated { until, max_uses } = &event.body else { return None };
        let Some(Unlogged::Link { hash, by_app }) = self.unlogged.take() else { return None };
        let mut all = self.room.invitations.take()?;
        let (seq, at, by) = (event.seq, event.at, event.actor.clone());
        let link = Link { seq, hash, by, at, until: *until, max_uses: *max_uses, uses: 0, by_app };
        Arc::make_mut(&mut all).add_link(link);
        Some(all)
    }

    fn push(&mut self, author: Author<'_>, at: Timestamp, body: Body) {
        let Author { actor, service, request } = author;
        self.note_invitations(actor, &body);
        match &body {
            Body::Message(message) => {
                self.message_count += 1;
                if message.imported.is_some() {
                    self.old_info.get_or_insert_with(|| self.room.info.clone());
                }
                let row = self.room.members.get(actor);
                if !row.is_some_and(|row| row.as_ref().is_some_and(Member::is_active)) {
                    self.outsiders.insert(actor.clone());
                }
            }
            Body::MessageDeleted { .. } => self.deleted_count += 1,
            Body::MemberAdded { user, .. } => {
                self.member_count += 1;
                self.changed_members.insert(user.clone());
            }
            Body::MemberRemoved { user } => {
                self.member_count -= 1;
                self.end_data(user);
                self.changed_members.insert(user.clone());
            }
            Body::MemberUpdated { user, .. } => {
                self.end_data(user);
                self.changed_members.insert(user.clone());
            }
            Body::MemberBanned { user, .. }
            | Body::MemberUnbanned { user }
            | Body::MemberMuted { user, .. }
            | Body::MemberUnmuted { user }
            | Body::RoleChanged { user, .. } => {
                self.changed_members.insert(user.clone());
            }
            Body::RoomChanged { .. } | Body::RoomDeleted => {
                self.old_info.get_or_insert_with(|| self.room.info.clone());
            }
            _ => {}
        }
        self.changed_messages.extend(body.target());
        self.text_bytes += body.text_bytes();
        let event = Event {
            seq: self.next_seq(),
            at,
            actor: actor.clone(),
            service: service.cloned(),
            request: request.clone(),
            message_count: self.message_count,
            deleted_count: self.deleted_count,
            body,
            unknown: Unknown::default(),
        };
        let invitations = self.with_link(&event);
        self.room.fold(&event, self.member_count);
        if invitations.is_some() {
            self.room.invitations = invitations;
        }
        self.events.push(event);
    }
}
