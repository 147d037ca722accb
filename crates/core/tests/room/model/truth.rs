use std::collections::{BTreeMap, BTreeSet};

use parlance_core::{
    Body, Chunk, Data, Emoji, Event, Interval, Invitation, Joining, Member, MemberData, Overlay, RequestId,
    Role, RoomKind, Settings, Standing, Text, Timestamp, UserId, Visibility,
};

/// The log folded by an independent implementation, which calls none of the code
/// under test. Fails if an event was not allowed or a number is inconsistent.
#[derive(Default)]
pub(crate) struct Truth {
    kind: Option<RoomKind>,
    pub(crate) settings: Option<Settings>,
    pub(crate) members: BTreeMap<UserId, Member>,
    pub(crate) messages: BTreeMap<u64, Sent>,
    /// Events whose data a member no longer has, with those that ended that.
    pub(crate) outdated: BTreeMap<u64, u64>,
    pub(crate) invitations: BTreeMap<UserId, Invitation>,
    /// Links with their ends, how many may join by them, and how many have.
    pub(crate) links: BTreeMap<u64, (Timestamp, u32, u32)>,
    pub(crate) makers: BTreeMap<u64, UserId>,
    /// Requests with their ends, and whether they were rejected.
    pub(crate) requests: BTreeMap<UserId, (Timestamp, bool)>,
    pub(crate) runs: BTreeMap<(UserId, RequestId), Run>,
    last: Option<Event>,
    pub(crate) message_count: u64,
}

pub(crate) struct Sent {
    pub(crate) sender: UserId,
    pub(crate) overlay: Overlay,
    pub(crate) text: Text,
}

/// The events of one request.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) at: Timestamp,
    pub(crate) message_count: u64,
}

macro_rules! ensure {
    ($cond:expr, $($message:tt)+) => {
        if !$cond {
            return Err(format!($($message)+));
        }
    };
}
pub(crate) use ensure;

impl Truth {
    pub(crate) fn fold<'a>(log: impl Iterator<Item = &'a Chunk>) -> Result<Self, String> {
        let mut truth = Self::default();
        for chunk in log {
            ensure!(
                chunk.first_seq() == truth.head() + 1,
                "chunk {} follows {}",
                chunk.first_seq(),
                truth.head()
            );
            for event in chunk.events() {
                truth.event(event)?;
            }
            let head = chunk.head();
            let counted = (truth.head(), truth.message_count, truth.active().count() as u64);
            let said = (head.seq(), head.message_count(), head.member_count());
            ensure!(said == counted, "the chunk says {said:?}, its events {counted:?}");
            truth.ownership()?;
        }
        Ok(truth)
    }

    pub(crate) fn head(&self) -> u64 {
        self.last.as_ref().map_or(0, |event| event.seq)
    }

    /// The time of the log's end.
    pub(crate) fn now(&self) -> Timestamp {
        self.last.as_ref().map(|event| event.at).unwrap_or_default()
    }

    fn active(&self) -> impl Iterator<Item = &Member> {
        self.members.values().filter(|member| is_active(member))
    }

    fn owners(&self) -> usize {
        self.active().filter(|member| member.role == Role::Owner).count()
    }

    fn ownership(&self) -> Result<(), String> {
        let owners = self.owners();
        let expected = usize::from(self.kind != Some(RoomKind::Direct) && self.active().count() > 0);
        ensure!(owners == expected, "{owners} owners at {}", self.head());
        Ok(())
    }

    fn event(&mut self, event: &Event) -> Result<(), String> {
        let seq = event.seq;
        ensure!(seq == self.head() + 1, "event {seq} follows {}", self.head());
        if let Some(last) = &self.last {
            ensure!(event.at >= last.at, "time went back at {seq}");
        }
        self.run(event)?;
        ensure!(self.allows(event), "{} was not allowed {:?} at {seq}", event.actor, event.body);
        self.change(event);
        ensure!(event.message_count == self.message_count, "wrong message count at {seq}");
        self.last = Some(event.clone());
        Ok(())
    }

    /// A request's events are consecutive, and occur once.
    fn run(&mut self, event: &Event) -> Result<(), String> {
        let key = (event.actor.clone(), event.request.clone());
        let follows = self.last.as_ref().is_some_and(|last| (&last.actor, &last.request) == (&key.0, &key.1));
        let new = Run { first: event.seq, last: event.seq, at: event.at, message_count: event.message_count };
        match self.runs.get_mut(&key) {
            None => drop(self.runs.insert(key, new)),
            Some(run) if follows => *run = Run { first: run.first, at: run.at, ..new },
            Some(run) => return Err(format!("{key:?} at {} and again at {}", run.first, event.seq)),
        }
        Ok(())
    }

    /// The permission matrix.
    fn allows(&self, event: &Event) -> bool {
        let actor = self.members.get(&event.actor).filter(|member| is_active(member));
        let role = actor.map(|member| member.role);
        let manages = role >= Some(Role::Admin);
        let shared = self.kind != Some(RoomKind::Direct);
        let is_in = |user| self.members.get(user).filter(|member| is_active(member));
        let mine = |user: &UserId| *user == event.actor;
        // All events of the first request belong to the room's creation.
        if self.runs.get(&(event.actor.clone(), event.request.clone())).is_some_and(|run| run.first == 1) {
            return (event.seq == 1) == matches!(event.body, Body::RoomCreated { .. });
        }
        match &event.body {
            // The model's users neither delete rooms nor mute anyone.
            Body::RoomCreated { .. }
            | Body::RoomDeleted
            | Body::MemberMuted { .. }
            | Body::MemberUnmuted { .. }
            | Body::Other => false,
            Body::MemberInvited { user, until } => {
                let banned = self.standing(user) == Standing::Banned;
                shared && manages && is_in(user).is_none() && !banned && *until > event.at
            }
            Body::InvitationEnded { user } => {
                let invitation = self.invitation(user, event.at);
                let revokes = |invitation: &Invitation| manages || invitation.by == event.actor;
                let may_end = if mine(user) { actor.is_none() } else { actor.is_some() };
                may_end && invitation.is_some_and(|invitation| mine(user) || revokes(invitation))
            }
            Body::LinkCreated { until, max_uses } => shared && manages && *until > event.at && *max_uses > 0,
            Body::LinkRevoked { link } => shared && manages && self.open_link(*link, event.at),
            Body::JoinRequested { user, until } => {
                let free = self.standing(user) != Standing::Banned;
                let is_new = self.requests.get(user).is_none_or(|(until, _)| event.at >= *until);
                let asks = mine(user) && actor.is_none() && free && is_new && *until > event.at;
                asks && self.joining() == Joining::ByRequest && self.active().count() > 0
            }
            Body::JoinRequestEnded { user } => {
                let asked = self.requests.get(user).filter(|(_, rejected)| !rejected);
                let may_end = |(until, _): &(Timestamp, bool)| mine(user) || manages && event.at < *until;
                asked.is_some_and(may_end) && is_in(user).is_none()
            }
            Body::MemberAdded { user, role, link: Some(link) } => {
                let may_join = mine(user) && actor.is_none() && self.standing(user) == Standing::Free;
                let maker = self.makers.get(link).and_then(is_in);
                may_join
                    && self.open_link(*link, event.at)
                    && maker.is_some_and(|maker| maker.role >= Role::Admin)
                    && *role == Role::Member
                    && self.active().count() > 0
            }
            Body::MemberAdded { user, role, .. }
                if mine(user) && self.invitation(user, event.at).is_some() =>
            {
                let opens = self.joining() == Joining::Open || self.active().count() > 0;
                actor.is_none() && opens && (*role == Role::Owner) == (self.active().count() == 0)
            }
            Body::RoomChanged { .. } => shared && manages,
            Body::MemberAdded { user, role, .. } if mine(user) => {
                let alone = self.active().count() == 0;
                let free = self.standing(user) == Standing::Free;
                let stranger_opens = alone && !self.shows_all() && !self.members.contains_key(user);
                self.joining() == Joining::Open
                    && actor.is_none()
                    && free
                    && !stranger_opens
                    && (*role == Role::Owner) == alone
            }
            Body::MemberAdded { user, role, .. } => {
                let banned = self.standing(user) == Standing::Banned;
                shared && manages && is_in(user).is_none() && *role == Role::Member && !banned
            }
            Body::MemberRemoved { user } if mine(user) => {
                shared
                    && actor.is_some()
                    && (role < Some(Role::Owner) || self.active().count() == 1 || self.owners() == 2)
            }
            Body::MemberRemoved { user } => {
                shared && manages && is_in(user).is_some_and(|member| Some(member.role) < role)
            }
            Body::MemberBanned { user, .. } => {
                let once = self.members.contains_key(user) && self.standing(user) != Standing::Banned;
                shared && manages && is_in(user).is_none() && once
            }
            Body::MemberUpdated { user, .. } => {
                let governs = |member: &Member| shared && manages && Some(member.role) < role;
                actor.is_some() && is_in(user).is_some_and(|member| mine(user) || governs(member))
            }
            Body::MemberUnbanned { user } => shared && manages && self.standing(user) == Standing::Banned,
            Body::RoleChanged { user, .. } => shared && role == Some(Role::Owner) && is_in(user).is_some(),
            Body::Message(message) => {
                actor.is_some() && message.reply_to.is_none_or(|to| self.sees(event, to).is_some())
            }
            Body::MessageEdited { target, .. } => {
                self.sees(event, *target).is_some_and(|m| m.sender == event.actor && !m.overlay.deleted)
            }
            Body::MessageDeleted { target } => self
                .sees(event, *target)
                .is_some_and(|m| (m.sender == event.actor || manages) && !m.overlay.deleted),
            Body::ReactionAdded { target, emoji } => self
                .sees(event, *target)
                .is_some_and(|m| !m.overlay.deleted && !reacted(&m.overlay, emoji, &event.actor)),
            Body::ReactionRemoved { target, emoji } => {
                self.sees(event, *target).is_some_and(|m| reacted(&m.overlay, emoji, &event.actor))
            }
        }
    }

    fn invitation(&self, user: &UserId, at: Timestamp) -> Option<&Invitation> {
        self.invitations.get(user).filter(|invitation| at < invitation.until)
    }

    fn joining(&self) -> Joining {
        let given = self.settings.as_ref().map(|settings| settings.joining).unwrap_or_default();
        match (given, self.kind) {
            (Joining::Usual, Some(RoomKind::Channel)) => Joining::Open,
            (Joining::Usual | Joining::Open, Some(RoomKind::Group)) => Joining::ByInvitation,
            (_, Some(RoomKind::Direct) | None) => Joining::ByInvitation,
            (given, _) => given,
        }
    }

    fn open_link(&self, link: u64, at: Timestamp) -> bool {
        self.links.get(&link).is_some_and(|(until, max_uses, uses)| at < *until && uses < max_uses)
    }

    fn shows_all(&self) -> bool {
        self.settings.as_ref().is_some_and(|settings| settings.visibility == Visibility::All)
    }

    fn standing(&self, user: &UserId) -> Standing {
        self.members.get(user).map(|member| member.standing).unwrap_or_default()
    }

    /// The message, if the event's actor is a member and it lies in their history.
    fn sees(&self, event: &Event, target: u64) -> Option<&Sent> {
        let member = self.members.get(&event.actor).filter(|member| is_active(member))?;
        let visible = self.shows_all()
            || member
                .intervals
                .iter()
                .any(|interval| interval.joined <= target && interval.left.is_none_or(|left| target <= left));
        self.messages.get(&target).filter(|_| visible)
    }

    fn set_data(&mut self, user: &UserId, values: Data, seq: u64) {
        let data = &mut self.members.get_mut(user).unwrap().data;
        if !data.values.is_empty() {
            self.outdated.insert(data.seq, seq);
        }
        *data = MemberData { values, seq };
    }

    fn change(&mut self, event: &Event) {
        let first = self.runs.get(&(event.actor.clone(), event.request.clone())).map(|run| run.first);
        // Initial members are members from the room's first event on.
        let joined = Interval::starting_at(if first == Some(1) { 1 } else { event.seq });
        let mine = |user: &UserId| *user == event.actor;
        match &event.body {
            Body::RoomCreated { kind, settings } => {
                self.kind = Some(*kind);
                self.settings = Some(settings.clone());
            }
            Body::RoomChanged { settings } => self.settings = Some(settings.clone()),
            Body::RoomDeleted | Body::Other => {}
            Body::MemberInvited { user, until } => {
                let (by, at, until, seq) = (event.actor.clone(), event.at, *until, event.seq);
                self.invitations.insert(user.clone(), Invitation { by, at, until, seq });
            }
            Body::InvitationEnded { user } => drop(self.invitations.remove(user)),
            Body::LinkCreated { until, max_uses } => {
                self.links.insert(event.seq, (*until, *max_uses, 0));
                self.makers.insert(event.seq, event.actor.clone());
            }
            Body::LinkRevoked { link } => drop(self.links.remove(link)),
            Body::JoinRequested { user, until } => drop(self.requests.insert(user.clone(), (*until, false))),
            Body::JoinRequestEnded { user } if mine(user) => drop(self.requests.remove(user)),
            Body::JoinRequestEnded { user } => {
                let day = Timestamp(event.at.0 + 24 * 3600 * 1000);
                self.requests.insert(user.clone(), (day, true));
            }
            Body::MemberAdded { user, role, link } => {
                self.invitations.remove(user);
                self.requests.remove(user);
                if let Some((_, _, uses)) = link.and_then(|link| self.links.get_mut(&link)) {
                    *uses += 1;
                }
                let new = Member { intervals: Vec::new(), ..Member::joined(user.clone(), *role, 1) };
                let member = self.members.entry(user.clone()).or_insert(new);
                member.role = *role;
                (member.standing, member.left_with) = (Standing::Free, None);
                member.intervals.push(joined);
            }
            Body::MemberRemoved { user } => {
                let member = self.members.get_mut(user).unwrap();
                member.standing = if mine(user) { Standing::Free } else { Standing::Removed };
                // The names that they knew the room by.
                member.left_with = self.settings.as_ref().map(|known| Settings {
                    title: known.title.clone(),
                    topic: known.topic.clone(),
                    visibility: known.visibility,
                    ..Settings::default()
                });
                let interval = member.intervals.last_mut().unwrap();
                interval.left = Some(event.seq);
                interval.visibility = self.settings.as_ref().map(|settings| settings.visibility);
                if member.data.seq > 0 {
                    self.set_data(user, Data::default(), event.seq);
                }
                if self.active().count() == 0 {
                    self.invitations.clear();
                    self.links.clear();
                    self.requests.clear();
                }
            }
            Body::MemberBanned { user, .. } => {
                self.invitations.remove(user);
                self.requests.remove(user);
                self.members.get_mut(user).unwrap().standing = Standing::Banned
            }
            Body::MemberUpdated { user, data } => self.set_data(user, data.clone().unwrap(), event.seq),
            // The scripts mute nobody.
            Body::MemberMuted { .. } | Body::MemberUnmuted { .. } => {}
            Body::MemberUnbanned { user } => self.members.get_mut(user).unwrap().standing = Standing::Free,
            Body::RoleChanged { user, role } => self.members.get_mut(user).unwrap().role = *role,
            Body::Message(message) => {
                self.message_count += 1;
                let sent = Sent {
                    sender: event.actor.clone(),
                    overlay: Overlay::default(),
                    text: message.text.clone(),
                };
                self.messages.insert(event.seq, sent);
            }
            Body::MessageEdited { target, text, .. } => {
                self.overlay(*target, event.seq).edited = Some((text.clone(), event.at));
            }
            Body::MessageDeleted { target } => {
                *self.overlay(*target, event.seq) =
                    Overlay { changed: event.seq, deleted: true, ..Overlay::default() };
            }
            Body::ReactionAdded { target, emoji } => {
                let reactions = &mut self.overlay(*target, event.seq).reactions;
                reactions.entry(emoji.clone()).or_default().insert(event.actor.clone());
            }
            Body::ReactionRemoved { target, emoji } => {
                let reactions = &mut self.overlay(*target, event.seq).reactions;
                reactions.get_mut(emoji).unwrap().remove(&event.actor);
                reactions.retain(|_, users: &mut BTreeSet<UserId>| !users.is_empty());
            }
        }
    }

    fn overlay(&mut self, target: u64, changed: u64) -> &mut Overlay {
        let overlay = &mut self.messages.get_mut(&target).unwrap().overlay;
        overlay.changed = changed;
        overlay
    }
}

fn is_active(member: &Member) -> bool {
    member.intervals.last().is_some_and(|interval| interval.left.is_none())
}

fn reacted(overlay: &Overlay, emoji: &Emoji, user: &UserId) -> bool {
    overlay.reactions.get(emoji).is_some_and(|users| users.contains(user))
}
