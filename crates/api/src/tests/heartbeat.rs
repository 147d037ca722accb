//! Heartbeats of `Subscribe`, in paused time that advances while all tasks wait.

use std::time::Duration;

use futures::{StreamExt, stream};
use parlance_core::{Caller, Clock, SystemClock};
use parlance_delivery::{Deliveries, Frames};
use parlance_proto::v1;
use parlance_sessions::{Session, StreamParts};
use tokio::time::{Instant, timeout};
use tonic::{Code, Status};
use v1::client_frame::Operation;
use v1::server_frame::Frame;

use crate::testing::{TestNode, user_caller};

const EVERY: Duration = Duration::from_secs(20);

/// A stream of carol, who is in no room, with a token that expires after `lasts`; and
/// its welcome.
async fn open(node: &TestNode, subscribe_only: bool, lasts: Duration) -> (Opened, v1::Welcome) {
    let hello = Operation::Hello(v1::Hello::default());
    let frame = v1::ClientFrame { request_id: String::new(), operation: Some(hello), as_user: String::new() };
    let inbound = stream::iter([Ok(frame.into())]).chain(stream::pending()).boxed();
    let expires_at = SystemClock.now().0 / 1_000 + lasts.as_secs();
    let caller = Caller { expires_at, ..user_caller("carol") };
    let (sessions, operations) = (node.api.sessions().clone(), node.api.clone());
    let parts = StreamParts { caller, number: 0, subscribe_only, outlet: None, answers: None };
    let deliveries: Deliveries = Session::stream(sessions, operations, parts, inbound).boxed();
    let mut opened = Opened { frames: deliveries.into(), heard: Instant::now() };
    let (_, first) = opened.next().await.unwrap();
    let Some(Frame::Welcome(welcome)) = first.frame else { panic!("{first:?}") };
    (opened, welcome)
}

struct Opened {
    frames: Frames,
    heard: Instant,
}

impl Opened {
    /// The next frame, and the silence before it.
    async fn next(&mut self) -> Result<(Duration, v1::ServerFrame), Status> {
        let frame = self.frames.next().await.expect("it does not end without a status")?;
        let silence = self.heard.elapsed();
        self.heard = Instant::now();
        Ok((silence, frame.decode_frame().unwrap()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_has_heartbeats_up_to_the_end_of_its_token() {
    let (node, _) = TestNode::with_group().await;
    let (mut carol, welcome) = open(&node, true, EVERY * 3 - Duration::from_secs(5)).await;
    assert_eq!(welcome.heartbeat_after, EVERY.try_into().ok());
    for _ in 0..2 {
        let (silence, frame) = carol.next().await.unwrap();
        assert_eq!(frame, v1::ServerFrame { frame: None });
        assert!((EVERY..EVERY + Duration::from_secs(1)).contains(&silence), "{silence:?}");
    }
    assert_eq!(carol.next().await.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test(start_paused = true)]
async fn a_chat_stream_has_none() {
    let (node, _) = TestNode::with_group().await;
    let (mut carol, welcome) = open(&node, false, EVERY * 10).await;
    assert_eq!(welcome.heartbeat_after, None);
    assert!(timeout(EVERY * 4, carol.next()).await.is_err());
}
