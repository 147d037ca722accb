//! Unary calls, as made over gRPC, and callers that give up at any point.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use parlance_api::services::Services;
use parlance_proto::server::chat_service_server::ChatService;
use parlance_proto::server::inbox_service_server::InboxService;
use parlance_proto::server::room_service_server::RoomService;
use parlance_proto::v1;
use tonic::metadata::AsciiMetadataValue;
use tonic::{Request, Status};
use v1::client_frame::Operation;
use v1::reply::Result as Reply;

/// Makes the call for an operation.
pub(crate) fn call(
    services: Services,
    authorization: &str,
    operation: Operation,
) -> BoxFuture<'static, Result<Reply, Status>> {
    let authorization = AsciiMetadataValue::try_from(authorization);
    macro_rules! unary {
        ($($operation:ident: $service:ident::$method:ident;)*) => {
            match operation {
                $(Operation::$operation(request) => async move {
                    let mut request = Request::new(request);
                    if let Ok(authorization) = authorization {
                        request.metadata_mut().insert("authorization", authorization);
                    }
                    let answer = $service::$method(&services, request).await?;
                    Ok(Reply::$operation(answer.into_inner()))
                }.boxed(),)*
                _ => async { Err(Status::unimplemented("not called here")) }.boxed(),
            }
        };
    }
    unary! {
        SendMessage: ChatService::send_message;
        EditMessage: ChatService::edit_message;
        DeleteMessage: ChatService::delete_message;
        AddReaction: ChatService::add_reaction;
        ListMessages: ChatService::list_messages;
        ListEvents: ChatService::list_events;
        GetMessage: ChatService::get_message;
        CreateRoom: RoomService::create_room;
        AddMembers: RoomService::add_members;
        RemoveMember: RoomService::remove_member;
        JoinRoom: RoomService::join_room;
        LeaveRoom: RoomService::leave_room;
        ListInbox: InboxService::list_inbox;
        MarkRead: InboxService::mark_read;
        AcknowledgeDelivery: InboxService::acknowledge_delivery;
    }
}

/// A future that is dropped after a number of polls: a caller that disconnects at one of its awaits.
pub(crate) struct Impatient<F> {
    future: Option<F>,
    polls: u32,
}

impl<F> Impatient<F> {
    pub(crate) fn new(future: F, polls: u32) -> Self {
        Self { future: Some(future), polls }
    }
}

impl<F: Future + Unpin> Future for Impatient<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(future) = &mut self.future else { return Poll::Ready(None) };
        if let Poll::Ready(output) = Pin::new(future).poll(cx) {
            return Poll::Ready(Some(output));
        }
        self.polls = self.polls.saturating_sub(1);
        if self.polls > 0 {
            return Poll::Pending;
        }
        self.future = None;
        Poll::Ready(None)
    }
}
