use http::header::{AUTHORIZATION, HeaderName, USER_AGENT};
use http::{HeaderMap, HeaderValue};
use parlance_peers::{FORWARDED_FOR, Peer, settle_client};
use parlance_proto::json::UnknownFields;

/// The headers that are forwarded to the backend, along with the client's address as determined here.
/// Everything else is dropped: the backend does not need cookies, and deadlines are set here.
const PASSED_ON: [HeaderName; 6] = [
    AUTHORIZATION,
    FORWARDED_FOR,
    USER_AGENT,
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("parlance-as-user"),
];

/// Header by which a client that may be newer than the server asks it to ignore unknown JSON fields.
const UNKNOWN_FIELDS: HeaderName = HeaderName::from_static("parlance-unknown-fields");

/// How to treat unknown fields in the JSON of this request or connection.
pub(crate) fn unknown_fields(headers: &HeaderMap) -> UnknownFields {
    match headers.get(UNKNOWN_FIELDS) {
        Some(value) if value.as_bytes().eq_ignore_ascii_case(b"ignore") => UnknownFields::Ignore,
        _ => UnknownFields::Refuse,
    }
}

/// Converts the headers of a request from `peer` to the call's metadata. `token`, if present, replaces
/// the authorization header.
pub(crate) fn metadata(headers: &HeaderMap, peer: Option<&Peer>, token: Option<HeaderValue>) -> HeaderMap {
    let mut passed_on = HeaderMap::with_capacity(PASSED_ON.len());
    for name in PASSED_ON {
        for value in headers.get_all(&name) {
            passed_on.append(name.clone(), value.clone());
        }
    }
    settle_client(&mut passed_on, peer);
    if let Some(token) = token {
        passed_on.insert(AUTHORIZATION, token);
    }
    if let Some(secret) = passed_on.get_mut(AUTHORIZATION) {
        secret.set_sensitive(true);
    }
    passed_on
}

#[cfg(test)]
mod tests {
    use http::header::COOKIE;

    use super::*;

    #[test]
    fn unknown_fields_are_ignored_on_request() {
        let mut headers = HeaderMap::new();
        assert_eq!(unknown_fields(&headers), UnknownFields::Refuse);
        headers.insert("parlance-unknown-fields", HeaderValue::from_static("Ignore"));
        assert_eq!(unknown_fields(&headers), UnknownFields::Ignore);
        headers.insert("parlance-unknown-fields", HeaderValue::from_static("whatever"));
        assert_eq!(unknown_fields(&headers), UnknownFields::Refuse);
    }

    #[test]
    fn only_the_contracts_headers_are_passed_on() {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer a"));
        headers.insert(COOKIE, HeaderValue::from_static("b=c"));
        headers.insert("x-forwarded-for", HeaderValue::from_static("198.51.100.7"));
        headers.insert("grpc-timeout", HeaderValue::from_static("1S"));
        headers.insert("traceparent", HeaderValue::from_static("00-1-2-03"));
        let passed_on = metadata(&headers, None, None);
        assert_eq!(passed_on.len(), 2);
        assert_eq!(passed_on["traceparent"], "00-1-2-03");
        assert_eq!(passed_on[AUTHORIZATION], "Bearer a");
        assert!(!format!("{passed_on:?}").contains("Bearer"), "a token must not reach a log");
        let token = HeaderValue::from_static("Bearer d");
        assert_eq!(metadata(&headers, None, Some(token))[AUTHORIZATION], "Bearer d");
    }
}
