//! Maps each request type to its operation, with what audit log and metrics need to know about it.
use std::sync::OnceLock;

use metrics::{Counter, Histogram};
use parlance_proto::events::v1::StreamEventsRequest;
use parlance_proto::v1;
use parlance_sessions::Inbound;
use v1::send_message_request::Target;

/// The effect of an operation on what others see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// None.
    Read,
    /// A transient signal, or the caller's own marks.
    Mark,
    /// Changes stored data.
    Change,
    /// Changes other users, their permissions or existence, or reads everybody's messages.
    Authority,
}

/// One operation.
pub(crate) struct Operation {
    /// Its name in the contract.
    pub(crate) name: &'static str,
    pub(crate) class: Class,
    meters: OnceLock<Meters>,
}

/// Metric handles, cached because a lookup costs more than an update.
pub(crate) struct Meters {
    pub(crate) seconds: Histogram,
    pub(crate) succeeded: Counter,
}

impl Operation {
    const fn new(name: &'static str, class: Class) -> Self {
        Self { name, class, meters: OnceLock::new() }
    }

    pub(crate) fn meters(&self) -> &Meters {
        self.meters.get_or_init(|| Meters {
            seconds: metrics::histogram!("parlance_call_seconds", "operation" => self.name),
            succeeded: metrics::counter!("parlance_calls_total", "operation" => self.name, "code" => "ok"),
        })
    }
}

/// A request of the contract. The gate accepts nothing else: an operation without an implementation here
/// does not compile.
pub(crate) trait Call {
    /// Its operation.
    fn operation() -> &'static Operation;

    /// Whom and what it is about, for the audit log.
    fn about(&self) -> About<'_> {
        About::default()
    }
}

/// The ids that a request names, as they were sent.
#[derive(Debug, Default)]
pub(crate) struct About<'a> {
    pub(crate) user_id: &'a str,
    pub(crate) room_id: &'a str,
    pub(crate) report_id: &'a str,
}

impl Call for StreamEventsRequest {
    fn operation() -> &'static Operation {
        static OPERATION: Operation = Operation::new("StreamEvents", Class::Authority);
        &OPERATION
    }
}

/// `Chat`, whose request is its frames. Each of them is a call of its own.
impl Call for Inbound {
    fn operation() -> &'static Operation {
        static OPERATION: Operation = Operation::new("Chat", Class::Read);
        &OPERATION
    }
}

/// Replaces the token of a stream.
impl Call for v1::Refresh {
    fn operation() -> &'static Operation {
        static OPERATION: Operation = Operation::new("Refresh", Class::Read);
        &OPERATION
    }
}

impl Call for v1::SendMessageRequest {
    fn operation() -> &'static Operation {
        static OPERATION: Operation = Operation::new("SendMessage", Class::Change);
        &OPERATION
    }

    fn about(&self) -> About<'_> {
        match &self.target {
            Some(Target::RoomId(room_id)) => About { room_id, ..About::default() },
            Some(Target::ToUser(user_id)) => About { user_id, ..About::default() },
            None => About::default(),
        }
    }
}

macro_rules! calls {
    ($($class:ident: $($name:ident $request:ident $({ $($id:ident),* })?,)*;)*) => {
        $($(
            impl Call for v1::$request {
                fn operation() -> &'static Operation {
                    static OPERATION: Operation = Operation::new(stringify!($name), Class::$class);
                    &OPERATION
                }
                $(
                    fn about(&self) -> About<'_> {
                        #[allow(clippy::needless_update, reason = "some requests name both")]
                        About { $($id: &self.$id,)* ..About::default() }
                    }
                )?
            }
        )*)*
    };
}

calls! {
    Read:
        GetMessage GetMessageRequest,
        ListMessages ListMessagesRequest,
        ListEvents ListEventsRequest,
        GetUser GetUserRequest,
        GetUsers GetUsersRequest,
        ListUsers ListUsersRequest,
        GetPresence GetPresenceRequest,
        ListBlocked ListBlockedRequest,
        SearchUsers SearchUsersRequest,
        GetRoom GetRoomRequest,
        GetDirectRoom GetDirectRoomRequest,
        ListRooms ListRoomsRequest,
        ListDirectory ListDirectoryRequest,
        ListInvitationLinks ListInvitationLinksRequest,
        GetInvitationLink GetInvitationLinkRequest,
        ListJoinRequests ListJoinRequestsRequest,
        ListMembers ListMembersRequest,
        ListBans ListBansRequest,
        ListInvitations ListInvitationsRequest,
        ListRoomInvitations ListRoomInvitationsRequest,
        ListInbox ListInboxRequest,
        GetUnreadTotal GetUnreadTotalRequest,
        ListReceipts ListReceiptsRequest,
        GetServer GetServerRequest,
        Subscribe SubscribeRequest,
    ;
    Mark:
        SendTyping SendTypingRequest,
        MarkRead MarkReadRequest,
        AcknowledgeDelivery AcknowledgeDeliveryRequest,
        SetRoomHidden SetRoomHiddenRequest,
        SetRoomPreferences SetRoomPreferencesRequest,
    ;
    Change:
        EditMessage EditMessageRequest { room_id },
        DeleteMessage DeleteMessageRequest { room_id },
        AddReaction AddReactionRequest { room_id },
        RemoveReaction RemoveReactionRequest { room_id },
        CreateRoom CreateRoomRequest { room_id },
        JoinRoom JoinRoomRequest { room_id },
        LeaveRoom LeaveRoomRequest { room_id },
        AcceptInvitation AcceptInvitationRequest { room_id },
        DeclineInvitation DeclineInvitationRequest { room_id },
        JoinByLink JoinByLinkRequest { room_id },
        RequestToJoin RequestToJoinRequest { room_id },
        WithdrawJoinRequest WithdrawJoinRequestRequest { room_id },
        UpdateUser UpdateUserRequest { user_id },
        BlockUser BlockUserRequest { user_id },
        UnblockUser UnblockUserRequest { user_id },
        ReportMessage ReportMessageRequest { room_id },
        ReportUser ReportUserRequest { user_id },
    ;
    Authority:
        CreateUser CreateUserRequest { user_id },
        DeactivateUser DeactivateUserRequest { user_id },
        ReactivateUser ReactivateUserRequest { user_id },
        DeleteUser DeleteUserRequest { user_id },
        ExportUser ExportUserRequest { user_id },
        ListReports ListReportsRequest { room_id },
        ResolveReport ResolveReportRequest { report_id },
        UpdateRoom UpdateRoomRequest { room_id },
        DeleteRoom DeleteRoomRequest { room_id },
        ImportMessages ImportMessagesRequest { room_id },
        ExportRoom ExportRoomRequest { room_id },
        AddMembers AddMembersRequest { room_id },
        InviteMember InviteMemberRequest { room_id, user_id },
        RevokeInvitation RevokeInvitationRequest { room_id, user_id },
        CreateInvitationLink CreateInvitationLinkRequest { room_id },
        RevokeInvitationLink RevokeInvitationLinkRequest { room_id },
        AnswerJoinRequest AnswerJoinRequestRequest { room_id, user_id },
        RemoveMember RemoveMemberRequest { room_id, user_id },
        SetRole SetRoleRequest { room_id, user_id },
        UpdateMember UpdateMemberRequest { room_id, user_id },
        BanMember BanMemberRequest { room_id, user_id },
        UnbanMember UnbanMemberRequest { room_id, user_id },
        MuteMember MuteMemberRequest { room_id, user_id },
        UnmuteMember UnmuteMemberRequest { room_id, user_id },
    ;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The audit log says by it who was renamed, and which room was created.
    #[test]
    fn a_call_says_what_it_is_about() {
        let (room, user) = ("order-42".to_owned(), "alice".to_owned());
        let created = v1::CreateRoomRequest { room_id: room.clone(), ..Default::default() };
        let renamed = v1::UpdateUserRequest { user_id: user.clone(), ..Default::default() };
        assert_eq!((created.about().room_id, renamed.about().user_id), (&*room, &*user));
    }
}
