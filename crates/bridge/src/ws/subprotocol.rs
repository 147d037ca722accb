use http::header::SEC_WEBSOCKET_PROTOCOL;
use http::{HeaderMap, HeaderValue};

/// The supported subprotocol.
pub(super) const PROTOCOL: &str = "parlance.v1";

/// Prefix of a token: browsers cannot set headers on a WebSocket, but can offer
/// protocols.
const TOKEN_PREFIX: &str = "bearer.";

/// Like the header `parlance-unknown-fields: ignore`, for browsers, which cannot set
/// headers on a WebSocket.
const IGNORE_UNKNOWN: &str = "unknown-fields.ignore";

/// The protocols that a client offers in `Sec-WebSocket-Protocol`.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Offer {
    /// Whether [`PROTOCOL`] is offered, and thus selected.
    pub(super) parlance: bool,
    /// Whether other protocols are offered.
    pub(super) other: bool,
    /// The offered token, as the value of an authorization header. Never echoed.
    pub(super) token: Option<HeaderValue>,
    /// Whether [`IGNORE_UNKNOWN`] is offered.
    pub(super) ignore_unknown: bool,
}

impl Offer {
    pub(super) fn read(headers: &HeaderMap) -> Self {
        let mut offer = Self::default();
        let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
        for protocol in values.flat_map(|value| value.split(',')).map(str::trim) {
            if protocol == PROTOCOL {
                offer.parlance = true;
                continue;
            }
            offer.other = true;
            if protocol == IGNORE_UNKNOWN {
                offer.ignore_unknown = true;
            } else if let Some(token) = protocol.strip_prefix(TOKEN_PREFIX).filter(|token| !token.is_empty())
                && offer.token.is_none()
            {
                offer.token = HeaderValue::try_from(format!("Bearer {token}")).ok();
            }
        }
        offer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[&'static str], (parlance, other): (bool, bool), token: Option<&'static str>) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(value));
        }
        let token = token.map(HeaderValue::from_static);
        let expected = Offer { parlance, other, token, ignore_unknown: false };
        assert_eq!(Offer::read(&headers), expected, "{values:?}");
    }

    #[test]
    fn offers_are_read() {
        check(&[], (false, false), None);
        check(&["parlance.v1"], (true, false), None);
        check(&["parlance.v1, bearer.a.b-c_d"], (true, true), Some("Bearer a.b-c_d"));
        check(&["bearer.a", "parlance.v1"], (true, true), Some("Bearer a"));
        check(&["chat,bearer.,bearer.a,bearer.b"], (false, true), Some("Bearer a"));
        check(&["parlance.v2"], (false, true), None);
        let mut headers = HeaderMap::new();
        headers.append(
            SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static("parlance.v1, unknown-fields.ignore, bearer.a"),
        );
        let offer = Offer::read(&headers);
        assert!(offer.parlance && offer.ignore_unknown && offer.token.is_some());
    }
}
