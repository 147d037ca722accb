//! Which host a request names: RFC 9112, 3.2, and RFC 9113, 8.3.1. A request that two programs may read as being for
//! two hosts is refused.

use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::origin::host_and_port;
use crate::paced::uncounted;

/// Rejects requests that name no host, or more than one.
pub(crate) async fn check(request: Request, next: Next) -> Response {
    match problem(&request) {
        Some(problem) => {
            let body = format!(r#"{{"error":{{"code":3,"message":"{problem}","reason":"bad_host"}}}}"#);
            let kind = [(header::CONTENT_TYPE, "application/json")];
            uncounted((StatusCode::BAD_REQUEST, kind, body).into_response())
        }
        None => next.run(request).await,
    }
}

fn problem<B>(request: &axum::http::Request<B>) -> Option<&'static str> {
    let mut headers = request.headers().get_all(header::HOST).iter();
    let (host, second) = (headers.next(), headers.next());
    if second.is_some() {
        return Some("there is more than one host header");
    }
    let target = request.uri().authority().map(Authority::as_str);
    let read = |host: &str| host_and_port(host).ok_or("the host is not one");
    let host = host.map(|host| read(host.to_str().unwrap_or_default())).transpose();
    match (target.map(read).transpose(), host) {
        (Err(problem), _) | (_, Err(problem)) => Some(problem),
        (Ok(Some(target)), Ok(Some(host))) if !is_same(&target, &host) => {
            Some("the host header differs from the target of the request")
        }
        (Ok(None), Ok(None)) if request.version() == Version::HTTP_11 => {
            Some("a request of http/1.1 has a host header")
        }
        _ => None,
    }
}

/// One of the two may leave out the default port, which is one of two: TLS may end in front of this server.
fn is_same((one, port): &(String, Option<u16>), (other, other_port): &(String, Option<u16>)) -> bool {
    let are_same_ports = match (port, other_port) {
        (Some(given), None) | (None, Some(given)) => matches!(given, 80 | 443),
        _ => port == other_port,
    };
    one == other && are_same_ports
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(version: Version, target: &str, hosts: &[&str], expected: bool) {
        let mut request = axum::http::Request::builder().version(version).uri(target);
        for host in hosts {
            request = request.header(header::HOST, *host);
        }
        let problem = problem(&request.body(()).unwrap());
        assert_eq!(problem.is_none(), expected, "{version:?} {target} {hosts:?}: {problem:?}");
    }

    #[test]
    fn a_request_names_one_host() {
        use Version as V;
        for (version, target, hosts, expected) in [
            (V::HTTP_11, "/", &["chat.example"][..], true),
            (V::HTTP_11, "/", &["chat.example:8080"], true),
            (V::HTTP_11, "/", &["[::1]:8080"], true),
            (V::HTTP_11, "/", &["some_service:80"], true),
            (V::HTTP_11, "/", &[], false),
            (V::HTTP_10, "/", &[], true),
            (V::HTTP_11, "/", &["chat.example", "chat.example"], false),
            (V::HTTP_11, "/", &["chat.example", "evil.example"], false),
            (V::HTTP_11, "/", &[""], false),
            (V::HTTP_11, "/", &["a b"], false),
            (V::HTTP_11, "/", &["user@chat.example"], false),
            (V::HTTP_11, "/", &["chat.example:99999"], false),
            (V::HTTP_11, "/", &["chat.example/path"], false),
            (V::HTTP_11, "http://chat.example/", &["chat.example"], true),
            (V::HTTP_11, "http://chat.example:80/", &["Chat.Example"], true),
            (V::HTTP_11, "http://chat.example/", &["evil.example"], false),
            (V::HTTP_11, "http://chat.example:1/", &["chat.example:2"], false),
            (V::HTTP_11, "http://chat.example:1/", &["chat.example"], false),
            (V::HTTP_11, "http://chat.example/", &["chat.example:8080"], false),
            (V::HTTP_11, "http://chat.example/", &["chat.example:443"], true),
            (V::HTTP_2, "http://chat.example/", &[], true),
            (V::HTTP_2, "http://chat.example/", &["chat.example"], true),
            (V::HTTP_2, "http://chat.example/", &["evil.example"], false),
            (V::HTTP_2, "/", &[], true),
            (V::HTTP_2, "/", &["a", "b"], false),
        ] {
            check(version, target, hosts, expected);
        }
    }
}
