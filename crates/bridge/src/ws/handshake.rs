use axum::extract::Request;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt;
use futures::stream;
use http::header::{
    ALLOW, CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use hyper::upgrade::OnUpgrade;
use parlance_delivery::Outlet;
use parlance_peers::Peer;
use parlance_proto::error::Failure;
use parlance_proto::json::UnknownFields;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tonic::Code;

use super::session::{InboundSender, Session};
use super::subprotocol::{Offer, PROTOCOL};
use crate::answer::Refusal;
use crate::shared::Shared;
use crate::{headers, limits};

/// A valid WebSocket handshake.
pub(super) struct Handshake {
    /// Metadata for the backend.
    pub(super) metadata: HeaderMap,
    /// How to treat unknown fields in JSON.
    pub(super) unknown: UnknownFields,
    /// Ready once the response has been sent.
    pub(super) upgrade: OnUpgrade,
    /// 101, to be sent once the backend has accepted.
    pub(super) response: Response,
}

/// Checks a handshake according to RFC 6455, 4.2.1.
pub(super) fn check(mut request: Request, peer: Option<&Peer>) -> Result<Handshake, Refusal> {
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let headers = request.headers();
    if request.method() != Method::GET {
        let failure =
            Failure::new(Code::Unimplemented, "method_not_allowed", "a websocket is opened with GET");
        let refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, failure);
        return Err(refusal.header(ALLOW, HeaderValue::from_static("GET")));
    }
    // HTTP/2 and HTTP/1.0 requests carry no upgrade, whatever their headers say.
    let Some(upgrade) =
        upgrade.filter(|_| has(headers, &CONNECTION, "upgrade") && has(headers, &UPGRADE, "websocket"))
    else {
        return Err(upgrade_required("this is a websocket: ask for an upgrade over http/1.1"));
    };
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(upgrade_required("sec-websocket-version must be 13"));
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
    let Some(key) = key.filter(|key| STANDARD.decode(key).is_ok_and(|key| key.len() == 16)) else {
        let failure = Failure::new(
            Code::InvalidArgument,
            "bad_handshake",
            "sec-websocket-key must be 16 bytes in base64",
        );
        return Err(failure.into());
    };
    let offer = Offer::read(headers);
    if offer.other && !offer.parlance {
        // None could be selected, which clients report without a reason.
        let message = format!("offer {PROTOCOL} in sec-websocket-protocol beside anything else");
        return Err(Failure::new(Code::InvalidArgument, "bad_handshake", message).into());
    }

    let mut response = Response::default();
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answers = response.headers_mut();
    answers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    answers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::try_from(derive_accept_key(key)) {
        answers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    if offer.parlance {
        answers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    }
    let unknown = if offer.ignore_unknown { UnknownFields::Ignore } else { headers::unknown_fields(headers) };
    let metadata = headers::metadata(headers, peer, offer.token);
    Ok(Handshake { metadata, unknown, upgrade, response })
}

/// Opens the stream at the backend, which authenticates it.
pub(super) async fn open(
    shared: &Shared,
    metadata: HeaderMap,
    outlet: Outlet,
    peer: Option<&Peer>,
) -> Result<(Session, InboundSender), Refusal> {
    if shared.shutdown.is_cancelled() {
        return Err(Failure::new(Code::Unavailable, "shutting_down", "this node is shutting down").into());
    }
    let (sender, mut receiver) = mpsc::channel(limits::INBOUND_FRAMES);
    let inbound = stream::poll_fn(move |cx| receiver.poll_recv(cx)).boxed();
    let opening = shared.backend.chat(metadata, inbound, outlet, peer);
    let opened = tokio::time::timeout(shared.options.request_timeout, opening).await;
    let late =
        |_| Failure::new(Code::DeadlineExceeded, "deadline_exceeded", "opening the stream took too long");
    Ok((opened.map_err(late)??, sender))
}

/// Whether a header, which may be a list, contains a token.
fn has(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(token))
}

fn upgrade_required(message: &str) -> Refusal {
    let failure = Failure::new(Code::InvalidArgument, "upgrade_required", message);
    Refusal::new(StatusCode::UPGRADE_REQUIRED, failure)
        .header(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"))
        .header(UPGRADE, HeaderValue::from_static("websocket"))
        .header(CONNECTION, HeaderValue::from_static("upgrade"))
}
