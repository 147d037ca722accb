use std::fmt::{self, Display};
use std::str::FromStr;

use http::{Request, Uri, header};

/// The URL of an endpoint: `https://host/path`, or with `http`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// With the query.
    pub(super) path: String,
    /// The host, with the port unless it is the default.
    pub(super) host_header: String,
    pub(super) is_tls: bool,
    pub(super) host: String,
    pub(super) port: u16,
}

/// Why a URL is not usable for an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It is not a URL.
    #[error("is not a valid URL: {0}")]
    Malformed(String),
    /// It has another scheme.
    #[error("must begin with https:// or http://")]
    Scheme,
    /// It contains credentials: posts are authenticated by their signature.
    #[error("must not hold a user or password")]
    Credentials,
}

impl Url {
    /// Whether posts are encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.is_tls
    }
}

/// Without path and query, which may contain a secret of the endpoint.
impl Display for Url {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        write!(out, "{scheme}://{}/", self.host_header)
    }
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let malformed = |what: &dyn Display| UrlError::Malformed(what.to_string());
        let text = text.trim();
        if !text.contains("://") {
            return Err(UrlError::Scheme);
        }
        let uri: Uri = text.parse().map_err(|error| malformed(&error))?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(UrlError::Scheme),
        };
        let authority = uri.authority().ok_or_else(|| malformed(&"no host"))?;
        if authority.as_str().contains('@') {
            return Err(UrlError::Credentials);
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(malformed(&"no host"));
        }
        let default = if is_tls { 443 } else { 80 };
        let port = port(authority.as_str(), authority.host(), default).ok_or_else(|| malformed(&BAD_PORT))?;
        // A query may follow the host without a path, but no request begins with one.
        let path = match uri.path_and_query().map_or("/", |path| path.as_str()) {
            path if path.starts_with('/') => path.to_owned(),
            query => format!("/{query}"),
        };
        let host_header = authority.as_str().to_owned();
        // Otherwise every post would fail.
        let request = Request::post(path.as_str()).header(header::HOST, host_header.as_str()).body(());
        request.map_err(|error| malformed(&error))?;
        Ok(Self { path, host_header, is_tls, host, port })
    }
}

const BAD_PORT: &str = "the port must be 1 to 65535";

/// The port that follows `host`, or the default; `None` if it is none.
fn port(authority: &str, host: &str, default: u16) -> Option<u16> {
    match authority.strip_prefix(host)?.strip_prefix(':') {
        None => Some(default),
        Some(port) => port.parse().ok().filter(|port| *port > 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_parsed() {
        let url: Url = "https://hooks.example.com/chat?key=1".parse().unwrap();
        assert_eq!((url.is_tls, url.host.as_str(), url.port), (true, "hooks.example.com", 443));
        assert_eq!((url.path.as_str(), url.host_header.as_str()), ("/chat?key=1", "hooks.example.com"));
        assert_eq!(url.to_string(), "https://hooks.example.com/", "a key in it stays out of the log");
        let url: Url = "http://[::1]:8080".parse().unwrap();
        assert_eq!((url.host.as_str(), url.port, url.path.as_str()), ("::1", 8080, "/"));
        assert_eq!(url.host_header, "[::1]:8080");
        assert_eq!("https://user:secret@example.com/".parse::<Url>(), Err(UrlError::Credentials));
        assert_eq!("ftp://example.com/".parse::<Url>(), Err(UrlError::Scheme));
        for without_scheme in ["example.com/path", "example.com", "/path", ""] {
            assert_eq!(without_scheme.parse::<Url>(), Err(UrlError::Scheme), "{without_scheme}");
        }
        assert!("https:///path".parse::<Url>().is_err());
    }

    #[test]
    fn a_query_may_follow_the_host() {
        for (url, path) in [("https://example.com?key=1", "/?key=1"), ("https://example.com", "/")] {
            assert_eq!(url.parse::<Url>().unwrap().path, path);
        }
    }

    /// Taken for the default, events would be posted to whoever has that port.
    #[test]
    fn ports_out_of_range_are_refused() {
        for port in ["70000", "65536", "0", "99999999999", ""] {
            for host in ["example.com", "[::1]"] {
                assert!(format!("https://{host}:{port}/").parse::<Url>().is_err(), "{port:?}");
            }
        }
        assert_eq!("http://[::1]:65535/".parse::<Url>().unwrap().port, 65_535);
    }
}
