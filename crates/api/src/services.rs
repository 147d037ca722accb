//! The gRPC services: every call is authenticated, rate limited, given a deadline and dispatched to its
//! operation.
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use futures::stream::Empty;
use http::HeaderMap;
use parlance_core::Caller;
use parlance_core::limits::{MAX_CURSOR_CALL_BYTES, MAX_FRAME_BYTES};
use parlance_peers::{BODY_BYTES, Peer};
use parlance_proto::events::v1::StreamEventsRequest;
use parlance_proto::events_server::event_service_server::{EventService, EventServiceServer};
use parlance_proto::server::chat_service_server::{ChatService, ChatServiceServer};
use parlance_proto::server::inbox_service_server::{InboxService, InboxServiceServer};
use parlance_proto::server::room_service_server::{RoomService, RoomServiceServer};
use parlance_proto::server::server_service_server::{ServerService, ServerServiceServer};
use parlance_proto::server::user_service_server::{UserService, UserServiceServer};
use parlance_proto::v1;
use parlance_store::feed::ChangeFeed;
use prost::Message;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming, async_trait};

use crate::events::Events;
pub use crate::gate::Identified;
use crate::gate::{Admitted, Call, claim};
use crate::{Api, Error};

/// Header with the id of the user that the app acts as in a unary call.
pub(crate) const AS_USER: &str = "parlance-as-user";

/// An [`Api`] as gRPC services.
#[derive(Clone)]
pub struct Services(pub(crate) Arc<Api>, Option<Arc<dyn ChangeFeed>>);

impl Services {
    /// Creates the services of `api`.
    pub fn new(api: Arc<Api>) -> Self {
        Self(api, None)
    }

    /// Adds `feed`, from which `StreamEvents` reads.
    #[must_use]
    pub fn with_feed(self, feed: Option<Arc<dyn ChangeFeed>>) -> Self {
        Self(self.0, feed)
    }

    /// `EventService`, with the limits on messages set.
    pub fn events(&self) -> EventServiceServer<Self> {
        EventServiceServer::new(self.clone()).max_decoding_message_size(MAX_CURSOR_CALL_BYTES)
    }

    /// `ChatService` without its streams, with the limits on messages set.
    pub fn chat(&self) -> ChatServiceServer<Self> {
        ChatServiceServer::new(self.clone()).max_decoding_message_size(MAX_FRAME_BYTES)
    }

    /// `UserService`, with the limits on messages set.
    pub fn users(&self) -> UserServiceServer<Self> {
        UserServiceServer::new(self.clone()).max_decoding_message_size(MAX_FRAME_BYTES)
    }

    /// `RoomService`, with the limits on messages set.
    pub fn rooms(&self) -> RoomServiceServer<Self> {
        RoomServiceServer::new(self.clone()).max_decoding_message_size(MAX_FRAME_BYTES)
    }

    /// `InboxService`, with the limits on messages set.
    pub fn inbox(&self) -> InboxServiceServer<Self> {
        InboxServiceServer::new(self.clone()).max_decoding_message_size(MAX_FRAME_BYTES)
    }

    /// `ServerService`, with the limits on messages set.
    pub fn server(&self) -> ServerServiceServer<Self> {
        ServerServiceServer::new(self.clone()).max_decoding_message_size(MAX_FRAME_BYTES)
    }

    /// Identifies the caller at `path` from the headers alone, before the body is read, and records that the connection
    /// `peer` is theirs. `None` where no identity is required.
    ///
    /// # Errors
    /// UNAUTHENTICATED, or RESOURCE_EXHAUSTED for callers beyond their rate, or with too many connections.
    pub async fn admit(
        &self,
        path: &str,
        headers: &HeaderMap,
        peer: Option<&Peer>,
    ) -> Result<Option<Identified>, Status> {
        let admitted = match path {
            "/parlance.v1.ServerService/GetServer" => None,
            "/parlance.v1.UserService/CreateUser" => {
                let caller = self.0.gate.identify_or_first(headers).await?;
                caller.as_ref().map_or(Ok(()), |caller| self.0.gate.check_call(caller))?;
                caller
            }
            // All of our packages, so that a new service is covered by default.
            path if path.starts_with("/parlance.") => {
                let caller = self.0.gate.identify(headers).await?;
                self.0.gate.check_call(&caller)?;
                Some(caller)
            }
            // Health and reflection.
            _ => None,
        };
        if let (Some(caller), Some(peer)) = (&admitted, peer) {
            claim(caller, peer)?;
        }
        Ok(admitted.map(Identified))
    }

    async fn caller<Q>(&self, request: &Request<Q>) -> Result<Caller, Error> {
        // Cloned before the first await: the request is not `Sync`.
        let identified = request.extensions().get::<Identified>().cloned();
        self.0.gate.identified(identified, request.metadata().as_ref()).await
    }

    /// Common part of all unary calls.
    async fn call<'a, Q: Call + Message, A, F>(
        &'a self,
        request: Request<Q>,
        operation: impl FnOnce(Admitted, Q) -> F,
    ) -> Result<Response<A>, Status>
    where
        F: Future<Output = Result<A, Error>> + 'a,
    {
        let caller = self.caller(&request).await?;
        self.0.gate.weigh_call(&caller, bytes_of(&request));
        let caller = self.0.gate.acting_as::<Q>(caller, as_user(request.metadata()))?;
        Ok(Response::new(self.0.gate.pass(caller, request.into_inner(), operation).await?))
    }
}

/// The size of a request: as JSON, where a bridge says so, which counts against nobody but its caller.
fn bytes_of<Q: Message>(request: &Request<Q>) -> usize {
    let named =
        request.metadata().get(BODY_BYTES.as_str()).and_then(|bytes| bytes.to_str().ok()?.parse().ok());
    request.get_ref().encoded_len().max(named.unwrap_or(0))
}

/// The user that the app acts as; empty if none.
fn as_user(metadata: &MetadataMap) -> Result<&str, Error> {
    let not_an_id = |_| Error::Field("as_user".to_owned(), "is not a user id".to_owned());
    let mut named = metadata.get_all(AS_USER).iter();
    let Some(user) = named.next() else { return Ok("") };
    // An empty value, as left by an unset variable, would mean the app itself, with more permissions.
    if user.is_empty() || named.next().is_some() {
        return Err(Error::Field("as_user".to_owned(), "must name one user".to_owned()));
    }
    user.to_str().map_err(not_an_id)
}

/// The unary calls of one service, each dispatched to the operation of the same name.
macro_rules! unary {
    ($($name:ident($request:ident) -> $response:ident;)*) => {
        $(
            fn $name<'a, 'b>(
                &'a self,
                request: Request<v1::$request>,
            ) -> Pin<Box<dyn Future<Output = Result<Response<v1::$response>, Status>> + Send + 'b>>
            where
                'a: 'b,
                Self: 'b,
            {
                Box::pin(self.call(request, move |caller, request| async move {
                    self.0.$name(&caller, request).await
                }))
            }
        )*
    };
}

#[async_trait]
impl ChatService for Services {
    // Both are plain routes, see `crate::streams`, and never get here.
    type ChatStream = Empty<Result<v1::ServerFrame, Status>>;
    type SubscribeStream = Empty<Result<v1::ServerFrame, Status>>;

    async fn chat(
        &self,
        _: Request<Streaming<v1::ClientFrame>>,
    ) -> Result<Response<Self::ChatStream>, Status> {
        Err(Status::unimplemented("the streams are not routed"))
    }

    async fn subscribe(
        &self,
        _: Request<v1::SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        Err(Status::unimplemented("the streams are not routed"))
    }

    unary! {
        send_message(SendMessageRequest) -> SendMessageResponse;
        get_message(GetMessageRequest) -> GetMessageResponse;
        list_messages(ListMessagesRequest) -> ListMessagesResponse;
        list_events(ListEventsRequest) -> ListEventsResponse;
        edit_message(EditMessageRequest) -> EditMessageResponse;
        delete_message(DeleteMessageRequest) -> DeleteMessageResponse;
        add_reaction(AddReactionRequest) -> AddReactionResponse;
        remove_reaction(RemoveReactionRequest) -> RemoveReactionResponse;
        send_typing(SendTypingRequest) -> SendTypingResponse;
        report_message(ReportMessageRequest) -> ReportMessageResponse;
    }
}

#[async_trait]
impl UserService for Services {
    async fn create_user(
        &self,
        request: Request<v1::CreateUserRequest>,
    ) -> Result<Response<v1::CreateUserResponse>, Status> {
        let mut caller = self.0.gate.identify_or_first(request.metadata().as_ref()).await?;
        if let Some(app) = caller.take() {
            self.0.gate.weigh_call(&app, bytes_of(&request));
            let as_user = as_user(request.metadata());
            caller = Some(self.0.gate.acting_as::<v1::CreateUserRequest>(app, as_user)?);
        }
        let creating = self.0.gate.pass_first(caller, request.into_inner(), |caller, request| async move {
            self.0.create_user(caller.as_ref(), request).await
        });
        Ok(Response::new(creating.await?))
    }

    unary! {
        get_user(GetUserRequest) -> GetUserResponse;
        get_users(GetUsersRequest) -> GetUsersResponse;
        list_users(ListUsersRequest) -> ListUsersResponse;
        update_user(UpdateUserRequest) -> UpdateUserResponse;
        get_presence(GetPresenceRequest) -> GetPresenceResponse;
        block_user(BlockUserRequest) -> BlockUserResponse;
        unblock_user(UnblockUserRequest) -> UnblockUserResponse;
        list_blocked(ListBlockedRequest) -> ListBlockedResponse;
        search_users(SearchUsersRequest) -> SearchUsersResponse;
        deactivate_user(DeactivateUserRequest) -> DeactivateUserResponse;
        reactivate_user(ReactivateUserRequest) -> ReactivateUserResponse;
        delete_user(DeleteUserRequest) -> DeleteUserResponse;
        export_user(ExportUserRequest) -> ExportUserResponse;
        report_user(ReportUserRequest) -> ReportUserResponse;
        list_reports(ListReportsRequest) -> ListReportsResponse;
        resolve_report(ResolveReportRequest) -> ResolveReportResponse;
    }
}

#[async_trait]
impl RoomService for Services {
    unary! {
        create_room(CreateRoomRequest) -> CreateRoomResponse;
        get_room(GetRoomRequest) -> GetRoomResponse;
        update_room(UpdateRoomRequest) -> UpdateRoomResponse;
        delete_room(DeleteRoomRequest) -> DeleteRoomResponse;
        get_direct_room(GetDirectRoomRequest) -> GetDirectRoomResponse;
        list_rooms(ListRoomsRequest) -> ListRoomsResponse;
        list_directory(ListDirectoryRequest) -> ListDirectoryResponse;
        create_invitation_link(CreateInvitationLinkRequest) -> CreateInvitationLinkResponse;
        revoke_invitation_link(RevokeInvitationLinkRequest) -> RevokeInvitationLinkResponse;
        list_invitation_links(ListInvitationLinksRequest) -> ListInvitationLinksResponse;
        get_invitation_link(GetInvitationLinkRequest) -> GetInvitationLinkResponse;
        join_by_link(JoinByLinkRequest) -> JoinByLinkResponse;
        request_to_join(RequestToJoinRequest) -> RequestToJoinResponse;
        withdraw_join_request(WithdrawJoinRequestRequest) -> WithdrawJoinRequestResponse;
        answer_join_request(AnswerJoinRequestRequest) -> AnswerJoinRequestResponse;
        list_join_requests(ListJoinRequestsRequest) -> ListJoinRequestsResponse;
        add_members(AddMembersRequest) -> AddMembersResponse;
        remove_member(RemoveMemberRequest) -> RemoveMemberResponse;
        list_members(ListMembersRequest) -> ListMembersResponse;
        list_bans(ListBansRequest) -> ListBansResponse;
        set_role(SetRoleRequest) -> SetRoleResponse;
        update_member(UpdateMemberRequest) -> UpdateMemberResponse;
        join_room(JoinRoomRequest) -> JoinRoomResponse;
        leave_room(LeaveRoomRequest) -> LeaveRoomResponse;
        ban_member(BanMemberRequest) -> BanMemberResponse;
        unban_member(UnbanMemberRequest) -> UnbanMemberResponse;
        mute_member(MuteMemberRequest) -> MuteMemberResponse;
        unmute_member(UnmuteMemberRequest) -> UnmuteMemberResponse;
        invite_member(InviteMemberRequest) -> InviteMemberResponse;
        accept_invitation(AcceptInvitationRequest) -> AcceptInvitationResponse;
        decline_invitation(DeclineInvitationRequest) -> DeclineInvitationResponse;
        revoke_invitation(RevokeInvitationRequest) -> RevokeInvitationResponse;
        list_invitations(ListInvitationsRequest) -> ListInvitationsResponse;
        list_room_invitations(ListRoomInvitationsRequest) -> ListRoomInvitationsResponse;
        import_messages(ImportMessagesRequest) -> ImportMessagesResponse;
        export_room(ExportRoomRequest) -> ExportRoomResponse;
    }
}

#[async_trait]
impl InboxService for Services {
    unary! {
        list_inbox(ListInboxRequest) -> ListInboxResponse;
        mark_read(MarkReadRequest) -> MarkReadResponse;
        acknowledge_delivery(AcknowledgeDeliveryRequest) -> AcknowledgeDeliveryResponse;
        list_receipts(ListReceiptsRequest) -> ListReceiptsResponse;
        set_room_hidden(SetRoomHiddenRequest) -> SetRoomHiddenResponse;
        set_room_preferences(SetRoomPreferencesRequest) -> SetRoomPreferencesResponse;
        get_unread_total(GetUnreadTotalRequest) -> GetUnreadTotalResponse;
    }
}

#[async_trait]
impl ServerService for Services {
    async fn get_server(
        &self,
        request: Request<v1::GetServerRequest>,
    ) -> Result<Response<v1::GetServerResponse>, Status> {
        // Clients call this before they sign in.
        let server = async |_, _| Ok(self.0.get_server());
        Ok(Response::new(self.0.gate.pass_first(None, request.into_inner(), server).await?))
    }
}

#[async_trait]
impl EventService for Services {
    type StreamEventsStream = Events;

    async fn stream_events(&self, request: Request<StreamEventsRequest>) -> Result<Response<Events>, Status> {
        let feed = self.1.clone();
        self.call(request, move |caller, request| async move {
            self.0.stream_events(&caller, request, feed).await
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use http::header::AUTHORIZATION;
    use parlance_core::{Clock, SystemClock};
    use tokio::time::timeout;
    use tonic::Code;

    use super::*;
    use crate::limits::OPERATION_TIMEOUT;
    use crate::testing::{TestNode, user};
    use crate::{Parts, PeopleLimits};

    /// Paused time advances while all tasks wait.
    #[tokio::test(start_paused = true)]
    async fn creating_a_user_times_out() {
        let node = TestNode::start();
        node.store.stalls_users.store(true, Ordering::SeqCst);
        let request = v1::CreateUserRequest { user_id: "alice".into(), ..Default::default() };
        let services = Services::new(node.api.clone());
        let creating = services.create_user(Request::new(request));
        let waited = timeout(OPERATION_TIMEOUT * 2, creating).await.expect("it ends");
        assert_eq!(waited.unwrap_err().code(), Code::DeadlineExceeded);
    }
    #[tokio::test]
    async fn all_calls_but_public_ones_are_identified_by_their_headers() {
        let services = Services::new(TestNode::start().api.clone());
        let nobody = HeaderMap::new();
        let refused =
            async |path: &str| services.admit(path, &nobody, None).await.err().map(|status| status.code());
        for path in ["/parlance.v1.ServerService/GetServer", "/grpc.health.v1.Health/Watch", "/"] {
            assert_eq!(refused(path).await, None, "{path}");
        }
        let ours = ["/parlance.v1.ChatService/SendMessage", "/parlance.events.v1.EventService/StreamEvents"];
        for path in ours {
            assert_eq!(refused(path).await, Some(Code::Unauthenticated), "{path}");
        }
    }

    /// Whether or not they can be decoded, which is not known yet.
    #[tokio::test]
    async fn calls_count_against_the_rate_of_their_caller_by_their_headers() {
        let limits = PeopleLimits { operations: NonZeroU32::new(1), ..PeopleLimits::NONE };
        let (node, _) = TestNode::with_group_from(|parts| Parts { limits, ..parts }).await;
        let services = Services::new(node.api.clone());
        let headers = |id| {
            let token = node.api.auth().mint(&user(id), Duration::from_secs(600), SystemClock.now()).unwrap();
            HeaderMap::from_iter([(AUTHORIZATION, format!("Bearer {token}").parse().unwrap())])
        };
        let (alice, bob) = (headers("alice"), headers("bob"));
        let admit = async |headers| services.admit("/parlance.v1.UserService/GetUser", headers, None).await;
        let mut refused = 0;
        for _ in 0..100 {
            if let Err(status) = admit(&alice).await {
                assert_eq!(status.code(), Code::ResourceExhausted);
                refused += 1;
            }
        }
        assert!(refused > 50, "{refused}");
        assert!(admit(&bob).await.is_ok());
    }
}
