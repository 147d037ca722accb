use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::uri::PathAndQuery;
use parlance_proto::codec::Encoded;
use tonic::client::Grpc;
use tonic::codec::Streaming;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::within;

/// gRPC with arbitrary bytes as messages, to methods by path.
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

    /// Makes a unary call of `/package.Service/Method`.
    ///
    /// # Errors
    /// The status.
    pub async fn unary(&self, path: &str, message: Vec<u8>) -> Result<Bytes, Status> {
        let mut grpc = self.grpc().await;
        let call = grpc.unary(self.request(Bytes::from(message)), path_of(path), Encoded);
        Ok(within("the call is answered", call).await?.into_inner())
    }

    /// Opens `Chat` with these messages.
    ///
    /// # Errors
    /// The status, if the stream is refused.
    pub async fn chat(
        &self,
        messages: impl Stream<Item = Vec<u8>> + Send + 'static,
    ) -> Result<Streaming<Bytes>, Status> {
        self.stream("/parlance.v1.ChatService/Chat", messages).await
    }

    /// A stream of `/package.Service/Method` with these messages.
    ///
    /// # Errors
    /// The status, where the stream is refused.
    pub async fn stream(
        &self,
        path: &str,
        messages: impl Stream<Item = Vec<u8>> + Send + 'static,
    ) -> Result<Streaming<Bytes>, Status> {
        let mut grpc = self.grpc().await;
        let call = grpc.streaming(self.request(messages.map(Bytes::from)), path_of(path), Encoded);
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
