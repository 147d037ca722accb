//! Sends messages one after the other through sessions in one process and waits until every
//! listener has received each: the workload whose instructions `tools/check-instructions`
//! counts.
//!
//! `send_path MESSAGES LISTENERS`

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use parlance_api::identity::Auth;
use parlance_api::services::Services;
use parlance_api::{Api, Parts, PeopleLimits, RECOVERY_READS};
use parlance_core::{Clock as _, Name, SystemClock, Timestamp, UserId};
use parlance_delivery::Frames;
use parlance_proto::v1;
use parlance_proto::v1::client_frame::Operation;
use parlance_proto::v1::reply::Result as Answer;
use parlance_proto::v1::send_message_request::Target;
use parlance_proto::v1::server_frame::Frame;
use parlance_registry::{Local, NodeId};
use parlance_store::{Durability, Embedded, Options, Store, User};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::sync::CancellationToken;

type Error = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let numbers: Vec<usize> =
        std::env::args().skip(1).map(|number| number.parse()).collect::<Result<_, _>>()?;
    let [messages, listeners] = numbers[..] else { return Err("send_path MESSAGES LISTENERS".into()) };

    let folder = tempfile::tempdir()?;
    let options = Options { durability: Durability::Buffered, ..Options::default() };
    let store: Arc<dyn Store> = Arc::new(Embedded::open(folder.path(), options)?);
    let users: Vec<UserId> =
        (0..=listeners).map(|number| UserId::parse(&format!("u{number}"))).collect::<Result<_, _>>()?;
    for id in &users {
        let user = User {
            id: id.clone(),
            name: Name::parse("somebody")?,
            created_at: Timestamp(1),
            updated_at: Timestamp(1),
            image: parlance_core::ImageUrl::default(),
            data: parlance_core::Data::default(),
            state: Default::default(),
        };
        store.create_user(user).await?;
    }
    let room_ids = store.room_ids().await?;
    let parts = Parts {
        store,
        room_ids,
        registry: Arc::new(Local::new(NodeId::from_random(1))),
        auth: Arc::new(Auth::local(b"instructions")),
        clock: Arc::new(SystemClock),
        limits: PeopleLimits::NONE,
        screen: None,
        room_memory: parlance_api::ROOM_MEMORY,
        reconnect_spread: Duration::ZERO,
        isolation: Duration::from_secs(45),
        recovery_reads: RECOVERY_READS,
        presence_grace: Duration::ZERO,
        profiles: parlance_api::ProfileRules::default(),
        image_origins: Vec::new(),
        additions: parlance_api::Additions::default(),
        permissions: parlance_core::DefaultPermissions::default(),
        end_sessions: None,
        sizes: &parlance_api::Sizes::PRODUCTION,
    };
    let services = Services::new(Api::start(parts, CancellationToken::new()));

    let mut sender = Client::open(&services, &users[0]).await?;
    let member_ids = users[1..].iter().map(ToString::to_string).collect();
    let create = v1::CreateRoomRequest {
        kind: v1::RoomKind::Group.into(),
        member_ids,
        request_id: "room".to_owned(),
        ..Default::default()
    };
    let Answer::CreateRoom(created) = sender.ask(Operation::CreateRoom(create)).await? else {
        return Err("no room".into());
    };
    let room_id = created.room.ok_or("no room")?.room_id;
    let mut others = Vec::new();
    for user in &users[1..] {
        others.push(Client::open(&services, user).await?);
    }
    let mut after_seq = None;
    for number in 0..messages {
        let send = v1::SendMessageRequest {
            target: Some(Target::RoomId(room_id.clone())),
            client_message_id: format!("m{number}"),
            text: "0123456789".repeat(20),
            after_seq,
            ..Default::default()
        };
        let Answer::SendMessage(sent) = sender.ask(Operation::SendMessage(send)).await? else {
            return Err("not sent".into());
        };
        after_seq = Some(sent.seq);
        for other in &mut others {
            other.reach(sent.seq).await?;
        }
    }
    Ok(())
}

struct Client {
    requests: mpsc::UnboundedSender<Result<v1::ClientFrame, tonic::Status>>,
    frames: Frames,
}

impl Client {
    async fn open(services: &Services, user: &UserId) -> Result<Self, Error> {
        let token = Auth::local(b"instructions")
            .mint(user, Duration::from_secs(3_600), SystemClock.now())
            .ok_or("no token")?;
        let (requests, inbound) = mpsc::unbounded_channel();
        let inbound =
            UnboundedReceiverStream::new(inbound).map_ok(|frame: v1::ClientFrame| (frame.into(), 0));
        let mut headers = http::HeaderMap::new();
        headers.insert(http::header::AUTHORIZATION, format!("Bearer {token}").try_into()?);
        let frames: Frames = services.open(&headers, inbound, None, None).await?.into();
        let mut client = Self { requests, frames };
        client.request(Operation::Hello(v1::Hello::default()))?;
        while !matches!(client.next().await?, Frame::Welcome(_)) {}
        Ok(client)
    }

    fn request(&self, operation: Operation) -> Result<(), Error> {
        let frame = v1::ClientFrame {
            request_id: "1".to_owned(),
            operation: Some(operation),
            as_user: String::new(),
        };
        Ok(self.requests.send(Ok(frame))?)
    }

    async fn next(&mut self) -> Result<Frame, Error> {
        let frame = self.frames.next().await.ok_or("the session ended")??;
        Ok(frame.decode_frame()?.frame.ok_or("an empty frame")?)
    }

    async fn ask(&mut self, operation: Operation) -> Result<Answer, Error> {
        self.request(operation)?;
        loop {
            if let Frame::Reply(reply) = self.next().await? {
                return Ok(reply.result.ok_or("an empty reply")?);
            }
        }
    }

    /// Reads until the event with `seq` arrives.
    async fn reach(&mut self, seq: u64) -> Result<(), Error> {
        loop {
            if matches!(self.next().await?, Frame::Event(event) if event.seq == seq) {
                return Ok(());
            }
        }
    }
}
