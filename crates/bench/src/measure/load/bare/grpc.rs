use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use anyhow::Result;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use http::{Request, Response};
use parlance_proto::codec::Encoded;
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio_stream::wrappers::{BroadcastStream, TcpListenerStream};
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::transport::Server;
use tonic::{Status, Streaming};

use super::super::grpc::WELCOME;

pub(super) async fn serve(listener: TcpListener, payloads: broadcast::Sender<Bytes>) -> Result<()> {
    let server = Server::builder().add_service(Broadcast(payloads));
    let incoming = TcpListenerStream::new(listener).inspect(|socket| {
        if let Ok(socket) = socket {
            let _ = socket.set_nodelay(true);
        }
    });
    Ok(server.serve_with_incoming(incoming).await?)
}

#[derive(Clone)]
struct Broadcast(broadcast::Sender<Bytes>);

impl NamedService for Broadcast {
    const NAME: &'static str = "parlance.v1.ChatService";
}

impl Service<Request<Body>> for Broadcast {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let chat = self.clone();
        Box::pin(async { Ok(Grpc::new(Encoded).streaming(chat, request).await) })
    }
}

impl StreamingService<Bytes> for Broadcast {
    type Response = Bytes;
    type ResponseStream = BoxStream<'static, Result<Bytes, Status>>;
    type Future = Ready<Result<tonic::Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, _: tonic::Request<Streaming<Bytes>>) -> Self::Future {
        let welcome = stream::iter([Ok(Bytes::from_static(&[WELCOME]))]);
        let events = BroadcastStream::new(self.0.subscribe());
        let events =
            events.map(|payload| payload.map_err(|lagged| Status::resource_exhausted(lagged.to_string())));
        ready(Ok(tonic::Response::new(welcome.chain(events).boxed())))
    }
}
