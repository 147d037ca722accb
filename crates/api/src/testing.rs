//! A node on a store whose answers tests control.
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use parlance_core::{Caller, RoomId, RoomIdKey, SystemClock};
use parlance_delivery::{Deliveries, Frames};
use parlance_faults::ControlledStore;
pub(crate) use parlance_faults::fixture::{group, soon, user};
use parlance_hub::{Listening, Mailbox};
use parlance_proto::v1;
use parlance_registry::{Local, NodeId, Registry};
use parlance_sessions::Session;
use parlance_store::{RoomIds, Store};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use v1::client_frame::Operation;
use v1::server_frame::Frame;

use crate::gate::Admitted;
use crate::{Api, Parts, Sizes};
use parlance_identity::Auth;

/// A node with nobody beside it.
pub(crate) struct TestNode {
    pub(crate) api: Arc<Api>,
    pub(crate) store: Arc<ControlledStore>,
    room_ids: RoomIds,
    _folder: TempDir,
}

impl TestNode {
    /// A node with small pages.
    pub(crate) fn start() -> Self {
        Self::start_from(keyed(), |parts| parts)
    }

    /// The same, where someone counts as online for so long after their last session has ended.
    pub(crate) fn start_with_grace(presence_grace: Duration) -> Self {
        Self::start_from(keyed(), |parts| Parts { presence_grace, ..parts })
    }

    /// The same, where ids of rooms are made this way.
    pub(crate) fn start_with(room_ids: RoomIds) -> Self {
        Self::start_from(room_ids, |parts| parts)
    }

    /// The same, with `registry`.
    pub(crate) fn start_with_registry(registry: Arc<dyn Registry>, presence_grace: Duration) -> Self {
        Self::start_from(keyed(), |parts| Parts { registry, presence_grace, ..parts })
    }

    fn start_from(room_ids: RoomIds, change: impl FnOnce(Parts) -> Parts) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(ControlledStore::open(folder.path()).unwrap());
        let parts = change(parts(store.clone(), room_ids.clone(), &Sizes::SMALL));
        Self { api: Api::start(parts, CancellationToken::new()), store, room_ids, _folder: folder }
    }
}

/// Ids of rooms as they are made in a new store.
fn keyed() -> RoomIds {
    RoomIds { key: RoomIdKey::new([7; RoomIdKey::BYTES]), some_unkeyed: false }
}

impl TestNode {
    /// Another node on the same store. All hints between the two are lost.
    pub(crate) fn other(&self) -> Arc<Api> {
        let parts = parts(self.store.clone(), self.room_ids.clone(), &Sizes::SMALL);
        Api::start(parts, CancellationToken::new())
    }

    /// A node with a group of alice and bob; writes are answered at once, and carol is a user.
    pub(crate) async fn with_group() -> (Self, RoomId) {
        let node = Self::start();
        node.store.answer_all();
        for id in ["alice", "bob", "carol"] {
            node.api.ensure_user(&caller(id)).await.unwrap();
        }
        let room = node.api.rooms().create(group("first")).await.unwrap().into_parts().0.info.id;
        (node, room)
    }

    /// A session of `id` that listens to `room` as that of a member.
    pub(crate) async fn live(&self, id: &str, room: &RoomId) -> (Arc<Mailbox>, Listening) {
        let mailbox = self.api.hub().open(&user(id), None);
        let (listening, state) = self.api.hub().subscribe(room, &mailbox).await.unwrap().unwrap();
        listening.now_live(state.head);
        (mailbox, listening)
    }
}

/// Alice says something; returns its seq.
pub(crate) async fn say(api: &Api, room: &RoomId, text: &str) -> u64 {
    let request = v1::SendMessageRequest {
        text: text.to_owned(),
        client_message_id: text.replace(' ', "-"),
        target: Some(v1::send_message_request::Target::RoomId(room.to_string())),
        ..Default::default()
    };
    api.send_message(&caller("alice"), request).await.unwrap().seq
}

/// Alice removes someone; returns the seq of that.
pub(crate) async fn remove(api: &Api, room: &RoomId, whom: &str) -> u64 {
    remove_by(api, room, whom, &format!("remove-{whom}")).await
}

/// The same by the request `id`: who is removed once more takes another one.
pub(crate) async fn remove_by(api: &Api, room: &RoomId, whom: &str, id: &str) -> u64 {
    let request = v1::RemoveMemberRequest {
        room_id: room.to_string(),
        user_id: whom.to_owned(),
        request_id: id.to_owned(),
        ..Default::default()
    };
    api.remove_member(&caller("alice"), request).await.unwrap().outcome.unwrap().seq
}

/// Alice adds someone; returns the seq of that.
pub(crate) async fn add(api: &Api, room: &RoomId, whom: &str) -> u64 {
    add_by(api, room, whom, &format!("add-{whom}")).await
}

/// The same by the request `id`: who is added once more takes another one.
pub(crate) async fn add_by(api: &Api, room: &RoomId, whom: &str, id: &str) -> u64 {
    let request = v1::AddMembersRequest {
        room_id: room.to_string(),
        user_ids: vec![whom.to_owned()],
        request_id: id.to_owned(),
        ..Default::default()
    };
    api.add_members(&caller("alice"), request).await.unwrap().outcome.unwrap().seq
}

/// A node alone on `store`.
pub(crate) fn parts(store: Arc<dyn Store>, room_ids: RoomIds, sizes: &'static Sizes) -> Parts {
    Parts {
        store,
        room_ids,
        registry: Arc::new(Local::new(NodeId::from_random(1))),
        auth: Arc::new(Auth::local(b"test")),
        clock: Arc::new(SystemClock),
        user_rate: None::<NonZeroU32>,
        reconnect_spread: Duration::ZERO,
        isolation: Duration::from_secs(45),
        recovery_reads: 100,
        presence_grace: Duration::ZERO,
        sizes,
    }
}

pub(crate) fn caller(id: &str) -> Admitted {
    user_caller(id).into()
}

/// A user without any scope, before the gate.
pub(crate) fn user_caller(id: &str) -> Caller {
    Caller {
        user: user(id),
        is_service: false,
        is_admin: false,
        service: None,
        client: None,
        expires_at: u64::MAX,
        token: None,
        issued_at: None,
    }
}

/// A client in the same process, in a session of its own.
pub(crate) struct Conversation {
    requests: mpsc::Sender<Result<v1::ClientFrame, Status>>,
    frames: Frames,
    /// Of the rooms that it has not caught up in.
    heads: Vec<v1::Cursor>,
}

impl Conversation {
    /// Says hello, and waits for the welcome.
    pub(crate) async fn open(api: &Arc<Api>, caller: Admitted) -> Self {
        let (requests, inbound) = mpsc::channel(8);
        let inbound = ReceiverStream::new(inbound).boxed();
        let deliveries: Deliveries =
            Session::stream(api.sessions().clone(), api.clone(), (*caller).clone(), inbound, false, None)
                .boxed();
        let mut conversation = Self { requests, frames: deliveries.into(), heads: Vec::new() };
        conversation.send(Operation::Hello(v1::Hello::default())).await;
        loop {
            match conversation.next().await {
                Frame::Welcome(welcome) => {
                    conversation.heads = welcome.heads;
                    return conversation;
                }
                Frame::Reply(refused) => panic!("{refused:?}"),
                _ => {}
            }
        }
    }

    /// Of the rooms that it has not caught up in.
    pub(crate) fn heads(&self) -> &[v1::Cursor] {
        &self.heads
    }

    /// Takes what was there before the session.
    pub(crate) async fn catch_up(&mut self) {
        while !self.heads.is_empty() {
            if let Frame::Event(event) = self.next().await {
                self.heads.retain(|head| head.room_id != event.room_id || head.seq > event.seq);
            }
        }
    }

    /// Sends an operation, whose answer may come later.
    pub(crate) async fn send(&self, operation: Operation) {
        let frame = v1::ClientFrame {
            request_id: "request".into(),
            operation: Some(operation),
            as_user: String::new(),
        };
        self.requests.send(Ok(frame)).await.unwrap();
    }

    /// The next frame.
    pub(crate) async fn next(&mut self) -> Frame {
        let frame = soon(self.frames.next()).await.expect("the session goes on").unwrap();
        frame.decode_frame().unwrap().frame.unwrap()
    }

    /// The frames that can be had without waiting.
    pub(crate) fn waiting(&mut self) -> Vec<Frame> {
        let next = || self.frames.next().now_or_never()??.unwrap().decode_frame().unwrap().frame;
        std::iter::from_fn(next).collect()
    }

    /// Has an operation carried out, and waits for its answer.
    pub(crate) async fn call(&mut self, operation: Operation) -> v1::reply::Result {
        self.send(operation).await;
        loop {
            if let Frame::Reply(reply) = self.next().await {
                return reply.result.unwrap();
            }
        }
    }
}
