//! Which web pages may use this server.
//!
//! In local mode anyone who reaches the port can get a token, so any page in a browser on this machine could: by a
//! request to 127.0.0.1, or to a name of its own that resolves there. Therefore both `Origin` and `Host` are checked.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::origin::{Origin, host_and_port};
use crate::paced::uncounted;

/// The allowed origins.
#[derive(Debug, Clone)]
pub(crate) enum Guard {
    /// Only names and pages of this machine.
    Local,
    /// The server's own pages, and those of other origins.
    Origins {
        /// The other origins.
        allowed: Arc<[Origin]>,
        /// Whether the server terminates TLS: its own pages are then `https`. Otherwise a load balancer may.
        is_tls: bool,
    },
}

impl Guard {
    /// Whether a page of `origin` may use the server addressed as `host`.
    pub(crate) fn allows_origin(&self, origin: &str, host: Option<&str>) -> bool {
        let Ok(origin) = origin.parse::<Origin>() else { return false };
        match self {
            Self::Local => is_this_machine(origin.host()),
            Self::Origins { allowed, is_tls } => {
                let own = host.is_some_and(|host| origin.is_at(host)) && (origin.is_https() || !is_tls);
                own || allowed.contains(&origin)
            }
        }
    }

    fn allows_host(&self, host: Option<&str>) -> bool {
        match self {
            Self::Local => host.and_then(host_and_port).is_some_and(|(host, _)| is_this_machine(&host)),
            Self::Origins { .. } => true,
        }
    }
}

/// `localhost` or a loopback address.
fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Rejects requests that [`Guard`] does not allow.
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
    uncounted((StatusCode::FORBIDDEN, [(header::CONTENT_TYPE, "application/json")], body).into_response())
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
        assert!(!Guard::Local.allows_origin("evil://localhost", None));
    }

    #[test]
    fn with_keys_the_own_origin_and_the_configured_ones() {
        let allowed = ["https://app.example".parse().unwrap()];
        let guard = Guard::Origins { allowed: allowed.clone().into(), is_tls: false };
        for own in ["https://chat.example", "http://chat.example", "https://chat.example:443"] {
            assert!(guard.allows_origin(own, Some("chat.example")), "{own}");
        }
        assert!(guard.allows_origin("https://chat.example", Some("Chat.example:443")));
        assert!(guard.allows_origin("https://app.example:443", Some("chat.example")));
        for foreign in ["https://evil.example", "http://app.example", "null", ""] {
            assert!(!guard.allows_origin(foreign, Some("chat.example")), "{foreign}");
        }
        let guard = Guard::Origins { allowed: allowed.into(), is_tls: true };
        assert!(guard.allows_origin("https://chat.example", Some("chat.example")));
        assert!(!guard.allows_origin("http://chat.example", Some("chat.example")));
    }
}
