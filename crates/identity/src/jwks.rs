//! Caches the keys that an issuer publishes at a URL. They are fetched every few minutes, and when a token names
//! an unknown key. While the issuer is unreachable or returns invalid data, the previous keys stay valid.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::uri::Authority;
use http::{Request, StatusCode, Uri, header};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};

use crate::http::exchange;
use crate::jwk::read_set;
use crate::key::VerifyingKey;
use crate::limits::{MAX_JWKS_BYTES, Pace};

/// URL of a key set: `https`, or `http` on loopback.
#[derive(Clone, PartialEq, Eq)]
pub struct JwksUrl(Uri);

/// Why a URL is not usable for a key set.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwksUrlError {
    /// It is not a URL.
    #[error("not a URL: {0}")]
    Malformed(String),
    /// Without TLS, anyone on the network path could substitute keys.
    #[error("must begin with https://, or with http:// and a loopback address")]
    Scheme,
    /// Key sets are public and need no credentials.
    #[error("must not hold a user or password")]
    Credentials,
}

impl FromStr for JwksUrl {
    type Err = JwksUrlError;

    fn from_str(text: &str) -> Result<Self, JwksUrlError> {
        let uri: Uri = text.trim().parse().map_err(|error| JwksUrlError::Malformed(format!("{error}")))?;
        let no_host = || JwksUrlError::Malformed("no host".to_owned());
        let authority = uri.authority().ok_or_else(no_host)?;
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if is_loopback(authority) => {}
            _ => return Err(JwksUrlError::Scheme),
        }
        if authority.as_str().contains('@') {
            return Err(JwksUrlError::Credentials);
        }
        Ok(Self(uri))
    }
}

fn is_loopback(authority: &Authority) -> bool {
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl fmt::Display for JwksUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for JwksUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The keys of one issuer.
pub struct Jwks {
    url: JwksUrl,
    pace: Pace,
    keys: ArcSwap<Vec<VerifyingKey>>,
    wanted: Notify,
    fetches: watch::Sender<Fetches>,
}

/// The state of fetching.
#[derive(Clone, Copy, Default)]
struct Fetches {
    ended: u64,
    under_way: bool,
    last_begun: Option<Instant>,
}

impl Jwks {
    /// Creates the cache without keys: [`Self::keep`] fetches them.
    pub fn new(url: JwksUrl) -> Arc<Self> {
        Self::paced(url, Pace::PRODUCTION)
    }

    /// Like [`Self::new`], at another pace.
    pub fn paced(url: JwksUrl, pace: Pace) -> Arc<Self> {
        metrics::describe_counter!("parlance_jwks_fetches_total", "fetches of the issuer's keys, by outcome");
        metrics::describe_gauge!("parlance_jwks_keys", "keys of the issuer that are known");
        Arc::new(Self {
            url,
            pace,
            keys: ArcSwap::default(),
            wanted: Notify::new(),
            fetches: watch::Sender::default(),
        })
    }

    /// The URL of the key set.
    pub fn url(&self) -> &JwksUrl {
        &self.url
    }

    pub(crate) fn keys(&self) -> Arc<Vec<VerifyingKey>> {
        self.keys.load_full()
    }

    /// Fetches the keys repeatedly. Runs in its own task, since callers that wait for a key may be dropped.
    /// Never returns.
    pub async fn keep(self: Arc<Self>) {
        loop {
            let begun = Instant::now();
            let pause = match self.fetch(begun).await {
                true => self.pace.every,
                false if self.keys.load().is_empty() => self.pace.first_again,
                false => self.pace.at_most_every,
            };
            // Requests made during this fetch may have been answered by it.
            let asked = async {
                sleep_until(begun + self.pace.at_most_every).await;
                self.wanted.notified().await;
            };
            tokio::select! {
                biased;
                () = sleep_until(begun + pause) => {}
                () = asked => {}
            }
        }
    }

    /// Waits for the first fetch to end. Returns whether there are keys.
    pub async fn settled(&self) -> bool {
        let mut fetches = self.fetches.subscribe();
        let _ = fetches.wait_for(|fetches| fetches.ended > 0).await;
        !self.keys.load().is_empty()
    }

    /// Fetches the keys because a token may be signed with an unknown one, unless they were fetched just now.
    /// Returns whether they have been fetched since.
    pub(crate) async fn refresh(&self) -> bool {
        let mut fetches = self.fetches.subscribe();
        let now = *fetches.borrow_and_update();
        let is_recent = now.last_begun.is_none_or(|begun| begun.elapsed() < self.pace.at_most_every);
        if !now.under_way {
            if is_recent {
                return false;
            }
            self.wanted.notify_one();
        }
        let ended = fetches.wait_for(|fetches| fetches.ended > now.ended);
        timeout(self.pace.within + Duration::from_secs(1), ended).await.is_ok_and(|ended| ended.is_ok())
    }

    /// Returns whether it succeeded.
    async fn fetch(&self, begun: Instant) -> bool {
        self.fetches.send_modify(|fetches| {
            fetches.under_way = true;
            fetches.last_begun = Some(begun);
        });
        let outcome = match self.try_fetch().await {
            Ok(keys) => {
                metrics::gauge!("parlance_jwks_keys").set(keys.len() as f64);
                self.keys.store(Arc::new(keys));
                "fetched"
            }
            Err(reason) => {
                let known = self.keys.load().len();
                tracing::warn!(url = %self.url, reason, known, "cannot fetch the issuer's keys, retrying");
                "failed"
            }
        };
        metrics::counter!("parlance_jwks_fetches_total", "outcome" => outcome).increment(1);
        self.fetches.send_modify(|fetches| {
            fetches.under_way = false;
            fetches.ended += 1;
        });
        outcome == "fetched"
    }

    async fn try_fetch(&self) -> Result<Vec<VerifyingKey>, String> {
        let request = Request::get(self.url.0.clone())
            .header(header::ACCEPT, "application/json, application/jwk-set+json")
            .header(header::USER_AGENT, concat!("parlance/", env!("CARGO_PKG_VERSION")));
        let request = request.body(Bytes::new()).map_err(|error| error.to_string())?;
        match exchange(request, self.pace.within, MAX_JWKS_BYTES).await? {
            (StatusCode::OK, body) => read_set(&body),
            (status, _) => Err(format!("answered {status}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_set_url_requires_tls_or_loopback() {
        let parse = |url: &str| url.parse::<JwksUrl>().map(|url| url.to_string());
        for good in [
            "https://id.example.org/keys?v=1",
            "http://127.0.0.1:80/",
            "http://[::1]:1/x",
            "http://localhost/",
        ] {
            assert_eq!(parse(good).as_deref(), Ok(good));
        }
        for open in ["http://id.example.org/keys", "http://10.0.0.1/keys", "ftp://id.example.org/"] {
            assert_eq!(parse(open), Err(JwksUrlError::Scheme), "{open}");
        }
        assert_eq!(parse("https://u:p@id.example.org/"), Err(JwksUrlError::Credentials));
        assert!(matches!(parse("/keys"), Err(JwksUrlError::Malformed(_))));
    }
}
