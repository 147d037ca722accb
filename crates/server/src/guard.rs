//! Which web pages may talk to this server.
//!
//! In local mode anyone who reaches the port may have a token, so any page in a
//! browser on this machine could get one: by a request to 127.0.0.1, or by a name of
//! its own that it lets point there. Hence both `Origin` and `Host` are looked at.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// What is allowed.
#[derive(Debug, Clone)]
pub(crate) enum Guard {
    /// Names and pages of this machine only.
    Local,
    /// The server's own pages, and these origins.
    Origins(Arc<[String]>),
}

impl Guard {
    /// Whether a page of `origin` may use the server that was addressed as `host`.
    pub(crate) fn allows_origin(&self, origin: &str, host: Option<&str>) -> bool {
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        match self {
            Self::Local => authority.is_some_and(is_this_machine),
            Self::Origins(allowed) => {
                let own = authority.is_some() && authority == host;
                own || allowed.iter().any(|allowed| allowed == origin)
            }
        }
    }

    fn allows_host(&self, host: Option<&str>) -> bool {
        match self {
            Self::Local => host.is_some_and(is_this_machine),
            Self::Origins(_) => true,
        }
    }
}

/// `localhost` or a loopback address, with or without a port.
fn is_this_machine(authority: &str) -> bool {
    let Ok(uri) = authority.parse::<Uri>() else { return false };
    let Some(host) = uri.host() else { return false };
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Refuses requests that [`Guard`] does not allow.
pub(crate) async fn check(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    match refusal(&guard, &request) {
        Some(refusal) => refusal,
        None => next.run(request).await,
    }
}

fn refusal(guard: &Guard, request: &Request) -> Option<Response> {
    let value = |name| request.headers().get(name).map(|value| value.to_str().unwrap_or(""));
    let host = request.uri().authority().map(|authority| authority.as_str());
    let host = host.or_else(|| value(header::HOST));
    if !guard.allows_host(host) {
        let message = "in local mode this server answers to localhost and loopback addresses only";
        return Some(refuse("host_not_allowed", message));
    }
    let origin = value(header::ORIGIN)?;
    if guard.allows_origin(origin, host) {
        return None;
    }
    Some(refuse("origin_not_allowed", "pages of this origin may not use this server"))
}

fn refuse(reason: &str, message: &str) -> Response {
    let body = format!(r#"{{"error":{{"code":7,"message":"{message}","reason":"{reason}"}}}}"#);
    (StatusCode::FORBIDDEN, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_mode_knows_this_machine_only() {
        for good in ["localhost", "LOCALHOST:8080", "127.0.0.1:80", "127.8.8.8", "[::1]:8080"] {
            assert!(Guard::Local.allows_host(Some(good)), "{good}");
            assert!(Guard::Local.allows_origin(&format!("http://{good}"), None), "{good}");
        }
        for bad in ["evil.example", "localhost.evil.example", "10.0.0.1", "127.0.0.1.nip.io", "", "a b"] {
            assert!(!Guard::Local.allows_host(Some(bad)), "{bad}");
            assert!(!Guard::Local.allows_origin(&format!("http://{bad}"), None), "{bad}");
        }
        assert!(!Guard::Local.allows_host(None));
        assert!(!Guard::Local.allows_origin("null", None));
    }

    #[test]
    fn with_keys_the_own_origin_and_the_configured_ones() {
        let guard = Guard::Origins(["https://app.example".to_owned()].into());
        assert!(guard.allows_origin("https://app.example", Some("chat.example")));
        assert!(guard.allows_origin("https://chat.example", Some("chat.example")));
        assert!(!guard.allows_origin("https://evil.example", Some("chat.example")));
    }
}
