//! Unary calls for setting up a run and reading it back.

use std::time::Duration;

use anyhow::{Context, Result};
use parlance_proto::v1;
use parlance_proto::v1::chat_service_client::ChatServiceClient;
use parlance_proto::v1::inbox_service_client::InboxServiceClient;
use parlance_proto::v1::room_service_client::RoomServiceClient;
use parlance_proto::v1::user_service_client::UserServiceClient;
use tokio::time::{Instant, sleep};
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};

/// How long a call is retried while a node reports a temporary failure.
const DEADLINE: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_millis(100);

/// A connection to one node, shared by all users.
#[derive(Debug, Clone)]
pub struct Unary {
    channel: Channel,
}

impl Unary {
    pub async fn connect(address: &str) -> Result<Self> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true);
        Ok(Self { channel: endpoint.connect().await.context("cannot connect to a node")? })
    }

    pub async fn create_user(&self, token: &str, user: &str) -> Result<()> {
        let request = v1::CreateUserRequest {
            user_id: user.to_owned(),
            name: user.to_owned(),
            request_id: format!("create.{user}"),
            ..Default::default()
        };
        let call = |request| {
            let mut users = UserServiceClient::new(self.channel.clone());
            async move { users.create_user(request).await }
        };
        patiently(token, request, call).await.map(drop).context("cannot create a user")
    }

    pub async fn create_room(&self, token: &str, request: v1::CreateRoomRequest) -> Result<v1::Room> {
        let call = |request| {
            let mut rooms = RoomServiceClient::new(self.channel.clone());
            async move { rooms.create_room(request).await }
        };
        let created = patiently(token, request, call).await.context("cannot create a room")?;
        created.room.context("no room in the answer")
    }

    pub async fn send(
        &self,
        token: &str,
        request: v1::SendMessageRequest,
    ) -> Result<v1::SendMessageResponse> {
        let call = |request| {
            let mut chat = ChatServiceClient::new(self.channel.clone());
            async move { chat.send_message(request).await }
        };
        patiently(token, request, call).await.context("cannot send")
    }

    pub async fn list_events(
        &self,
        token: &str,
        request: v1::ListEventsRequest,
    ) -> Result<v1::ListEventsResponse> {
        let call = |request| {
            let mut chat = ChatServiceClient::new(self.channel.clone());
            async move { chat.list_events(request).await }
        };
        patiently(token, request, call).await.context("cannot read a room back")
    }

    pub async fn list_inbox(
        &self,
        token: &str,
        request: v1::ListInboxRequest,
    ) -> Result<v1::ListInboxResponse> {
        let call = |request| {
            let mut inbox = InboxServiceClient::new(self.channel.clone());
            async move { inbox.list_inbox(request).await }
        };
        patiently(token, request, call).await.context("cannot read an inbox")
    }
}

/// Retries until there is an answer other than a temporary failure.
async fn patiently<Q, R, F, A>(token: &str, request: Q, call: F) -> Result<R>
where
    Q: Clone,
    F: Fn(Request<Q>) -> A,
    A: Future<Output = Result<Response<R>, Status>>,
{
    let authorization: MetadataValue<_> = format!("Bearer {token}").parse()?;
    let deadline = Instant::now() + DEADLINE;
    loop {
        let mut request = Request::new(request.clone());
        request.metadata_mut().insert("authorization", authorization.clone());
        match call(request).await {
            Ok(response) => return Ok(response.into_inner()),
            Err(status) if is_passing(status.code()) && Instant::now() < deadline => sleep(AGAIN).await,
            Err(status) => return Err(status.into()),
        }
    }
}

fn is_passing(code: Code) -> bool {
    matches!(code, Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded | Code::Aborted)
}
