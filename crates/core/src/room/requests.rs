use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::command::{Action, Command, Refusal};
use super::decision::Outcome;
use super::runs::Runs;
use crate::limits::{MAX_RECENT_REQUESTS, MAX_REPEAT_CHECK, MAX_REPEAT_SEARCH, REPEAT_WINDOW_MS};
use crate::{Body, Emoji, Event, RequestId, Role, Timestamp, UserId};

type Key = (UserId, RequestId);

/// Requests in the tail of a room's log, remembered to recognise repeats.
#[derive(Debug, Clone)]
pub(super) struct Requests {
    /// Everything after this seq is remembered.
    after: u64,
    /// When the oldest remembered event was decided.
    oldest: Option<Timestamp>,
    /// Shared between copies, as in [`Layered`](super::layered::Layered).
    settled: Arc<Remembered>,
    /// Requests since the last `settle`.
    recent: Remembered,
}

#[derive(Debug, Clone, Default)]
struct Remembered {
    by_key: HashMap<Key, Done>,
    /// The keys by seq of their last event.
    by_seq: VecDeque<(u64, Timestamp, Key)>,
    /// Imported messages: nobody's requests.
    imported: Runs,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Done {
    kind: Kind,
    outcome: Outcome,
}

/// Enough of a request to notice that its id is reused for something else: the operation and its target,
/// as recorded in its events. New texts and settings are not compared.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Send,
    Edit(u64),
    Delete(u64),
    React(u64, Emoji),
    Unreact(u64, Emoji),
    Create,
    Update,
    Join,
    /// Those who were not members before, and those who were invited.
    Add(Vec<UserId>),
    Decline,
    Revoke(UserId),
    CreateLink,
    RevokeLink(u64),
    Request,
    Withdraw,
    Reject(UserId),
    Leave,
    Remove(UserId),
    Ban(UserId),
    Unban(UserId),
    Mute(UserId),
    Unmute(UserId),
    SetRole(UserId, Role),
    UpdateMember(UserId),
    DeleteRoom,
    Other,
}

impl Done {
    /// The answer to `command`, which has the same request id.
    fn repeated_by(&self, command: &Command) -> Result<Seen, Refusal> {
        if !self.kind.is_of(command) {
            return Err(Refusal::RequestIdReused);
        }
        let named = match &self.kind {
            Kind::Add(named) => named.clone(),
            _ => Vec::new(),
        };
        Ok(Seen::Before { outcome: Outcome { is_repeat: true, ..self.outcome }, named })
    }
}

impl Kind {
    /// The kind of a request with only this event.
    fn of_event(event: &Event) -> Self {
        match &event.body {
            Body::Message(_) => Self::Send,
            Body::MessageEdited { target, .. } => Self::Edit(*target),
            Body::MessageDeleted { target } => Self::Delete(*target),
            Body::ReactionAdded { target, emoji } => Self::React(*target, emoji.clone()),
            Body::ReactionRemoved { target, emoji } => Self::Unreact(*target, emoji.clone()),
            Body::RoomCreated { .. } => Self::Create,
            Body::RoomChanged { .. } => Self::Update,
            Body::MemberAdded { user, .. } if *user == event.actor => Self::Join,
            Body::MemberAdded { user, .. } => Self::Add(vec![user.clone()]),
            Body::MemberInvited { user, .. } => Self::Add(vec![user.clone()]),
            Body::InvitationEnded { user } if *user == event.actor => Self::Decline,
            Body::InvitationEnded { user } => Self::Revoke(user.clone()),
            Body::LinkCreated { .. } => Self::CreateLink,
            Body::LinkRevoked { link } => Self::RevokeLink(*link),
            Body::JoinRequested { .. } => Self::Request,
            Body::JoinRequestEnded { user } if *user == event.actor => Self::Withdraw,
            Body::JoinRequestEnded { user } => Self::Reject(user.clone()),
            Body::MemberRemoved { user } if *user == event.actor => Self::Leave,
            Body::MemberRemoved { user } => Self::Remove(user.clone()),
            Body::MemberBanned { user, .. } => Self::Ban(user.clone()),
            Body::MemberUnbanned { user } => Self::Unban(user.clone()),
            Body::MemberMuted { user, .. } => Self::Mute(user.clone()),
            Body::MemberUnmuted { user } => Self::Unmute(user.clone()),
            Body::RoleChanged { user, role } => Self::SetRole(user.clone(), *role),
            Body::MemberUpdated { user, .. } => Self::UpdateMember(user.clone()),
            Body::RoomDeleted => Self::DeleteRoom,
            Body::Other => Self::Other,
        }
    }

    /// The kind of a request of these events, given the kind `later` of those that follow. The events may be cut
    /// anywhere.
    fn followed_by(self, later: Self) -> Self {
        match (self, later) {
            (Self::Add(mut users), Self::Add(more)) => {
                users.extend(more);
                Self::Add(users)
            }
            (first, later) if first.rank() < later.rank() => later,
            (first, _) => first,
        }
    }

    /// The event with the highest rank, of several the first, is what was asked for; the others belong to it. A ban
    /// removes the member first, an owner who leaves or is removed hands the room over, a new owner is unmuted.
    fn rank(&self) -> u8 {
        match self {
            Self::Other => 0,
            Self::Unmute(_) => 1,
            Self::SetRole(..) => 2,
            Self::Leave | Self::Remove(_) => 3,
            _ => 4,
        }
    }

    /// Whether `command` may be the request that produced this.
    fn is_of(&self, command: &Command) -> bool {
        match (self, &command.action) {
            (Self::Send, Action::Send(_))
            | (Self::Update, Action::Update(_))
            | (
                Self::Join,
                Action::Join | Action::Accept | Action::JoinByLink { .. } | Action::Request { .. },
            )
            | (Self::Decline, Action::Decline)
            | (Self::CreateLink, Action::CreateLink { .. })
            | (Self::Request, Action::Request { .. })
            | (Self::Withdraw, Action::Withdraw)
            | (Self::Leave, Action::Leave)
            | (Self::DeleteRoom, Action::DeleteRoom) => true,
            (Self::Edit(seq), Action::Edit { target, .. })
            | (Self::Delete(seq), Action::Delete { target }) => seq == target,
            (Self::RevokeLink(seq), Action::RevokeLink { link }) => seq == link,
            (Self::React(seq, with), Action::React { target, emoji })
            | (Self::Unreact(seq, with), Action::Unreact { target, emoji }) => seq == target && with == emoji,
            (Self::Leave, Action::Remove { user }) => *user == command.actor,
            (Self::Add(named), Action::Add { users }) => named.iter().all(|user| users.contains(user)),
            (Self::Add(named), Action::Approve { user }) => named.iter().all(|added| added == user),
            (Self::Add(named), Action::Invite { users, added, .. }) => {
                named.iter().all(|user| users.contains(user) || added.contains(user))
            }
            (Self::Remove(whom), Action::Remove { user })
            | (Self::Ban(whom), Action::Ban { user, .. })
            | (Self::Unban(whom), Action::Unban { user })
            | (Self::Revoke(whom), Action::Revoke { user })
            | (Self::Reject(whom), Action::Reject { user })
            | (Self::UpdateMember(whom), Action::UpdateMember { user, .. })
            | (Self::Mute(whom), Action::Mute { user, .. })
            | (Self::Unmute(whom), Action::Unmute { user }) => whom == user,
            (Self::SetRole(whom, which), Action::SetRole { user, role }) => whom == user && which == role,
            _ => false,
        }
    }
}

/// What the remembered requests say about a new one.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Never,
    Before {
        outcome: Outcome,
        /// Those whom it added or invited.
        named: Vec<UserId>,
    },
    /// Not enough is remembered to decide.
    LookFurther,
}

impl Requests {
    /// Remembers nothing up to and including `head`.
    pub(super) fn starting_at(head: u64) -> Self {
        Self { after: head, oldest: None, settled: Arc::default(), recent: Remembered::default() }
    }

    /// Seq up to which nothing is remembered.
    pub(super) fn after(&self) -> u64 {
        self.after
    }

    /// Whether the actor has made this request before, as far as is remembered and relevant. `newest` is
    /// the time of the log's end, not this node's clock.
    pub(super) fn check(
        &self,
        command: &Command,
        head: u64,
        floor: u64,
        newest: Timestamp,
    ) -> Result<Seen, Refusal> {
        if let Some(done) = self.done(command) {
            return done.repeated_by(command);
        }
        match command.after {
            Some(after) if after > head => Err(Refusal::CursorAhead { after, head }),
            Some(after) if after >= self.after => Ok(Seen::Never),
            Some(after) if after + 1 < floor => Err(Refusal::OutcomeUnknown { floor }),
            Some(after) if head - after > MAX_REPEAT_CHECK => Err(Refusal::CatchUpFirst { head }),
            Some(_) => Ok(Seen::LookFurther),
            None => {
                let covers_all = self.after < floor;
                let covers_window =
                    self.oldest.is_some_and(|oldest| newest.since(oldest) >= REPEAT_WINDOW_MS);
                Ok(if covers_all || covers_window || self.is_full(head) {
                    Seen::Never
                } else {
                    Seen::LookFurther
                })
            }
        }
    }

    /// Like [`Self::check`], for an actor whose membership ended at `left`. The answer depends on the log
    /// up to there alone: it must not reveal the room's head or what happens to be remembered.
    pub(super) fn check_former(&self, command: &Command, left: u64, floor: u64) -> Result<Seen, Refusal> {
        let from = match command.after {
            Some(after) if after >= left => return Ok(Seen::Never),
            Some(after) if left - after > MAX_REPEAT_CHECK => {
                return Err(Refusal::CatchUpFirst { head: left });
            }
            Some(after) => after,
            None => left.saturating_sub(MAX_REPEAT_CHECK),
        };
        // Every later event that is still kept is searched.
        let searched = from.max(floor.saturating_sub(1)).min(left);
        if let Some(done) = self.done(command)
            && (searched + 1..=left).contains(&done.outcome.last)
        {
            return done.repeated_by(command);
        }
        if self.after > searched {
            return Ok(Seen::LookFurther);
        }
        if command.after.is_some() && searched > from {
            return Err(Refusal::OutcomeUnknown { floor: searched + 1 });
        }
        Ok(Seen::Never)
    }

    /// When `user` last sent a message after `since`, as far as is remembered.
    pub(super) fn last_sent(&self, user: &UserId, since: Timestamp) -> Option<Timestamp> {
        let latest = self.recent.by_seq.iter().rev().chain(self.settled.by_seq.iter().rev());
        let sends = |key: &Key| self.get(key).is_some_and(|done| done.kind == Kind::Send);
        latest
            .take_while(|(_, at, _)| *at > since)
            .find(|(_, _, key)| key.0 == *user && sends(key))
            .map(|(_, at, _)| *at)
    }

    /// When the oldest remembered event was decided.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.oldest
    }

    /// Whether all kept events after `since` are remembered.
    pub(super) fn cover(&self, since: Timestamp, floor: u64) -> bool {
        self.after < floor || self.oldest.is_some_and(|oldest| oldest <= since)
    }

    /// Whether as many events are remembered as ever are, beside imported ones.
    pub(super) fn is_full(&self, head: u64) -> bool {
        let all = head - self.after;
        let imported = self.settled.imported.count() + self.recent.imported.count();
        all.saturating_sub(imported) >= MAX_RECENT_REQUESTS as u64 || all >= MAX_REPEAT_SEARCH
    }

    /// The number of remembered requests.
    pub(super) fn len(&self) -> usize {
        self.settled.by_seq.len() + self.recent.by_seq.len()
    }

    /// The number of remembered events of `user`.
    pub(super) fn events_of(&self, user: &UserId) -> u64 {
        let own = self.recent.by_seq.iter().chain(&self.settled.by_seq).filter(|(_, _, key)| key.0 == *user);
        own.filter_map(|(_, _, key)| self.get(key))
            .map(|done| done.outcome.last + 1 - done.outcome.first)
            .sum()
    }

    /// Remembers the next event of the log.
    pub(super) fn push(&mut self, event: &Event) {
        self.oldest.get_or_insert(event.at);
        // The id is that of another system, where its sender may have used any.
        if event.body.is_imported() {
            self.recent.imported.push(event.seq);
            return;
        }
        let key = (event.actor.clone(), event.request.clone());
        let outcome = Outcome {
            first: event.seq,
            last: event.seq,
            at: event.at,
            message_count: event.message_count,
            is_repeat: false,
        };
        // A request's events lie in one chunk, which is folded before it is settled. If the id was already
        // used before the window for ids without `after_seq`, the first use is kept.
        if !self.recent.go_on(&key, event) && self.get(&key).is_none() {
            self.recent.by_key.insert(key.clone(), Done { kind: Kind::of_event(event), outcome });
            self.recent.by_seq.push_back((event.seq, event.at, key));
        }
    }

    /// Moves recent requests into the part shared by clones, and drops the oldest ones beyond the limit.
    pub(super) fn settle(&mut self) {
        if self.recent.by_seq.is_empty() && self.recent.imported.is_empty() {
            return;
        }
        let settled = Arc::make_mut(&mut self.settled);
        settled.by_key.extend(self.recent.by_key.drain());
        settled.by_seq.append(&mut self.recent.by_seq);
        settled.imported.append(&mut self.recent.imported);
        while settled.by_seq.len() > MAX_RECENT_REQUESTS {
            if let Some((seq, _, key)) = settled.by_seq.pop_front() {
                settled.by_key.remove(&key);
                settled.imported.forget(seq);
                self.after = seq;
                self.oldest = settled.by_seq.front().map(|(_, at, _)| *at);
            }
        }
    }

    /// Remembers events right before those already remembered, in ascending order.
    pub(super) fn push_older(&mut self, events: &[Event]) {
        let (Some(first), Some(last)) = (events.first(), events.last()) else { return };
        if last.seq != self.after {
            return;
        }
        let mut older = Self::starting_at(first.seq - 1);
        for event in events {
            older.push(event);
        }
        let Remembered { mut by_key, by_seq, imported } = older.recent;
        let settled = Arc::make_mut(&mut self.settled);
        settled.imported.prepend(imported);
        for (seq, at, key) in by_seq.into_iter().rev() {
            let Some(done) = by_key.remove(&key) else { continue };
            match self.recent.by_key.get_mut(&key).or_else(|| settled.by_key.get_mut(&key)) {
                // One request with events on both sides.
                Some(later) if later.outcome.first == done.outcome.last + 1 => {
                    later.outcome.first = done.outcome.first;
                    let last_part = std::mem::replace(&mut later.kind, Kind::Other);
                    later.kind = done.kind.followed_by(last_part);
                }
                Some(later) => *later = done,
                None => {
                    settled.by_key.insert(key.clone(), done);
                    settled.by_seq.push_front((seq, at, key));
                }
            }
        }
        self.after = older.after;
        self.oldest = older.oldest.or(self.oldest);
    }

    fn done(&self, command: &Command) -> Option<&Done> {
        self.get(&(command.actor.clone(), command.request.clone()))
    }

    /// Forgets the requests of everyone but `user`.
    pub(super) fn keep_only(&mut self, user: &UserId) {
        let settled = Arc::make_mut(&mut self.settled);
        settled.by_key.retain(|(other, _), _| other == user);
        settled.by_seq.retain(|(_, _, (other, _))| other == user);
    }

    fn get(&self, key: &Key) -> Option<&Done> {
        self.recent.by_key.get(key).or_else(|| self.settled.by_key.get(key))
    }
}

impl Remembered {
    /// Extends the request that was pushed last by `event` if it belongs to it.
    fn go_on(&mut self, key: &Key, event: &Event) -> bool {
        let Some(done) = self.by_key.get_mut(key) else { return false };
        if done.outcome.last + 1 != event.seq {
            return false;
        }
        let earlier = std::mem::replace(&mut done.kind, Kind::Other);
        done.kind = earlier.followed_by(Kind::of_event(event));
        done.outcome.last = event.seq;
        done.outcome.message_count = event.message_count;
        if let Some((seq, ..)) = self.by_seq.back_mut() {
            *seq = event.seq;
        }
        true
    }
}
