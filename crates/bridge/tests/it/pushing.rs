use parlance_bridge::Options;
use parlance_delivery::{Delivery, SharedFrame, SharedRun, Source};
use tokio::task::yield_now;

use crate::common::{Client, Server, Session, large, reply, within};

/// One delivery, and how often it was requested.
struct One(Delivery, usize);

impl Source for One {
    fn next(&mut self) -> Option<&Delivery> {
        self.1 += 1;
        (self.1 == 1).then_some(&self.0)
    }
}

/// A source that must not be called.
struct Never;

impl Source for Never {
    fn next(&mut self) -> Option<&Delivery> {
        panic!("the connection is not idle")
    }
}

/// Pushes once the connection is idle.
async fn push(session: &Session, delivery: Delivery) {
    let mut given = One(delivery, 0);
    within(async {
        while given.1 == 0 {
            session.outlet.push(&mut given);
            yield_now().await;
        }
    })
    .await;
}

async fn expect(client: &mut Client, id: &str) {
    assert_eq!(client.json().await["reply"]["requestId"], id);
}

#[tokio::test]
async fn pushed_and_streamed_frames_keep_their_order() {
    let mut server = Server::start(Options::default()).await;
    let (mut client, session) = server.connect().await;
    for number in 0..200 {
        let id = number.to_string();
        if number % 3 == 0 {
            within(session.outbound.send(Ok(reply(&id)))).await.unwrap();
            // The stream's own frame is read before the next push: only then is it idle
            // again.
            expect(&mut client, &id).await;
        } else {
            push(&session, reply(&id).into()).await;
            if number % 2 == 0 {
                expect(&mut client, &id).await;
            } else {
                push(&session, reply("behind").into()).await;
                expect(&mut client, &id).await;
                expect(&mut client, "behind").await;
            }
        }
    }
}

#[tokio::test]
async fn partially_written_frames_are_completed_by_the_connection() {
    let mut server = Server::start(Options::default()).await;
    let (mut client, session) = server.connect().await;
    let frames: Vec<SharedFrame> = (0..100).map(|_| large(20_000)).chain([reply("last")]).collect();
    push(&session, Delivery::Run(SharedRun::new(frames))).await;
    // The connection is busy: the source is not called.
    for _ in 0..10 {
        assert!(!session.outlet.push(&mut Never));
        yield_now().await;
    }
    within(session.outbound.send(Ok(reply("from the stream")))).await.unwrap();
    for _ in 0..100 {
        client.json().await;
    }
    expect(&mut client, "last").await;
    expect(&mut client, "from the stream").await;
    push(&session, reply("idle again").into()).await;
    expect(&mut client, "idle again").await;
}

#[tokio::test]
async fn closed_connection_accepts_nothing() {
    let mut server = Server::start(Options::default()).await;
    let (client, session) = server.connect().await;
    push(&session, reply("1").into()).await;
    drop(client);
    within(server.bridge.finished()).await;
    assert!(!session.outlet.push(&mut Never));
}
