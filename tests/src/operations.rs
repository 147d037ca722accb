use http::Method;
use parlance_proto::json;
use parlance_proto::v1::ClientFrame;
use prost::Message;
use serde_json::{Value, json as object};

use crate::fresh;

/// A unary call of the contract with a complete request: if it is refused, the caller
/// is the reason.
pub struct Operation {
    /// `Service/Method`.
    pub method: &'static str,
    /// Its REST form: method and path.
    pub rest: (Method, &'static str),
    /// The request without its room, as JSON.
    request: &'static str,
}

const fn operation(
    method: &'static str,
    verb: Method,
    path: &'static str,
    request: &'static str,
) -> Operation {
    Operation { method, rest: (verb, path), request }
}

/// All unary calls; a test compares the list with the contract.
#[rustfmt::skip]
pub static OPERATIONS: [Operation; 71] = [
    operation("ChatService/SendMessage", Method::POST, "/v1/rooms/ROOM/messages", r#"{"clientMessageId": "op", "text": "x"}"#),
    operation("ChatService/GetMessage", Method::GET, "/v1/rooms/ROOM/messages/4", r#"{"seq": 4}"#),
    operation("ChatService/ListMessages", Method::GET, "/v1/rooms/ROOM/messages", "{}"),
    operation("ChatService/ListEvents", Method::GET, "/v1/rooms/ROOM/events", "{}"),
    operation("ChatService/EditMessage", Method::PATCH, "/v1/rooms/ROOM/messages/4", r#"{"seq": 4, "text": "y", "requestId": "op"}"#),
    operation("ChatService/DeleteMessage", Method::DELETE, "/v1/rooms/ROOM/messages/4?requestId=op", r#"{"seq": 4, "requestId": "op"}"#),
    operation("ChatService/AddReaction", Method::POST, "/v1/rooms/ROOM/messages/4/reactions", r#"{"seq": 4, "emoji": "x", "requestId": "op"}"#),
    operation("ChatService/RemoveReaction", Method::DELETE, "/v1/rooms/ROOM/messages/4/reactions/x?requestId=op", r#"{"seq": 4, "emoji": "x", "requestId": "op"}"#),
    operation("ChatService/SendTyping", Method::POST, "/v1/rooms/ROOM/typing", "{}"),
    operation("ChatService/ReportMessage", Method::POST, "/v1/rooms/ROOM/messages/4/report", r#"{"seq": 4, "requestId": "op"}"#),
    operation("UserService/CreateUser", Method::POST, "/v1/users", r#"{"userId": "someone"}"#),
    operation("UserService/GetUser", Method::GET, "/v1/users/me", r#"{"userId": "me"}"#),
    operation("UserService/ListUsers", Method::GET, "/v1/users", "{}"),
    operation("UserService/UpdateUser", Method::PATCH, "/v1/users/me", r#"{"userId": "me", "name": "M"}"#),
    operation("UserService/GetUsers", Method::GET, "/v1/profiles?userIds=me", r#"{"userIds": ["me"]}"#),
    operation("UserService/GetPresence", Method::GET, "/v1/presence?userIds=me", r#"{"userIds": ["me"]}"#),
    operation("UserService/BlockUser", Method::POST, "/v1/blocks", r#"{"userId": "mallory", "requestId": "op"}"#),
    operation("UserService/UnblockUser", Method::DELETE, "/v1/blocks/mallory?requestId=op", r#"{"userId": "mallory", "requestId": "op"}"#),
    operation("UserService/ListBlocked", Method::GET, "/v1/blocks", "{}"),
    operation("UserService/SearchUsers", Method::GET, "/v1/search/users?namePrefix=m", r#"{"namePrefix": "m"}"#),
    operation("UserService/DeactivateUser", Method::POST, "/v1/users/mallory/deactivate", r#"{"userId": "mallory", "requestId": "op"}"#),
    operation("UserService/ReactivateUser", Method::POST, "/v1/users/mallory/reactivate", r#"{"userId": "mallory", "requestId": "op"}"#),
    operation("UserService/DeleteUser", Method::POST, "/v1/users/leaver/delete", r#"{"userId": "leaver", "requestId": "op"}"#),
    operation("UserService/ExportUser", Method::GET, "/v1/users/mallory/export", r#"{"userId": "mallory"}"#),
    operation("UserService/ReportUser", Method::POST, "/v1/users/mallory/report", r#"{"userId": "mallory", "requestId": "op"}"#),
    operation("UserService/ListReports", Method::GET, "/v1/reports", "{}"),
    operation("UserService/ResolveReport", Method::POST, "/v1/reports/nothing/resolve", r#"{"reportId": "nothing", "outcome": "REPORT_OUTCOME_DISMISSED", "requestId": "op"}"#),
    operation("RoomService/CreateRoom", Method::POST, "/v1/rooms", r#"{"kind": "ROOM_KIND_GROUP", "requestId": "op"}"#),
    operation("RoomService/GetRoom", Method::GET, "/v1/rooms/ROOM", "{}"),
    operation("RoomService/UpdateRoom", Method::PATCH, "/v1/rooms/ROOM", r#"{"title": "T", "requestId": "op"}"#),
    operation("RoomService/DeleteRoom", Method::DELETE, "/v1/rooms/ROOM?requestId=op", r#"{"requestId": "op"}"#),
    operation("RoomService/GetDirectRoom", Method::GET, "/v1/users/me/direct/mallory", r#"{"userId": "me", "peerId": "mallory"}"#),
    operation("RoomService/ListRooms", Method::GET, "/v1/rooms", "{}"),
    operation("RoomService/AddMembers", Method::POST, "/v1/rooms/ROOM/members", r#"{"userIds": ["mallory"], "requestId": "op"}"#),
    operation("RoomService/RemoveMember", Method::DELETE, "/v1/rooms/ROOM/members/bob?requestId=op", r#"{"userId": "bob", "requestId": "op"}"#),
    operation("RoomService/ListMembers", Method::GET, "/v1/rooms/ROOM/members", "{}"),
    operation("RoomService/ListBans", Method::GET, "/v1/rooms/ROOM/bans", "{}"),
    operation("RoomService/SetRole", Method::PATCH, "/v1/rooms/ROOM/members/bob", r#"{"userId": "bob", "role": "ROLE_ADMIN", "requestId": "op"}"#),
    operation("RoomService/UpdateMember", Method::PATCH, "/v1/rooms/ROOM/members/bob/data", r#"{"userId": "bob", "data": {"team": "red"}, "requestId": "op"}"#),
    operation("RoomService/JoinRoom", Method::POST, "/v1/rooms/ROOM/join", r#"{"requestId": "op"}"#),
    operation("RoomService/LeaveRoom", Method::POST, "/v1/rooms/ROOM/leave", r#"{"requestId": "op"}"#),
    operation("RoomService/BanMember", Method::POST, "/v1/rooms/ROOM/bans", r#"{"userId": "bob", "requestId": "op"}"#),
    operation("RoomService/UnbanMember", Method::DELETE, "/v1/rooms/ROOM/bans/bob?requestId=op", r#"{"userId": "bob", "requestId": "op"}"#),
    operation("RoomService/MuteMember", Method::POST, "/v1/rooms/ROOM/mutes", r#"{"userId": "bob", "requestId": "op"}"#),
    operation("RoomService/UnmuteMember", Method::DELETE, "/v1/rooms/ROOM/mutes/bob?requestId=op", r#"{"userId": "bob", "requestId": "op"}"#),
    operation("RoomService/InviteMember", Method::POST, "/v1/rooms/ROOM/invitations", r#"{"userId": "mallory", "requestId": "op"}"#),
    operation("RoomService/AcceptInvitation", Method::POST, "/v1/rooms/ROOM/invitation/accept", r#"{"requestId": "op"}"#),
    operation("RoomService/DeclineInvitation", Method::POST, "/v1/rooms/ROOM/invitation/decline", r#"{"requestId": "op"}"#),
    operation("RoomService/RevokeInvitation", Method::DELETE, "/v1/rooms/ROOM/invitations/mallory?requestId=op", r#"{"userId": "mallory", "requestId": "op"}"#),
    operation("RoomService/ListInvitations", Method::GET, "/v1/invitations", "{}"),
    operation("RoomService/ListRoomInvitations", Method::GET, "/v1/rooms/ROOM/invitations", "{}"),
    operation("RoomService/ImportMessages", Method::POST, "/v1/rooms/ROOM/import", "{}"),
    operation("RoomService/ExportRoom", Method::GET, "/v1/rooms/ROOM/export", "{}"),
    operation("RoomService/ListDirectory", Method::GET, "/v1/directory", "{}"),
    operation("RoomService/CreateInvitationLink", Method::POST, "/v1/rooms/ROOM/links", r#"{"requestId": "op"}"#),
    operation("RoomService/RevokeInvitationLink", Method::DELETE, "/v1/rooms/ROOM/links/4?requestId=op", r#"{"linkSeq": 4, "requestId": "op"}"#),
    operation("RoomService/ListInvitationLinks", Method::GET, "/v1/rooms/ROOM/links", "{}"),
    operation("RoomService/GetInvitationLink", Method::POST, "/v1/rooms/ROOM/link/preview", r#"{"secret": "none"}"#),
    operation("RoomService/JoinByLink", Method::POST, "/v1/rooms/ROOM/link/join", r#"{"secret": "none", "requestId": "op"}"#),
    operation("RoomService/RequestToJoin", Method::POST, "/v1/rooms/ROOM/join_request", r#"{"requestId": "op"}"#),
    operation("RoomService/WithdrawJoinRequest", Method::POST, "/v1/rooms/ROOM/join_request/withdraw", r#"{"requestId": "op"}"#),
    operation("RoomService/AnswerJoinRequest", Method::POST, "/v1/rooms/ROOM/join_requests/mallory/answer", r#"{"userId": "mallory", "answer": "JOIN_REQUEST_ANSWER_REJECT", "requestId": "op"}"#),
    operation("RoomService/ListJoinRequests", Method::GET, "/v1/join_requests", "{}"),
    operation("InboxService/ListInbox", Method::GET, "/v1/inbox", "{}"),
    operation("InboxService/MarkRead", Method::POST, "/v1/rooms/ROOM/read", r#"{"seq": 4, "requestId": "op"}"#),
    operation("InboxService/AcknowledgeDelivery", Method::POST, "/v1/rooms/ROOM/delivered", r#"{"seq": 4, "requestId": "op"}"#),
    operation("InboxService/ListReceipts", Method::GET, "/v1/rooms/ROOM/receipts", "{}"),
    operation("InboxService/SetRoomHidden", Method::POST, "/v1/rooms/ROOM/hidden", r#"{"hidden": true, "requestId": "op"}"#),
    operation("InboxService/SetRoomPreferences", Method::POST, "/v1/rooms/ROOM/preferences", r#"{"pinned": true, "requestId": "op"}"#),
    operation("InboxService/GetUnreadTotal", Method::GET, "/v1/inbox/unread", "{}"),
    operation("ServerService/GetServer", Method::GET, "/v1/server", "{}"),
];

/// Variants of those calls with other permissions.
#[rustfmt::skip]
pub static VARIANTS: [(&str, Operation); 7] = [
    ("ChatService/SendMessage to all", operation("ChatService/SendMessage", Method::POST, "/v1/rooms/ROOM/messages", r#"{"clientMessageId": "op", "text": "x", "mentionAll": true}"#)),
    ("UserService/GetUser of a member", operation("UserService/GetUser", Method::GET, "/v1/users/bob", r#"{"userId": "bob"}"#)),
    ("UserService/GetUser of a stranger", operation("UserService/GetUser", Method::GET, "/v1/users/mallory", r#"{"userId": "mallory"}"#)),
    ("RoomService/ListJoinRequests of a room", operation("RoomService/ListJoinRequests", Method::GET, "/v1/join_requests?roomId=ROOM", "{}")),
    ("UserService/ListReports of a room", operation("UserService/ListReports", Method::GET, "/v1/reports?roomId=ROOM", "{}")),
    ("RoomService/SetRole to owner", operation("RoomService/SetRole", Method::PATCH, "/v1/rooms/ROOM/members/bob", r#"{"userId": "bob", "role": "ROLE_OWNER", "requestId": "op"}"#)),
    ("RoomService/GetDirectRoom of others", operation("RoomService/GetDirectRoom", Method::GET, "/v1/users/mallory/direct/nobody", r#"{"userId": "mallory", "peerId": "nobody"}"#)),
];

impl Operation {
    /// The operation with this method, or the variant with this name.
    pub fn named(method: &str) -> &'static Self {
        let variant = VARIANTS.iter().find(|(name, _)| *name == method).map(|(_, operation)| operation);
        let plain = || OPERATIONS.iter().find(|operation| operation.method.ends_with(method));
        variant.or_else(plain).expect("the method is listed")
    }

    /// Whether it refers to a room.
    pub fn has_room(&self) -> bool {
        self.rest.1.contains("ROOM")
    }

    /// The path of the gRPC method.
    pub fn grpc_path(&self) -> String {
        format!("/parlance.v1.{}", self.method)
    }

    /// The path of the REST form.
    pub fn rest_path(&self, room: &str) -> String {
        self.rest.1.replace("ROOM", room).replace("=op", &format!("={}", fresh("op")))
    }

    /// The request as JSON with a fresh id; the body of the REST form if that has one.
    pub fn json(&self, room: &str) -> Value {
        let mut request: Value = serde_json::from_str(self.request).expect("the table holds JSON");
        for id in ["requestId", "clientMessageId"] {
            if let Some(id) = request.get_mut(id) {
                *id = fresh("op").into();
            }
        }
        if self.has_room() {
            request["roomId"] = room.into();
        }
        request
    }

    /// Like [`Self::json`] for the message at `seq`, if it refers to one.
    pub fn json_of(&self, room: &str, seq: u64) -> Value {
        let mut request = self.json(room);
        if let Some(target) = request.get_mut("seq") {
            *target = seq.into();
        }
        request
    }

    /// The path of the REST form for the message at `seq`.
    pub fn rest_path_of(&self, room: &str, seq: u64) -> String {
        self.rest_path(room).replace("/messages/4", &format!("/messages/{seq}"))
    }

    /// The request in its gRPC encoding.
    pub fn encoded(&self, room: &str) -> Vec<u8> {
        self.encode(&self.json(room))
    }

    /// Converts a JSON request to its gRPC encoding.
    pub fn encode(&self, request: &Value) -> Vec<u8> {
        let (service, method) = self.method.split_once('/').expect("a service and a method");
        let service = json::pool().get_service_by_name(&format!("parlance.v1.{service}"));
        let service = service.expect("the service is in the contract");
        let method = service.methods().find(|found| found.name() == method);
        let input = method.expect("the method is in the contract").input();
        let message = json::from_json(&input, request.to_string().as_bytes());
        message.expect("the request is of its type").encode_to_vec()
    }

    /// The request as a frame of `Chat`.
    pub fn frame(&self, request_id: &str, room: &str) -> ClientFrame {
        self.frame_of(request_id, &self.json(room))
    }

    /// Converts a JSON request to a frame of `Chat`.
    pub fn frame_of(&self, request_id: &str, request: &Value) -> ClientFrame {
        let method = self.method.split_once('/').expect("a service and a method").1;
        let name = method[..1].to_lowercase() + &method[1..];
        let frame = object!({"requestId": request_id, name: request});
        json::client_frame_from_json(frame.to_string().as_bytes()).expect("the frame is well formed")
    }
}
