//! A client that sends any bytes after the handshake, and a case for it.

use parlance_proto::v1::ServerFrame;
use parlance_proto::v1::server_frame::Frame;
use parlance_tests::{Server, within};
use prost::Message as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(super) const CONTINUATION: u8 = 0;
pub(super) const TEXT: u8 = 1;
pub(super) const BINARY: u8 = 2;
pub(super) const CLOSE: u8 = 8;
pub(super) const PING: u8 = 9;
pub(super) const PONG: u8 = 10;

/// What the server sends in return, in order.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Seen {
    /// The answer to the request with this id.
    Reply(String),
    /// A pong with this payload.
    Pong(Vec<u8>),
    /// A close with this code, 1005 if it has none; and then the end.
    Closed(u16),
}

pub(super) fn reply(id: &str) -> Seen {
    Seen::Reply(id.to_owned())
}

/// A frame as a client sends it.
pub(super) fn frame(fin: bool, reserved: u8, opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x12, 0x34, 0x56, 0x78];
    let mut bytes = vec![u8::from(fin) << 7 | reserved << 4 | opcode];
    match payload.len() {
        length @ ..126 => bytes.push(0x80 | length as u8),
        length @ 126..=65_535 => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

pub(super) fn whole(opcode: u8, payload: &[u8]) -> Vec<u8> {
    frame(true, 0, opcode, payload)
}

/// A message in pieces of `size` bytes.
pub(super) fn fragments(opcode: u8, payload: &[u8], size: usize) -> Vec<Vec<u8>> {
    let count = payload.len().div_ceil(size);
    let piece = |(number, piece): (usize, &[u8])| {
        frame(number + 1 == count, 0, if number == 0 { opcode } else { CONTINUATION }, piece)
    };
    payload.chunks(size).enumerate().map(piece).collect()
}

/// A request with this id, of `length` bytes.
pub(super) fn request(id: &str, length: usize) -> Vec<u8> {
    let mut request = format!(r#"{{"requestId":"{id}","getUser":{{"userId":"me"}}}}"#).into_bytes();
    request.resize(request.len().max(length), b' ');
    request
}

/// The same in protobuf, where an unknown field fills the rest.
pub(super) fn binary_request(id: &str, length: usize) -> Vec<u8> {
    let mut bytes = vec![0x0a, id.len() as u8];
    bytes.extend(id.as_bytes());
    // get_user { user_id: "me" }
    bytes.extend([0xfa, 0x01, 4, 0x0a, 2, b'm', b'e']);
    if length > bytes.len() + 6 {
        // Field 999, with a length of three bytes.
        let rest = length - bytes.len() - 5;
        bytes.extend([0xba, 0x3e, rest as u8 | 0x80, (rest >> 7) as u8 | 0x80, (rest >> 14) as u8]);
        bytes.resize(length, 0);
    }
    bytes
}

pub(super) fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    whole(CLOSE, &[&code.to_be_bytes(), reason].concat())
}

/// A connection after hello.
pub(super) struct Peer {
    io: TcpStream,
    is_binary: bool,
}

impl Peer {
    async fn connect(server: &Server, token: &str) -> Self {
        let mut io = TcpStream::connect(server.address()).await.unwrap();
        let handshake = format!(
            "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Authorization: Bearer {token}\r\n\r\n"
        );
        io.write_all(handshake.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(within("the handshake is answered", io.read_u8()).await.unwrap());
        }
        let answer = String::from_utf8(answer).unwrap().to_lowercase();
        assert!(answer.starts_with("http/1.1 101"), "{answer}");
        // RFC 6455, 1.3: the accepted form of that key.
        assert!(answer.contains("s3pplmbitxaq9kygzzhzrbk+xoo="), "{answer}");
        let mut peer = Self { io, is_binary: false };
        peer.io.write_all(&whole(TEXT, br#"{"requestId":"hello","hello":{}}"#)).await.unwrap();
        let welcome = peer.message().await.unwrap();
        assert!(String::from_utf8_lossy(&welcome.1).contains("welcome"));
        peer
    }

    /// The next frame: whether it is the last of its message, its opcode and payload. `None` at the end.
    async fn frame(&mut self) -> Option<(bool, u8, Vec<u8>)> {
        let mut head = [0; 2];
        self.io.read_exact(&mut head).await.ok()?;
        assert_eq!(head[0] & 0x70, 0, "no reserved bits");
        assert_eq!(head[1] & 0x80, 0, "a server does not mask");
        let length = match head[1] {
            126 => self.io.read_u16().await.ok()?.into(),
            127 => self.io.read_u64().await.ok()? as usize,
            length => length.into(),
        };
        let mut payload = vec![0; length];
        self.io.read_exact(&mut payload).await.ok()?;
        Some((head[0] & 0x80 != 0, head[0] & 0x0f, payload))
    }

    /// The next message or control frame that is no ping.
    async fn message(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut message: Option<(u8, Vec<u8>)> = None;
        loop {
            let (fin, opcode, payload) = within("a frame comes", self.frame()).await?;
            match opcode {
                PING => {}
                CLOSE | PONG => return Some((opcode, payload)),
                CONTINUATION => message.as_mut().expect("a message has begun").1.extend(payload),
                opcode => {
                    assert!(message.is_none(), "the last message is not finished");
                    message = Some((opcode, payload));
                }
            }
            if let Some(finished) = message.take_if(|_| fin) {
                return Some(finished);
            }
        }
    }

    /// What it gets, apart from signals.
    async fn sees(&mut self) -> Option<Seen> {
        loop {
            let (opcode, payload) = self.message().await?;
            match opcode {
                PONG => return Some(Seen::Pong(payload)),
                CLOSE => {
                    let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                    return Some(Seen::Closed(code));
                }
                BINARY => {
                    assert!(self.is_binary, "answers have the form of the requests");
                    if let Some(Frame::Reply(answer)) = ServerFrame::decode(&*payload).unwrap().frame {
                        return Some(Seen::Reply(answer.request_id));
                    }
                }
                _ => {
                    let json: serde_json::Value = serde_json::from_slice(&payload).unwrap();
                    if json["reply"].is_object() {
                        return Some(reply(json["reply"]["requestId"].as_str().unwrap_or_default()));
                    }
                }
            }
        }
    }
}

/// One case: what a client sends, in how large pieces, and what it gets.
pub(super) struct Case {
    name: String,
    /// Whether a request is sent and answered before.
    after_request: bool,
    sent: Vec<u8>,
    /// Bytes per write; 0: all at once.
    chop: usize,
    expected: Vec<Seen>,
}

#[derive(Default)]
pub(super) struct Cases(Vec<Case>);

impl Cases {
    pub(super) fn add(&mut self, name: &str, sent: impl IntoIterator<Item = Vec<u8>>, expected: &[Seen]) {
        self.chopped(name, 0, sent, expected);
    }

    /// After a request was answered on the connection.
    pub(super) fn after(&mut self, name: &str, sent: impl IntoIterator<Item = Vec<u8>>, expected: &[Seen]) {
        self.add(name, sent, expected);
        if let Some(case) = self.0.last_mut() {
            case.after_request = true;
        }
    }

    pub(super) fn chopped(
        &mut self,
        name: &str,
        chop: usize,
        sent: impl IntoIterator<Item = Vec<u8>>,
        expected: &[Seen],
    ) {
        let sent = sent.into_iter().collect::<Vec<_>>().concat();
        let (name, expected) = (name.to_owned(), expected.to_vec());
        self.0.push(Case { name, after_request: false, sent, chop, expected });
    }

    /// Runs each on a connection of its own. After those that do not end it, the connection must still work.
    pub(super) async fn run(self) {
        let server = Server::start_with(&["--user-rate", "0"]).await;
        let alice = server.person("alice").await;
        let count = self.0.len();
        for Case { name, after_request, sent, chop, expected } in self.0 {
            println!("case {name}");
            let mut peer = Peer::connect(&server, &alice.token).await;
            peer.is_binary = name.contains("binary");
            let mut expected = expected;
            let ends = matches!(expected.last(), Some(Seen::Closed(_)));
            let mut sent = sent;
            if !ends {
                sent.extend(whole(PING, b"the end"));
                expected.push(Seen::Pong(b"the end".to_vec()));
            }
            let (mut seen, expecting) = (Vec::new(), expected.len());
            if after_request {
                peer.io.write_all(&whole(TEXT, &request("first", 0))).await.unwrap();
                assert_eq!(peer.sees().await, Some(reply("first")), "case {name}");
            }
            let chops: Vec<&[u8]> = sent.chunks(if chop == 0 { sent.len() } else { chop }).collect();
            for piece in chops {
                // The server may have closed already.
                let _ = peer.io.write_all(piece).await;
            }
            // Pongs and replies are two streams: a ping may be answered before an operation that came first.
            let sort = |seen: &mut Vec<Seen>| seen.sort_by_key(|seen| !matches!(seen, Seen::Reply(_)));
            while seen.len() < expecting {
                match peer.sees().await {
                    // Why the connection ends, for programs.
                    Some(Seen::Reply(id)) if ends && id.is_empty() => {}
                    Some(next) => seen.push(next),
                    None => break,
                }
            }
            if ends {
                // The server has the last word, and hangs up.
                let _ = peer.io.shutdown().await;
                assert_eq!(peer.sees().await, None, "case {name}: after the close");
            }
            sort(&mut seen);
            sort(&mut expected);
            assert_eq!(seen, expected, "case {name}");
        }
        println!("{count} cases");
    }
}
