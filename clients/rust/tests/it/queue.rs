//! Commands across connections and restarts, against a misbehaving server and store.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::fake::{DOORS, Fake, message_of, within};
use parlance_client::transport::Door;
use parlance_client::{
    ClientError, Code, CommandState, CommandStore, CommandUpdate, Config, Discarded, FileCommandStore,
    Listener, MemoryCommandStore, Message, Session, StorageState, StoreChange, StoredCommand, Update,
    Updates, async_trait,
};
use parlance_proto::v1;
use parlance_proto::v1::client_frame::Operation;
use parlance_proto::v1::reply::Result as Answer;
use tokio::sync::mpsc;

fn text(text: &str) -> v1::SendMessageRequest {
    Message::to_room("r", text).into()
}

fn done(seq: u64) -> Answer {
    Answer::SendMessage(v1::SendMessageResponse { room_id: "r".to_owned(), seq, ..Default::default() })
}

async fn storage(updates: &mut Updates) -> StorageState {
    loop {
        if let Update::Storage(state) = within(updates.recv()).await.unwrap() {
            return state;
        }
    }
}

#[tokio::test]
async fn unanswered_commands_are_sent_again_unchanged_and_in_order_after_a_restart() {
    for door in DOORS {
        let folder = tempfile::tempdir().unwrap();
        let mut fake = Fake::start(door).await;
        let mut config = Config::new(fake.dialer.clone(), "token");
        let store = |config: &mut Config| {
            config.command_store = Some(Arc::new(FileCommandStore::new(folder.path().join("queue"))));
        };
        store(&mut config);
        let (session, updates) = Session::start(config.clone());
        let (mut peer, _) = fake.accept().await;
        peer.event(7).await;
        let first = within(session.submit(text("first"))).await.unwrap();
        let second = within(session.submit(text("second"))).await.unwrap();
        let (_, sent) = message_of(peer.recv().await);
        assert_eq!((sent.text.as_str(), &sent.client_message_id), ("first", &first.id));
        within(session.close()).await;
        assert_eq!(within(first.done()).await, Err(ClientError::SessionEnded));
        drop((session, updates, peer));

        store(&mut config);
        let (session, _updates) = Session::start(config);
        let (mut peer, _) = fake.accept().await;
        peer.event(9).await;
        let (request_id, again) = message_of(peer.recv().await);
        assert_eq!(again, sent);
        peer.reply(request_id, done(8)).await;
        let (request_id, next) = message_of(peer.recv().await);
        assert_eq!((next.text.as_str(), next.client_message_id), ("second", second.id));
        peer.reply(request_id, done(10)).await;
        peer.event(10).await;
        within(async {
            while !session.commands().is_empty() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

/// Contains nothing, and answers on demand.
#[derive(Clone, Default)]
struct Broken {
    hangs: bool,
    is_full: Arc<AtomicBool>,
}

#[async_trait]
impl CommandStore for Broken {
    async fn load(&self) -> Result<Vec<StoredCommand>, String> {
        if self.hangs { pending().await } else { Ok(Vec::new()) }
    }

    async fn write(&self, _: Vec<StoreChange>) -> Result<(), String> {
        if self.is_full.load(Ordering::SeqCst) { Err("full".to_owned()) } else { Ok(()) }
    }
}

#[tokio::test]
async fn a_store_that_hangs_or_is_full_stops_nothing_and_is_reported() {
    for hangs in [false, true] {
        let mut fake = Fake::start(Door::Grpc).await;
        let store = Broken { hangs, is_full: Arc::new(AtomicBool::new(true)) };
        let mut config = Config::new(fake.dialer.clone(), "token");
        config.command_store = Some(Arc::new(store.clone()));
        let (session, mut updates) = Session::start(config);
        let (mut peer, _) = fake.accept().await;
        let queued = within(session.submit(text("hi"))).await.unwrap();
        let (request_id, sent) = message_of(peer.recv().await);
        assert_eq!(sent.text, "hi");
        peer.reply(request_id, done(1)).await;
        assert_eq!(within(queued.done()).await.unwrap().unwrap().seq, 1);
        loop {
            match storage(&mut updates).await {
                StorageState::Memory { error } => {
                    assert_eq!(error == "full", !hangs, "{error}");
                    break;
                }
                state => assert!(!hangs && state == StorageState::Durable, "{state:?}"),
            }
        }
        store.is_full.store(false, Ordering::SeqCst);
        if !hangs {
            assert_eq!(storage(&mut updates).await, StorageState::Durable);
        }
        within(session.close()).await;
    }
}

#[tokio::test]
async fn unsent_commands_can_be_withdrawn() {
    let mut fake = Fake::start(Door::WebSocketBinary).await;
    let mut config = Config::new(fake.dialer.clone(), "token");
    config.command_store = Some(Arc::new(MemoryCommandStore::default()));
    let (session, _updates) = Session::start(config);
    let (mut peer, _) = fake.accept().await;
    let first = within(session.submit(text("on the wire"))).await.unwrap();
    let second = within(session.submit(text("regretted"))).await.unwrap();
    within(session.submit(text("third"))).await.unwrap();
    let (request_id, _) = message_of(peer.recv().await);
    assert_eq!(within(session.discard(&second.id)).await, Ok(Discarded::Undone));
    assert_eq!(within(second.done()).await, Err(ClientError::Discarded));
    assert_eq!(within(session.discard("never heard of")).await, Ok(Discarded::Unknown));
    peer.reply(request_id, done(1)).await;
    assert_eq!(within(first.done()).await.unwrap().unwrap().seq, 1);
    let (_, sent) = message_of(peer.recv().await);
    assert_eq!(sent.text, "third");
    assert_eq!(within(session.discard(&sent.client_message_id)).await, Ok(Discarded::MaybeSent));
}

struct Refusals(mpsc::UnboundedSender<(String, String)>);

impl Listener for Refusals {
    fn command(&self, update: CommandUpdate) {
        if let CommandUpdate::Failed { command, error } = update {
            self.0.send((command.id.clone(), error.failure().unwrap().reason.clone())).unwrap();
        }
    }
}

#[tokio::test]
async fn a_refusal_reaches_the_caller_and_the_listener_and_can_be_tried_again() {
    let mut fake = Fake::start(Door::Grpc).await;
    let (refusals, mut refused) = mpsc::unbounded_channel();
    let session = Session::start_with(Config::new(fake.dialer.clone(), "token"), Refusals(refusals));
    let (mut peer, _) = fake.accept().await;
    let queued = within(session.submit(text("hi"))).await.unwrap();
    let id = queued.id.clone();
    let (request_id, sent) = message_of(peer.recv().await);
    // Temporary errors are retried by the client.
    let busy = v1::Error { code: Code::Unavailable.into(), ..Default::default() };
    peer.reply(request_id, Answer::Error(busy)).await;
    let (request_id, again) = message_of(peer.recv().await);
    assert_eq!(again, sent);
    let (code, reason) = (Code::PermissionDenied.into(), "muted".to_owned());
    peer.reply(request_id, Answer::Error(v1::Error { code, reason, ..Default::default() })).await;
    assert_eq!(within(queued.done()).await.unwrap_err().failure().unwrap().reason, "muted");
    assert_eq!(within(refused.recv()).await.unwrap(), (id.clone(), "muted".to_owned()));
    let failed = session.commands();
    assert_eq!(failed.values().next().unwrap().state, CommandState::Failed);

    let retrying = session.clone();
    let retried = tokio::spawn(async move { retrying.retry(id).await });
    let (request_id, again) = message_of(peer.recv().await);
    assert_eq!(again, sent);
    peer.reply(request_id, done(1)).await;
    assert_eq!(within(retried).await.unwrap(), Ok(Some(done(1))));
}

#[tokio::test]
async fn marks_that_wait_become_one() {
    let mut fake = Fake::start(Door::Grpc).await;
    let (session, _updates) = fake.session();
    let mark = |seq| v1::MarkReadRequest { room_id: "r".to_owned(), seq, ..Default::default() };
    let (first, second) = (session.submit(mark(3)).await.unwrap(), session.submit(mark(5)).await.unwrap());
    let third = session.submit(mark(4)).await.unwrap();
    assert_eq!(third.id, second.id);
    let (mut peer, _) = fake.accept().await;
    let frame = peer.recv().await;
    let Some(Operation::MarkRead(sent)) = frame.operation else { panic!("{frame:?}") };
    assert_eq!(sent.seq, 5);
    peer.reply(frame.request_id, Answer::MarkRead(v1::MarkReadResponse::default())).await;
    for marked in [first, second, third] {
        assert!(within(marked.done()).await.unwrap().is_some());
    }
}
