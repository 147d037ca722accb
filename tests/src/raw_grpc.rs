use bytes::{Buf, BufMut, Bytes};
use futures::Stream;
use http::uri::PathAndQuery;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder, Streaming};
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::within;

/// gRPC with messages that are whatever bytes the test says, to methods by their path.
pub struct RawGrpc {
    channel: Channel,
    authorization: Option<String>,
}

impl RawGrpc {
    /// With this value of the `authorization` header, or without one.
    pub fn new(address: &str, authorization: Option<&str>) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address is a uri");
        Self { channel: endpoint.connect_lazy(), authorization: authorization.map(ToOwned::to_owned) }
    }

    /// A unary call of `/package.Service/Method`.
    ///
    /// # Errors
    /// The status.
    pub async fn unary(&self, path: &str, message: Vec<u8>) -> Result<Bytes, Status> {
        let mut grpc = self.grpc().await;
        let call = grpc.unary(self.request(message), path_of(path), Raw);
        Ok(within("the call is answered", call).await?.into_inner())
    }

    /// `Chat` with these messages.
    ///
    /// # Errors
    /// The status, where the stream is refused.
    pub async fn chat(
        &self,
        messages: impl Stream<Item = Vec<u8>> + Send + 'static,
    ) -> Result<Streaming<Bytes>, Status> {
        let mut grpc = self.grpc().await;
        let path = path_of("/parlance.v1.ChatService/Chat");
        let call = grpc.streaming(self.request(messages), path, Raw);
        Ok(within("the stream opens", call).await?.into_inner())
    }

    async fn grpc(&self) -> Grpc<Channel> {
        let mut grpc = Grpc::new(self.channel.clone());
        within("the channel is ready", grpc.ready()).await.expect("the server is there");
        grpc
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut metadata = MetadataMap::new();
        if let Some(authorization) = &self.authorization {
            metadata.insert("authorization", authorization.parse().expect("it fits a header"));
        }
        Request::from_parts(metadata, Default::default(), message)
    }
}

fn path_of(path: &str) -> PathAndQuery {
    path.parse().expect("a method's path is a path")
}

#[derive(Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buf.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buf.copy_to_bytes(buf.remaining())))
    }
}
