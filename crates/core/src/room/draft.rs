use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::requests::Seen;
use super::{Action, Command, Decision, Need, Outcome, Refusal, Room, RoomInfo, SettingsChange};
use crate::limits::{
    MAX_CHUNK_BYTES, MAX_CHUNK_EVENTS, MAX_EMOJI_KINDS, MAX_ITEMS_PER_APPEND, MAX_MEMBERS,
    MAX_MEMBERS_PER_REQUEST, MAX_REACTIONS,
};
use crate::{
    Body, Chunk, Emoji, Event, Head, Mark, Member, Message, Nonce, Overlay, Role, RoomKind, SeqRange,
    Standing, Text, Timestamp, Unknown, UserId, visible_ranges,
};

/// Commands decided on top of a room, not stored yet. Everything that one append holds.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The state with the events so far folded in.
    room: Room,
    /// Where the append goes on.
    base: Head,
    events: Vec<Event>,
    text_bytes: usize,
    message_count: u64,
    deleted_count: u64,
    member_count: u64,
    changed_members: BTreeSet<UserId>,
    changed_messages: BTreeSet<u64>,
    settings_changed: bool,
}

/// One append: the chunk, and what must be written with it or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// The head that the chunk follows. The store refuses any other.
    pub expected: Head,
    /// The chunk.
    pub chunk: Chunk,
    /// Rows of members that changed.
    pub members: Vec<Member>,
    /// Messages whose present form changed.
    pub overlays: Vec<(u64, Overlay)>,
    /// Who joined, with the mark that they start at.
    pub joins: Vec<(UserId, Mark)>,
    /// Who sent messages, each with the mark of the last one: up to there they have
    /// read the room.
    pub sent: Vec<(UserId, Mark)>,
    /// The room's own item, where it changed.
    pub info: Option<RoomInfo>,
}

/// Whether a command goes on, or is answered already.
type Step<T> = Result<Result<T, Need>, Refusal>;

/// Takes the value out of a step, or returns the need from the caller.
macro_rules! need {
    ($step:expr) => {
        match $step? {
            Ok(value) => value,
            Err(need) => return Ok(Err(need)),
        }
    };
}

impl Draft {
    pub(super) fn new(room: Room) -> Self {
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
            settings_changed: false,
        }
    }

    /// The state so far; what a [`Need`] asks for is loaded into it.
    pub fn room_mut(&mut self) -> &mut Room {
        &mut self.room
    }

    /// Whether there is anything to append.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Whether any one further command might still fit into this append.
    pub fn has_room(&self) -> bool {
        let items = 2 * self.changed_members.len() + self.changed_messages.len();
        self.events.len() + MAX_MEMBERS_PER_REQUEST <= MAX_CHUNK_EVENTS
            && self.text_bytes + crate::limits::MAX_TEXT_BYTES <= MAX_CHUNK_BYTES
            && items + 2 * MAX_MEMBERS_PER_REQUEST <= MAX_ITEMS_PER_APPEND
    }

    /// Decides `command`. `now` is the node's clock; the events' time is never before
    /// the room's last.
    pub fn decide(&mut self, command: &Command, now: Timestamp) -> Result<Decision, Refusal> {
        let bodies = match self.bodies(command, now)? {
            Ok(Verdict::Change(bodies)) => bodies,
            Ok(Verdict::Repeat(outcome)) => return Ok(Decision::Done(outcome)),
            Err(need) => return Ok(Decision::Need(need)),
        };
        let at = now.max(self.room.last_at);
        let first = self.next_seq();
        for body in bodies {
            self.push(command, at, body);
        }
        let changed = self.next_seq() > first;
        Ok(Decision::Done(Outcome {
            first: if changed { first } else { 0 },
            last: if changed { self.next_seq() - 1 } else { 0 },
            at,
            message_count: self.message_count,
            is_repeat: false,
        }))
    }

    /// What is to be appended, if anything is; and the room as it stands once it is.
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
            if matches!(event.body, Body::Message(_)) {
                sent.insert(event.actor.clone(), Mark::at(event));
            }
        }
        let members = self
            .changed_members
            .iter()
            .filter_map(|user| room.members.get(user).cloned().flatten())
            .collect();
        let overlays = self
            .changed_messages
            .iter()
            .filter_map(|seq| Some((*seq, room.messages.get(seq)?.as_ref()?.1.clone())))
            .collect();
        let Some(chunk) = Chunk::new(nonce, events, message_count, member_count) else { return (None, room) };
        let chunk = chunk.with_previous(Some(*base.nonce()));
        room.head = chunk.head();
        let info = self.settings_changed.then(|| room.info.clone());
        let sent = sent.into_iter().collect();
        (Some(Append { expected: base, chunk, members, overlays, joins, sent, info }), room)
    }

    /// The time up to which the log is taken to reach. Windows of time are measured by the
    /// log's own times: a node whose clock is ahead would take recent events for old ones.
    /// `now` bounds it for the case that such a node has stamped the log.
    fn newest(&self, now: Timestamp) -> Timestamp {
        self.room.last_at.min(now)
    }

    fn next_seq(&self) -> u64 {
        self.base.seq() + self.events.len() as u64 + 1
    }

    fn push(&mut self, command: &Command, at: Timestamp, body: Body) {
        match &body {
            Body::Message(_) => self.message_count += 1,
            Body::MessageDeleted { .. } => self.deleted_count += 1,
            Body::MemberAdded { user, .. } => {
                self.member_count += 1;
                self.changed_members.insert(user.clone());
            }
            Body::MemberRemoved { user } => {
                self.member_count -= 1;
                self.changed_members.insert(user.clone());
            }
            Body::MemberBanned { user } | Body::MemberUnbanned { user } | Body::RoleChanged { user, .. } => {
                self.changed_members.insert(user.clone());
            }
            Body::RoomChanged { .. } => self.settings_changed = true,
            _ => {}
        }
        self.changed_messages.extend(body.target());
        self.text_bytes += body.text_bytes();
        let event = Event {
            seq: self.next_seq(),
            at,
            actor: command.actor.clone(),
            request: command.request.clone(),
            message_count: self.message_count,
            deleted_count: self.deleted_count,
            body,
            unknown: Unknown::default(),
        };
        self.room.fold(&event);
        self.events.push(event);
    }

    /// The events that `command` comes to.
    fn bodies(&self, command: &Command, now: Timestamp) -> Step<Verdict> {
        let actor = need!(self.row(&command.actor));
        // Whoever never was a member learns nothing, neither of repeats nor, from a
        // cursor that lies ahead, of the head. A channel is open to be joined.
        let joins = matches!(command.action, Action::Join) && self.room.info.kind == RoomKind::Channel;
        let for_app = matches!(command.action, Action::SetOwner { .. });
        if actor.is_none() && !joins && !for_app {
            return Err(Refusal::NotMember);
        }
        let head = self.next_seq() - 1;
        // The app acts whether its user is a member or not.
        let left = actor.filter(|actor| !actor.is_active() && !for_app).map(Member::changed_at);
        match self.room.requests.check(command, head, left, self.room.info.floor, self.newest(now))? {
            Seen::Before(outcome) => return Ok(Ok(Verdict::Repeat(outcome))),
            Seen::LookFurther => {
                return Ok(Err(Need::Older { before: self.room.requests.after() + 1 }));
            }
            Seen::Never => {}
        }
        let change = |body| Ok(Ok(Verdict::Change(vec![body])));
        let nothing = || Ok(Ok(Verdict::Change(Vec::new())));

        if let Action::Join = command.action {
            let standing = actor.map_or(Standing::Free, |actor| actor.standing);
            return match self.room.info.kind {
                RoomKind::Direct => Err(Refusal::DirectRoom),
                _ if actor.is_some_and(Member::is_active) => nothing(),
                RoomKind::Group => Err(Refusal::NotJoinable),
                RoomKind::Channel if self.member_count >= MAX_MEMBERS => Err(Refusal::RoomFull),
                RoomKind::Channel if standing == Standing::Removed => Err(Refusal::Removed),
                RoomKind::Channel if standing == Standing::Banned => Err(Refusal::Banned),
                // Whoever comes back to an abandoned channel finds it theirs. A stranger does not: its past
                // is not theirs to open.
                RoomKind::Channel => {
                    let is_back = actor.is_some() && self.member_count == 0;
                    let role = if is_back { Role::Owner } else { Role::Member };
                    change(Body::MemberAdded { user: command.actor.clone(), role })
                }
            };
        }
        if let Action::SetOwner { user } = &command.action {
            return self.set_owner(user);
        }
        let Some(actor) = actor.filter(|actor| actor.is_active()) else {
            return match command.action {
                Action::Leave => nothing(),
                _ => Err(Refusal::NotMember),
            };
        };
        match &command.action {
            Action::Join | Action::SetOwner { .. } => nothing(),
            Action::Send { text, reply_to } => {
                if let Some(seq) = reply_to {
                    need!(self.message(actor, *seq));
                }
                change(Body::Message(Message { text: text.clone(), reply_to: *reply_to }))
            }
            Action::Edit { target, text } => self.edit(actor, *target, text),
            Action::Delete { target } => {
                let (sender, overlay) = need!(self.message(actor, *target));
                if overlay.deleted {
                    return nothing();
                }
                if *sender != actor.user {
                    at_least(actor, Role::Admin)?;
                }
                change(Body::MessageDeleted { target: *target })
            }
            Action::React { target, emoji } => self.react(actor, *target, emoji),
            Action::Unreact { target, emoji } => {
                let (_, overlay) = need!(self.message(actor, *target));
                match overlay.reactions.get_key_value(emoji) {
                    Some((known, users)) if users.contains(&actor.user) => {
                        change(Body::ReactionRemoved { target: *target, emoji: known.clone() })
                    }
                    _ => nothing(),
                }
            }
            Action::Add { users } => self.add(actor, users),
            Action::Remove { user } => {
                self.not_direct()?;
                if *user == actor.user {
                    return self.leave(actor);
                }
                at_least(actor, Role::Admin)?;
                let Some(member) = need!(self.row(user)).filter(|member| member.is_active()) else {
                    return nothing();
                };
                if member.role >= actor.role {
                    return Err(Refusal::NeedsRole("owner"));
                }
                change(Body::MemberRemoved { user: user.clone() })
            }
            Action::Ban { user } => self.ban(actor, user),
            Action::Unban { user } => {
                self.not_direct()?;
                at_least(actor, Role::Admin)?;
                let member = need!(self.row(user));
                if member.is_none_or(|member| member.standing != Standing::Banned) {
                    return nothing();
                }
                change(Body::MemberUnbanned { user: user.clone() })
            }
            Action::SetRole { user, role } => self.set_role(actor, user, *role),
            Action::Leave => self.leave(actor),
            Action::Update(settings) => self.update(actor, settings),
        }
    }

    fn edit(&self, actor: &Member, target: u64, text: &Text) -> Step<Verdict> {
        let (sender, overlay) = need!(self.message(actor, target));
        if *sender != actor.user {
            return Err(Refusal::NotSender);
        }
        if overlay.deleted {
            return Err(Refusal::MessageDeleted(target));
        }
        Ok(Ok(Verdict::Change(vec![Body::MessageEdited { target, text: text.clone() }])))
    }

    fn react(&self, actor: &Member, target: u64, emoji: &Emoji) -> Step<Verdict> {
        let (_, overlay) = need!(self.message(actor, target));
        if overlay.deleted {
            return Err(Refusal::MessageDeleted(target));
        }
        // Written as the first one on the message, so that clients see one reaction.
        let (emoji, users) = match overlay.reactions.get_key_value(emoji) {
            Some((known, users)) => (known, Some(users)),
            None => (emoji, None),
        };
        if users.is_some_and(|users| users.contains(&actor.user)) {
            return Ok(Ok(Verdict::Change(Vec::new())));
        }
        let count: usize = overlay.reactions.values().map(BTreeSet::len).sum();
        if count >= MAX_REACTIONS || (users.is_none() && overlay.reactions.len() >= MAX_EMOJI_KINDS) {
            return Err(Refusal::TooManyReactions);
        }
        Ok(Ok(Verdict::Change(vec![Body::ReactionAdded { target, emoji: emoji.clone() }])))
    }

    fn add(&self, actor: &Member, users: &[UserId]) -> Step<Verdict> {
        self.not_direct()?;
        at_least(actor, Role::Admin)?;
        let mut bodies: Vec<Body> = Vec::with_capacity(users.len());
        for user in users.iter().collect::<BTreeSet<_>>() {
            let member = need!(self.row(user));
            if member.is_some_and(|member| member.standing == Standing::Banned) {
                return Err(Refusal::TargetBanned(user.clone()));
            }
            if !member.is_some_and(Member::is_active) {
                bodies.push(Body::MemberAdded { user: user.clone(), role: Role::Member });
            }
        }
        if self.member_count + bodies.len() as u64 > MAX_MEMBERS {
            return Err(Refusal::RoomFull);
        }
        Ok(Ok(Verdict::Change(bodies)))
    }

    /// A member is removed first: whoever follows the membership need not know of bans.
    fn ban(&self, actor: &Member, user: &UserId) -> Step<Verdict> {
        self.not_direct()?;
        at_least(actor, Role::Admin)?;
        let Some(member) = need!(self.row(user)) else {
            return Err(Refusal::TargetNotMember(user.clone()));
        };
        let mut bodies = Vec::with_capacity(2);
        if member.is_active() {
            if member.role >= actor.role {
                return Err(Refusal::NeedsRole("owner"));
            }
            bodies.push(Body::MemberRemoved { user: user.clone() });
        }
        if member.standing != Standing::Banned {
            bodies.push(Body::MemberBanned { user: user.clone() });
        }
        Ok(Ok(Verdict::Change(bodies)))
    }

    fn set_role(&self, actor: &Member, user: &UserId, role: Role) -> Step<Verdict> {
        self.not_direct()?;
        at_least(actor, Role::Owner)?;
        let Some(member) = need!(self.row(user)).filter(|member| member.is_active()) else {
            return Err(Refusal::TargetNotMember(user.clone()));
        };
        if member.role == role {
            return Ok(Ok(Verdict::Change(Vec::new())));
        }
        if *user == actor.user {
            // Stepping down would leave the room without an owner.
            return Err(Refusal::OwnerLeaves);
        }
        let mut bodies = vec![Body::RoleChanged { user: user.clone(), role }];
        if role == Role::Owner {
            bodies.push(Body::RoleChanged { user: actor.user.clone(), role: Role::Admin });
        }
        Ok(Ok(Verdict::Change(bodies)))
    }

    /// Makes `user` the owner, and whoever is that now an admin.
    fn set_owner(&self, user: &UserId) -> Step<Verdict> {
        self.not_direct()?;
        let Some(member) = need!(self.row(user)).filter(|member| member.is_active()) else {
            return Err(Refusal::TargetNotMember(user.clone()));
        };
        if self.room.all_members_at != Some(self.base.seq()) {
            return Ok(Err(Need::Members));
        }
        let mut bodies = Vec::with_capacity(2);
        if member.role != Role::Owner {
            bodies.push(Body::RoleChanged { user: user.clone(), role: Role::Owner });
        }
        let members = self.room.members.values().flatten();
        let others = members.filter(|other| other.is_active() && other.user != *user);
        let mut owners: Vec<&UserId> =
            others.filter(|other| other.role == Role::Owner).map(|other| &other.user).collect();
        owners.sort_unstable();
        bodies.extend(
            owners.into_iter().map(|owner| Body::RoleChanged { user: owner.clone(), role: Role::Admin }),
        );
        Ok(Ok(Verdict::Change(bodies)))
    }

    fn leave(&self, actor: &Member) -> Step<Verdict> {
        self.not_direct()?;
        let mut bodies = Vec::with_capacity(2);
        if actor.role == Role::Owner && self.member_count > 1 {
            let user = need!(self.successor(actor)).clone();
            bodies.push(Body::RoleChanged { user, role: Role::Owner });
        }
        bodies.push(Body::MemberRemoved { user: actor.user.clone() });
        Ok(Ok(Verdict::Change(bodies)))
    }

    /// Who becomes the owner when `owner` leaves: the longest-standing admin, else the
    /// longest-standing member; of those who joined together, the first by id.
    fn successor(&self, owner: &Member) -> Step<&UserId> {
        if self.room.all_members_at != Some(self.base.seq()) {
            return Ok(Err(Need::Members));
        }
        let others = self.room.members.values().flatten();
        let others = others.filter(|member| member.is_active() && member.user != owner.user);
        let first = others.min_by_key(|member| (Reverse(member.role), member.changed_at(), &member.user));
        first.map(|member| Ok(&member.user)).ok_or(Refusal::OwnerLeaves)
    }

    fn update(&self, actor: &Member, change: &SettingsChange) -> Step<Verdict> {
        self.not_direct()?;
        at_least(actor, Role::Admin)?;
        let mut settings = self.room.info.settings.clone();
        if let Some(title) = &change.title {
            settings.title = title.clone();
        }
        if let Some(topic) = &change.topic {
            settings.topic = topic.clone();
        }
        if let Some(visibility) = change.visibility {
            settings.visibility = visibility;
        }
        if settings == self.room.info.settings {
            return Ok(Ok(Verdict::Change(Vec::new())));
        }
        Ok(Ok(Verdict::Change(vec![Body::RoomChanged { settings }])))
    }

    fn not_direct(&self) -> Result<(), Refusal> {
        if self.room.info.kind == RoomKind::Direct { Err(Refusal::DirectRoom) } else { Ok(()) }
    }

    /// The row of `user`, loaded.
    fn row(&self, user: &UserId) -> Step<Option<&Member>> {
        match self.room.members.get(user) {
            Some(row) => Ok(Ok(row.as_ref())),
            None => Ok(Err(Need::Member(user.clone()))),
        }
    }

    /// The message at `seq`, loaded, if `actor` may see it.
    fn message(&self, actor: &Member, seq: u64) -> Step<&(UserId, Overlay)> {
        let head = self.next_seq() - 1;
        let visible = visible_ranges(actor, self.room.info.settings.visibility, head);
        if seq < self.room.info.floor || !visible.iter().any(|range: &SeqRange| range.contains(seq)) {
            return Err(Refusal::MessageNotFound(seq));
        }
        match self.room.messages.get(&seq) {
            Some(Some(message)) => Ok(Ok(message)),
            Some(None) => Err(Refusal::MessageNotFound(seq)),
            None => Ok(Err(Need::Message(seq))),
        }
    }
}

enum Verdict {
    /// Append these; none where there is nothing to change.
    Change(Vec<Body>),
    /// It was carried out before.
    Repeat(Outcome),
}

fn at_least(member: &Member, role: Role) -> Result<(), Refusal> {
    if member.role >= role {
        return Ok(());
    }
    Err(Refusal::NeedsRole(match role {
        Role::Owner => "owner",
        Role::Admin => "admin",
        Role::Member => "member",
    }))
}
