//! A session's guarantees to its application, against a misbehaving server.

use std::time::Duration;

use tokio::time::Instant;

use parlance_client::transport::Door;
use parlance_client::{ClientError, Code, Message, Update, Violation};
use parlance_proto::v1;
use parlance_proto::v1::reply::Result as Answer;
use parlance_proto::v1::server_frame::Frame;
use tonic::Status;

use crate::fake::{DOORS, Fake, message_of, next, next_seq, within};

#[tokio::test]
async fn events_come_once_and_in_order_over_lost_connections() {
    for door in DOORS {
        let mut fake = Fake::start(door).await;
        let (_session, mut updates) = fake.session();
        let (peer, hello) = fake.accept().await;
        assert_eq!(hello.cursors, []);
        peer.event(1).await;
        peer.event(2).await;
        assert_eq!(next_seq(&mut updates).await, 1);
        assert_eq!(next_seq(&mut updates).await, 2);
        drop(peer);
        assert!(matches!(next(&mut updates).await, Update::Disconnected { .. }));

        let (peer, hello) = fake.accept().await;
        assert_eq!(hello.cursors, [v1::Cursor { room_id: "r".to_owned(), seq: 2, epoch: 0 }]);
        peer.event(2).await;
        peer.event(3).await;
        assert_eq!(next_seq(&mut updates).await, 3);
        peer.event(5).await;
        let hole = Violation::Hole { room_id: "r".to_owned(), from_seq: 4, to_seq: 4 };
        assert_eq!(next(&mut updates).await, Update::Violation(hole));
        assert_eq!(next_seq(&mut updates).await, 5);
    }
}

#[tokio::test]
async fn an_unanswered_message_is_sent_again_as_it_was() {
    for door in DOORS {
        let mut fake = Fake::start(door).await;
        let (session, mut updates) = fake.session();
        let (mut peer, _) = fake.accept().await;
        peer.event(7).await;
        assert_eq!(next_seq(&mut updates).await, 7);
        let sending = tokio::spawn(async move { session.send_message(Message::to_room("r", "hi")).await });
        let (_, first) = message_of(peer.recv().await);
        assert_eq!((first.text.as_str(), first.after_seq), ("hi", Some(7)));
        drop(peer);

        let (mut peer, _) = fake.accept().await;
        peer.event(8).await;
        let (request_id, second) = message_of(peer.recv().await);
        assert_eq!(second, first);
        let busy = v1::Error { code: Code::Unavailable.into(), ..Default::default() };
        peer.reply(request_id, Answer::Error(busy)).await;

        let (request_id, third) = message_of(peer.recv().await);
        assert_eq!(third, first);
        let response = v1::SendMessageResponse { seq: 9, ..Default::default() };
        peer.reply(request_id, Answer::SendMessage(response.clone())).await;
        assert_eq!(within(sending).await.unwrap().unwrap(), response);
    }
}

#[tokio::test]
async fn a_final_refusal_reaches_the_caller() {
    let mut fake = Fake::start(Door::WebSocketJson).await;
    let (session, _updates) = fake.session();
    let sending = tokio::spawn(async move { session.send_message(Message::to_room("r", "hi")).await });
    let (mut peer, _) = fake.accept().await;
    let (request_id, _) = message_of(peer.recv().await);
    let code = Code::FailedPrecondition.into();
    let error = v1::Error { code, reason: "outcome_unknown".to_owned(), ..Default::default() };
    peer.reply(request_id, Answer::Error(error)).await;
    let error = within(sending).await.unwrap().unwrap_err();
    assert_eq!(error.failure().unwrap().reason, "outcome_unknown");
}

#[tokio::test]
async fn refused_tokens_end_the_session() {
    let mut fake = Fake::start(Door::Grpc).await;
    let (session, mut updates) = fake.session();
    let sending = tokio::spawn(async move { session.send_message(Message::to_room("r", "hi")).await });
    // The refusal may be temporary: it is retried once immediately, and again after a while.
    for at_once in [true, false] {
        let peer = fake.accept_silently().await;
        peer.fail(Status::unauthenticated("expired")).await;
        let Update::Disconnected { retry_in, .. } = next(&mut updates).await else { panic!() };
        assert_eq!(retry_in < Duration::from_secs(1), at_once);
    }
    let peer = fake.accept_silently().await;
    peer.fail(Status::unauthenticated("expired")).await;
    let Update::Stopped(error) = next(&mut updates).await else { panic!() };
    assert_eq!(error.failure().unwrap().code, Code::Unauthenticated);
    assert_eq!(within(sending).await.unwrap().unwrap_err(), error);
}

#[tokio::test]
async fn an_error_that_ends_the_stream_decides_whether_to_come_back() {
    for door in DOORS {
        let mut fake = Fake::start(door).await;
        let (session, mut updates) = fake.session();
        let (peer, _) = fake.accept().await;
        peer.fail(Status::resource_exhausted("too many bad frames")).await;
        let (peer, _) = fake.accept().await;
        peer.fail(Status::unauthenticated("revoked")).await;
        for _ in 0..2 {
            let peer = fake.accept_silently().await;
            peer.fail(Status::unauthenticated("revoked")).await;
        }
        let mut failures = Vec::new();
        while let Some(update) = within(updates.recv()).await {
            if let Update::Disconnected { error: Some(error), .. } | Update::Stopped(error) = update {
                failures.push(error.failure().unwrap().code);
            }
        }
        assert_eq!(
            failures,
            [Code::ResourceExhausted, Code::Unauthenticated, Code::Unauthenticated, Code::Unauthenticated]
        );
        let error = within(session.send_message(Message::to_room("r", "hi"))).await.unwrap_err();
        assert_eq!(error, ClientError::SessionEnded);
    }
}

#[tokio::test]
async fn a_draining_server_is_left_after_the_delay() {
    for door in DOORS {
        let mut fake = Fake::start(door).await;
        let (session, _updates) = fake.session();
        let (mut peer, _) = fake.accept().await;
        let answered = session.clone();
        let answered = tokio::spawn(async move { answered.send_message(Message::to_room("r", "1")).await });
        let (request_id, _) = message_of(peer.recv().await);
        let asked = Instant::now();
        let delay = Duration::from_millis(300);
        let reconnect_after = Some(delay.try_into().unwrap());
        peer.send(Frame::Draining(v1::Draining { reconnect_after })).await;
        // Calls in flight are still answered, and so are new ones: the stream works until then.
        peer.reply(request_id, Answer::SendMessage(v1::SendMessageResponse::default())).await;
        within(answered).await.unwrap().unwrap();
        let waiting = tokio::spawn(async move { session.send_message(Message::to_room("r", "2")).await });
        let (_, request) = message_of(peer.recv().await);
        assert_eq!(request.text, "2");

        let (mut next_peer, _) = fake.accept().await;
        assert!(asked.elapsed() >= delay);
        let (request_id, request) = message_of(next_peer.recv().await);
        assert_eq!(request.text, "2");
        next_peer.reply(request_id, Answer::SendMessage(v1::SendMessageResponse::default())).await;
        within(waiting).await.unwrap().unwrap();
        peer.closed().await;
    }
}

#[tokio::test]
async fn an_application_that_does_not_read_holds_only_a_queue() {
    let mut fake = Fake::start(Door::WebSocketBinary).await;
    let (_session, mut updates) = fake.session();
    let (peer, _) = fake.accept().await;
    let writing = tokio::spawn(async move {
        for seq in 1..=2_000 {
            peer.event(seq).await;
        }
        peer
    });
    for seq in 1..=2_000 {
        assert_eq!(next_seq(&mut updates).await, seq);
        assert!(updates.len() <= 256);
    }
    within(writing).await.unwrap();
}

#[tokio::test]
async fn a_frame_that_the_server_would_not_take_is_refused_here() {
    let mut fake = Fake::start(Door::Grpc).await;
    let (session, _updates) = fake.session();
    let mut peer = fake.accept_silently().await;
    peer.recv().await;
    let limits = Some(v1::Limits { max_frame_bytes: 1_000, ..Default::default() });
    peer.send(Frame::Welcome(v1::Welcome { limits, ..Default::default() })).await;
    let error = within(session.send_message(Message::to_room("r", "x".repeat(1_000)))).await.unwrap_err();
    assert_eq!(error.failure().unwrap().reason, "frame_too_large");
}
