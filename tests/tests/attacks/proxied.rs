//! What one user does on a connection that a proxy shares among many.

use parlance_proto::v1::{self, client_frame::Operation};
use parlance_tests::Server;
use prost::Message;

use super::Pair;
use crate::http2_rules::peer::{Got, Peer};
use crate::http2_rules::wire::{GRPC, INITIAL_WINDOW_SIZE, data, last_data, signed_call, window_update};

/// Streams whose windows are more than the one of a client's connection.
const STREAMS: u32 = 24;

fn message(bytes: &[u8]) -> Vec<u8> {
    [&[0], &(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
}

/// Sessions whose welcome is not read do not read either. What their client sends them meanwhile waits in the connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_of_one_user_that_are_not_read_do_not_block_those_of_another() {
    let server = Server::start_with(&["--trusted-proxies", "127.0.0.1"]).await;
    let pair = Pair::of(&server).await;
    let mut proxy = Peer::connect(&server, &[(INITIAL_WINDOW_SIZE, 0)]).await;
    let hello = v1::ClientFrame {
        operation: Some(Operation::Hello(v1::Hello::default())),
        ..v1::ClientFrame::default()
    };
    let hello = message(&hello.encode_to_vec());
    let numbers = (0..STREAMS).map(|number| 1 + 2 * number);
    let chat = |stream| signed_call(stream, "/parlance.v1.ChatService/Chat", GRPC, &pair.alice.token);
    proxy
        .send(
            &numbers
                .clone()
                .flat_map(|stream| [chat(stream), data(stream, &hello)].concat())
                .collect::<Vec<_>>(),
        )
        .await;
    // The first bytes of their welcomes, so that the rest waits.
    proxy.send(&numbers.clone().flat_map(|stream| window_update(stream, 1)).collect::<Vec<_>>()).await;
    let mut welcomed = 0;
    while welcomed < STREAMS {
        if let Got::Data { .. } = proxy.got().await.expect("the connection goes on") {
            welcomed += 1;
        }
    }
    let unread = message(&[0; 16_000]);
    for _ in 0..4 {
        proxy.send(&numbers.clone().flat_map(|stream| data(stream, &unread)).collect::<Vec<_>>()).await;
    }
    let last = 1 + 2 * STREAMS;
    let rooms = message(&v1::ListRoomsRequest::default().encode_to_vec());
    let call = signed_call(last, "/parlance.v1.RoomService/ListRooms", GRPC, &pair.bob.token);
    proxy.send(&[call, last_data(last, &rooms)].concat()).await;
    loop {
        match proxy.got().await.expect("the connection goes on") {
            Got::Headers { stream, status, .. } if stream == last => {
                assert_eq!(status, Some(200));
                break;
            }
            Got::Goaway(_, code) => panic!("the window is not wide enough: {code:?}"),
            _ => {}
        }
    }
    pair.talk().await;
}
