use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use parlance_api::identity::JwksUrl;
use parlance_api::{Additions, PeopleLimits, ProfileRules, ROOM_MEMORY, ShownTo};
use parlance_core::DefaultPermissions;
use parlance_core::limits::CLOCK_SKEW;

use super::ImageOrigins;
use super::names::{AdditionsName, OnOff, ShownName, StoreName};
use super::options::{Options, TABLE_PREFIX};
use super::permissions;
use crate::features::require_cluster;
use crate::limits::{
    FAILED_TOKEN_RATE, HELLO_RATE, INVITATION_RATE, MAX_SKEW, MIB, NEW_ROOM_RATE, USER_RATE, USER_ROOMS,
    USER_SESSIONS, USER_SUBSCRIPTIONS,
};

/// Options of a node.
#[derive(Debug, Clone)]
pub struct Node {
    /// Whether it serves WebSocket, REST and the web page too, or leaves them to bridges.
    pub serves_browsers: bool,
    /// Address of the listener for bridges.
    pub edge_listen: Option<SocketAddr>,
    /// Directory of the local-mode key and the embedded store.
    pub data_dir: PathBuf,
    /// The store.
    pub store: StoreConfig,
    /// Redis, which connects it to other nodes.
    pub redis: Option<RedisConfig>,
    /// How tokens are verified.
    pub identity: Identity,
    /// Limits on each user and each address.
    pub limits: PeopleLimits,
    /// What users may do with profiles, and who sees them.
    pub profiles: ProfileRules,
    /// Origins of the pictures that the web app shows.
    pub image_origins: ImageOrigins,
    /// What becomes of users whom strangers add to rooms.
    pub additions: Additions,
    /// What applies where a room has set no permissions of its own.
    pub permissions: DefaultPermissions,
    /// Bytes that rooms may keep in memory.
    pub room_memory: usize,
    /// File with the webhooks.
    pub webhooks: Option<PathBuf>,
    /// File with the Kafka topic.
    pub kafka: Option<PathBuf>,
}

/// The store.
#[derive(Debug, Clone)]
pub enum StoreConfig {
    /// The data directory.
    Embedded {
        /// Whether writes are synced before they are acknowledged.
        sync: bool,
    },
    /// Tables of DynamoDB.
    Dynamodb {
        /// Prefix of their names.
        table_prefix: String,
    },
}

/// Redis, which connects the nodes. The URL may contain a password.
#[derive(Clone)]
pub struct RedisConfig {
    /// Its URL.
    pub url: String,
    /// Prefix of its keys.
    pub prefix: String,
    /// Number of shards over which users are spread in a Redis Cluster.
    pub shards: Option<u32>,
    /// How long a node keeps its clients when it alone has lost Redis.
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
    /// Local mode: with a generated key, for anyone on this machine.
    Local,
    /// With the keys of an issuer.
    Keys(Box<Keys>),
}

/// Keys and required claims of tokens.
#[derive(Debug, Clone)]
pub struct Keys {
    /// Files with shared secrets.
    pub secrets: Vec<PathBuf>,
    /// Files with public keys.
    pub public_keys: Vec<PathBuf>,
    /// URL of the issuer's key set.
    pub jwks: Option<JwksUrl>,
    /// Required audience.
    pub audience: Option<String>,
    /// Required issuer.
    pub issuer: Option<String>,
    /// Allowed clock difference, in seconds.
    pub skew: u32,
    /// Longest life of a token, in seconds.
    pub max_lifetime: Option<u32>,
    /// The claim that lists the scopes, in addition to the usual ones.
    pub scope_claim: Option<String>,
    /// Whether users have the name and the picture that their token names.
    pub profile_claims: bool,
}

impl Node {
    pub(super) fn new(
        options: Options,
        serves_browsers: bool,
        image_origins: ImageOrigins,
    ) -> anyhow::Result<Self> {
        let identity = Identity::new(&options)?;
        let store = StoreConfig::new(&options)?;
        let redis = RedisConfig::new(&options)?;
        let limits = people_limits(&options);
        let profiles = profile_rules(&options, matches!(identity, Identity::Local))?;
        let additions = match options.additions {
            None | Some(AdditionsName::Direct) => Additions::Direct,
            Some(AdditionsName::Invite) => Additions::Invite,
        };
        let permissions = permissions::parse(options.default_permissions.as_deref().unwrap_or_default())?;
        let room_memory = options.room_memory_mib.map_or(ROOM_MEMORY, |mib| mib as usize * MIB);
        let shared = matches!(store, StoreConfig::Dynamodb { .. });
        ensure!(
            shared || redis.is_none(),
            "nodes that hear of each other through redis must share what they keep: give --store dynamodb, \
             or leave out --redis"
        );
        ensure!(
            !shared || !matches!(identity, Identity::Local),
            "the nodes of a cluster share keys: give --jwt-secret-file, --jwt-public-key or --jwt-jwks-url. Without one, each \
             node would make its own, and none would know the tokens of another"
        );
        Ok(Self {
            serves_browsers,
            edge_listen: options.edge_listen,
            data_dir: options.data_dir.unwrap_or_else(|| "parlance-data".into()),
            store,
            redis,
            identity,
            limits,
            profiles,
            image_origins,
            additions,
            permissions,
            room_memory,
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
                 Give --jwt-secret-file, --jwt-public-key or --jwt-jwks-url, or listen on 127.0.0.1"
            ),
        }
    }
}

/// Profiles and presence are private, except on a machine of one's own.
fn profile_rules(options: &Options, is_local: bool) -> anyhow::Result<ProfileRules> {
    let all_search = options.user_search == Some(OnOff::On);
    ensure!(
        !all_search || options.profiles != Some(ShownName::SharedRooms),
        "--user-search on shows the profiles of all users to everyone: leave out --profiles shared-rooms"
    );
    let shown = |given: Option<ShownName>, is_open: bool| match given {
        Some(ShownName::Everyone) => ShownTo::Everyone,
        Some(ShownName::SharedRooms) => ShownTo::SharedRooms,
        None if is_open => ShownTo::Everyone,
        None => ShownTo::SharedRooms,
    };
    Ok(ProfileRules {
        all_search,
        own_changes: options.own_profile != Some(OnOff::Off),
        profiles: shown(options.profiles, is_local || all_search),
        presence: shown(options.presence, is_local),
    })
}

/// The configured limits, else the defaults. A user rate of 0 disables all limits of users.
fn people_limits(options: &Options) -> PeopleLimits {
    let operations = NonZeroU32::new(options.user_rate.unwrap_or(USER_RATE));
    let of_user = |given: Option<u32>, usual: u32| {
        NonZeroU32::new(given.unwrap_or(if operations.is_some() { usual } else { 0 }))
    };
    PeopleLimits {
        operations,
        hellos: of_user(options.hello_rate, HELLO_RATE),
        sessions: of_user(options.user_sessions, USER_SESSIONS),
        subscriptions: of_user(options.user_subscriptions, USER_SUBSCRIPTIONS),
        new_rooms: of_user(options.new_room_rate, NEW_ROOM_RATE),
        invitations: of_user(options.invitation_rate, INVITATION_RATE),
        rooms: of_user(options.user_rooms, USER_ROOMS),
        failed_tokens: NonZeroU32::new(options.failed_token_rate.unwrap_or(FAILED_TOKEN_RATE)),
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
        let files = |given: &Option<Vec<PathBuf>>| {
            let given = given.iter().flatten().filter(|file| !file.as_os_str().is_empty());
            given.cloned().collect::<Vec<_>>()
        };
        let (secrets, public_keys) = (files(&options.jwt_secret_file), files(&options.jwt_public_key));
        let (audience, issuer) = (options.jwt_audience.clone(), options.jwt_issuer.clone());
        let scope_claim = options.jwt_scope_claim.clone();
        let profile_claims = options.jwt_profile_claims == Some(OnOff::On);
        let Some(jwks_url) = &options.jwt_jwks_url else {
            if secrets.is_empty() && public_keys.is_empty() {
                for (name, given) in [
                    ("jwt-audience", audience.is_some()),
                    ("jwt-issuer", issuer.is_some()),
                    ("jwt-skew-seconds", options.jwt_skew_seconds.is_some()),
                    ("jwt-max-lifetime-seconds", options.jwt_max_lifetime_seconds.is_some()),
                    ("jwt-scope-claim", scope_claim.is_some()),
                    ("jwt-profile-claims", options.jwt_profile_claims.is_some()),
                ] {
                    ensure!(!given, "{name} goes with jwt-secret-file, jwt-public-key or jwt-jwks-url");
                }
                return Ok(Self::Local);
            }
            let (skew, max_lifetime) = (skew(options)?, max_lifetime(options)?);
            let jwks = None;
            let keys = Keys {
                secrets,
                public_keys,
                jwks,
                audience,
                issuer,
                skew,
                max_lifetime,
                scope_claim,
                profile_claims,
            };
            return Ok(Self::Keys(Box::new(keys)));
        };
        ensure!(
            audience.is_some() || issuer.is_some(),
            "jwt-jwks-url needs jwt-audience or jwt-issuer: an issuer may sign for other apps with the same keys"
        );
        let jwks = Some(jwks_url.parse().with_context(|| format!("jwt-jwks-url {jwks_url:?}"))?);
        let (skew, max_lifetime) = (skew(options)?, max_lifetime(options)?);
        let keys = Keys {
            secrets,
            public_keys,
            jwks,
            audience,
            issuer,
            skew,
            max_lifetime,
            scope_claim,
            profile_claims,
        };
        Ok(Self::Keys(Box::new(keys)))
    }

    /// For how many seconds after its issue a token may be accepted, if there is a limit.
    pub(crate) fn tokens_last(&self) -> Option<u64> {
        let Self::Keys(keys) = self else { return None };
        // The clock of the issuer may be ahead, and expiry is tolerant as well.
        keys.max_lifetime.map(|lifetime| u64::from(lifetime) + 2 * u64::from(keys.skew))
    }
}

fn max_lifetime(options: &Options) -> anyhow::Result<Option<u32>> {
    ensure!(options.jwt_max_lifetime_seconds != Some(0), "jwt-max-lifetime-seconds must be at least 1");
    Ok(options.jwt_max_lifetime_seconds)
}

fn skew(options: &Options) -> anyhow::Result<u32> {
    let skew = options.jwt_skew_seconds.unwrap_or(CLOCK_SKEW as u32);
    ensure!(skew <= MAX_SKEW, "jwt-skew-seconds must be at most {MAX_SKEW}");
    Ok(skew)
}
