use std::sync::{Arc, LazyLock};
use std::time::Duration;

use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use parlance_client_core::Encoding;
use parlance_proto::json;
use parlance_proto::v1::{self, ClientFrame, ServerFrame};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::rustls::client::WantsClientCert;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::{Error, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};

use super::address::{Address, ClientCertificate};
use super::limits::{MAX_SERVER_FRAME, SEND_QUEUE};
use crate::ClientError;
use crate::error::unusable_token;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Read and write buffers, bytes; the default of 128 KiB each would be allocated
/// immediately.
const BUFFER_BYTES: usize = 4 * 1024;

/// Interval of pings; a server that was silent for three of them is considered gone.
const PING_INTERVAL: Duration = Duration::from_secs(15);
const SILENCE: Duration = Duration::from_secs(45);

/// Timeout of a write to a blocked socket, and of the following close. A peer that has
/// vanished accepts nothing either.
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

fn encode(encoding: Encoding, frame: &ClientFrame) -> Result<Message, ClientError> {
    let bytes = encoding.encode(frame)?;
    Ok(match encoding {
        Encoding::Protobuf => Message::Binary(bytes.into()),
        Encoding::Json => {
            let text = Utf8Bytes::try_from(bytes);
            Message::Text(text.map_err(|error| ClientError::Protocol(error.to_string()))?)
        }
    })
}

/// Opens a socket: returns the sending channel and the receiving half.
pub(super) async fn connect(
    address: &Address,
    token: &str,
    encoding: Encoding,
) -> Result<(mpsc::Sender<ClientFrame>, Inbound), ClientError> {
    let mut request = format!("{}/ws", address.url("ws")).into_client_request().map_err(broken)?;
    let authorization =
        http::HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| unusable_token())?;
    request.headers_mut().insert(http::header::AUTHORIZATION, authorization);
    // This client may be newer than the server.
    let ignore = http::HeaderValue::from_static("ignore");
    request.headers_mut().insert("parlance-unknown-fields", ignore);
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .max_message_size(Some(MAX_SERVER_FRAME))
        .max_frame_size(Some(MAX_SERVER_FRAME));
    // Boxed: the handshake briefly needs kilobytes of state.
    let connector =
        if address.tls { Connector::Rustls(tls(address.certificate.as_deref())?) } else { Connector::Plain };
    let connecting = Box::pin(connect_async_tls_with_config(request, Some(config), true, Some(connector)));
    let (socket, _) = match timeout(CONNECT_TIMEOUT, connecting).await {
        Err(_) => return Err(ClientError::Io("the handshake timed out".to_owned())),
        Ok(Err(error)) => return Err(broken(error)),
        Ok(Ok(opened)) => opened,
    };
    let (sink, stream) = socket.split();
    let (frames, queue) = mpsc::channel(SEND_QUEUE);
    tokio::spawn(write(sink, queue, encoding));
    let inbound = Inbound { stream, heard: Instant::now() };
    Ok((frames, inbound))
}

/// The configuration of TLS; without a certificate of this client, made once.
fn tls(own: Option<&ClientCertificate>) -> Result<Arc<ClientConfig>, ClientError> {
    static CONFIG: LazyLock<Result<Arc<ClientConfig>, String>> =
        LazyLock::new(|| Ok(Arc::new(trusting()?.with_no_client_auth())));
    let Some(own) = own else { return CONFIG.clone().map_err(ClientError::Io) };
    let with_own = || {
        let chain = CertificateDer::pem_slice_iter(&own.chain).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|error| format!("the client's certificate: {error}"))?;
        let key = PrivateKeyDer::from_pem_slice(&own.key);
        let key = key.map_err(|error| format!("the key of the client's certificate: {error}"))?;
        trusting()?.with_client_auth_cert(chain, key).map_err(|error| error.to_string())
    };
    with_own().map(Arc::new).map_err(ClientError::Io)
}

/// Trusts the certificates that the system trusts, loaded once: that takes a while.
fn trusting() -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, String> {
    static ROOTS: LazyLock<Result<Arc<RootCertStore>, String>> = LazyLock::new(|| {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        match roots.add_parsable_certificates(found.certs).0 {
            0 => Err(format!("no certificates to trust: {:?}", found.errors)),
            _ => Ok(Arc::new(roots)),
        }
    });
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(builder.with_root_certificates(ROOTS.clone()?))
}

/// Writes until the sending half is dropped or the socket breaks; the reading half notices
/// that by itself.
async fn write(
    mut sink: SplitSink<Socket, Message>,
    mut queue: mpsc::Receiver<ClientFrame>,
    encoding: Encoding,
) {
    let mut ping = tokio::time::interval(PING_INTERVAL);
    ping.reset();
    loop {
        let written = tokio::select! {
            frame = queue.recv() => match frame {
                None => break,
                Some(frame) => {
                    timeout(WRITE_TIMEOUT, write_waiting(&mut sink, &mut queue, encoding, frame)).await
                }
            },
            _ = ping.tick() => {
                let ping = sink.send(Message::Ping(Default::default()));
                timeout(WRITE_TIMEOUT, async { ping.await.map_err(broken) }).await
            }
        };
        if !matches!(written, Ok(Ok(()))) {
            break;
        }
    }
    let _ = timeout(CLOSE_TIMEOUT, sink.close()).await;
}

/// Several queued frames are sent in one flush.
async fn write_waiting(
    sink: &mut SplitSink<Socket, Message>,
    queue: &mut mpsc::Receiver<ClientFrame>,
    encoding: Encoding,
    frame: ClientFrame,
) -> Result<(), ClientError> {
    sink.feed(encode(encoding, &frame)?).await.map_err(broken)?;
    for _ in 1..SEND_QUEUE {
        let Ok(frame) = queue.try_recv() else { break };
        sink.feed(encode(encoding, &frame)?).await.map_err(broken)?;
    }
    sink.flush().await.map_err(broken)
}

#[derive(Debug)]
pub(super) struct Inbound {
    stream: SplitStream<Socket>,
    /// When data last arrived, including pongs.
    heard: Instant,
}

impl Inbound {
    pub(super) async fn recv(&mut self) -> Result<Option<ServerFrame>, ClientError> {
        loop {
            let message = match timeout_at(self.heard + SILENCE, self.stream.next()).await {
                Err(_) => {
                    return Err(ClientError::Io(format!("nothing heard for {} s", SILENCE.as_secs())));
                }
                Ok(None | Some(Err(Error::ConnectionClosed | Error::AlreadyClosed))) => return Ok(None),
                Ok(Some(Err(error))) => return Err(broken(error)),
                Ok(Some(Ok(message))) => message,
            };
            self.heard = Instant::now();
            match message {
                Message::Text(text) => return Encoding::Json.decode(text.as_bytes()).map(Some),
                Message::Binary(bytes) => return Encoding::Protobuf.decode(&bytes).map(Some),
                Message::Close(Some(close)) if u16::from(close.code) != 1000 => {
                    let (code, reason) = (close.code.into(), close.reason.to_string());
                    return Err(ClientError::Closed { code, reason });
                }
                Message::Close(_) => return Ok(None),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }
}

/// Converts a WebSocket error.
fn broken(error: Error) -> ClientError {
    match error {
        Error::Io(error) => ClientError::Io(error.to_string()),
        Error::Http(response) => {
            refused(response.status().as_u16(), response.body().as_deref().unwrap_or_default())
        }
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            ClientError::Io("connection reset".to_owned())
        }
        other => ClientError::Protocol(other.to_string()),
    }
}

/// The handshake was answered with another status than 101: an error of the contract as
/// JSON, or an answer of a proxy.
fn refused(status: u16, body: &[u8]) -> ClientError {
    contract_error(body).map_or(ClientError::Http { status }, ClientError::from)
}

fn contract_error(body: &[u8]) -> Option<v1::Error> {
    // The error has its own key, as in REST.
    let answer = serde_json::from_slice::<serde_json::Value>(body).ok()?;
    let descriptor = json::pool().get_message_by_name("parlance.v1.Error")?;
    let error = json::from_json(&descriptor, answer.get("error")?.to_string().as_bytes()).ok()?;
    error.transcode_to().ok().filter(|error: &v1::Error| error.code != 0)
}

#[cfg(test)]
mod tests {
    use parlance_client_core::Code;
    use prost::Message as _;
    use tokio::io::AsyncReadExt;

    use super::*;

    #[test]
    fn frames_are_the_same_in_both_encodings() {
        let operation = v1::client_frame::Operation::SendMessage(v1::SendMessageRequest {
            target: Some(v1::send_message_request::Target::RoomId("r".to_owned())),
            client_message_id: "m1".to_owned(),
            text: "grüße \"\u{1}\u{1F44B}".to_owned(),
            after_seq: Some(0),
            ..Default::default()
        });
        let frame =
            ClientFrame { request_id: "7".to_owned(), operation: Some(operation), as_user: String::new() };
        let Message::Text(text) = encode(Encoding::Json, &frame).unwrap() else { panic!() };
        assert_eq!(json::client_frame_from_json(text.as_bytes()).unwrap(), frame);
        let Message::Binary(bytes) = encode(Encoding::Protobuf, &frame).unwrap() else { panic!() };
        assert_eq!(ClientFrame::decode(bytes).unwrap(), frame);
    }

    #[tokio::test]
    async fn fields_that_the_server_does_not_know_are_to_be_ignored() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::parse(&listener.local_addr().unwrap().to_string());
        let client = tokio::spawn(async move { connect(&address, "t", Encoding::Json).await.map(drop) });
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut handshake = String::new();
        while !handshake.ends_with("\r\n\r\n") {
            handshake.push(stream.read_u8().await.unwrap().into());
        }
        drop(stream);
        assert!(handshake.to_lowercase().contains("\r\nparlance-unknown-fields: ignore\r\n"), "{handshake}");
        assert!(client.await.unwrap().is_err());
    }

    #[test]
    fn only_an_error_of_the_contract_is_a_refusal() {
        let json = br#"{"error": {"code": 16, "reason": "token_expired", "message": "expired"}}"#;
        let error = refused(401, json);
        let failure = error.failure().unwrap();
        assert_eq!((failure.code, failure.reason.as_str()), (Code::Unauthenticated, "token_expired"));
        assert!(error.refuses_identity());
        for (status, body) in [(401, &b"<html>"[..]), (403, b""), (404, b"{}"), (503, br#"{"error": {}}"#)] {
            assert_eq!(refused(status, body), ClientError::Http { status });
        }
    }
}
