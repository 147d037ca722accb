//! Origins of web pages, in a normalised form for comparison.

use std::fmt;
use std::str::FromStr;

use axum::http::uri::Authority;

/// Scheme, host and port of a web page. Equal if a browser treats them as the same: letters are
/// lower case, the port is always present, and a trailing dot of the name is removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    is_https: bool,
    host: String,
    port: u16,
}

/// Why a string is not an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// It does not start with `http://` or `https://`.
    #[error("must begin with https:// or http://")]
    Scheme,
    /// It contains a `*`.
    #[error("wildcards are not supported: list each origin")]
    Wildcard,
    /// It has a path, a query or a fragment.
    #[error("must end after the host and port")]
    Path,
    /// Its host or port is invalid.
    #[error("has no valid host and port")]
    Host,
}

impl FromStr for Origin {
    type Err = OriginError;

    /// Parses an `Origin` header or a configured origin. One trailing slash and surrounding white
    /// space are ignored.
    fn from_str(origin: &str) -> Result<Self, OriginError> {
        let origin = origin.trim();
        if origin.contains('*') {
            return Err(OriginError::Wildcard);
        }
        let (scheme, authority) = origin.split_once("://").ok_or(OriginError::Scheme)?;
        let is_https = if scheme.eq_ignore_ascii_case("https") {
            true
        } else if scheme.eq_ignore_ascii_case("http") {
            false
        } else {
            return Err(OriginError::Scheme);
        };
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        if authority.contains(['/', '?', '#']) {
            return Err(OriginError::Path);
        }
        let (host, port) = host_and_port(authority).ok_or(OriginError::Host)?;
        Ok(Self { is_https, host, port: port.unwrap_or(default_port(is_https)) })
    }
}

impl Origin {
    /// Whether pages of this origin come from the server addressed as `authority`, a `Host`
    /// header. Without a port there, the origin's default applies: a load balancer may have
    /// terminated TLS.
    pub(crate) fn is_at(&self, authority: &str) -> bool {
        let Some((host, port)) = host_and_port(authority) else { return false };
        host == self.host && port.unwrap_or(default_port(self.is_https)) == self.port
    }

    /// Whether it is `https`.
    pub(crate) fn is_https(&self) -> bool {
        self.is_https
    }

    /// The host, without brackets around an IPv6 address.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_https { "https" } else { "http" };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

fn default_port(is_https: bool) -> u16 {
    if is_https { 443 } else { 80 }
}

/// The host in lower case without trailing dot or brackets, and the port, if there is one.
pub(crate) fn host_and_port(authority: &str) -> Option<(String, Option<u16>)> {
    if authority.contains('@') || authority.ends_with(':') {
        return None;
    }
    let parsed: Authority = authority.parse().ok()?;
    // `Authority::port` returns none for a port out of range.
    let port = match authority[parsed.host().len()..].strip_prefix(':') {
        Some(port) => Some(port.parse().ok()?),
        None => None,
    };
    let host = parsed.host().to_ascii_lowercase();
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&host);
    let host = host.strip_suffix('.').unwrap_or(host);
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Origin {
        text.parse().unwrap()
    }

    #[test]
    fn equal_origins_are_equal_however_they_are_written() {
        for (left, right) in [
            ("https://app.example", "https://app.example:443"),
            ("http://app.example", "http://app.example:80/"),
            ("https://app.example", " HTTPS://App.Example./ "),
            ("https://[::1]", "https://[::1]:443"),
        ] {
            assert_eq!(origin(left), origin(right), "{left} {right}");
        }
        for (left, right) in [
            ("https://app.example", "http://app.example"),
            ("https://app.example", "https://app.example:8443"),
            ("https://app.example", "https://app.example.evil"),
            ("http://app.example:443", "https://app.example:80"),
        ] {
            assert_ne!(origin(left), origin(right), "{left} {right}");
        }
    }

    #[test]
    fn invalid_origins_are_refused_with_reason() {
        for (text, error) in [
            ("app.example", OriginError::Scheme),
            ("//app.example", OriginError::Scheme),
            ("ftp://app.example", OriginError::Scheme),
            ("null", OriginError::Scheme),
            ("", OriginError::Scheme),
            ("*", OriginError::Wildcard),
            ("https://*.example", OriginError::Wildcard),
            ("https://app.example/chat", OriginError::Path),
            ("https://app.example?x", OriginError::Path),
            ("https://", OriginError::Host),
            ("https://app.example:", OriginError::Host),
            ("https://app.example:99999", OriginError::Host),
            ("https://user@app.example", OriginError::Host),
            ("https://a b", OriginError::Host),
        ] {
            assert_eq!(text.parse::<Origin>(), Err(error), "{text}");
        }
    }

    #[test]
    fn a_page_is_at_home_where_its_server_was_addressed() {
        for (page, host) in [
            ("https://chat.example", "chat.example"),
            ("https://chat.example", "chat.example:443"),
            ("https://chat.example:443", "Chat.Example"),
            ("http://chat.example", "chat.example:80"),
            ("http://chat.example:8080", "chat.example.:8080"),
            ("http://[::1]:8080", "[::1]:8080"),
        ] {
            assert!(origin(page).is_at(host), "{page} {host}");
        }
        for (page, host) in [
            ("https://chat.example", "chat.example:80"),
            ("http://chat.example:8080", "chat.example"),
            ("https://evil.example", "chat.example"),
            ("https://chat.example", ""),
            ("https://chat.example", "user@chat.example"),
        ] {
            assert!(!origin(page).is_at(host), "{page} {host}");
        }
    }

    #[test]
    fn an_origin_is_written_with_its_port() {
        assert_eq!(origin("https://App.example").to_string(), "https://app.example:443");
        assert_eq!(origin("http://[::1]:8080").to_string(), "http://[::1]:8080");
    }
}
