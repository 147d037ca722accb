use std::collections::BTreeMap;
use std::sync::Arc;

use super::former::Former;
use super::layered::Layered;
use super::posted::Posted;
use super::requests::Requests;
use crate::evict::survivors;
use crate::limits::{INVITATION_BYTES, MEMBER_BYTES, MESSAGE_BYTES, REQUEST_BYTES, RoomSizes};
use crate::{
    Body, Chunk, DefaultPermissions, Event, Head, Invitation, Invitations, Member, MemberData, Mute, Overlay,
    Permission, Permissions, RequestEnd, Role, RoomId, RoomKind, Settings, Standing, Timestamp, UserId,
};

/// A room's data outside its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomInfo {
    /// The room.
    pub id: RoomId,
    /// The kind.
    pub kind: RoomKind,
    /// The settings now.
    pub settings: Settings,
    /// When it was created.
    pub created_at: Timestamp,
    /// Its creator.
    pub created_by: UserId,
    /// First seq kept; 1 if nothing was trimmed.
    pub floor: u64,
    /// Changes when the room is restored from a backup.
    pub epoch: u64,
    /// Both users of a direct room.
    pub direct_pair: Option<(UserId, UserId)>,
    /// Whether it was deleted: then `floor` is the seq of the deletion, and no event follows.
    pub deleted: bool,
    /// The number of messages that were imported.
    pub imported: u64,
}

impl RoomInfo {
    /// Takes over what a writer changes. Floor and epoch are excluded, since the writer's copy may be old; but a deletion
    /// ends the history.
    pub fn update(&mut self, written: &Self) {
        self.settings = written.settings.clone();
        self.imported = self.imported.max(written.imported);
        if written.deleted {
            (self.deleted, self.floor) = (true, written.floor);
        }
    }
}

/// A node's view of a room: the state folded from its log, as far as loaded. Cheap to clone once it
/// is settled.
#[derive(Debug, Clone)]
pub struct Room {
    pub(super) info: RoomInfo,
    pub(super) head: Head,
    pub(super) last_at: Timestamp,
    /// Loaded rows; `None` for users who were never members.
    pub(super) members: Layered<UserId, Option<Member>>,
    /// The head at which the rows of all members were loaded.
    pub(super) all_members_at: Option<u64>,
    /// The size of the data in loaded rows.
    data_bytes: usize,
    /// Invitations that wait for an answer; `None` while they are not loaded.
    pub(super) invitations: Option<Arc<Invitations>>,
    /// Loaded messages; `None` for seqs that hold no message.
    pub(super) messages: Layered<u64, Option<Posted>>,
    pub(super) requests: Requests,
    /// Rarely loaded, and too large for a part of each draft.
    pub(super) former: Option<Box<Former>>,
    /// Whether the first user blocks the second one, as far as this draft has asked.
    pub(super) blocks: BTreeMap<(UserId, UserId), bool>,
    /// What applies where the room has set no permission of its own.
    pub(super) defaults: Permissions,
    pub(super) sizes: &'static RoomSizes,
}

/// A chunk that cannot be applied: events before it are missing, it belongs to another log, or this
/// version does not understand its changes. The room has to be loaded again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the chunk at {first} does not follow on the head {head}")]
pub struct Hole {
    /// The room's head.
    pub head: u64,
    /// First seq of the chunk.
    pub first: u64,
}

impl Room {
    /// Creates a room from its stored info and the last chunk of its log.
    pub fn load(info: RoomInfo, tail: &Chunk) -> Self {
        // Nobody is invited before a room exists.
        let is_whole = tail.first_seq() == 1 && !tail.changes_unknown();
        let mut room = Self {
            info,
            head: tail.head(),
            last_at: Timestamp::default(),
            members: Layered::new(),
            all_members_at: None,
            data_bytes: 0,
            invitations: is_whole.then(Arc::default),
            messages: Layered::new(),
            requests: Requests::starting_at(tail.first_seq() - 1),
            former: None,
            blocks: BTreeMap::new(),
            defaults: Permissions::default(),
            sizes: &RoomSizes::PRODUCTION,
        };
        // Without a whole log no invitations are loaded, which is all that the count of members is for.
        room.fold_all(tail.events(), 0);
        room
    }

    /// Limits what the room keeps loaded to `sizes`.
    #[must_use]
    pub fn keeping(mut self, sizes: &'static RoomSizes) -> Self {
        self.sizes = sizes;
        self
    }

    /// Sets what applies where the room has set no permission of its own.
    #[must_use]
    pub fn permitting(mut self, defaults: &DefaultPermissions) -> Self {
        self.defaults = defaults.of(self.info.kind);
        self
    }

    /// The lowest role with this permission.
    pub(super) fn role_for(&self, permission: Permission) -> Role {
        self.defaults.changed(&self.info.settings.permissions).role_for(permission)
    }

    /// The room's data outside the log.
    pub fn info(&self) -> &RoomInfo {
        &self.info
    }

    /// The end of the last chunk applied.
    pub fn head(&self) -> Head {
        self.head
    }

    /// The row of `user`, if it is loaded.
    pub fn member(&self, user: &UserId) -> Option<&Option<Member>> {
        self.members.get(user)
    }

    /// Applies the next chunk of the log, as read from the store. An old chunk is ignored; one past
    /// a hole is an error that leaves the room unchanged.
    pub fn apply(&mut self, chunk: &Chunk) -> Result<(), Hole> {
        // Chunks of older versions do not name their predecessor.
        let forked = chunk.previous().is_some_and(|previous| previous != self.head.nonce());
        self.apply_if(chunk, chunk.first_seq() == self.head.seq() + 1 && !forked)
    }

    /// Applies the next chunk as published by another node: only if it continues exactly the log
    /// that this state was folded from.
    pub fn observe(&mut self, chunk: &Chunk) -> Result<(), Hole> {
        self.apply_if(chunk, chunk.continues(&self.head))
    }

    fn apply_if(&mut self, chunk: &Chunk, follows: bool) -> Result<(), Hole> {
        let (head, head_members) = (self.head.seq(), self.head.member_count());
        if chunk.head().seq() <= head {
            return Ok(());
        }
        if !follows || chunk.changes_unknown() {
            return Err(Hole { head, first: chunk.first_seq() });
        }
        self.fold_all(chunk.events(), head_members);
        self.head = chunk.head();
        Ok(())
    }

    /// Loads the row of `user`, read at or after the room's head.
    ///
    /// Returns whether the row is usable: a row with a change later than the room's head would mix
    /// two moments, and the room must catch up first.
    pub fn load_member(&mut self, user: UserId, row: Option<Member>) -> bool {
        if row.as_ref().is_some_and(|row| row.changed_at() > self.head.seq()) {
            return false;
        }
        let bytes = |row: &Option<Member>| row.as_ref().map_or(0, |row| row.data.values.bytes());
        let before = self.members.get(&user).map_or(0, bytes);
        self.data_bytes = (self.data_bytes + bytes(&row)).saturating_sub(before);
        self.members.insert(user, row);
        true
    }

    /// Loads the rows of all members, read at or after the room's head. Rows already loaded stay
    /// unchanged, since they may hold decided but not yet stored changes. Returns whether the rows
    /// are usable, as for one member.
    pub fn load_all_members(&mut self, rows: Vec<Member>) -> bool {
        for row in rows {
            if self.members.get(&row.user).is_none() && !self.load_member(row.user.clone(), Some(row)) {
                return false;
            }
        }
        self.all_members_at = Some(self.head.seq());
        true
    }

    /// Loads the invitations, read at or after the room's head. Returns whether they are usable, as for a member.
    pub fn load_invitations(&mut self, invitations: Invitations) -> bool {
        if invitations.changed_at() > self.head.seq() {
            return false;
        }
        self.invitations = Some(Arc::new(invitations));
        true
    }

    /// Loads the message at `seq`, or `None` if there is none. Returns whether it is usable, as for
    /// a member.
    pub fn load_message(&mut self, seq: u64, message: Option<Posted>) -> bool {
        if message.as_ref().is_some_and(|message| message.overlay.changed > self.head.seq()) {
            return false;
        }
        self.messages.insert(seq, message);
        true
    }

    /// Loads which users block `of`.
    pub fn load_blocks(&mut self, of: &UserId, by: impl IntoIterator<Item = (UserId, bool)>) {
        self.blocks.extend(by.into_iter().map(|(by, blocks)| ((by, of.clone()), blocks)));
    }

    /// Loads events right before those whose requests are remembered, in ascending order.
    pub fn load_older(&mut self, events: &[Event]) {
        self.requests.push_older(events);
    }

    /// Moves recent changes into the part shared by clones, and evicts loaded rows beyond the
    /// limits. Cheap if there is no clone.
    pub fn settle(&mut self) {
        let RoomSizes { members: most_members, messages: most_messages } = *self.sizes;
        let (all_members_at, data_bytes) = (&mut self.all_members_at, &mut self.data_bytes);
        self.members.settle(|members| {
            if members.len() > most_members {
                *all_members_at = None;
            }
            let mut survives = survivors(members.len(), most_members);
            members.retain(|_, row| {
                let stays = survives();
                if let Some(row) = row.as_ref().filter(|_| !stays) {
                    *data_bytes = data_bytes.saturating_sub(row.data.values.bytes());
                }
                stays
            });
        });
        self.messages.settle(|messages| {
            while messages.len() > most_messages {
                messages.pop_first();
            }
        });
        self.requests.settle();
    }

    /// Approximate size of what is loaded, in bytes. Overlays and data of messages are not measured.
    pub fn held_bytes(&self) -> usize {
        let (members, messages) = (self.members.len(), self.messages.len());
        let invitations = self.invitations.as_ref().map_or(0, |invitations| invitations.len());
        size_of::<Self>()
            + members * MEMBER_BYTES
            + self.data_bytes
            + invitations * INVITATION_BYTES
            + messages * MESSAGE_BYTES
            + self.requests.len() * REQUEST_BYTES
    }

    fn set_standing(&mut self, user: &UserId, standing: Standing, ban_ends: Option<Timestamp>) {
        if let Some(Some(member)) = self.members.get_mut(user) {
            (member.standing, member.ban_ends) = (standing, ban_ends);
        }
    }

    fn set_mute(&mut self, user: &UserId, until: Option<Timestamp>) {
        if let Some(Some(member)) = self.members.get_mut(user) {
            member.mute = Some(Mute { until });
        }
    }

    /// Ends all invitations, links and requests, if they are loaded and there are any.
    fn end_invitations(&mut self, seq: u64) {
        if let Some(invitations) = &mut self.invitations
            && !invitations.is_empty()
        {
            Arc::make_mut(invitations).end_all(seq);
        }
    }

    /// Ends the invitation and the request of `user`, if they are loaded and there are any.
    fn end_invitation(&mut self, user: &UserId, seq: u64) {
        if let Some(invitations) = &mut self.invitations
            && (invitations.get(user).is_some() || invitations.request_of(user).is_some())
        {
            Arc::make_mut(invitations).end(user, seq);
        }
    }

    /// Changes the invitations, if they are loaded.
    fn change_invitations(&mut self, change: impl FnOnce(&mut Invitations)) {
        if let Some(invitations) = &mut self.invitations {
            change(Arc::make_mut(invitations));
        }
    }

    /// Folds events after a state with `members` members.
    fn fold_all(&mut self, events: &[Event], mut members: u64) {
        for event in events {
            match &event.body {
                Body::MemberAdded { .. } => members += 1,
                Body::MemberRemoved { .. } => members = members.saturating_sub(1),
                _ => {}
            }
            self.fold(event, members);
        }
    }

    /// Folds one event into the state, after which the room has `members` members; `apply` moves the head by whole
    /// chunks.
    pub(super) fn fold(&mut self, event: &Event, members: u64) {
        self.last_at = self.last_at.max(event.at);
        match &event.body {
            Body::RoomCreated { kind, settings } => {
                self.info.kind = *kind;
                self.info.settings = settings.clone();
            }
            Body::RoomChanged { settings } => self.info.settings = settings.clone(),
            Body::MemberAdded { user, role, link } => {
                self.end_invitation(user, event.seq);
                if let Some(link) = link {
                    self.change_invitations(|all| all.use_link(*link, event.seq));
                }
                // A row that is not loaded stays unloaded; it is read when needed.
                if let Some(row) = self.members.get_mut(user) {
                    match row {
                        Some(member) if member.is_active() => {}
                        Some(member) => member.rejoin(*role, event.seq),
                        None => *row = Some(Member::joined(user.clone(), *role, event.seq)),
                    }
                }
            }
            Body::MemberRemoved { user } => {
                if let Some(Some(member)) = self.members.get_mut(user) {
                    let standing = if event.actor == *user { Standing::Free } else { Standing::Removed };
                    self.data_bytes = self.data_bytes.saturating_sub(member.data.values.bytes());
                    member.leave(event.seq, standing, &self.info.settings);
                }
                if members == 0 {
                    self.end_invitations(event.seq);
                }
            }
            Body::MemberBanned { user, until, .. } => {
                self.end_invitation(user, event.seq);
                self.set_standing(user, Standing::Banned, *until);
            }
            Body::MemberUnbanned { user } => self.set_standing(user, Standing::Free, None),
            Body::MemberMuted { user, until, .. } => self.set_mute(user, *until),
            // It has ended now: a row without a mute would leave the old one where fields are set one by one.
            Body::MemberUnmuted { user } => self.set_mute(user, Some(event.at)),
            Body::MemberUpdated { user, data } => {
                let values = data.clone().unwrap_or_default();
                if let Some(Some(member)) = self.members.get_mut(user) {
                    let others = self.data_bytes.saturating_sub(member.data.values.bytes());
                    self.data_bytes = others + values.bytes();
                    member.data = MemberData { values, seq: event.seq };
                }
            }
            Body::MemberInvited { user, until } => {
                let (by, at, until, seq) = (event.actor.clone(), event.at, *until, event.seq);
                self.change_invitations(|all| all.invite(user.clone(), Invitation { by, at, until, seq }));
            }
            Body::InvitationEnded { user } => self.change_invitations(|all| all.uninvite(user, event.seq)),
            // The hash of the link's secret stands in the store alone.
            Body::LinkCreated { .. } => self.invitations = None,
            Body::LinkRevoked { link } => self.change_invitations(|all| all.revoke_link(*link, event.seq)),
            Body::JoinRequested { user, until } => {
                self.change_invitations(|all| all.ask(user.clone(), event.at, *until, event.seq));
            }
            Body::JoinRequestEnded { user } => {
                let is_own = *user == event.actor;
                let end = if is_own { RequestEnd::Withdrawn } else { RequestEnd::Rejected };
                self.change_invitations(|all| all.end_request(user, end, event.at, event.seq));
            }
            Body::RoleChanged { user, role } => {
                if let Some(Some(member)) = self.members.get_mut(user) {
                    member.role = *role;
                }
            }
            Body::Message(message) => {
                if let Some(imported) = message.imported {
                    // The row may have been read after the log.
                    self.info.imported = self.info.imported.max(imported.number);
                }
                let posted = Posted {
                    sender: event.actor.clone(),
                    kind: message.kind.clone(),
                    data: message.data.clone(),
                    overlay: Overlay::default(),
                };
                self.messages.insert(event.seq, Some(posted));
            }
            Body::RoomDeleted => {
                self.end_invitations(event.seq);
                self.info.deleted = true;
                self.info.floor = event.seq;
            }
            Body::Other => {}
            Body::MessageEdited { target, .. }
            | Body::MessageDeleted { target }
            | Body::ReactionAdded { target, .. }
            | Body::ReactionRemoved { target, .. } => {
                if let Some(Some(message)) = self.messages.get_mut(target) {
                    message.apply(event);
                }
            }
        }
        self.requests.push(event);
    }
}
