//! Messages that a screen sees before they are sent.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures::FutureExt;
use futures::future::BoxFuture;
use parlance_core::RoomId;
use parlance_proto::v1;
use parlance_store::LogStore;
use tokio::sync::Semaphore;
use v1::send_message_request::Target;

use crate::testing::{TestNode, caller};
use crate::{Error, Parts, Proposal, Screen, ScreenError, Screening};

/// Decides by the text of a message.
struct ScriptedScreen {
    calls: AtomicUsize,
    /// Refuses whatever the text.
    refuses_all: AtomicBool,
    /// Permits for the text "slow".
    released: Semaphore,
}

impl ScriptedScreen {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            calls: AtomicUsize::new(0),
            refuses_all: AtomicBool::new(false),
            released: Semaphore::new(0),
        })
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

impl Screen for ScriptedScreen {
    fn screen<'a>(&'a self, proposal: Proposal<'a>) -> BoxFuture<'a, Result<Screening, ScreenError>> {
        async move {
            self.calls.fetch_add(1, Ordering::SeqCst);
            match proposal.message.text.as_str() {
                "slow" => self.released.acquire().await.unwrap().forget(),
                "hang" => std::future::pending().await,
                "fail" => return Err(ScreenError("out of order".into())),
                _ => {}
            }
            let is_refused =
                proposal.message.text.as_str() == "rude" || self.refuses_all.load(Ordering::SeqCst);
            Ok(if is_refused { Screening::Refused } else { Screening::Accepted })
        }
        .boxed()
    }
}

async fn screened_group() -> (TestNode, RoomId, Arc<ScriptedScreen>) {
    let screen = ScriptedScreen::new();
    let configured: Arc<dyn Screen> = screen.clone();
    let (node, room) = TestNode::with_group_from(|parts| Parts { screen: Some(configured), ..parts }).await;
    (node, room, screen)
}

fn message(target: Target, text: &str) -> v1::SendMessageRequest {
    v1::SendMessageRequest {
        text: text.to_owned(),
        client_message_id: format!("send-{text}"),
        target: Some(target),
        ..Default::default()
    }
}

fn in_room(room: &RoomId, text: &str) -> v1::SendMessageRequest {
    message(Target::RoomId(room.to_string()), text)
}

async fn head(node: &TestNode, room: &RoomId) -> u64 {
    node.store.room(room).await.unwrap().unwrap().head().seq()
}

#[tokio::test(start_paused = true)]
async fn refused_message_is_not_sent() {
    let (node, room, screen) = screened_group().await;
    let before = head(&node, &room).await;
    let alice = caller("alice");
    let send = |text| node.api.send_message(&alice, in_room(&room, text));
    assert_eq!(send("rude").await, Err(Error::MessageRefused));
    assert_eq!(send("fail").await, Err(Error::ScreenAway));
    assert_eq!(send("hang").await, Err(Error::ScreenAway), "within its time");
    assert_eq!(head(&node, &room).await, before);
    assert_eq!(send("polite").await.map(|sent| sent.seq), Ok(before + 1));
    assert_eq!(screen.calls(), 4);
}

#[tokio::test]
async fn repeat_of_a_stored_message_is_not_screened() {
    let (node, room, screen) = screened_group().await;
    let first = node.api.send_message(&caller("alice"), in_room(&room, "hello")).await.unwrap();
    screen.refuses_all.store(true, Ordering::SeqCst);
    let again = node.api.send_message(&caller("alice"), in_room(&room, "hello")).await.unwrap();
    assert_eq!((again.seq, again.is_repeat, screen.calls()), (first.seq, true, 1));

    // Stored by another node, whose hint is lost.
    let other = node.other().send_message(&caller("bob"), in_room(&room, "hi")).await.unwrap();
    let again = node.api.send_message(&caller("bob"), in_room(&room, "hi")).await.unwrap();
    assert_eq!((again.seq, again.is_repeat, screen.calls()), (other.seq, true, 1));
}

#[tokio::test]
async fn message_stored_while_it_is_screened_is_not_refused() {
    let (node, room, screen) = screened_group().await;
    let alice = caller("alice");
    let mut screened = Box::pin(node.api.send_message(&alice, in_room(&room, "slow")));
    while screen.calls() == 0 {
        assert!(screened.as_mut().now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    let stored = node.other().send_message(&alice, in_room(&room, "slow")).await.unwrap();
    screen.refuses_all.store(true, Ordering::SeqCst);
    screen.released.add_permits(1);
    let answer = screened.await.unwrap();
    assert_eq!((answer.seq, answer.is_repeat), (stored.seq, true));
}

#[tokio::test]
async fn slow_screen_delays_only_its_sender() {
    let (node, room, screen) = screened_group().await;
    let (alice, bob) = (caller("alice"), caller("bob"));
    let mut first = Box::pin(node.api.send_message(&alice, in_room(&room, "slow")));
    while screen.calls() == 0 {
        assert!(first.as_mut().now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    let mut second = Box::pin(node.api.send_message(&alice, in_room(&room, "afterwards")));
    assert!(second.as_mut().now_or_never().is_none());
    let of_bob = node.api.send_message(&bob, in_room(&room, "meanwhile")).await.unwrap().seq;
    assert!(second.as_mut().now_or_never().is_none());
    screen.released.add_permits(1);
    let (first, second) = futures::future::join(first, second).await;
    assert_eq!((first.unwrap().seq, second.unwrap().seq), (of_bob + 1, of_bob + 2));
}

#[tokio::test]
async fn screen_sees_only_what_the_room_would_accept() {
    let (node, room, screen) = screened_group().await;
    let stranger = node.api.send_message(&caller("carol"), in_room(&room, "hello")).await;
    assert!(matches!(stranger, Err(Error::Refused { .. })), "{stranger:?}");
    let nowhere = RoomId::parse("nowhere").unwrap();
    let missing = node.api.send_message(&caller("alice"), in_room(&nowhere, "hello")).await;
    assert_eq!(missing, Err(Error::RoomNotFound));
    assert_eq!(screen.calls(), 0);
}

#[tokio::test]
async fn refused_first_message_creates_no_direct_room() {
    let (node, _, screen) = screened_group().await;
    let direct = RoomId::direct(&crate::testing::user("alice"), &crate::testing::user("carol"));
    let to_carol = |text| message(Target::ToUser("carol".into()), text);
    let refused = node.api.send_message(&caller("alice"), to_carol("rude")).await;
    assert_eq!(refused, Err(Error::MessageRefused));
    assert_eq!(node.store.room(&direct).await.unwrap(), None);
    let sent = node.api.send_message(&caller("alice"), to_carol("polite")).await.unwrap();
    let again = node.api.send_message(&caller("alice"), to_carol("polite")).await.unwrap();
    assert_eq!((again.seq, again.is_repeat, screen.calls()), (sent.seq, true, 2));
}

#[tokio::test]
async fn first_message_to_someone_who_blocks_the_sender_is_not_screened() {
    let (node, _, screen) = screened_group().await;
    let block = v1::BlockUserRequest { user_id: "alice".to_owned(), ..Default::default() };
    node.api.block_user(&caller("carol"), block).await.unwrap();
    let to_carol = message(Target::ToUser("carol".into()), "polite");
    let refused = node.api.send_message(&caller("alice"), to_carol).await;
    assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
    assert_eq!(screen.calls(), 0);
}
