use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{bail, ensure};

use super::options::{OnOff, Options, StoreName, TABLE_PREFIX};
use crate::features::require_cluster;

/// A node: what keeps rooms and sessions.
#[derive(Debug, Clone)]
pub struct Node {
    /// Whether it has all doors, or leaves WebSocket, REST and web page to edges.
    pub doors: bool,
    /// Where edges connect.
    pub edge_listen: Option<SocketAddr>,
    /// Where its own key is kept, and everything on the embedded store.
    pub data_dir: PathBuf,
    /// What keeps everything.
    pub store: StoreConfig,
    /// Through what it hears of other nodes.
    pub redis: Option<RedisConfig>,
    /// How tokens are verified.
    pub identity: Identity,
    /// Operations a second of one user.
    pub user_rate: Option<NonZeroU32>,
    /// File with the webhooks.
    pub webhooks: Option<PathBuf>,
    /// File with the Kafka topic.
    pub kafka: Option<PathBuf>,
}

/// What keeps everything.
#[derive(Debug, Clone)]
pub enum StoreConfig {
    /// The data directory.
    Embedded {
        /// Whether writes are synced before they are acknowledged.
        sync: bool,
    },
    /// Tables of DynamoDB.
    Dynamodb {
        /// What their names begin with.
        table_prefix: String,
    },
}

/// Through what nodes hear of each other. The URL may hold a password.
#[derive(Clone)]
pub struct RedisConfig {
    /// Where it is.
    pub url: String,
    /// What its keys begin with.
    pub prefix: String,
    /// Over how many parts of a cluster users are spread.
    pub shards: Option<u32>,
    /// How long a node that alone is cut off keeps its clients.
    pub isolation: Duration,
}

impl std::fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisConfig").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// How tokens are verified.
#[derive(Debug, Clone)]
pub enum Identity {
    /// With a key that this server makes itself, for anyone on this machine.
    Local,
    /// With a configured key.
    Key {
        /// The secret or public key.
        file: PathBuf,
        /// Whether it is a secret.
        is_secret: bool,
        /// Audience to expect.
        audience: Option<String>,
        /// Issuer to expect.
        issuer: Option<String>,
    },
}

impl Node {
    pub(super) fn new(options: Options, doors: bool) -> anyhow::Result<Self> {
        let identity = Identity::new(&options)?;
        let store = StoreConfig::new(&options)?;
        let redis = RedisConfig::new(&options)?;
        let shared = matches!(store, StoreConfig::Dynamodb { .. });
        ensure!(
            shared || redis.is_none(),
            "nodes that hear of each other through redis must share what they keep: give --store dynamodb, \
             or leave out --redis"
        );
        ensure!(
            !shared || !matches!(identity, Identity::Local),
            "the nodes of a cluster share keys: give --jwt-secret-file or --jwt-public-key. Without one, each \
             node would make its own, and none would know the tokens of another"
        );
        Ok(Self {
            doors,
            edge_listen: options.edge_listen,
            data_dir: options.data_dir.unwrap_or_else(|| "parlance-data".into()),
            store,
            redis,
            identity,
            user_rate: NonZeroU32::new(options.user_rate.unwrap_or(100)),
            webhooks: options.webhooks,
            kafka: options.kafka,
        })
    }

    pub(super) fn check_listeners(&self, listeners: [Option<SocketAddr>; 2]) -> anyhow::Result<()> {
        let Identity::Local = self.identity else { return Ok(()) };
        match listeners.into_iter().flatten().find(|address| !address.ip().is_loopback()) {
            None => Ok(()),
            Some(address) => bail!(
                "refusing to listen on {address} without a key: anyone could get a token. \
                 Give --jwt-secret-file or --jwt-public-key, or listen on 127.0.0.1"
            ),
        }
    }
}

impl StoreConfig {
    pub(super) fn new(options: &Options) -> anyhow::Result<Self> {
        if options.store == Some(StoreName::Dynamodb) {
            require_cluster("--store dynamodb")?;
            ensure!(options.sync.is_none(), "sync is for --store embedded: dynamodb always writes durably");
            let table_prefix = options.table_prefix.clone().unwrap_or_else(|| TABLE_PREFIX.into());
            return Ok(Self::Dynamodb { table_prefix });
        }
        ensure!(options.table_prefix.is_none(), "table-prefix goes with --store dynamodb");
        Ok(Self::Embedded { sync: options.sync != Some(OnOff::Off) })
    }
}

impl RedisConfig {
    fn new(options: &Options) -> anyhow::Result<Option<Self>> {
        let Some(url) = options.redis.clone() else {
            ensure!(options.redis_prefix.is_none(), "redis-prefix goes with --redis");
            ensure!(options.redis_shards.is_none(), "redis-shards goes with --redis");
            ensure!(options.isolation_seconds.is_none(), "isolation-seconds goes with --redis");
            return Ok(None);
        };
        require_cluster("--redis")?;
        let prefix = options.redis_prefix.clone().unwrap_or_else(|| "parlance:".into());
        let seconds = options.isolation_seconds.map(|seconds| Duration::from_secs(seconds.into()));
        let isolation = seconds.unwrap_or(parlance_api::ISOLATION);
        ensure!(!isolation.is_zero(), "isolation-seconds must be at least 1");
        Ok(Some(Self { url, prefix, shards: options.redis_shards, isolation }))
    }
}

impl Identity {
    fn new(options: &Options) -> anyhow::Result<Self> {
        let (file, is_secret) = match (&options.jwt_secret_file, &options.jwt_public_key) {
            (Some(_), Some(_)) => bail!("give one of jwt-secret-file and jwt-public-key, not both"),
            (None, None) if options.jwt_audience.is_some() || options.jwt_issuer.is_some() => {
                bail!("jwt-audience and jwt-issuer go with jwt-secret-file or jwt-public-key")
            }
            (None, None) => return Ok(Self::Local),
            (Some(file), None) => (file, true),
            (None, Some(file)) => (file, false),
        };
        let (audience, issuer) = (options.jwt_audience.clone(), options.jwt_issuer.clone());
        Ok(Self::Key { file: file.clone(), is_secret, audience, issuer })
    }
}
