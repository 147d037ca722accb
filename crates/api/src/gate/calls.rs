//! Every operation by the type of its request, and what it is to the log and the metrics.
use std::sync::OnceLock;

use metrics::{Counter, Histogram};
use parlance_proto::events::v1::StreamEventsRequest;
use parlance_proto::v1;

/// What an operation does to what others see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Nothing.
    Read,
    /// Something of the moment, or marks of one's own.
    Mark,
    /// It changes what is stored.
    Change,
    /// It decides about others, who may do what, who exists, or reads what all of them say.
    Authority,
}

/// One operation.
pub(crate) struct Operation {
    /// As the contract names it.
    pub(crate) name: &'static str,
    pub(crate) class: Class,
    meters: OnceLock<Meters>,
}

/// Kept, since looking them up costs more than using them.
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

/// A request of the contract. The gate takes nothing else: an operation without a row here does not compile.
pub(crate) trait Call {
    /// Its operation.
    fn operation() -> &'static Operation;
}

impl Call for StreamEventsRequest {
    fn operation() -> &'static Operation {
        static OPERATION: Operation = Operation::new("StreamEvents", Class::Authority);
        &OPERATION
    }
}

macro_rules! calls {
    ($($class:ident: $($name:ident $request:ident,)*;)*) => {
        $($(
            impl Call for v1::$request {
                fn operation() -> &'static Operation {
                    static OPERATION: Operation = Operation::new(stringify!($name), Class::$class);
                    &OPERATION
                }
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
        GetRoom GetRoomRequest,
        GetDirectRoom GetDirectRoomRequest,
        ListRooms ListRoomsRequest,
        ListMembers ListMembersRequest,
        ListInbox ListInboxRequest,
        ListReceipts ListReceiptsRequest,
        GetServer GetServerRequest,
    ;
    Mark:
        SendTyping SendTypingRequest,
        MarkRead MarkReadRequest,
        AcknowledgeDelivery AcknowledgeDeliveryRequest,
        SetRoomHidden SetRoomHiddenRequest,
    ;
    Change:
        SendMessage SendMessageRequest,
        EditMessage EditMessageRequest,
        DeleteMessage DeleteMessageRequest,
        AddReaction AddReactionRequest,
        RemoveReaction RemoveReactionRequest,
        CreateRoom CreateRoomRequest,
        JoinRoom JoinRoomRequest,
        LeaveRoom LeaveRoomRequest,
        UpdateUser UpdateUserRequest,
    ;
    Authority:
        CreateUser CreateUserRequest,
        UpdateRoom UpdateRoomRequest,
        DeleteRoom DeleteRoomRequest,
        AddMembers AddMembersRequest,
        RemoveMember RemoveMemberRequest,
        SetRole SetRoleRequest,
        BanMember BanMemberRequest,
        UnbanMember UnbanMemberRequest,
    ;
}
