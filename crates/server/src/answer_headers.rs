//! Headers that every answer has: the server's version, and for browsers: whatever else they are asked to do with it, it is
//! not sniffed, framed, cached or asked for without TLS.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use parlance_delivery::grpc::is_native;
use parlance_peers::Peer;

/// The name of the server's version.
pub(crate) const VERSION: &str = "parlance-version";

/// The version, which takes one byte of an answer after the first one on a connection of HTTP/2.
const OF_THIS_SERVER: (HeaderName, HeaderValue) =
    (HeaderName::from_static(VERSION), HeaderValue::from_static(env!("CARGO_PKG_VERSION")));

/// The headers for browsers, unless the answer has its own.
const ALWAYS: [(HeaderName, HeaderValue); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// How a proxy says which protocol its client speaks.
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What depends on the listener.
#[derive(Debug, Clone, Default)]
pub(crate) struct AnswerHeaders {
    is_tls: bool,
    /// `None`: browsers may come back without TLS.
    transport_security: Option<HeaderValue>,
}

impl AnswerHeaders {
    /// Of a listener with TLS, or without. Browsers that came with TLS, here or at a trusted proxy, ask for nothing
    /// else for `seconds`.
    pub(crate) fn new(is_tls: bool, seconds: u32) -> Self {
        let value = (seconds > 0).then(|| HeaderValue::try_from(format!("max-age={seconds}")));
        Self { is_tls, transport_security: value.and_then(Result::ok) }
    }

    /// The headers as lines of HTTP/1, for answers that are not made by the app.
    pub(crate) fn lines(&self) -> Bytes {
        let mut lines = Vec::new();
        let security = self.transport_security.iter().filter(|_| self.is_tls);
        let security = security.map(|value| (header::STRICT_TRANSPORT_SECURITY, value.clone()));
        for (name, value) in [OF_THIS_SERVER].into_iter().chain(ALWAYS).chain(security) {
            lines.extend_from_slice(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        lines.into()
    }

    fn is_https(&self, request: &Request) -> bool {
        let says = |headers: &HeaderMap| {
            headers.get(FORWARDED_PROTO).is_some_and(|proto| proto.as_bytes().eq_ignore_ascii_case(b"https"))
        };
        let is_proxy = || request.extensions().get::<Arc<Peer>>().is_some_and(|peer| peer.is_proxy());
        self.is_tls || (says(request.headers()) && is_proxy())
    }
}

/// Adds the headers.
pub(crate) async fn add(State(headers): State<AnswerHeaders>, request: Request, next: Next) -> Response {
    let is_https = headers.transport_security.is_some() && headers.is_https(&request);
    let mut response = next.run(request).await;
    let (name, version) = OF_THIS_SERVER;
    response.headers_mut().insert(name, version);
    // Not seen by browsers; and many of them are sent.
    if is_native(response.headers()) || response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return response;
    }
    for (name, value) in ALWAYS {
        response.headers_mut().entry(name).or_insert(value);
    }
    if let Some(value) = headers.transport_security.filter(|_| is_https) {
        response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, value);
    }
    response
}
