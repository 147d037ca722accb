use super::stop::Stop;
use crate::room::command::Refusal;
use crate::room::decision::Need;
use crate::room::posted::Posted;
use crate::room::state::Room;
use crate::{
    Invitation, Invitations, JoinRequest, Joining, Link, LinkHash, Member, Permission, Role, RoomKind,
    SeqRange, Timestamp, UserId, visible_ranges,
};

/// The state that a command is decided on: a room with the events of a draft
/// folded in.
#[derive(Clone, Copy)]
pub(crate) struct View<'r> {
    pub(crate) room: &'r Room,
    /// The last seq, including the draft.
    pub(crate) head: u64,
    /// The last seq before the draft.
    pub(crate) base: u64,
    pub(crate) member_count: u64,
    /// The time of the events that are decided.
    pub(crate) at: Timestamp,
}

impl<'r> View<'r> {
    /// The row of `user`, which must be loaded.
    pub(super) fn row(&self, user: &UserId) -> Result<Option<&'r Member>, Stop> {
        match self.room.members.get(user) {
            Some(row) => Ok(row.as_ref()),
            None => Err(Need::Member(user.clone()).into()),
        }
    }

    /// The rows of all current members, which must be loaded.
    pub(super) fn members(&self) -> Result<impl Iterator<Item = &'r Member> + use<'r>, Stop> {
        if self.room.all_members_at != Some(self.base) {
            return Err(Need::Members.into());
        }
        Ok(self.room.members.values().flatten().filter(|member| member.is_active()))
    }

    /// The invitations to the room, which must be loaded.
    pub(super) fn invitations(&self) -> Result<&'r Invitations, Stop> {
        self.room.invitations.as_deref().ok_or_else(|| Need::Invitations.into())
    }

    /// The invitation of `user` that waits for an answer.
    pub(super) fn invitation(&self, user: &UserId) -> Result<Option<&'r Invitation>, Stop> {
        if self.room.info.deleted || self.room.info.kind == RoomKind::Direct {
            return Ok(None);
        }
        Ok(self.invitations()?.get(user).filter(|invitation| invitation.is_open_at(self.at)))
    }

    /// Whether `user`, whose row is `row`, becomes a member by accepting. Nobody opens a room that everyone has left.
    pub(super) fn may_accept(&self, user: &UserId, row: Option<&Member>) -> Result<bool, Stop> {
        let invitation = self.invitation(user)?.filter(|_| self.member_count > 0);
        Ok(invitation.is_some_and(|invitation| invitation.is_open_for(row, self.at)))
    }

    /// The link by which users join now whose secret has `hash`. None opens a room that everyone has left.
    pub(super) fn link(&self, hash: &LinkHash) -> Result<Option<&'r Link>, Stop> {
        if self.room.info.deleted || self.room.info.kind == RoomKind::Direct || self.member_count == 0 {
            return Ok(None);
        }
        let Some(link) = self.invitations()?.link_of(hash, self.at) else { return Ok(None) };
        // Nobody brings in others by a link who no longer may without one.
        let invites = |maker: &Member| maker.is_active() && allowed(*self, maker, Permission::Invite).is_ok();
        let is_backed = link.by_app || self.row(&link.by)?.is_some_and(invites);
        Ok(Some(link).filter(|_| is_backed))
    }

    /// Whether users may ask to become members.
    pub(super) fn takes_requests(&self) -> bool {
        let info = &self.room.info;
        !info.deleted && self.member_count > 0 && info.settings.joining(info.kind) == Joining::ByRequest
    }

    /// Whether the room holds a request of `user` that has not ended, though it may have expired.
    pub(super) fn has_asked(&self, user: &UserId) -> Result<bool, Stop> {
        if self.room.info.deleted || self.room.info.kind == RoomKind::Direct {
            return Ok(false);
        }
        Ok(self.invitations()?.request_of(user).is_some_and(|request| request.ended.is_none()))
    }

    /// The request of `user`, whose row is `row`, to become a member: it waits for an answer, or was rejected.
    pub(super) fn request(
        &self,
        user: &UserId,
        row: Option<&Member>,
    ) -> Result<Option<&'r JoinRequest>, Stop> {
        if self.room.info.deleted || self.room.info.kind == RoomKind::Direct {
            return Ok(None);
        }
        Ok(self.invitations()?.request_of(user).filter(|request| request.stands_for(row, self.at)))
    }

    /// The message at `seq`, which must be loaded, if `actor` may see it.
    pub(super) fn message(&self, actor: &Member, seq: u64) -> Result<&'r Posted, Stop> {
        let visible = visible_ranges(actor, self.room.info.settings.visibility, self.head);
        if seq < self.room.info.floor || !visible.iter().any(|range: &SeqRange| range.contains(seq)) {
            return Err(Refusal::MessageNotFound(seq).into());
        }
        match self.room.messages.get(&seq) {
            Some(Some(message)) => Ok(message),
            Some(None) => Err(Refusal::MessageNotFound(seq).into()),
            None => Err(Need::Message(seq).into()),
        }
    }

    /// Refuses `actor` if one of `users` has blocked them.
    pub(super) fn accepted<'u>(
        &self,
        actor: &UserId,
        users: impl Iterator<Item = &'u UserId>,
    ) -> Result<(), Stop> {
        let (mut unknown, mut refused) = (Vec::new(), None);
        for user in users {
            match self.room.blocks.get(&(user.clone(), actor.clone())) {
                None => unknown.push(user.clone()),
                Some(true) => refused = refused.or(Some(user)),
                Some(false) => {}
            }
        }
        match refused {
            _ if !unknown.is_empty() => Err(Need::Blocks { by: unknown, of: actor.clone() }.into()),
            Some(user) => Err(Refusal::NotAccepted(user.clone()).into()),
            None => Ok(()),
        }
    }

    /// Whether `member` is muted now.
    pub(super) fn is_muted(&self, member: &Member) -> bool {
        member.mute.is_some_and(|mute| mute.holds_at(self.at))
    }

    pub(super) fn not_direct(&self) -> Result<(), Refusal> {
        if self.room.info.kind == RoomKind::Direct { Err(Refusal::DirectRoom) } else { Ok(()) }
    }
}

/// Refuses members whose role lacks `permission` in this room.
pub(super) fn allowed(view: View<'_>, member: &Member, permission: Permission) -> Result<(), Refusal> {
    at_least(member, view.room.role_for(permission))
}

pub(super) fn at_least(member: &Member, role: Role) -> Result<(), Refusal> {
    member.role.at_least(role)
}
