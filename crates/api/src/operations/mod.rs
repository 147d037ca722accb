//! The operations, as methods of [`Api`] on contract messages. Called by both the services and the
//! frames of a session.

mod accounts;
mod blocks;
mod consent;
mod costly;
mod directory;
mod erasure;
mod export;
mod filtered;
mod history;
mod inbox;
mod invitations;
mod invited;
mod join_requests;
mod links;
mod messages;
mod moderation;
mod new_room;
pub(crate) mod parse;
mod people;
mod preferences;
mod report_signal;
mod report_view;
mod reports;
mod room_view;
mod rooms;
mod screened;
mod server;
mod settling;
pub(crate) mod streams;
#[cfg(test)]
mod tests;
mod users;
pub(crate) mod views;
mod walk;

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use parlance_cluster::SignalRoom;
use parlance_core::{Caller, Cursors, Member, Refusal, RequestId, Role, RoomId, RoomKind, UserId};
use parlance_peers::{Budget, Reservation};
use parlance_proto::answers::expected_bytes;
use parlance_proto::error::Failure;
use parlance_proto::v1;
use parlance_runtime::random;
use parlance_sessions::{Executed, NotAcknowledged, Operations};
use parlance_store::past::Until;
use parlance_store::{StoreError, StoredRoom};
use v1::client_frame::Operation;
use v1::reply::Result as Reply;

use crate::gate::{Call, Gate};
use crate::limits::ROOMS_FOR_ONE;
use crate::{Api, Error};

/// A room that the caller may read, and how much of it.
pub(crate) struct Access {
    pub(crate) room: StoredRoom,
    /// The caller's own member row.
    pub(crate) own: Option<Member>,
    /// The member row that permits reading: for the app's own backend [`Member::app`].
    pub(crate) member: Option<Member>,
}

impl Operations for Api {
    fn check_rate(&self, caller: &Caller) -> Result<(), Failure> {
        Ok(self.gate.check_rate(caller)?)
    }

    fn check_hello<'a>(&'a self, caller: &'a Caller) -> BoxFuture<'a, Result<(), Failure>> {
        async move { Ok(self.gate.check_hello(caller).await?) }.boxed()
    }

    fn charge_rooms(&self, caller: &Caller, rooms: usize) {
        self.gate.charge(caller, rooms / ROOMS_FOR_ONE);
    }

    fn refresh<'a>(
        &'a self,
        caller: &'a Caller,
        number: u64,
        refresh: v1::Refresh,
    ) -> BoxFuture<'a, Result<Caller, Failure>> {
        async move { Ok(self.gate.refresh(caller, number, refresh).await?) }.boxed()
    }

    fn execute(
        self: Arc<Self>,
        caller: Caller,
        as_user: String,
        operation: Operation,
        answers: Arc<Budget>,
    ) -> BoxFuture<'static, Executed> {
        // Its state is as large as that of the largest operation.
        async move { Ok(Box::pin(Self::execute(&self, &caller, &as_user, operation, &answers)).await?) }
            .boxed()
    }

    fn ensure_user<'a>(&'a self, caller: &'a Caller) -> BoxFuture<'a, Result<(), Failure>> {
        async move { Ok(Self::ensure_user(self, caller).await?) }.boxed()
    }

    fn check_account<'a>(&'a self, caller: &'a Caller) -> BoxFuture<'a, Result<(), Failure>> {
        async move { Ok(self.accounts().check(caller).await?) }.boxed()
    }

    fn acknowledge<'a>(
        &'a self,
        user: &'a UserId,
        room: &'a RoomId,
        seq: u64,
    ) -> BoxFuture<'a, Result<Cursors, NotAcknowledged>> {
        async move {
            Self::acknowledge(self, user, room, seq).await.map_err(|error| match error {
                Error::Store(error) => NotAcknowledged::Store(error),
                refusal => NotAcknowledged::Refused(refusal.to_string()),
            })
        }
        .boxed()
    }

    fn failure(&self, error: parlance_sessions::Error) -> Failure {
        Error::from(error).into()
    }
}

impl Api {
    /// Carries out one operation of a session, as another user where one is named, once `answers` has room for what it
    /// may answer with.
    pub(crate) async fn execute(
        &self,
        caller: &Caller,
        as_user: &str,
        operation: Operation,
        answers: &Arc<Budget>,
    ) -> Result<(Reply, Option<Reservation>), Error> {
        let caller = caller.clone();
        let mut reserved = None;
        macro_rules! acting {
            ($request:ident) => {
                acting_for(&self.gate, &$request, caller, as_user)?
            };
        }
        macro_rules! carry_out {
            ($($name:ident $method:ident;)*) => {{
                let reply = match operation {
                    $(
                        Operation::$name(request) => {
                            let passed = self.gate.pass(acting!(request), request, move |caller, request| async move {
                                // Within its rate and its time.
                                let room = reserve_for(answers, &request).await;
                                Ok((self.$method(&caller, request).await?, room))
                            });
                            let (answer, room) = passed.await?;
                            reserved = room;
                            Reply::$name(answer)
                        }
                    )*
                    Operation::CreateUser(request) => Reply::CreateUser(
                        self.gate.pass(acting!(request), request, move |caller, request| async move {
                            self.create_user(Some(&caller), request).await
                        }).await?,
                    ),
                    Operation::GetServer(request) => Reply::GetServer(
                        self.gate.pass(acting!(request), request, move |_, _| async move {
                            Ok(self.get_server())
                        }).await?,
                    ),
                    // Answered by the session itself.
                    Operation::Hello(_) => return Err(Error::HelloRepeated),
                    Operation::Refresh(_) => return Err(Error::UnknownOperation),
                };
                (reply, reserved)
            }};
        }
        Ok(carry_out! {
            SendMessage send_message;
            GetMessage get_message;
            ListMessages list_messages;
            ListEvents list_events;
            EditMessage edit_message;
            DeleteMessage delete_message;
            AddReaction add_reaction;
            RemoveReaction remove_reaction;
            SendTyping send_typing;
            GetUser get_user;
            GetUsers get_users;
            ListUsers list_users;
            UpdateUser update_user;
            GetPresence get_presence;
            CreateRoom create_room;
            GetRoom get_room;
            UpdateRoom update_room;
            DeleteRoom delete_room;
            GetDirectRoom get_direct_room;
            ListRooms list_rooms;
            AddMembers add_members;
            RemoveMember remove_member;
            ListMembers list_members;
            SetRole set_role;
            UpdateMember update_member;
            JoinRoom join_room;
            LeaveRoom leave_room;
            BanMember ban_member;
            UnbanMember unban_member;
            MuteMember mute_member;
            UnmuteMember unmute_member;
            ListInbox list_inbox;
            MarkRead mark_read;
            AcknowledgeDelivery acknowledge_delivery;
            SetRoomHidden set_room_hidden;
            SetRoomPreferences set_room_preferences;
            GetUnreadTotal get_unread_total;
            ListBans list_bans;
            BlockUser block_user;
            UnblockUser unblock_user;
            ListBlocked list_blocked;
            SearchUsers search_users;
            DeactivateUser deactivate_user;
            ReactivateUser reactivate_user;
            DeleteUser delete_user;
            ExportUser export_user;
            ReportMessage report_message;
            ReportUser report_user;
            ListReports list_reports;
            ResolveReport resolve_report;
            ListReceipts list_receipts;
            InviteMember invite_member;
            AcceptInvitation accept_invitation;
            DeclineInvitation decline_invitation;
            RevokeInvitation revoke_invitation;
            ListInvitations list_invitations;
            ListRoomInvitations list_room_invitations;
            ImportMessages import_messages;
            ExportRoom export_room;
            ListDirectory list_directory;
            CreateInvitationLink create_invitation_link;
            RevokeInvitationLink revoke_invitation_link;
            ListInvitationLinks list_invitation_links;
            GetInvitationLink get_invitation_link;
            JoinByLink join_by_link;
            RequestToJoin request_to_join;
            WithdrawJoinRequest withdraw_join_request;
            AnswerJoinRequest answer_join_request;
            ListJoinRequests list_join_requests;
        })
    }

    /// Reads the room, then the caller's member row: in this order, everything read from the room lies
    /// within the membership read after it. A membership that began in between is left out, because the
    /// settings read before it may open more of the past than those it began with.
    pub(crate) async fn access(&self, caller: &Caller, room: &RoomId) -> Result<Access, Error> {
        let mut access = self.access_as_member(&caller.user, room).await?;
        if caller.is_service {
            access.member = Some(Member::app(caller.user.clone()));
        }
        if access.room.info.deleted {
            // Only members may learn that the room existed.
            access.active_member()?;
        }
        Ok(access)
    }

    /// Like [`Self::access`], but the app's own backend gets no special access.
    pub(crate) async fn access_as_member(&self, user: &UserId, room: &RoomId) -> Result<Access, Error> {
        let stored = self.store().room(room).await?;
        // Read in any case: response time must not reveal whether two people have a direct room.
        let member = self.store().member(room, user).await?;
        let stored = stored.ok_or(Error::RoomNotFound)?;
        let member = member.and_then(|member| member.as_of(stored.head().seq()));
        Ok(Access { room: stored, own: member.clone(), member })
    }

    /// The room as far as this node knows it (see [`parlance_cluster::Cluster::known_room`]), otherwise
    /// from the store, which checks membership.
    async fn room_of_member(&self, user: &UserId, room: &RoomId, seq: u64) -> Result<SignalRoom, Error> {
        if let Some(known) = self.cluster.known_room(user, room, seq) {
            return Ok(known);
        }
        let access = self.access_as_member(user, room).await?;
        access.active_member()?;
        Ok(SignalRoom::from(&access.room))
    }
}

/// Makes room for the answer to a request of a frame, if that may be large.
async fn reserve_for<Q: Call>(answers: &Arc<Budget>, _: &Q) -> Option<Reservation> {
    match expected_bytes(Q::operation().name) {
        0 => None,
        bytes => Some(answers.reserve(bytes).await),
    }
}

/// Who makes a request of a frame: see [`Gate::acting_as`].
fn acting_for<Q: Call>(gate: &Gate, _: &Q, caller: Caller, as_user: &str) -> Result<Caller, Error> {
    gate.acting_as::<Q>(caller, Ok(as_user))
}

/// Refuses all callers but the app's own backend.
fn only_the_app(caller: &Caller) -> Result<(), Error> {
    if caller.is_service { Ok(()) } else { Err(Error::NeedsScope) }
}

/// A request id that nobody can foresee.
fn random_request(purpose: &str) -> RequestId {
    let id = format!("{purpose}-{:032x}", u128::from_be_bytes(random::bytes()));
    RequestId::parse(&id).unwrap_or_else(|error| unreachable!("{id}: {error}"))
}

/// Returns the id of a room that cannot be read now, to be left out of a page. An error of the whole
/// store fails the page.
fn left_out(room: &RoomId, error: Error) -> Result<String, Error> {
    if matches!(error, Error::Store(StoreError::Failed(_))) {
        return Err(error);
    }
    tracing::error!(%room, %error, "cannot read a room, leaving it out of a page");
    metrics::counter!("parlance_unreadable_rooms_total").increment(1);
    Ok(room.as_str().to_owned())
}

impl Access {
    /// The row of who is or once was a member.
    pub(crate) fn member(&self) -> Result<&Member, Error> {
        self.member.as_ref().ok_or_else(|| self.not_member())
    }

    /// The row of a current member with the role `least` or more. Refused in a direct room, where roles mean nothing.
    pub(crate) fn member_with(&self, least: Role) -> Result<&Member, Error> {
        let member = self.active_member()?;
        if self.room.info.kind == RoomKind::Direct {
            return Err(self.refused(Refusal::DirectRoom));
        }
        member.role.at_least(least).map_err(|refusal| self.refused(refusal))?;
        Ok(member)
    }

    /// The row of who is a member now.
    pub(crate) fn active_member(&self) -> Result<&Member, Error> {
        let member = self.last_member()?;
        if self.room.info.deleted {
            return Err(self.refused(Refusal::RoomDeleted));
        }
        Ok(member)
    }

    /// The row of who is a member now, or was when the room was deleted: for what ends their dealings with it.
    pub(crate) fn last_member(&self) -> Result<&Member, Error> {
        let member = self.member()?;
        if member.is_active() { Ok(member) } else { Err(self.not_member()) }
    }

    fn not_member(&self) -> Error {
        if self.member.is_none() && self.room.info.kind == RoomKind::Direct {
            // Its id can be computed: that two people talk is not for others to know.
            return Error::RoomNotFound;
        }
        self.refused(Refusal::NotMember)
    }

    fn refused(&self, refusal: Refusal) -> Error {
        Error::Refused { room: self.room.info.id.clone(), refusal }
    }

    /// The last seq that the member may see.
    pub(crate) fn until(&self) -> Result<Until, Error> {
        Ok(self.room.until(self.member()?))
    }

    /// Whether the member may see the message at `seq`, even if it is no longer kept.
    pub(crate) fn shows(&self, seq: u64) -> Result<bool, Error> {
        let visibility = self.room.info.settings.visibility;
        let ranges = parlance_core::visible_ranges(self.member()?, visibility, self.room.head().seq());
        Ok(ranges.iter().any(|range| range.contains(seq)))
    }

    /// Ranges that the member may read, in ascending order.
    pub(crate) fn visible(&self) -> Result<Vec<parlance_core::SeqRange>, Error> {
        Ok(self.room.visible_to(self.member()?))
    }
}
