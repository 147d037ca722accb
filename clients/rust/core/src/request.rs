//! Requests, with their operations and responses. Longer than other files, since it lists every operation.

use parlance_proto::v1;
use parlance_proto::v1::client_frame::Operation;
use parlance_proto::v1::reply::Result as Answer;
use parlance_proto::v1::send_message_request::Target;

use crate::rooms::Rooms;

/// A request of the contract that can be made on a session.
pub trait Request: sealed::Sealed {
    /// The server's response.
    type Response;

    /// The request as the operation of a frame.
    fn into_operation(self) -> Operation;

    /// Extracts the response from a reply, if the reply is of the right kind.
    fn response(answer: Answer) -> Option<Self::Response>;
}

/// A request that changes something, and can be queued.
pub trait Change: Request {}

mod sealed {
    pub trait Sealed {}
}

macro_rules! requests {
    ($($operation:ident: $request:ident -> $response:ident,)*) => {
        $(
            impl sealed::Sealed for v1::$request {}

            impl Request for v1::$request {
                type Response = v1::$response;

                fn into_operation(self) -> Operation {
                    Operation::$operation(self)
                }

                fn response(answer: Answer) -> Option<v1::$response> {
                    match answer {
                        Answer::$operation(response) => Some(response),
                        _ => None,
                    }
                }
            }
        )*
    };
}

requests! {
    SendMessage: SendMessageRequest -> SendMessageResponse,
    GetMessage: GetMessageRequest -> GetMessageResponse,
    ListMessages: ListMessagesRequest -> ListMessagesResponse,
    ListEvents: ListEventsRequest -> ListEventsResponse,
    EditMessage: EditMessageRequest -> EditMessageResponse,
    DeleteMessage: DeleteMessageRequest -> DeleteMessageResponse,
    AddReaction: AddReactionRequest -> AddReactionResponse,
    RemoveReaction: RemoveReactionRequest -> RemoveReactionResponse,
    SendTyping: SendTypingRequest -> SendTypingResponse,
    GetUser: GetUserRequest -> GetUserResponse,
    GetUsers: GetUsersRequest -> GetUsersResponse,
    ListUsers: ListUsersRequest -> ListUsersResponse,
    UpdateUser: UpdateUserRequest -> UpdateUserResponse,
    GetPresence: GetPresenceRequest -> GetPresenceResponse,
    CreateUser: CreateUserRequest -> CreateUserResponse,
    CreateRoom: CreateRoomRequest -> CreateRoomResponse,
    GetRoom: GetRoomRequest -> GetRoomResponse,
    GetDirectRoom: GetDirectRoomRequest -> GetDirectRoomResponse,
    UpdateRoom: UpdateRoomRequest -> UpdateRoomResponse,
    DeleteRoom: DeleteRoomRequest -> DeleteRoomResponse,
    ListRooms: ListRoomsRequest -> ListRoomsResponse,
    AddMembers: AddMembersRequest -> AddMembersResponse,
    RemoveMember: RemoveMemberRequest -> RemoveMemberResponse,
    ListMembers: ListMembersRequest -> ListMembersResponse,
    SetRole: SetRoleRequest -> SetRoleResponse,
    UpdateMember: UpdateMemberRequest -> UpdateMemberResponse,
    JoinRoom: JoinRoomRequest -> JoinRoomResponse,
    LeaveRoom: LeaveRoomRequest -> LeaveRoomResponse,
    BanMember: BanMemberRequest -> BanMemberResponse,
    UnbanMember: UnbanMemberRequest -> UnbanMemberResponse,
    MuteMember: MuteMemberRequest -> MuteMemberResponse,
    UnmuteMember: UnmuteMemberRequest -> UnmuteMemberResponse,
    ListInbox: ListInboxRequest -> ListInboxResponse,
    MarkRead: MarkReadRequest -> MarkReadResponse,
    AcknowledgeDelivery: AcknowledgeDeliveryRequest -> AcknowledgeDeliveryResponse,
    ListReceipts: ListReceiptsRequest -> ListReceiptsResponse,
    SetRoomHidden: SetRoomHiddenRequest -> SetRoomHiddenResponse,
    SetRoomPreferences: SetRoomPreferencesRequest -> SetRoomPreferencesResponse,
    GetUnreadTotal: GetUnreadTotalRequest -> GetUnreadTotalResponse,
    BlockUser: BlockUserRequest -> BlockUserResponse,
    UnblockUser: UnblockUserRequest -> UnblockUserResponse,
    ListBlocked: ListBlockedRequest -> ListBlockedResponse,
    ListBans: ListBansRequest -> ListBansResponse,
    SearchUsers: SearchUsersRequest -> SearchUsersResponse,
    DeactivateUser: DeactivateUserRequest -> DeactivateUserResponse,
    ReactivateUser: ReactivateUserRequest -> ReactivateUserResponse,
    DeleteUser: DeleteUserRequest -> DeleteUserResponse,
    ExportUser: ExportUserRequest -> ExportUserResponse,
    ReportMessage: ReportMessageRequest -> ReportMessageResponse,
    ReportUser: ReportUserRequest -> ReportUserResponse,
    ListReports: ListReportsRequest -> ListReportsResponse,
    ResolveReport: ResolveReportRequest -> ResolveReportResponse,
    InviteMember: InviteMemberRequest -> InviteMemberResponse,
    AcceptInvitation: AcceptInvitationRequest -> AcceptInvitationResponse,
    DeclineInvitation: DeclineInvitationRequest -> DeclineInvitationResponse,
    RevokeInvitation: RevokeInvitationRequest -> RevokeInvitationResponse,
    ListInvitations: ListInvitationsRequest -> ListInvitationsResponse,
    ListRoomInvitations: ListRoomInvitationsRequest -> ListRoomInvitationsResponse,
    ImportMessages: ImportMessagesRequest -> ImportMessagesResponse,
    ExportRoom: ExportRoomRequest -> ExportRoomResponse,
    ListDirectory: ListDirectoryRequest -> ListDirectoryResponse,
    CreateInvitationLink: CreateInvitationLinkRequest -> CreateInvitationLinkResponse,
    RevokeInvitationLink: RevokeInvitationLinkRequest -> RevokeInvitationLinkResponse,
    ListInvitationLinks: ListInvitationLinksRequest -> ListInvitationLinksResponse,
    GetInvitationLink: GetInvitationLinkRequest -> GetInvitationLinkResponse,
    JoinByLink: JoinByLinkRequest -> JoinByLinkResponse,
    RequestToJoin: RequestToJoinRequest -> RequestToJoinResponse,
    WithdrawJoinRequest: WithdrawJoinRequestRequest -> WithdrawJoinRequestResponse,
    AnswerJoinRequest: AnswerJoinRequestRequest -> AnswerJoinRequestResponse,
    ListJoinRequests: ListJoinRequestsRequest -> ListJoinRequestsResponse,
    GetServer: GetServerRequest -> GetServerResponse,
}

macro_rules! changes {
    ($($request:ident,)*) => {
        $(impl Change for v1::$request {})*
    };
}

changes! {
    SendMessageRequest,
    EditMessageRequest,
    DeleteMessageRequest,
    AddReactionRequest,
    RemoveReactionRequest,
    UpdateRoomRequest,
    DeleteRoomRequest,
    AddMembersRequest,
    RemoveMemberRequest,
    SetRoleRequest,
    UpdateMemberRequest,
    JoinRoomRequest,
    LeaveRoomRequest,
    BanMemberRequest,
    UnbanMemberRequest,
    MuteMemberRequest,
    UnmuteMemberRequest,
    CreateRoomRequest,
    CreateUserRequest,
    UpdateUserRequest,
    MarkReadRequest,
    AcknowledgeDeliveryRequest,
    SetRoomHiddenRequest,
    SetRoomPreferencesRequest,
    BlockUserRequest,
    UnblockUserRequest,
    DeactivateUserRequest,
    ReactivateUserRequest,
    DeleteUserRequest,
    ReportMessageRequest,
    ReportUserRequest,
    ResolveReportRequest,
    InviteMemberRequest,
    AcceptInvitationRequest,
    DeclineInvitationRequest,
    RevokeInvitationRequest,
    CreateInvitationLinkRequest,
    RevokeInvitationLinkRequest,
    JoinByLinkRequest,
    RequestToJoinRequest,
    WithdrawJoinRequestRequest,
    AnswerJoinRequestRequest,
}

/// The fields that make a mutation safe to repeat.
pub(crate) struct Repeatable<'a> {
    /// Unique among those of its user.
    pub(crate) id: &'a mut String,
    /// For changes in a room's log: a head from before it was first sent.
    pub(crate) after_seq: Option<&'a mut Option<u64>>,
    place: Place<'a>,
}

/// The room of a mutation.
enum Place<'a> {
    None,
    Room(&'a str),
    DirectWith(&'a str),
}

/// The fields of a mutation that make it safe to repeat; `None` for reads.
pub(crate) fn repeatable(operation: &mut Operation) -> Option<Repeatable<'_>> {
    macro_rules! in_room {
        ($request:expr) => {
            Repeatable {
                id: &mut $request.request_id,
                after_seq: Some(&mut $request.after_seq),
                place: Place::Room(&$request.room_id),
            }
        };
    }
    macro_rules! anywhere {
        ($request:expr) => {
            Repeatable { id: &mut $request.request_id, after_seq: None, place: Place::None }
        };
    }
    Some(match operation {
        Operation::SendMessage(request) => Repeatable {
            id: &mut request.client_message_id,
            after_seq: Some(&mut request.after_seq),
            place: match &request.target {
                Some(Target::RoomId(room)) => Place::Room(room),
                Some(Target::ToUser(user)) => Place::DirectWith(user),
                None => Place::None,
            },
        },
        Operation::EditMessage(request) => in_room!(request),
        Operation::DeleteMessage(request) => in_room!(request),
        Operation::AddReaction(request) => in_room!(request),
        Operation::RemoveReaction(request) => in_room!(request),
        Operation::UpdateRoom(request) => in_room!(request),
        Operation::AddMembers(request) => in_room!(request),
        Operation::RemoveMember(request) => in_room!(request),
        Operation::SetRole(request) => in_room!(request),
        Operation::UpdateMember(request) => in_room!(request),
        Operation::JoinRoom(request) => in_room!(request),
        Operation::LeaveRoom(request) => in_room!(request),
        Operation::BanMember(request) => in_room!(request),
        Operation::UnbanMember(request) => in_room!(request),
        Operation::MuteMember(request) => in_room!(request),
        Operation::UnmuteMember(request) => in_room!(request),
        Operation::DeleteRoom(request) => in_room!(request),
        Operation::InviteMember(request) => in_room!(request),
        Operation::RevokeInvitation(request) => in_room!(request),
        Operation::CreateInvitationLink(request) => in_room!(request),
        Operation::RevokeInvitationLink(request) => in_room!(request),
        Operation::AnswerJoinRequest(request) => in_room!(request),
        Operation::JoinByLink(request) => anywhere!(request),
        Operation::RequestToJoin(request) => anywhere!(request),
        Operation::WithdrawJoinRequest(request) => anywhere!(request),
        Operation::AcceptInvitation(request) => anywhere!(request),
        Operation::DeclineInvitation(request) => anywhere!(request),
        Operation::CreateRoom(request) => anywhere!(request),
        Operation::CreateUser(request) => anywhere!(request),
        Operation::UpdateUser(request) => anywhere!(request),
        Operation::MarkRead(request) => anywhere!(request),
        Operation::AcknowledgeDelivery(request) => anywhere!(request),
        Operation::SetRoomHidden(request) => anywhere!(request),
        Operation::SetRoomPreferences(request) => anywhere!(request),
        Operation::BlockUser(request) => anywhere!(request),
        Operation::UnblockUser(request) => anywhere!(request),
        Operation::DeactivateUser(request) => anywhere!(request),
        Operation::ReactivateUser(request) => anywhere!(request),
        Operation::DeleteUser(request) => anywhere!(request),
        Operation::ReportMessage(request) => anywhere!(request),
        Operation::ReportUser(request) => anywhere!(request),
        Operation::ResolveReport(request) => anywhere!(request),
        Operation::Hello(_)
        | Operation::Refresh(_)
        | Operation::GetMessage(_)
        | Operation::ListMessages(_)
        | Operation::ListEvents(_)
        | Operation::SendTyping(_)
        | Operation::GetUser(_)
        | Operation::GetUsers(_)
        | Operation::ListUsers(_)
        | Operation::GetServer(_)
        | Operation::GetPresence(_)
        | Operation::GetRoom(_)
        | Operation::GetDirectRoom(_)
        | Operation::ListRooms(_)
        | Operation::ListMembers(_)
        | Operation::ListInbox(_)
        | Operation::GetUnreadTotal(_)
        | Operation::ListBlocked(_)
        | Operation::ListBans(_)
        | Operation::SearchUsers(_)
        | Operation::ExportUser(_)
        | Operation::ListReports(_)
        | Operation::ListInvitations(_)
        | Operation::ListRoomInvitations(_)
        // Its numbers make it safe to repeat, which is left to the caller.
        | Operation::ImportMessages(_)
        | Operation::ExportRoom(_)
        | Operation::ListDirectory(_)
        | Operation::ListInvitationLinks(_)
        | Operation::GetInvitationLink(_)
        | Operation::ListJoinRequests(_)
        | Operation::ListReceipts(_) => return None,
    })
}

/// Whether an operation is transient: executed late, it would be wrong.
pub(crate) fn is_momentary(operation: &Operation) -> bool {
    matches!(operation, Operation::SendTyping(_))
}

/// Makes a mutation safe to repeat unless the caller has done so: sets an id, and the highest known head of its room, before
/// it is first sent. `as_user` is whom an app's backend acts as; empty if nobody.
pub(crate) fn stamp(
    operation: &mut Operation,
    as_user: &str,
    rooms: &Rooms,
    new_id: impl FnOnce() -> String,
) {
    let Some(Repeatable { id, after_seq, place }) = repeatable(operation) else { return };
    let room = match place {
        Place::None => None,
        Place::Room(room) => Some(room),
        // The direct rooms of others are not known.
        Place::DirectWith(user) => rooms.direct(user).filter(|_| as_user.is_empty()),
    };
    if let Some(after_seq) = after_seq {
        *after_seq = after_seq.or_else(|| rooms.head(room?));
    }
    if id.is_empty() {
        *id = new_id();
    }
}

/// The seq that an operation refers to: in another epoch it is another event.
pub(crate) fn named_seq(operation: &Operation) -> Option<u64> {
    Some(match operation {
        Operation::EditMessage(request) => request.seq,
        Operation::DeleteMessage(request) => request.seq,
        Operation::AddReaction(request) => request.seq,
        Operation::RemoveReaction(request) => request.seq,
        Operation::MarkRead(request) => request.seq,
        Operation::AcknowledgeDelivery(request) => request.seq,
        _ => return None,
    })
}

/// The room of a change, if it names one.
pub(crate) fn room_of(operation: &Operation) -> Option<&str> {
    Some(match operation {
        Operation::SendMessage(request) => match &request.target {
            Some(Target::RoomId(room)) => room,
            _ => return None,
        },
        Operation::EditMessage(request) => &request.room_id,
        Operation::DeleteMessage(request) => &request.room_id,
        Operation::AddReaction(request) => &request.room_id,
        Operation::RemoveReaction(request) => &request.room_id,
        Operation::UpdateRoom(request) => &request.room_id,
        Operation::AddMembers(request) => &request.room_id,
        Operation::RemoveMember(request) => &request.room_id,
        Operation::SetRole(request) => &request.room_id,
        Operation::UpdateMember(request) => &request.room_id,
        Operation::JoinRoom(request) => &request.room_id,
        Operation::LeaveRoom(request) => &request.room_id,
        Operation::BanMember(request) => &request.room_id,
        Operation::UnbanMember(request) => &request.room_id,
        Operation::MuteMember(request) => &request.room_id,
        Operation::UnmuteMember(request) => &request.room_id,
        Operation::DeleteRoom(request) => &request.room_id,
        Operation::InviteMember(request) => &request.room_id,
        Operation::AcceptInvitation(request) => &request.room_id,
        Operation::DeclineInvitation(request) => &request.room_id,
        Operation::RevokeInvitation(request) => &request.room_id,
        Operation::CreateInvitationLink(request) => &request.room_id,
        Operation::RevokeInvitationLink(request) => &request.room_id,
        Operation::JoinByLink(request) => &request.room_id,
        Operation::RequestToJoin(request) => &request.room_id,
        Operation::WithdrawJoinRequest(request) => &request.room_id,
        Operation::AnswerJoinRequest(request) => &request.room_id,
        Operation::MarkRead(request) => &request.room_id,
        Operation::AcknowledgeDelivery(request) => &request.room_id,
        Operation::SetRoomHidden(request) => &request.room_id,
        Operation::SetRoomPreferences(request) => &request.room_id,
        _ => return None,
    })
}

/// The last event named by an answer to a change, with its room if that is included; `None` if the change is in no log.
pub(crate) fn event_of(answer: &Answer) -> Option<(Option<String>, u64)> {
    let outcome = match answer {
        Answer::SendMessage(response) => return Some((Some(response.room_id.clone()), response.seq)),
        Answer::EditMessage(response) => &response.outcome,
        Answer::DeleteMessage(response) => &response.outcome,
        Answer::AddReaction(response) => &response.outcome,
        Answer::RemoveReaction(response) => &response.outcome,
        Answer::UpdateRoom(response) => &response.outcome,
        Answer::AddMembers(response) => &response.outcome,
        Answer::RemoveMember(response) => &response.outcome,
        Answer::SetRole(response) => &response.outcome,
        Answer::UpdateMember(response) => &response.outcome,
        Answer::JoinRoom(response) => &response.outcome,
        Answer::LeaveRoom(response) => &response.outcome,
        Answer::BanMember(response) => &response.outcome,
        Answer::UnbanMember(response) => &response.outcome,
        Answer::MuteMember(response) => &response.outcome,
        Answer::UnmuteMember(response) => &response.outcome,
        Answer::DeleteRoom(response) => &response.outcome,
        Answer::InviteMember(response) => &response.outcome,
        Answer::AcceptInvitation(response) => &response.outcome,
        Answer::RevokeInvitation(response) => &response.outcome,
        Answer::CreateInvitationLink(response) => &response.outcome,
        Answer::RevokeInvitationLink(response) => &response.outcome,
        Answer::JoinByLink(response) => &response.outcome,
        Answer::AnswerJoinRequest(response) => &response.outcome,
        _ => return None,
    };
    let outcome = outcome.as_ref()?;
    Some((None, outcome.last_seq.max(outcome.seq))).filter(|(_, seq)| *seq > 0)
}

/// A completed mutation as found in the log of a room.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Done {
    /// Its first event.
    pub(crate) first: Box<v1::Event>,
    pub(crate) last_seq: u64,
    /// Those whom it invited.
    pub(crate) invited: Vec<String>,
}

impl Done {
    pub(crate) fn starting_with(event: v1::Event) -> Self {
        let last_seq = event.seq;
        let invited = invited(&event).into_iter().collect();
        Self { first: event.into(), last_seq, invited }
    }

    /// Adds its next event.
    pub(crate) fn extend(&mut self, event: &v1::Event) {
        self.last_seq = event.seq;
        self.invited.extend(invited(event));
    }
}

fn invited(event: &v1::Event) -> Option<String> {
    match &event.body {
        Some(v1::event::Body::MemberInvited(invited)) => Some(invited.user_id.clone()),
        _ => None,
    }
}

/// The server's answer to a repeat of `operation`; `None` for operations that are in no log.
pub(crate) fn repeated(operation: &Operation, done: Done) -> Option<Answer> {
    let Done { first, last_seq, invited: invited_user_ids } = done;
    let v1::Event { room_id, seq, at, message_count, .. } = *first;
    let is_repeat = true;
    macro_rules! outcome_of {
        ($($kind:ident: $response:ident),* $(,)?) => {
            match operation {
                Operation::SendMessage(_) => {
                    let response = v1::SendMessageResponse { room_id, seq, at, message_count, is_repeat };
                    Some(Answer::SendMessage(response))
                }
                Operation::AddMembers(_) => {
                    let outcome = Some(v1::Outcome { seq, last_seq, is_repeat, at });
                    Some(Answer::AddMembers(v1::AddMembersResponse { outcome, invited_user_ids }))
                }
                $(Operation::$kind(_) => {
                    let outcome = Some(v1::Outcome { seq, last_seq, is_repeat, at });
                    Some(Answer::$kind(v1::$response { outcome }))
                })*
                _ => None,
            }
        };
    }
    outcome_of! {
        EditMessage: EditMessageResponse,
        DeleteMessage: DeleteMessageResponse,
        AddReaction: AddReactionResponse,
        RemoveReaction: RemoveReactionResponse,
        UpdateRoom: UpdateRoomResponse,
        RemoveMember: RemoveMemberResponse,
        SetRole: SetRoleResponse,
        UpdateMember: UpdateMemberResponse,
        JoinRoom: JoinRoomResponse,
        LeaveRoom: LeaveRoomResponse,
        BanMember: BanMemberResponse,
        UnbanMember: UnbanMemberResponse,
        MuteMember: MuteMemberResponse,
        UnmuteMember: UnmuteMemberResponse,
        DeleteRoom: DeleteRoomResponse,
        InviteMember: InviteMemberResponse,
        RevokeInvitation: RevokeInvitationResponse,
        RevokeInvitationLink: RevokeInvitationLinkResponse,
        AnswerJoinRequest: AnswerJoinRequestResponse,
    }
}

/// Learns a room's head from an answer.
pub(crate) fn learn(operation: &Operation, as_user: &str, answer: &Answer, rooms: &mut Rooms) {
    match (operation, answer) {
        (Operation::SendMessage(request), Answer::SendMessage(response)) => {
            rooms.learn_head(&response.room_id, response.seq);
            if let Some(Target::ToUser(user)) = &request.target
                && as_user.is_empty()
            {
                rooms.learn_direct(user, &response.room_id);
            }
        }
        (Operation::JoinRoom(request), Answer::JoinRoom(response)) => {
            if let Some(outcome) = &response.outcome {
                rooms.learn_head(&request.room_id, outcome.last_seq);
            }
        }
        (_, Answer::CreateRoom(v1::CreateRoomResponse { room: Some(room), .. }))
        | (_, Answer::GetRoom(v1::GetRoomResponse { room: Some(room), .. })) => {
            rooms.learn_head(&room.room_id, room.head_seq);
        }
        (Operation::ListMessages(request), Answer::ListMessages(response)) => {
            rooms.learn_head(&request.room_id, response.head_seq);
        }
        (Operation::ListEvents(request), Answer::ListEvents(response)) => {
            rooms.learn_head(&request.room_id, response.head_seq);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamped(mut operation: Operation, rooms: &Rooms) -> Operation {
        stamp(&mut operation, "", rooms, || "new".to_owned());
        operation
    }

    #[test]
    fn mutations_get_an_id_and_the_known_head_unless_they_have_them() {
        let mut rooms = Rooms::new([]);
        let join = v1::JoinRoomRequest { room_id: "r".to_owned(), ..Default::default() };
        let Operation::JoinRoom(request) = stamped(Operation::JoinRoom(join.clone()), &rooms) else {
            panic!()
        };
        // An unknown room: the server searches the last 15 minutes.
        assert_eq!((request.request_id.as_str(), request.after_seq), ("new", None));

        rooms.learn_head("r", 9);
        let Operation::JoinRoom(request) = stamped(Operation::JoinRoom(join.clone()), &rooms) else {
            panic!()
        };
        assert_eq!((request.request_id.as_str(), request.after_seq), ("new", Some(9)));

        let own = v1::JoinRoomRequest { request_id: "own".to_owned(), after_seq: Some(3), ..join };
        assert_eq!(stamped(Operation::JoinRoom(own.clone()), &rooms), Operation::JoinRoom(own));
    }

    #[test]
    fn direct_room_is_known_after_the_first_answer() {
        let mut rooms = Rooms::new([]);
        let send = v1::SendMessageRequest {
            target: Some(Target::ToUser("bob".to_owned())),
            text: "hi".to_owned(),
            ..Default::default()
        };
        let first = stamped(Operation::SendMessage(send.clone()), &rooms);
        let response = v1::SendMessageResponse { room_id: "d1".to_owned(), seq: 4, ..Default::default() };
        learn(&first, "", &Answer::SendMessage(response), &mut rooms);
        let Operation::SendMessage(second) = stamped(Operation::SendMessage(send), &rooms) else { panic!() };
        assert_eq!(second.after_seq, Some(4));
    }
}
