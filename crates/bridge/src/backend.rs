use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use http::HeaderMap;
use parlance_delivery::{Delivery, Outlet};
use parlance_proto::v1;
use tonic::Status;

/// Whatever serves the contract: the api in this process, or nodes behind a channel.
///
/// `headers` are those of the caller's HTTP request that concern the contract
/// (`authorization`, `traceparent`, `user-agent`); they become the call's metadata.
#[async_trait]
pub trait ChatBackend: Send + Sync + 'static {
    /// Opens a `Chat` stream. The answer is polled only while the client keeps up, and
    /// `inbound` only while the backend does: both ends push back. Events may as well be
    /// pushed through `outlet`, in order with what the answer gives.
    ///
    /// # Errors
    /// The status of a refused stream, such as UNAUTHENTICATED.
    async fn chat(
        &self,
        headers: HeaderMap,
        inbound: BoxStream<'static, v1::ClientFrame>,
        outlet: Outlet,
    ) -> Result<BoxStream<'static, Result<Delivery, Status>>, Status>;

    /// Whether the call's headers say who calls, before its body is read. A backend that cannot know yet
    /// says no, and refuses later.
    ///
    /// # Errors
    /// The status of a call that is refused whatever its body is, such as UNAUTHENTICATED.
    async fn admit(&self, _headers: &HeaderMap, _path: &str) -> Result<bool, Status> {
        Ok(false)
    }

    /// Carries out a unary call: `path` is `/package.Service/Method`, request and
    /// response are encoded protobuf.
    ///
    /// # Errors
    /// The status of the call.
    async fn unary(&self, headers: HeaderMap, path: &str, request: Bytes) -> Result<Bytes, Status>;
}
