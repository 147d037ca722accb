use std::fmt::{self, Display};
use std::str::FromStr;

use http::Uri;

/// The URL of an endpoint: `https://host/path`, or with `http`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    uri: Uri,
    pub(super) is_tls: bool,
    pub(super) host: String,
    pub(super) port: u16,
}

/// Why a URL is not usable for an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It is not a URL.
    #[error("is no url: {0}")]
    Malformed(String),
    /// It has another scheme.
    #[error("must begin with https:// or http://")]
    Scheme,
    /// It contains credentials: posts are authenticated by their signature.
    #[error("must not hold a user or password")]
    Credentials,
}

impl Url {
    /// The path with the query.
    pub(super) fn path(&self) -> &str {
        self.uri.path_and_query().map_or("/", |path| path.as_str())
    }

    /// The host, with the port unless it is the default.
    pub(super) fn host_header(&self) -> String {
        self.uri.authority().map(|authority| authority.as_str().to_owned()).unwrap_or_default()
    }
}

/// Without path and query, which may contain a secret of the endpoint.
impl Display for Url {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        write!(out, "{scheme}://{}/", self.host_header())
    }
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let malformed = |what: &dyn Display| UrlError::Malformed(what.to_string());
        let uri: Uri = text.trim().parse().map_err(|error| malformed(&error))?;
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
        let port = authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        Ok(Self { is_tls, host, port, uri })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_parsed() {
        let url: Url = "https://hooks.example.com/chat?key=1".parse().unwrap();
        assert_eq!((url.is_tls, url.host.as_str(), url.port), (true, "hooks.example.com", 443));
        assert_eq!((url.path(), url.host_header().as_str()), ("/chat?key=1", "hooks.example.com"));
        assert_eq!(url.to_string(), "https://hooks.example.com/", "a key in it stays out of the log");
        let url: Url = "http://[::1]:8080".parse().unwrap();
        assert_eq!((url.host.as_str(), url.port, url.path()), ("::1", 8080, "/"));
        assert_eq!(url.host_header(), "[::1]:8080");
        assert_eq!("https://user:secret@example.com/".parse::<Url>(), Err(UrlError::Credentials));
        assert_eq!("ftp://example.com/".parse::<Url>(), Err(UrlError::Scheme));
        assert!("example.com/path".parse::<Url>().is_err());
        assert!("https:///path".parse::<Url>().is_err());
    }
}
