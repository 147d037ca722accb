use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fred::rustls::pki_types::CertificateDer;
use fred::rustls::pki_types::pem::PemObject;
use fred::rustls::{ClientConfig, RootCertStore};
use fred::types::config::{Config, TlsConfig};
use parlance_core::{ClockMonitor, SystemClock};

use crate::numbering::Patience;
use crate::{FleetKey, FleetTag};

/// Users are spread over this many hashes. Redis stores a hash compactly up to 128 fields, so this suffices for some
/// 6 million users online at once.
pub(super) const BUCKETS: u32 = 65_536; // format

/// Shards of a cluster's users: each is one hash slot, and one command per lookup.
const CLUSTER_SHARDS: u32 = 8; // format

/// The fingerprints of the keys that verify tokens at present, without commas.
pub type TokenKeys = Arc<dyn Fn() -> Vec<String> + Send + Sync>;

/// How a node connects to Redis, and its timeouts.
///
/// `prefix`, `buckets` and `shards` determine the layout, so all nodes must agree on them.
#[derive(Clone)]
pub struct RedisOptions {
    /// `redis://user:password@host:port/db`, `rediss://` with TLS, and for several servers
    /// `redis-cluster://host:port?node=host:port` or
    /// `redis-sentinel://host:port?sentinelServiceName=name&node=host:port`.
    pub url: String,
    /// Trusted certificates, as PEM, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Prefix of every key and channel.
    pub prefix: String,
    /// The fleet of this node. Envelopes of other fleets are dropped.
    pub fleet: FleetTag,
    /// Seals the envelopes of this fleet. Others are dropped, or treated as mere hints if they are from earlier
    /// versions.
    pub key: FleetKey,
    /// Fingerprints of the keys that verify tokens, asked for at each renewal. Nodes that have none of them are refused
    /// while nodes with one are alive.
    pub token_keys: Option<TokenKeys>,
    /// Receives the time of Redis.
    pub clock: Arc<ClockMonitor>,
    /// How many hashes the users are spread over: one per 64 concurrent users is about right; more than 100 per hash
    /// start to cost memory.
    pub buckets: u32,
    /// How many hash slots the buckets are spread over: 1 by default, 8 in a cluster.
    pub shards: Option<u32>,
    /// How long a silent node counts as alive.
    pub lease: Duration,
    /// How often the lease is renewed, and the path through Redis to this node checked.
    pub heartbeat: Duration,
    /// After this time without its own heartbeat, a node considers Redis lost.
    pub unheard: Duration,
    /// How long a fleet that is new to the prefix waits before it takes the first lease: longer than a heartbeat,
    /// within which nodes whose leases Redis has lost claim them again.
    pub newcomer_wait: Duration,
    /// The duration of one round of registering all users and followed rooms again: a registration that Redis has
    /// lost is noticed and repaired within two rounds.
    pub refresh: Duration,
    /// Timeout of a command.
    pub command_timeout: Duration,
    /// Timeout for connecting.
    pub connect_timeout: Duration,
    /// Queue length for notices. Beyond it they are dropped, and [`Notice::Missed`](crate::Notice::Missed) follows.
    pub waiting_notices: usize,
}

/// Without the URL, which may contain a password.
impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisOptions")
            .field("prefix", &self.prefix)
            .field("buckets", &self.buckets)
            .field("shards", &self.shards)
            .finish_non_exhaustive()
    }
}

impl RedisOptions {
    /// The default options for the servers at `url`.
    pub fn new(url: impl Into<String>) -> Self {
        let prefix = "parlance:";
        Self {
            url: url.into(),
            ca_file: None,
            prefix: prefix.into(),
            fleet: FleetTag::of("", prefix),
            key: FleetKey::derive(b"", FleetTag::of("", prefix)),
            token_keys: None,
            clock: Arc::new(ClockMonitor::new(Arc::new(SystemClock))),
            buckets: BUCKETS,
            shards: None,
            lease: Duration::from_secs(10),
            heartbeat: Duration::from_secs(1),
            unheard: Duration::from_secs(3),
            newcomer_wait: Duration::from_millis(1_500),
            refresh: Duration::from_secs(10),
            command_timeout: Duration::from_millis(500),
            connect_timeout: Duration::from_secs(2),
            waiting_notices: 65_536,
        }
    }

    /// Checks the options, as far as possible without connecting.
    ///
    /// # Errors
    /// Invalid options.
    pub fn validate(&self) -> Result<(), ConnectError> {
        self.check()?;
        self.servers().map(drop)
    }

    /// How long messages of other nodes are waited for, in heartbeats.
    pub(super) fn patience(&self) -> Patience {
        let beats = |time: Duration| {
            let beats = time.as_millis().div_ceil(self.heartbeat.as_millis().max(1));
            u32::try_from(beats).unwrap_or(u32::MAX).saturating_add(1)
        };
        Patience { silence: beats(self.lease), foreign: beats(self.unheard) }
    }

    /// The servers in the client's form.
    pub(super) fn servers(&self) -> Result<Config, ConnectError> {
        let mut config = Config::from_url(&self.url).map_err(|error| ConnectError::Url(error.to_string()))?;
        config.fail_fast = true;
        if let (Some(file), true) = (&self.ca_file, config.tls.is_some()) {
            config.tls = Some(trusting(file)?);
        }
        Ok(config)
    }

    pub(super) fn shards(&self, config: &Config) -> u32 {
        self.shards.unwrap_or(if config.server.is_clustered() { CLUSTER_SHARDS } else { 1 })
    }

    pub(super) fn check(&self) -> Result<(), ConnectError> {
        let wrong = |what: &str| Err(ConnectError::Options(what.to_owned()));
        if self.prefix.contains(['{', '}']) {
            return wrong("the prefix may not hold { or }, which mean something to a cluster");
        }
        if self.buckets == 0 || self.shards.is_some_and(|shards| shards == 0 || shards > self.buckets) {
            return wrong("there must be at least one bucket, and one for each shard");
        }
        if self.refresh.is_zero() {
            return wrong("refreshing registrations takes more than no time");
        }
        if self.heartbeat.is_zero() || self.unheard <= self.heartbeat || self.lease <= self.unheard {
            return wrong("the lease must be longer than what may go unheard, and that than the heartbeat");
        }
        Ok(())
    }
}

fn trusting(file: &PathBuf) -> Result<TlsConfig, ConnectError> {
    let wrong = |error: &dyn std::fmt::Display| ConnectError::Tls(format!("{}: {error}", file.display()));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| wrong(&error))? {
        let certificate = certificate.map_err(|error| wrong(&error))?;
        roots.add(certificate).map_err(|error| wrong(&error))?;
    }
    if roots.is_empty() {
        return Err(wrong(&"no certificate in it"));
    }
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Ok(fred::types::config::TlsConnector::from(config).into())
}

/// Why a node may not start with these settings. An unavailable Redis is not among these.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The URL is invalid.
    #[error("invalid redis url: {0}")]
    Url(String),
    /// The certificates are not usable.
    #[error("invalid redis certificates: {0}")]
    Tls(String),
    /// The settings are contradictory.
    #[error("invalid registry settings: {0}")]
    Options(String),
    /// Nodes of another fleet run under the same prefix.
    #[error(
        "another fleet runs under the redis prefix `{prefix}`, with {}: give this node what the other nodes \
         have, or a --redis-prefix of its own. Once those nodes have ended it may start (after a crash: {} \
         seconds later)",
        list(different),
        lease.as_secs()
    )]
    Stranger {
        /// The prefix.
        prefix: String,
        /// What differs there.
        different: Vec<Difference>,
        /// How long a node counts as alive after a crash.
        lease: Duration,
    },
    /// Other nodes use another layout.
    #[error(
        "this node would keep users in redis as `{wanted}`, but what is there is kept as `{found}`: \
         give all nodes the same buckets and shards, or stop them all and delete the keys of this prefix"
    )]
    Layout {
        /// This node's layout.
        wanted: String,
        /// The layout found.
        found: String,
    },
}

/// A setting in which two fleets differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// They use another store.
    Store,
    /// They verify tokens with another key.
    SigningKey,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Store => "another store (tables, region or endpoint)",
            Self::SigningKey => "another key for tokens",
        })
    }
}

fn list(different: &[Difference]) -> String {
    let names: Vec<_> = different.iter().map(Difference::to_string).collect();
    names.join(" and ")
}
