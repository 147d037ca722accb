use parlance_client::transport::Door;
use parlance_proto::v1;
use parlance_proto::v1::chat_service_client::ChatServiceClient;
use parlance_proto::v1::event::Body;
use parlance_proto::v1::inbox_service_client::InboxServiceClient;
use parlance_proto::v1::room_service_client::RoomServiceClient;
use parlance_proto::v1::send_message_request::Target;
use parlance_proto::v1::user_service_client::UserServiceClient;
use parlance_proto::v1::{Cursor, Event, RoomKind};
use tonic::metadata::MetadataValue;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::{Conversation, fresh};

/// A page of 200 messages of 16 KiB, with some slack.
const MAX_ANSWER: usize = 8 * 1024 * 1024;

/// A user with a token, and their unary calls over gRPC.
#[derive(Clone)]
pub struct Person {
    /// Their user id.
    pub id: String,
    /// Their token.
    pub token: String,
    address: String,
    channel: Channel,
}

/// Adds the token to each call.
#[derive(Clone)]
pub struct Bearer(String);

impl tonic::service::Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let value = MetadataValue::try_from(format!("Bearer {}", self.0)).expect("a token fits a header");
        request.metadata_mut().insert("authorization", value);
        Ok(request)
    }
}

type Signed = InterceptedService<Channel, Bearer>;

impl Person {
    pub(crate) fn new(address: &str, id: &str, token: &str) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address is a uri");
        // Lazy: it reconnects after a restart of its server.
        let channel = endpoint.tcp_nodelay(true).connect_lazy();
        Self { id: id.to_owned(), token: token.to_owned(), address: address.to_owned(), channel }
    }

    pub(crate) async fn create(address: &str, id: &str) -> Self {
        let token = parlance_client::create_user(address, id, "").await.expect("a user in local mode");
        Self::new(address, id, &token)
    }

    /// The chat service.
    pub fn chat(&self) -> ChatServiceClient<Signed> {
        ChatServiceClient::with_interceptor(self.channel.clone(), Bearer(self.token.clone()))
            .max_decoding_message_size(MAX_ANSWER)
    }

    /// The user service.
    pub fn users(&self) -> UserServiceClient<Signed> {
        UserServiceClient::with_interceptor(self.channel.clone(), Bearer(self.token.clone()))
    }

    /// The room service.
    pub fn rooms(&self) -> RoomServiceClient<Signed> {
        RoomServiceClient::with_interceptor(self.channel.clone(), Bearer(self.token.clone()))
    }

    /// The inbox service.
    pub fn inbox(&self) -> InboxServiceClient<Signed> {
        InboxServiceClient::with_interceptor(self.channel.clone(), Bearer(self.token.clone()))
    }

    /// Opens a stream without cursors.
    pub async fn connect(&self, door: Door) -> Conversation {
        self.resume(door, &[]).await
    }

    /// Opens a stream that resumes from these cursors.
    pub async fn resume(&self, door: Door, cursors: &[Cursor]) -> Conversation {
        match Conversation::open(&self.address, &self.token, door, cursors).await {
            Ok(conversation) => conversation,
            Err(failure) => panic!("{} is refused: {failure:?}", self.id),
        }
    }

    /// Opens a stream without sending hello.
    pub async fn connect_silently(&self, door: Door) -> Conversation {
        match Conversation::silent(&self.address, &self.token, door).await {
            Ok(conversation) => conversation,
            Err(failure) => panic!("{} is refused: {failure:?}", self.id),
        }
    }

    /// Creates a group of this person and these others; returns its id.
    pub async fn group(&self, others: &[&Person]) -> String {
        self.room(RoomKind::Group, others).await
    }

    /// Creates a channel; returns its id.
    pub async fn channel(&self) -> String {
        self.room(RoomKind::Channel, &[]).await
    }

    async fn room(&self, kind: RoomKind, others: &[&Person]) -> String {
        let request = v1::CreateRoomRequest {
            kind: kind.into(),
            member_ids: others.iter().map(|other| other.id.clone()).collect(),
            request_id: fresh("room"),
            ..Default::default()
        };
        let created = self.rooms().create_room(request).await.expect("a room can be created");
        created.into_inner().room.expect("the answer holds the room").room_id
    }

    /// Sends a text to a room; returns its seq.
    pub async fn say(&self, room: &str, text: &str) -> u64 {
        let request = Self::message(room, text);
        self.chat().send_message(request).await.expect("a member may send").into_inner().seq
    }

    /// A message to a room, with a fresh id.
    pub fn message(room: &str, text: &str) -> v1::SendMessageRequest {
        v1::SendMessageRequest {
            target: Some(Target::RoomId(room.to_owned())),
            client_message_id: fresh("message"),
            text: text.to_owned(),
            ..Default::default()
        }
    }

    /// Adds someone to a room owned by this person.
    pub async fn add(&self, room: &str, other: &Person) -> u64 {
        let user_ids = vec![other.id.clone()];
        let request_id = fresh("add");
        let request =
            v1::AddMembersRequest { room_id: room.to_owned(), user_ids, request_id, after_seq: None };
        let added = self.rooms().add_members(request).await.expect("an owner may add");
        added.into_inner().outcome.expect("the answer says where").seq
    }

    /// Removes someone from a room owned by this person.
    pub async fn remove(&self, room: &str, other: &Person) -> u64 {
        let request = v1::RemoveMemberRequest {
            room_id: room.to_owned(),
            user_id: other.id.clone(),
            request_id: fresh("remove"),
            after_seq: None,
        };
        let removed = self.rooms().remove_member(request).await.expect("an owner may remove");
        removed.into_inner().outcome.expect("the answer says where").seq
    }

    /// Acknowledges everything up to `seq`.
    pub async fn acknowledge(&self, room: &str, seq: u64) {
        let request_id = fresh("acknowledge");
        let request = v1::AcknowledgeDeliveryRequest { room_id: room.to_owned(), seq, request_id };
        self.inbox().acknowledge_delivery(request).await.expect("a member may acknowledge");
    }

    /// The whole log of a room, as far as this person may see it.
    pub async fn log(&self, room: &str) -> Vec<Event> {
        let mut events = Vec::new();
        let mut from_seq = 0;
        loop {
            let request =
                v1::ListEventsRequest { room_id: room.to_owned(), from_seq, to_seq: 0, page_size: 200 };
            let page = self.chat().list_events(request).await.expect("a member may read").into_inner();
            events.extend(page.events);
            from_seq = page.next_from_seq;
            if from_seq == 0 {
                return events;
            }
        }
    }

    /// A cursor of this room.
    pub fn cursor(room: &str, seq: u64) -> Cursor {
        Cursor { room_id: room.to_owned(), seq, epoch: 0 }
    }
}

/// The text of a message event.
pub fn text_of(event: &Event) -> &str {
    match &event.body {
        Some(Body::Message(message)) => &message.text,
        other => panic!("no message: {other:?}"),
    }
}
