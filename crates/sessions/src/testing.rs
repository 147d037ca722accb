//! Sessions on a store whose answers tests control, with rooms and hardly any operations.
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use parlance_cluster::limits::{ISOLATION, RECOVERY_READS};
use parlance_cluster::{Cluster, Departure, Pace, SignalRoom};
use parlance_core::{
    Action, Authority, Caller, Command, Cursors, Mark, Message, RequestId, RoomId, SystemClock, Text, UserId,
};
use parlance_faults::ControlledStore;
pub(crate) use parlance_faults::fixture::{group, soon, user};
use parlance_hub::Hub;
use parlance_peers::Budget;
use parlance_proto::error::Failure;
use parlance_proto::v1;
use parlance_registry::{Local, NodeId, Registry};
use parlance_rooms::Rooms;

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Code;
use v1::client_frame::Operation;

use crate::{Error, Executed, Marks, NotAcknowledged, Operations, Parts, Sessions, Sizes};
use parlance_store::LogStore;

/// A node with nobody beside it.
pub(crate) struct TestNode {
    pub(crate) store: Arc<ControlledStore>,
    pub(crate) rooms: Rooms,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) operations: Arc<dyn Operations>,
    _folder: Option<TempDir>,
}

impl TestNode {
    /// A node with small pages.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(ControlledStore::open(folder.path()).unwrap());
        Self { _folder: Some(folder), ..Self::on(store) }
    }

    /// Another node on the same store. All hints between the two are lost.
    pub(crate) fn other(&self) -> Self {
        Self::on(self.store.clone())
    }

    fn on(store: Arc<ControlledStore>) -> Self {
        let (tasks, end) = (TaskTracker::new(), CancellationToken::new());
        let registry: Arc<dyn Registry> = Arc::new(Local::new(NodeId::from_random(1)));
        let hub =
            Arc::new(Hub::new(store.clone(), registry.clone(), tasks.clone(), &parlance_hub::Sizes::SMALL));
        let pace = Pace {
            reads_per_second: RECOVERY_READS,
            isolation: ISOLATION,
            reconnect_spread: Duration::ZERO,
            presence_grace: Duration::ZERO,
        };
        let sizes = &parlance_cluster::Sizes::SMALL;
        let cluster = Arc::new(Cluster::new(registry.clone(), store.clone(), hub.clone(), pace, sizes));
        let departure = Departure::new(CancellationToken::new(), Duration::ZERO);
        let rooms = Rooms::new(parlance_rooms::Parts {
            store: store.clone(),
            hub: hub.clone(),
            cluster: cluster.clone(),
            registry: registry.clone(),
            clock: Arc::new(SystemClock),
            departure: departure.clone(),
            tasks: tasks.clone(),
            permissions: parlance_core::DefaultPermissions::default(),
            sizes: &parlance_rooms::Sizes::SMALL,
        });
        let sessions = Sessions::new(Parts {
            store: store.clone(),
            hub,
            cluster,
            registry,
            clock: Arc::new(SystemClock),
            departure,
            tasks,
            end,
            reconnect_spread: Duration::ZERO,
            presence_grace: Duration::ZERO,
            sessions_of_user: None,
            subscriptions_of_user: None,
            sizes: &Sizes::SMALL,
        });
        let operations = Arc::new(Few { store: store.clone(), marks: sessions.marks().clone() });
        Self { store, rooms, sessions, operations, _folder: None }
    }

    /// A node with a group of alice and bob; writes are answered at once.
    pub(crate) async fn with_group() -> (Self, RoomId) {
        let node = Self::start();
        node.store.answer_all();
        let room = node.rooms.create(group("first")).await.unwrap().into_parts().0.info.id;
        (node, room)
    }
}

/// Only what the tests here need: no limits, no users.
struct Few {
    store: Arc<ControlledStore>,
    marks: Arc<Marks>,
}

impl Operations for Few {
    fn check_rate(&self, _: &Caller) -> Result<(), Failure> {
        Ok(())
    }

    fn check_hello<'a>(&'a self, _: &'a Caller) -> BoxFuture<'a, Result<(), Failure>> {
        async { Ok(()) }.boxed()
    }

    fn charge_rooms(&self, _: &Caller, _: usize) {}

    fn refresh<'a>(
        &'a self,
        caller: &'a Caller,
        _: u64,
        _: v1::Refresh,
    ) -> BoxFuture<'a, Result<Caller, Failure>> {
        std::future::ready(Ok(caller.clone())).boxed()
    }

    fn execute(
        self: Arc<Self>,
        _: Caller,
        _: String,
        _: Operation,
        _: Arc<Budget>,
    ) -> BoxFuture<'static, Executed> {
        async { Err(Failure::new(Code::Unimplemented, "unimplemented", "")) }.boxed()
    }

    fn ensure_user<'a>(&'a self, _: &'a Caller) -> BoxFuture<'a, Result<(), Failure>> {
        async { Ok(()) }.boxed()
    }

    fn check_account<'a>(&'a self, _: &'a Caller) -> BoxFuture<'a, Result<(), Failure>> {
        async { Ok(()) }.boxed()
    }

    fn acknowledge<'a>(
        &'a self,
        user: &'a UserId,
        room: &'a RoomId,
        seq: u64,
    ) -> BoxFuture<'a, Result<Cursors, NotAcknowledged>> {
        async move {
            let nobody = || NotAcknowledged::Refused("no such room".to_owned());
            let room = self.store.room(room).await?.as_ref().map(SignalRoom::from).ok_or_else(nobody)?;
            let to = Cursors { delivered: seq, read: Mark::default() };
            self.marks.advance_and_signal(user, &room, to).await?.ok_or_else(nobody)
        }
        .boxed()
    }

    fn failure(&self, error: Error) -> Failure {
        Failure::new(Code::Internal, "internal", error.to_string())
    }
}

/// Alice says something; returns its seq.
pub(crate) async fn say(rooms: &Rooms, room: &RoomId, text: &str) -> u64 {
    let command = Command {
        actor: user("alice"),
        authority: Authority::Member,
        request: RequestId::parse(&text.replace(' ', "-")).unwrap(),
        after: None,
        action: Action::Send(Message::plain(Text::parse(text).unwrap())),
    };
    rooms.submit(room, command).await.unwrap().first
}
