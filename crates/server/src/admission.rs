//! Admits calls of gRPC and grpc-web by their headers, before their bodies are read.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Version};
use axum::middleware::Next;
use axum::response::Response;
use parlance_api::services::{Identified, Services};
use parlance_bridge::anonymous;
use parlance_bridge::bodies::{self, Unread};
use parlance_core::limits::{MAX_CURSOR_CALL_BYTES, MAX_FRAME_BYTES};
use parlance_peers::{Budget, Charge, Charged, ChargedTo, HeaderCharge, Peer, settle_client};
use parlance_proto::answers::expected_bytes;
use parlance_proto::error::Failure;
use tokio::time::timeout;
use tonic::Status;

use crate::limits::{CALL_TIMEOUT, PROBE_BYTES};

/// The prefix of a message of gRPC.
const PREFIX_BYTES: usize = 5; // format

/// The call that needs no caller.
const GET_SERVER: &str = "/parlance.v1.ServerService/GetServer";

/// The call whose cursor may be long.
const STREAM_EVENTS: &str = "/parlance.events.v1.EventService/StreamEvents";

/// Refuses unauthenticated calls, records the caller, makes room for the answer, and enforces the timeout.
pub(crate) async fn admit(State(services): State<Services>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Arc<Peer>>().cloned();
    settle_client(request.headers_mut(), peer.as_deref());
    let admitted = match request.uri().path() {
        // The latter: health and reflection.
        path if path == GET_SERVER || path.starts_with("/grpc.") => {
            anonymous::charge(request.extensions(), request.headers()).map_err(Status::from)
        }
        _ => Ok(()),
    };
    let admitted = match admitted {
        Ok(()) => services.admit(request.uri().path(), request.headers(), peer.as_deref()).await,
        Err(limited) => Err(limited),
    };
    match admitted {
        Ok(Some(identified)) => {
            request.extensions_mut().insert(identified);
        }
        Ok(None) => {}
        Err(status) => {
            if request.version() < Version::HTTP_2 && Failure::from_status(&status).reason == "rate_limited" {
                let _ = timeout(CALL_TIMEOUT, bodies::discard(request.into_body(), MAX_FRAME_BYTES)).await;
            }
            return status.into_http();
        }
    }
    let within = grpc_timeout(request.headers()).map_or(CALL_TIMEOUT, |asked| asked.min(CALL_TIMEOUT));
    let answered = async {
        let bytes = expected_bytes(request.uri().path());
        let subject = request.extensions().get::<Identified>().map(Identified::user);
        let budget = peer.as_ref().map(|peer| peer.budget_of(subject));
        let (mut request, _held) = match has_one_message(request.uri().path()) {
            true => match read(request, budget.as_ref()).await {
                Ok(read) => read,
                Err(unread) => return Status::from(unread.failure()).into_http(),
            },
            false => (request, None),
        };
        HeaderCharge::end_if_small(request.extensions_mut());
        // Not while the request may still come, which its sender decides.
        let reserved = match budget.as_ref().filter(|_| bytes > 0) {
            Some(budget) => Some(budget.reserve(bytes).await),
            None => None,
        };
        let mut response = next.run(request).await;
        if let Some(reserved) = reserved {
            response.extensions_mut().insert(reserved);
        }
        if let Some(budget) = budget.filter(|_| peer.is_some_and(|peer| peer.is_proxy())) {
            response.extensions_mut().insert(ChargedTo(budget));
        }
        response
    };
    match timeout(within, answered).await {
        Ok(response) => response,
        Err(_) => Status::deadline_exceeded("the call took too long").into_http(),
    }
}

/// Whether all of the body is to be there before the call is made.
fn has_one_message(path: &str) -> bool {
    path.starts_with("/parlance.") && !path.ends_with("/Chat")
}

/// Reads the body of a call, which the decoder would reserve memory for by the length that it claims.
async fn read(request: Request, budget: Option<&Arc<Budget>>) -> Result<(Request, Option<Charge>), Unread> {
    let (parts, body) = request.into_parts();
    let most = match parts.uri.path() {
        GET_SERVER => PROBE_BYTES,
        STREAM_EVENTS => MAX_CURSOR_CALL_BYTES,
        _ => MAX_FRAME_BYTES,
    };
    let Charged { value, charge } = bodies::read(body, most + PREFIX_BYTES, budget).await?;
    Ok((Request::from_parts(parts, Body::from(value)), charge))
}

/// The caller's timeout: up to eight digits and a unit. An invalid one is ignored.
fn grpc_timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(amount * 3_600),
        "M" => Duration::from_secs(amount * 60),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_has_digits_and_a_unit() {
        let parse = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", text.parse().unwrap());
            grpc_timeout(&headers)
        };
        assert_eq!(parse("1S"), Some(Duration::from_secs(1)));
        assert_eq!(parse("2M"), Some(Duration::from_secs(120)));
        assert_eq!(parse("99999999H"), Some(Duration::from_secs(99_999_999 * 3_600)));
        assert_eq!(parse("1n"), Some(Duration::from_nanos(1)));
        for nonsense in ["", "S", "1", "-1S", "1s", "999999999S", "1.5S", "1\u{20ac}"] {
            let parsed = nonsense.parse().map(|value| {
                let mut headers = HeaderMap::new();
                headers.insert("grpc-timeout", value);
                grpc_timeout(&headers)
            });
            assert_eq!(parsed.ok().flatten(), None, "{nonsense}");
        }
    }
}
