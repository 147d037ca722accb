//! Requests that no other rate counts: probes, files, preflights, and those that are refused before anything is read for them.
//! Their answers wait once there are too many.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use parlance_peers::Peer;
use tokio::time::sleep;
use tonic::{Code, Status};

/// Marks the answer to a request that no other rate counts.
#[derive(Debug, Clone, Copy)]
struct Uncounted;

/// Marks `response`.
pub(crate) fn uncounted(mut response: Response) -> Response {
    response.extensions_mut().insert(Uncounted);
    response
}

/// Counts such requests, once they are answered: most are known by that.
pub(crate) async fn pace(request: Request, next: Next) -> Response {
    let Some(peer) = request.extensions().get::<Arc<Peer>>().cloned() else { return next.run(request).await };
    let client = peer.client(request.headers());
    let is_preflight = request.method() == Method::OPTIONS;
    let response = next.run(request).await;
    if !is_preflight && !is_uncounted(&response) {
        return response;
    }
    match peer.pace(client) {
        Ok(wait) if wait.is_zero() => response,
        // On HTTP/1, nothing more is read meanwhile; over HTTP/2 it takes one of the connection's streams.
        Ok(wait) => {
            sleep(wait).await;
            response
        }
        Err(wait) => {
            let seconds = [(header::RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1))];
            (StatusCode::TOO_MANY_REQUESTS, seconds, "too many requests from this address\n").into_response()
        }
    }
}

fn is_uncounted(response: &Response) -> bool {
    // In the head, gRPC has the status of a call that was not begun.
    let grpc = response.headers().get(Status::GRPC_STATUS);
    response.extensions().get::<Uncounted>().is_some()
        || matches!(
            response.status(),
            StatusCode::UNAUTHORIZED
                | StatusCode::METHOD_NOT_ALLOWED
                | StatusCode::UNSUPPORTED_MEDIA_TYPE
                | StatusCode::TOO_MANY_REQUESTS
        )
        || grpc.is_some_and(|code| {
            matches!(Code::from_bytes(code.as_bytes()), Code::Unauthenticated | Code::ResourceExhausted)
        })
}
