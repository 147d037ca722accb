use std::str::FromStr;

use async_trait::async_trait;
use axum::Router;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use http::HeaderMap;
use http::uri::PathAndQuery;
use parlance_api::services::Services;
use parlance_bridge::{ChatBackend, Received};
use parlance_delivery::{Delivery, Outlet};
use parlance_peers::{Charged, Peer};
use parlance_proto::codec::Encoded;
use tonic::client::Grpc;
use tonic::metadata::MetadataMap;
use tonic::{Request, Status};

/// The in-process api as the bridge's backend. Streams go directly to the sessions,
/// so that frames stay shared; unary calls use the same services as gRPC.
pub(crate) struct InProcess {
    services: Services,
    grpc: Router,
}

impl InProcess {
    pub(crate) fn new(services: Services, grpc: Router) -> Self {
        Self { services, grpc }
    }
}

#[async_trait]
impl ChatBackend for InProcess {
    async fn admit(
        &self,
        headers: &HeaderMap,
        path: &str,
        peer: Option<&Peer>,
    ) -> Result<Option<String>, Status> {
        let identified = self.services.admit(path, headers, peer).await?;
        Ok(identified.map(|identified| identified.user().to_owned()))
    }

    async fn chat(
        &self,
        headers: HeaderMap,
        inbound: BoxStream<'static, Received>,
        outlet: Outlet,
        peer: Option<&Peer>,
    ) -> Result<BoxStream<'static, Result<Delivery, Status>>, Status> {
        let inbound =
            inbound.map(|Received { frame, bytes, charge }| Ok((Charged { value: *frame, charge }, bytes)));
        self.services.open(&headers, inbound, Some(outlet), peer).await
    }

    async fn unary(
        &self,
        headers: HeaderMap,
        path: &str,
        request: Bytes,
        _: Option<&Peer>,
    ) -> Result<Bytes, Status> {
        let path = PathAndQuery::from_str(path).map_err(|error| Status::internal(error.to_string()))?;
        let mut call = Request::new(request);
        *call.metadata_mut() = MetadataMap::from_headers(headers);
        // The size of responses is limited by the services.
        let mut grpc = Grpc::new(self.grpc.clone()).max_decoding_message_size(usize::MAX);
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        Ok(grpc.unary(call, path, Encoded).await?.into_inner())
    }
}
