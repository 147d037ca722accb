//! Peers that read nothing, send nothing of use, or never say who they are.

use super::*;

/// A client that speaks for itself: the preface, its settings and what follows.
async fn say(io: &mut DuplexStream, settings: &[u8], frames: &[u8]) {
    let settings = [&[0, 0, settings.len() as u8, 4, 0, 0, 0, 0, 0], settings].concat();
    let all = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &settings[..], frames].concat();
    io.write_all(&all).await.unwrap();
}

/// A frame of the connection or of a stream.
fn raw(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    [&[0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream], payload].concat()
}

#[tokio::test]
async fn flooding_peer_gets_goaway() {
    for frame in [raw(6, 0, 0, b"12345678"), raw(0x55, 0, 0, b""), raw(2, 0, 1, &[0; 5])] {
        let (server, io) = Server::start(NEVER);
        let (mut reading, mut writing) = split(io);
        let flood =
            [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &raw(4, 0, 0, b"")[..], &frame.repeat(100_000)].concat();
        let flooding = tokio::spawn(async move { writing.write_all(&flood).await });
        let mut said = Vec::new();
        let _ = within(reading.read_to_end(&mut said)).await;
        const ENHANCE_YOUR_CALM: u8 = 0xb;
        let is_goaway = |frame: &[u8]| frame[0] == 7 && frame[13] == ENHANCE_YOUR_CALM;
        assert!(said.windows(14).any(is_goaway), "{frame:?}");
        let _ = within(server.served).await.unwrap();
        assert!(within(flooding).await.unwrap().is_err(), "it was read to its end");
    }
}

#[tokio::test]
async fn pushing_task_does_not_read_peer_input() {
    let (mut server, io) = Server::start(NEVER);
    let (request, mut requests) = client_by_hand(io).await;
    let call = server.call().await;
    // The connection's task is not run from here on, until this one waits.
    requests.write_all(&raw(0x55, 0, 0, b"").repeat(1_000)).await.unwrap();
    drop(request);
    push(&call, &["<pushed>"]).await;
    let mut said = Vec::new();
    within(async {
        while !said.windows(8).any(|text| text == b"<pushed>") {
            requests.read_buf(&mut said).await.unwrap();
        }
    })
    .await;
    assert!(!server.served.is_finished());
}

/// Opens `/chat` by hand.
async fn client_by_hand(mut io: DuplexStream) -> (Vec<u8>, DuplexStream) {
    // ":method: POST" and ":scheme: http" by index, ":path: /chat" and a content type as literals.
    let mut block = vec![0x83, 0x86, 0x04, 5];
    block.extend_from_slice(b"/chat");
    block.extend_from_slice(&[0x0f, 0x10, 16]);
    block.extend_from_slice(b"application/grpc");
    let headers = raw(1, 4, 1, &block);
    say(&mut io, b"", &headers).await;
    (headers, io)
}

#[tokio::test]
async fn unread_responses_are_bounded_then_dropped() {
    let limits = Limits {
        held_by_connection: 10_000,
        stalled_anonymous: Duration::from_millis(50),
        ..Limits::production(10)
    };
    let peer = peer_with(limits);
    let (_server, io) = Server::start_for(peer.clone(), NEVER);
    let mut requests = client(io, h2::client::Builder::new().initial_window_size(0)).await;
    let body = "x".repeat(6_000);
    let mut sent = Vec::new();
    for _ in 0..2 {
        let (response, mut body_of) = requests.send_request(request("/echo", "text/plain"), false).unwrap();
        body_of.send_data(body.clone().into(), true).unwrap();
        sent.push(within(response).await.unwrap().into_body());
    }
    // Those that wait are charged, and no more are taken.
    if peer.held().is_full() {
        let (response, _) = requests.send_request(request("/", "text/plain"), true).unwrap();
        if let Err(error) = within(response).await {
            assert_eq!(error.reason(), Some(h2::Reason::REFUSED_STREAM));
        }
    }
    for mut body in sent {
        let error = within(body.data()).await.unwrap().unwrap_err();
        assert_eq!(error.reason(), Some(h2::Reason::CANCEL));
    }
    within(async {
        while peer.ledger().held() > 0 {
            yield_now().await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn unauthenticated_connection_ends_and_authenticated_stays() {
    for (is_identified, is_crowded) in [(false, false), (true, false), (false, true)] {
        let limits = if is_crowded {
            // Even one is too many.
            let crowded = Duration::from_secs(1);
            Limits { anonymous_in_all: 0, anonymous_age_when_crowded: crowded, ..Limits::production(10) }
        } else {
            Limits { anonymous_age: Duration::from_secs(1), ..Limits::production(10) }
        };
        let peer = peer_with(limits);
        let (mut server, io) = Server::start_for(peer.clone(), NEVER);
        let mut requests = client(io, &h2::client::Builder::new()).await;
        let _body = chat(&mut requests).await;
        let _call = server.call().await;
        if is_identified {
            peer.identify();
        }
        let ended = timeout(Duration::from_secs(60), &mut server.served).await.is_ok();
        assert_eq!(ended, !is_identified);
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_requests_ends_after_a_while() {
    for has_stream in [false, true] {
        let peer = peer_with(Limits { idle: Duration::from_secs(20), ..Limits::production(10) });
        peer.identify();
        let (mut server, io) = Server::start_for(peer.clone(), NEVER);
        let mut requests = client(io, &h2::client::Builder::new()).await;
        let (answered, _) = requests.send_request(request("/", "text/plain"), true).unwrap();
        assert_eq!(text_of(answered).await, "here");
        let begun = tokio::time::Instant::now();
        let _open = match has_stream {
            true => Some((chat(&mut requests).await, server.call().await)),
            false => None,
        };
        let ended = timeout(Duration::from_secs(90), &mut server.served).await.is_ok();
        assert_eq!(ended, !has_stream);
        assert!(begun.elapsed() >= Duration::from_secs(20));
    }
}

#[tokio::test]
async fn unauthenticated_streams_are_limited() {
    let peer = peer_with(Limits { anonymous_streams: 2, ..Limits::production(10) });
    let (mut server, io) = Server::start_for(peer.clone(), NEVER);
    let mut requests = client(io, &h2::client::Builder::new()).await;
    let (_one, _other) = (chat(&mut requests).await, chat(&mut requests).await);
    let (_first, _second) = (server.call().await, server.call().await);
    let (refused, _) = requests.send_request(request("/", "text/plain"), true).unwrap();
    assert_eq!(within(refused).await.unwrap_err().reason(), Some(h2::Reason::REFUSED_STREAM));
    peer.identify();
    let (answered, _) = requests.send_request(request("/", "text/plain"), true).unwrap();
    assert_eq!(text_of(answered).await, "here");
}
