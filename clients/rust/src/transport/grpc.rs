use std::time::Duration;

use parlance_proto::v1::chat_service_client::ChatServiceClient;
use parlance_proto::v1::{ClientFrame, ServerFrame};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Response, Status, Streaming};

use super::address::Address;
use super::limits::{MAX_SERVER_FRAME, SEND_QUEUE};
use crate::ClientError;
use crate::error::{from_status, innermost, unusable_token};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A peer that has vanished is detected within interval plus timeout.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Connects to `address`.
pub(crate) async fn channel(address: &Address) -> Result<Channel, ClientError> {
    let url = address.url("http");
    let mut endpoint = Endpoint::from_shared(url.clone())
        .map_err(|error| ClientError::Protocol(format!("{url:?} is no address: {error}")))?;
    if address.tls {
        let mut tls = ClientTlsConfig::new().with_native_roots();
        if let Some(own) = &address.certificate {
            tls = tls.identity(Identity::from_pem(&own.chain, &own.key));
        }
        endpoint = endpoint.tls_config(tls).map_err(|error| ClientError::Io(innermost(&error)))?;
    }
    endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .connect()
        .await
        .map_err(|error| ClientError::Io(innermost(&error)))
}

/// Opens a stream: returns the sending channel and the receiving half.
pub(super) async fn connect(
    address: &Address,
    token: &str,
) -> Result<(mpsc::Sender<ClientFrame>, Inbound), ClientError> {
    let mut client =
        ChatServiceClient::new(channel(address).await?).max_decoding_message_size(MAX_SERVER_FRAME);
    let (frames, queue) = mpsc::channel(SEND_QUEUE);
    let mut request = Request::new(ReceiverStream::new(queue));
    let authorization = MetadataValue::try_from(format!("Bearer {token}")).map_err(|_| unusable_token())?;
    request.metadata_mut().insert("authorization", authorization);
    // The server may hold its headers back until it has received `hello`, which the
    // caller sends; so the call is opened in a task of its own.
    let opening = tokio::spawn(async move { client.chat(request).await });
    Ok((frames, Inbound::Opening(opening)))
}

#[derive(Debug)]
pub(super) enum Inbound {
    Opening(JoinHandle<Result<Response<Streaming<ServerFrame>>, Status>>),
    Open(Box<Streaming<ServerFrame>>),
    Refused,
}

impl Inbound {
    pub(super) async fn recv(&mut self) -> Result<Option<ServerFrame>, ClientError> {
        if let Self::Opening(opening) = self {
            let opened = opening.await;
            *self = Self::Refused;
            let response = opened.map_err(|error| ClientError::Io(error.to_string()))?;
            let response = response.map_err(|status| from_status(&status))?;
            *self = Self::Open(Box::new(response.into_inner()));
        }
        match self {
            Self::Open(stream) => stream.message().await.map_err(|status| from_status(&status)),
            Self::Opening(_) | Self::Refused => Ok(None),
        }
    }
}

impl Drop for Inbound {
    fn drop(&mut self) {
        if let Self::Opening(opening) = self {
            opening.abort();
        }
    }
}
