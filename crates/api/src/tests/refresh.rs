//! A new token for an open stream, in paused time that advances while all tasks wait.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use parlance_core::{Caller, Clock, Revocation, RevocationEntry, Timestamp, UserId};
use parlance_delivery::{Deliveries, Frames};
use parlance_proto::v1;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tonic::{Code, Status};
use v1::client_frame::Operation;
use v1::reply::Result as Reply;
use v1::server_frame::Frame;

use crate::Parts;
use crate::gate::Refresh;
use crate::operations::streams::Transport;
use crate::testing::{TestNode, as_inbound, user_caller};

/// When the tests begin, in seconds.
const BEGIN: u64 = 1_800_000_000;

/// The allowed clock difference, with which tokens last longer.
const SKEW: u64 = 60;

/// A clock that follows the paused time since the latest start.
struct PausedClock(Mutex<Instant>);

impl Clock for PausedClock {
    fn now(&self) -> Timestamp {
        Timestamp(BEGIN * 1_000 + self.0.lock().unwrap().elapsed().as_millis() as u64)
    }
}

/// A `Chat` stream of carol.
struct Stream {
    requests: mpsc::Sender<Result<v1::ClientFrame, Status>>,
    frames: Frames,
    begun: Instant,
}

impl Stream {
    /// Opens one with a token that expires after `lasts` seconds, and says hello.
    async fn open(node: &TestNode, lasts: u64) -> Self {
        let mut stream = Self::begin(node, lasts);
        stream.hello().await;
        stream
    }

    fn begin(node: &TestNode, lasts: u64) -> Self {
        let (requests, inbound) = mpsc::channel(8);
        let caller = Caller { expires_at: BEGIN + lasts, ..user_caller("carol") };
        let open = |caller, inbound, number| node.api.chat(caller, number, inbound, Transport::default());
        let inbound = as_inbound(inbound);
        let deliveries: Deliveries = node.api.gate.open(caller, inbound, Refresh::Possible, open);
        Self { requests, frames: deliveries.into(), begun: Instant::now() }
    }

    async fn hello(&mut self) {
        self.send(Operation::Hello(v1::Hello::default())).await;
        assert!(matches!(self.next().await, Ok((0, Frame::Welcome(_)))));
    }

    async fn send(&self, operation: Operation) {
        let frame = v1::ClientFrame { operation: Some(operation), ..Default::default() };
        self.requests.send(Ok(frame)).await.unwrap();
    }

    /// The next frame, and the second in which it came.
    async fn next(&mut self) -> Result<(u64, Frame), Status> {
        let frame = self.frames.next().await.expect("it does not end without a status")?;
        Ok((self.begun.elapsed().as_secs(), frame.decode_frame().unwrap().frame.unwrap()))
    }

    /// The answer to `token`: how many seconds it lasts, or why it is not accepted.
    async fn refresh(&mut self, token: &str) -> Result<u64, String> {
        self.send(Operation::Refresh(v1::Refresh { token: token.to_owned() })).await;
        match self.next().await.unwrap().1 {
            Frame::Reply(v1::Reply { result: Some(Reply::Refreshed(refreshed)), .. }) => {
                Ok(refreshed.expires_after.unwrap().seconds as u64)
            }
            Frame::Reply(v1::Reply { result: Some(Reply::Error(error)), .. }) => Err(error.reason),
            other => panic!("{other:?}"),
        }
    }

    /// The next frame says that the token expires: when it came, and the seconds that are left.
    async fn expiring(&mut self) -> (u64, u64) {
        match self.next().await.unwrap() {
            (at, Frame::TokenExpiring(expiring)) => (at, expiring.expires_after.unwrap().seconds as u64),
            other => panic!("{other:?}"),
        }
    }

    /// The second in which it ends since its token has expired.
    async fn expired(&mut self) -> u64 {
        let status = self.next().await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::Unauthenticated, "the token has expired"));
        self.begun.elapsed().as_secs()
    }
}

async fn node() -> TestNode {
    let clock = Arc::new(PausedClock(Mutex::new(Instant::now())));
    let of_node = clock.clone();
    let (node, _) = TestNode::with_group_from(|parts| Parts { clock: of_node, ..parts }).await;
    // Time has passed while threads of the store were waited for.
    *clock.0.lock().unwrap() = Instant::now();
    node
}

/// A token of `user` that expires `lasts` seconds after the beginning.
fn token(node: &TestNode, user: &str, lasts: u64) -> String {
    let (user, lifetime) = (UserId::parse(user).unwrap(), Duration::from_secs(lasts));
    node.api.auth().mint(&user, lifetime, Timestamp(BEGIN * 1_000)).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_stream_goes_on_with_each_new_token() {
    let node = node().await;
    let mut carol = Stream::open(&node, 200).await;
    assert_eq!(carol.expiring().await, (140, 60));
    assert_eq!(carol.refresh(&token(&node, "carol", 1_000)).await, Ok(1_000 + SKEW - 140));
    assert_eq!(carol.expiring().await, (1_000, 60));
    assert_eq!(carol.refresh(&token(&node, "carol", 2_000)).await, Ok(2_000 + SKEW - 1_000));
    assert_eq!(carol.expiring().await, (2_000, 60));
    assert_eq!(carol.expired().await, 2_000 + SKEW);
}

#[tokio::test(start_paused = true)]
async fn a_short_token_is_announced_halfway_and_a_very_short_one_not_at_all() {
    let node = node().await;
    let mut carol = Stream::open(&node, 20).await;
    assert_eq!(carol.expiring().await, (10, 10));
    // The same token again: each time half of what is left, until a second.
    let again = token(&node, "carol", 0);
    for (second, left) in [(35, 25), (47, 12), (53, 6), (56, 3), (58, 1)] {
        assert!(carol.refresh(&again).await.is_ok());
        assert_eq!(carol.expiring().await, (second, left));
    }
    assert!(carol.refresh(&again).await.is_ok());
    assert_eq!(carol.expired().await, 60);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_not_accepted_leaves_the_stream_as_it_was() {
    let node = node().await;
    let mut carol = Stream::open(&node, 200).await;
    let (other, old) = (token(&node, "alice", 1_000), token(&node, "carol", 0));
    assert_eq!(carol.refresh("garbage").await, Err("token_invalid".to_owned()));
    assert_eq!(carol.refresh(&other).await, Err("invalid_field".to_owned()));
    assert_eq!(carol.expiring().await, (140, 60));
    assert_eq!(carol.refresh(&old).await, Err("token_expired".to_owned()));
    assert_eq!(carol.expired().await, 200);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_says_hello_during_a_grace_is_told_of_its_end() {
    let node = node().await;
    let mut carol = Stream::begin(&node, 1_000);
    let entry = RevocationEntry {
        sessions_until: Some(BEGIN + 30),
        ..RevocationEntry::from(Revocation::Everyone(BEGIN))
    };
    assert_eq!(node.api.auth().revocations().apply(&[entry], Timestamp(BEGIN * 1_000)), 1);
    carol.hello().await;
    assert_eq!(carol.expiring().await, (0, 30));
}
