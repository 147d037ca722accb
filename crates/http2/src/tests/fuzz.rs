//! Whatever a peer sends, the connection ends once the peer is gone, and nothing panics.

use parlance_fuzz::Target;
use tokio::runtime::Builder as Runtime;

use super::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = &(payload.len() as u32).to_be_bytes()[1..];
    [length, &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Headers of a request, each as a literal without indexing.
fn headers(method: &str, path: &str) -> Vec<u8> {
    let text = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
    let fields = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "a")];
    fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

#[test]
fn fuzz_input_of_a_connection() {
    let settings = frame(4, 0, 0, &[0, 4, 0, 0, 0xff, 0xff]);
    let get = frame(1, 5, 1, &headers("GET", "/"));
    let echo = [frame(1, 4, 1, &headers("POST", "/echo")), frame(0, 1, 1, b"hello")].concat();
    let chat = frame(1, 4, 3, &headers("POST", "/chat"));
    let controls = [
        frame(6, 0, 0, b"12345678"),
        frame(2, 0, 1, &[0; 5]),
        frame(8, 0, 0, &[0, 0, 1, 0]),
        frame(3, 0, 1, &[0, 0, 0, 8]),
        frame(9, 4, 1, &headers("GET", "/")),
        frame(7, 0, 0, &[0; 8]),
        frame(0x55, 0, 0, b"unknown"),
    ]
    .concat();
    let seeds = [&get, &echo, &chat, &controls].map(|frames| [PREFACE, &settings, frames].concat()).into();
    let target = Target {
        name: "connections",
        crate_dir: env!("CARGO_MANIFEST_DIR"),
        seeds,
        dictionary: &[],
        cost: 20,
    };
    let runtime = Runtime::new_current_thread().enable_time().start_paused(true).build().unwrap();
    target.run(|input| {
        runtime.block_on(async {
            let (mut theirs, ours) = duplex(64 * 1024);
            let served = tokio::spawn(async move {
                let (_, opened) = Opened::new(ours, peer()).await.ok()?;
                let heard = opened.heard();
                let connection = Connection::open(opened, &Builder::new(), Trust::Bounded).await.ok()?;
                let echo = async |request: Request| Body::from_stream(request.into_body().into_data_stream());
                let never = async || -> &'static str { std::future::pending().await };
                let app = Router::new()
                    .route("/echo", post(echo))
                    .route("/chat", post(never))
                    .route("/", get_route("here"));
                let shutdown = CancellationToken::new();
                Some(connection.serve(heard, peer(), &NEVER, app, shutdown).await.is_ok())
            });
            let _ = theirs.write_all(input).await;
            let _ = theirs.shutdown().await;
            let mut answer = Vec::new();
            let reading = theirs.read_to_end(&mut answer);
            // In paused time, which only passes while everything waits: whatever waits for an hour hangs.
            let ended = timeout(Duration::from_secs(3_600), async { tokio::join!(reading, served).1 }).await;
            let served = ended.expect("the connection ends").expect("and does not panic");
            // The kinds of frames that were answered.
            let (mut kinds, mut rest) = (Vec::new(), answer.as_slice());
            while rest.len() >= 9 {
                kinds.push(rest[3]);
                let length = u32::from_be_bytes([0, rest[0], rest[1], rest[2]]) as usize;
                rest = &rest[(9 + length).min(rest.len())..];
            }
            kinds.truncate(12);
            (served, kinds)
        })
    });
}

fn get_route(text: &'static str) -> axum::routing::MethodRouter {
    get(async move || text)
}
