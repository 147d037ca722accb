use std::fmt;
use std::sync::Arc;

/// The address of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// `host:port`, or just `host` for the default port.
    authority: String,
    pub(super) tls: bool,
    /// Shown to servers that want one.
    pub(super) certificate: Option<Arc<ClientCertificate>>,
}

/// The certificate of this client, for servers that let in only clients with one of their authorities
/// (`--tls-client-ca`).
#[derive(Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// PEM, with the certificates between it and the authority.
    pub(super) chain: Vec<u8>,
    /// PEM.
    pub(super) key: Vec<u8>,
}

impl ClientCertificate {
    /// From PEM: the certificate, with those between it and the authority, and its key. They are checked when a
    /// connection is opened.
    pub fn from_pem(chain: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        Self { chain: chain.into(), key: key.into() }
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate").finish_non_exhaustive()
    }
}

impl Address {
    pub(crate) fn parse(text: &str) -> Self {
        let (tls, authority) = match text.split_once("://") {
            Some((scheme, authority)) => (scheme.eq_ignore_ascii_case("https"), authority),
            None => (false, text),
        };
        Self { authority: authority.trim_end_matches('/').to_owned(), tls, certificate: None }
    }

    /// The URL with this scheme, plus an `s` for TLS.
    pub(super) fn url(&self, scheme: &str) -> String {
        format!("{scheme}{}://{}", if self.tls { "s" } else { "" }, self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_whether_it_is_tls() {
        let url = |text| Address::parse(text).url("ws");
        assert_eq!(url("127.0.0.1:8080"), "ws://127.0.0.1:8080");
        assert_eq!(url("http://chat.example:81/"), "ws://chat.example:81");
        assert_eq!(url("https://chat.example"), "wss://chat.example");
        assert_eq!(url("HTTPS://[::1]:8443/"), "wss://[::1]:8443");
    }
}
