//! RFC 9113, 5.2 and 6.9: the server sends no more than the windows allow, and opens its own.

use std::collections::HashMap;

use parlance_tests::Server;

use super::peer::{Got, Peer};
use super::wire::{
    END_HEADERS, END_STREAM, HEADERS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_WINDOW, call, fields, frame,
    get, last_data, settings, window_update,
};

/// The default of both kinds of windows.
const WINDOW: usize = 65_535;

/// An answer of more than both windows.
fn large(stream: u32) -> Vec<u8> {
    let request =
        [(":method", "GET"), (":scheme", "http"), (":path", "/openapi.json"), (":authority", "127.0.0.1")];
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &fields(&request))
}

/// What came of each stream.
#[derive(Default)]
struct Received {
    bytes: HashMap<u32, usize>,
    headers: usize,
    ended: Vec<u32>,
    pings: u32,
}

impl Received {
    fn add(&mut self, got: Got) {
        match got {
            Got::Data { stream, length, ends } => {
                *self.bytes.entry(stream).or_default() += length;
                if ends {
                    self.ended.push(stream);
                }
            }
            Got::Headers { status: Some(200), .. } => self.headers += 1,
            Got::WindowUpdate(..) | Got::SettingsAck | Got::PingAck(_) => {}
            other => panic!("{other:?}"),
        }
    }

    fn of(&self, stream: u32) -> usize {
        self.bytes.get(&stream).copied().unwrap_or_default()
    }

    /// Reads until this many bytes have come of a stream, and then all that comes before a ping is answered: nothing
    /// beyond.
    async fn exactly(&mut self, peer: &mut Peer, stream: u32, bytes: usize) {
        while self.of(stream) < bytes {
            self.add(peer.got().await.expect("the connection goes on"));
        }
        self.nothing(peer).await;
        assert_eq!(self.of(stream), bytes, "of stream {stream}");
    }

    /// What comes before two pings are answered, one after the other: a frame that waited for no window would.
    async fn nothing(&mut self, peer: &mut Peer) {
        for _ in 0..2 {
            self.pings += 1;
            let payload = [&self.pings.to_be_bytes()[..], b"ping"].concat();
            for got in peer.until_pong(payload.first_chunk().expect("eight bytes")).await {
                self.add(got);
            }
        }
    }
}

#[tokio::test]
async fn windows_of_streams() {
    let server = Server::start().await;
    let mut peer = Peer::connect(&server, &[(INITIAL_WINDOW_SIZE, 0)]).await;
    let mut received = Received::default();
    peer.send(&large(1)).await;
    // Headers need no window.
    while received.headers == 0 {
        received.add(peer.got().await.unwrap());
    }
    received.exactly(&mut peer, 1, 0).await;
    peer.send(&window_update(1, 1)).await;
    received.exactly(&mut peer, 1, 1).await;
    peer.send(&window_update(1, 9)).await;
    received.exactly(&mut peer, 1, 10).await;
    // 6.9.2: settings change the windows of open streams, too.
    peer.send(&settings(&[(INITIAL_WINDOW_SIZE, 100)])).await;
    received.exactly(&mut peer, 1, 110).await;
    // Below zero: the next bytes only pay for it.
    peer.send(&settings(&[(INITIAL_WINDOW_SIZE, 60)])).await;
    received.exactly(&mut peer, 1, 110).await;
    peer.send(&window_update(1, 40)).await;
    received.exactly(&mut peer, 1, 110).await;
    peer.send(&window_update(1, 5)).await;
    received.exactly(&mut peer, 1, 115).await;
    // The last of two values in one frame counts.
    peer.send(&settings(&[(INITIAL_WINDOW_SIZE, 1_000), (INITIAL_WINDOW_SIZE, 70)])).await;
    received.exactly(&mut peer, 1, 125).await;
}

#[tokio::test]
async fn the_window_of_the_connection() {
    let server = Server::start().await;
    let mut peer = Peer::connect(&server, &[(INITIAL_WINDOW_SIZE, MAX_WINDOW)]).await;
    let mut received = Received::default();
    peer.send(&large(1)).await;
    received.exactly(&mut peer, 1, WINDOW).await;
    // A second stream gets nothing, not even a small answer.
    peer.send(&get(3)).await;
    while received.headers < 2 {
        received.add(peer.got().await.unwrap());
    }
    received.exactly(&mut peer, 3, 0).await;
    assert_eq!(received.of(1), WINDOW);
    peer.send(&window_update(0, 1_000)).await;
    while received.of(1) + received.of(3) < WINDOW + 1_000 {
        received.add(peer.got().await.unwrap());
    }
    received.nothing(&mut peer).await;
    assert_eq!(received.of(1) + received.of(3), WINDOW + 1_000);
    peer.send(&window_update(0, MAX_WINDOW / 2)).await;
    while received.ended.len() < 2 {
        received.add(peer.got().await.unwrap());
    }
}

/// [`Peer`] refuses larger frames than the smallest setting.
#[tokio::test]
async fn frames_are_as_small_as_the_client_wants() {
    let server = Server::start().await;
    let sizes = [(MAX_FRAME_SIZE, 16_384), (INITIAL_WINDOW_SIZE, MAX_WINDOW)];
    let mut peer = Peer::connect(&server, &sizes).await;
    let mut received = Received::default();
    peer.send(&[window_update(0, MAX_WINDOW / 2), large(1)].concat()).await;
    while received.ended.is_empty() {
        received.add(peer.got().await.unwrap());
    }
    assert!(received.of(1) > 2 * WINDOW, "an answer of many frames: {}", received.of(1));
}

#[tokio::test]
async fn the_server_opens_its_windows() {
    let server = Server::start().await;
    let mut peer = Peer::connect(&server, &[]).await;
    // More than the window of the connection, in bodies that it reads.
    let service = "x".repeat(3_990);
    let message = [&[0x0a, 0x96, 0x1f][..], service.as_bytes()].concat();
    let message = [&[0, 0, 0, 0x0f, 0x99][..], &message].concat();
    for batch in 0..6 {
        let streams = (0..50).map(|number| 1 + 2 * (50 * batch + number));
        let calls = streams.flat_map(|stream| [call(stream), last_data(stream, &message)].concat());
        peer.send(&calls.collect::<Vec<_>>()).await;
        let mut answered = 0;
        while answered < 50 {
            match peer.got().await.expect("the connection goes on") {
                Got::Headers { ends: true, .. } => answered += 1,
                Got::Headers { .. } | Got::WindowUpdate(..) | Got::Data { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }
}
