use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use serde::{Deserialize, Serialize};

use super::names::{AdditionsName, OnOff, RoleName, ShownName, StoreName};
use super::{address, files};

// Groups of `--help`.
const ROLE: &str = "Role";
const LISTEN: &str = "Listening";
const TLS: &str = "TLS";
const STORAGE: &str = "Storage";
const CLUSTER: &str = "Cluster";
const TOKENS: &str = "Tokens";
const LIMITS: &str = "Limits";
const OPERATION: &str = "Operation";
const EVENTS: &str = "Events";

/// The default prefix of the table names.
pub const TABLE_PREFIX: &str = "parlance_";

/// The options as given on the command line or in the file, where underscores may replace hyphens.
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Options {
    /// Role of this process. "all": a complete node. "api": a node without WebSocket, REST
    /// and web page. "bridge": only these, in front of the nodes of --api-url. "worker":
    /// delivers events of a cluster to webhooks and Kafka, and serves no clients [default: all]
    #[arg(long, help_heading = ROLE, env = "PARLANCE_ROLE", value_name = "ROLE")]
    pub role: Option<RoleName>,

    /// Listener for clients: gRPC, grpc-web, WebSocket, REST and the web page
    /// [default: 127.0.0.1:8080]
    #[arg(long, help_heading = LISTEN, env = "PARLANCE_LISTEN", value_name = "ADDRESS:PORT", value_parser = address::parse)]
    #[serde(deserialize_with = "address::deserialize")]
    pub listen: Option<SocketAddr>,

    /// File with the certificate chain of this server, in PEM. Clients then must connect with
    /// TLS 1.2 or 1.3. Reloaded when it changes [default: no TLS]
    #[arg(long, help_heading = TLS, env = "PARLANCE_TLS_CERTIFICATE", value_name = "FILE", requires = "tls_key")]
    #[serde(alias = "tls_certificate")]
    pub tls_certificate: Option<PathBuf>,

    /// File with the private key of the certificate, in PEM
    #[arg(long, help_heading = TLS, env = "PARLANCE_TLS_KEY", value_name = "FILE", requires = "tls_certificate")]
    #[serde(alias = "tls_key")]
    pub tls_key: Option<PathBuf>,

    /// File with the authorities, in PEM, that sign the certificates of clients. Clients then must
    /// have one, beside their token. For services; browsers and load balancers need one, too.
    /// Reloaded when it changes [default: none needed]
    #[arg(long, help_heading = TLS, env = "PARLANCE_TLS_CLIENT_CA", value_name = "FILE", requires = "tls_certificate")]
    #[serde(alias = "tls_client_ca")]
    pub tls_client_ca: Option<PathBuf>,

    /// Listener for operators: /metrics, /healthz, /readyz, /consumers, /revocations. Without
    /// authentication: keep it private [default: 127.0.0.1:9090]
    #[arg(long, help_heading = LISTEN, env = "PARLANCE_ADMIN_LISTEN", value_name = "ADDRESS:PORT", value_parser = address::parse)]
    #[serde(deserialize_with = "address::deserialize", alias = "admin_listen")]
    pub admin_listen: Option<SocketAddr>,

    /// Listener for bridges: gRPC with many thousand streams per connection. For a private
    /// network [default: none]
    #[arg(long, help_heading = LISTEN, env = "PARLANCE_EDGE_LISTEN", value_name = "ADDRESS:PORT", value_parser = address::parse)]
    #[serde(deserialize_with = "address::deserialize", alias = "edge_listen")]
    pub edge_listen: Option<SocketAddr>,

    /// The nodes behind a bridge: `http://host:port`, comma-separated; for a name with
    /// several addresses, all of them
    #[arg(long, help_heading = ROLE, env = "PARLANCE_API_URL", value_name = "URLS", value_delimiter = ',')]
    #[serde(alias = "api_url")]
    pub api_url: Option<Vec<String>>,

    /// Data directory [default: ./parlance-data]
    #[arg(long, help_heading = STORAGE, env = "PARLANCE_DATA_DIR", value_name = "DIR")]
    #[serde(alias = "data_dir")]
    pub data_dir: Option<PathBuf>,

    /// Storage. "embedded": the data directory, for one node. "dynamodb": tables shared by
    /// several nodes; region, credentials and endpoint come from the standard AWS settings,
    /// such as AWS_REGION [default: embedded]
    #[arg(long, help_heading = STORAGE, env = "PARLANCE_STORE", value_name = "STORE")]
    pub store: Option<StoreName>,

    /// Prefix of the table names [default: parlance_]
    #[arg(long, help_heading = STORAGE, env = "PARLANCE_TABLE_PREFIX", value_name = "PREFIX")]
    #[serde(alias = "table_prefix")]
    pub table_prefix: Option<String>,

    /// Redis, which connects the nodes: redis://host:port, rediss://, redis-cluster://,
    /// redis-sentinel:// [default: none, for a single node]
    #[arg(long, help_heading = CLUSTER, env = "PARLANCE_REDIS", value_name = "URL", hide_env_values = true)]
    pub redis: Option<String>,

    /// Prefix of the keys in Redis [default: parlance:]
    #[arg(long, help_heading = CLUSTER, env = "PARLANCE_REDIS_PREFIX", value_name = "PREFIX")]
    #[serde(alias = "redis_prefix")]
    pub redis_prefix: Option<String>,

    /// Number of shards over which users are spread in a Redis Cluster, the same on every
    /// node [default: 1, on a cluster 8]
    #[arg(long, help_heading = CLUSTER, env = "PARLANCE_REDIS_SHARDS", value_name = "N")]
    #[serde(alias = "redis_shards")]
    pub redis_shards: Option<u32>,

    /// How long a node keeps its clients when it alone is cut off from Redis, in seconds, before
    /// it sends them to other nodes. Must be the same on every node: the others look for its
    /// writes for that long [default: 45]
    #[arg(long, help_heading = CLUSTER, env = "PARLANCE_ISOLATION_SECONDS", value_name = "N")]
    #[serde(alias = "isolation_seconds")]
    pub isolation_seconds: Option<u32>,

    /// File with the secret shared with the token issuer (HS256, HS384, HS512), at least 32
    /// bytes; a trailing line break is ignored. A comma-separated list during key rotation.
    /// Without a key the server runs in local mode: it makes its own
    /// tokens for anyone, and listens on loopback only
    #[arg(long, help_heading = TOKENS, env = "PARLANCE_JWT_SECRET_FILE", value_name = "FILES", value_delimiter = ',')]
    #[serde(alias = "jwt_secret_file", deserialize_with = "files::deserialize")]
    pub jwt_secret_file: Option<Vec<PathBuf>>,

    /// File with the public key of the token issuer: RSA, EC or Ed25519 in PEM.
    /// Several while keys are changed, comma-separated
    #[arg(long, help_heading = TOKENS, env = "PARLANCE_JWT_PUBLIC_KEY", value_name = "FILES", value_delimiter = ',')]
    #[serde(alias = "jwt_public_key", deserialize_with = "files::deserialize")]
    pub jwt_public_key: Option<Vec<PathBuf>>,

    /// Where the issuer of the tokens publishes its keys, as a key set (JWKS):
    /// `https://...`. Fetched every five minutes, and when a token names a key that is not
    /// known. Needs --jwt-issuer or --jwt-audience
    #[arg(long, help_heading = TOKENS, env = "PARLANCE_JWT_JWKS_URL", value_name = "URL")]
    #[serde(alias = "jwt_jwks_url")]
    pub jwt_jwks_url: Option<String>,

    /// Audience that tokens must name [default: not checked]
    #[arg(long, help_heading = TOKENS, env = "PARLANCE_JWT_AUDIENCE", value_name = "NAME")]
    #[serde(alias = "jwt_audience")]
    pub jwt_audience: Option<String>,

    /// Issuer that tokens must name [default: not checked]
    #[arg(long, help_heading = TOKENS, env = "PARLANCE_JWT_ISSUER", value_name = "NAME")]
    #[serde(alias = "jwt_issuer")]
    pub jwt_issuer: Option<String>,

    /// How far the clock of the issuer may differ, in seconds [default: 60]
    #[arg(long, help_heading = TOKENS, env = "PARLANCE_JWT_SKEW_SECONDS", value_name = "N")]
    #[serde(alias = "jwt_skew_seconds")]
    pub jwt_skew_seconds: Option<u32>,

    /// Longest life of a token in seconds, from `iat` to `exp`: others are refused. Revocations of
    /// tokens that have expired are removed then [default: any, and revocations are kept for good]
    #[arg(long, help_heading = TOKENS, env = "PARLANCE_JWT_MAX_LIFETIME_SECONDS", value_name = "N")]
    #[serde(alias = "jwt_max_lifetime_seconds")]
    pub jwt_max_lifetime_seconds: Option<u32>,

    /// Claim that names the scopes, beside `scope` and `scp`: a name, or a path with dots
    /// such as realm_access.roles
    #[arg(long, help_heading = TOKENS, env = "PARLANCE_JWT_SCOPE_CLAIM", value_name = "CLAIM")]
    #[serde(alias = "jwt_scope_claim")]
    pub jwt_scope_claim: Option<String>,

    /// Whether users have the name and the picture of the claims `name` and `picture` of their tokens,
    /// see docs/users.md [default: off]
    #[arg(long, help_heading = TOKENS, env = "PARLANCE_JWT_PROFILE_CLAIMS", value_name = "on|off")]
    #[serde(alias = "jwt_profile_claims")]
    pub jwt_profile_claims: Option<OnOff>,

    /// Origins of web pages that may connect, beside the server's own; comma-separated,
    /// such as `https://app.example.org`, with scheme and without a path or wildcards. In
    /// local mode: any on this machine
    #[arg(long, help_heading = LISTEN, env = "PARLANCE_ALLOWED_ORIGINS", value_name = "ORIGINS", value_delimiter = ',')]
    #[serde(alias = "allowed_origins")]
    pub allowed_origins: Option<Vec<String>>,

    /// Where the web app loads pictures of users and rooms from: an origin such as
    /// `https://pictures.example.org`, or `https:` for any with TLS. Whoever serves a picture learns
    /// who looks at it. Set it on nodes and bridges alike. Several times, or comma-separated
    /// [default: none, initials are shown]
    #[arg(long, help_heading = LISTEN, env = "PARLANCE_IMAGE_ORIGIN", value_name = "ORIGIN", value_delimiter = ',')]
    #[serde(alias = "image_origin")]
    pub image_origin: Option<Vec<String>>,

    /// Operations per second and user, with bursts of twice as many; 0: no limit, and no default
    /// for the other limits of users [default: 100]
    #[arg(long, help_heading = LIMITS, env = "PARLANCE_USER_RATE", value_name = "N")]
    #[serde(alias = "user_rate")]
    pub user_rate: Option<u32>,

    /// Sessions that a user opens per second, with bursts of 20 times as many; 0: no limit
    /// [default: 5]
    #[arg(long, help_heading = LIMITS, env = "PARLANCE_HELLO_RATE", value_name = "N")]
    #[serde(alias = "hello_rate")]
    pub hello_rate: Option<u32>,

    /// Concurrent sessions of a user on this node; 0: no limit [default: 100]
    #[arg(long, help_heading = LIMITS, env = "PARLANCE_USER_SESSIONS", value_name = "N")]
    #[serde(alias = "user_sessions")]
    pub user_sessions: Option<u32>,

    /// Rooms of all sessions of a user on this node, each counted in each session; 0: no limit
    /// [default: 100000]
    #[arg(long, help_heading = LIMITS, env = "PARLANCE_USER_SUBSCRIPTIONS", value_name = "N")]
    #[serde(alias = "user_subscriptions")]
    pub user_subscriptions: Option<u32>,

    /// Rooms that a user creates per second, with bursts of 200 times as many; 0: no limit
    /// [default: 2]
    #[arg(long, help_heading = LIMITS, env = "PARLANCE_NEW_ROOM_RATE", value_name = "N")]
    #[serde(alias = "new_room_rate")]
    pub new_room_rate: Option<u32>,

    /// Users whom a user invites to rooms per second, with bursts of 80 times as many; 0: no limit
    /// [default: 1]
    #[arg(long, help_heading = LIMITS, env = "PARLANCE_INVITATION_RATE", value_name = "N")]
    #[serde(alias = "invitation_rate")]
    pub invitation_rate: Option<u32>,

    /// Maximum rooms of a user, beyond which they cannot create or join any; 0: no limit [default: 5000]
    #[arg(long, help_heading = LIMITS, env = "PARLANCE_USER_ROOMS", value_name = "N")]
    #[serde(alias = "user_rooms")]
    pub user_rooms: Option<u32>,

    /// Invalid tokens per second from one address, with bursts of 20 times as many, after which
    /// no token from there is examined for a second or more; 0: no limit [default: 10]
    #[arg(long, help_heading = LIMITS, env = "PARLANCE_FAILED_TOKEN_RATE", value_name = "N")]
    #[serde(alias = "failed_token_rate")]
    pub failed_token_rate: Option<u32>,

    /// Requests per second from one address that belong to no caller (GetServer, the description of the
    /// API, unknown paths), with bursts of 20 times as many; probes, files and refusals: 20 times as
    /// many, 10 times on one connection; 0: no limit [default: 50, none with --user-rate 0]
    #[arg(long, help_heading = LIMITS, env = "PARLANCE_ANONYMOUS_RATE", value_name = "N")]
    #[serde(alias = "anonymous_rate")]
    pub anonymous_rate: Option<u32>,

    /// Whether all users search others by name, or only the app's backend; in local mode everyone
    /// does [default: off]
    #[arg(long, help_heading = LIMITS, env = "PARLANCE_USER_SEARCH", value_name = "on|off")]
    #[serde(alias = "user_search")]
    pub user_search: Option<OnOff>,

    /// Whether users change their own name and picture, or only the app's backend [default: on]
    #[arg(long, help_heading = LIMITS, env = "PARLANCE_OWN_PROFILE", value_name = "on|off")]
    #[serde(alias = "own_profile")]
    pub own_profile: Option<OnOff>,

    /// Who sees the profile of a user, besides the app's backend: everyone, or those who share a
    /// room [default: shared-rooms; everyone in local mode and with --user-search on]
    #[arg(long, help_heading = LIMITS, env = "PARLANCE_PROFILES", value_name = "everyone|shared-rooms")]
    pub profiles: Option<ShownName>,

    /// Who sees whether a user is online, besides the app's backend: everyone, or those who share a
    /// room [default: shared-rooms; everyone in local mode]
    #[arg(long, help_heading = LIMITS, env = "PARLANCE_PRESENCE", value_name = "everyone|shared-rooms")]
    pub presence: Option<ShownName>,

    /// What becomes of users whom strangers add to rooms: they become members at once, or are
    /// invited. The app's backend always adds [default: direct]
    #[arg(long, help_heading = LIMITS, env = "PARLANCE_ADDITIONS", value_name = "direct|invite")]
    pub additions: Option<AdditionsName>,

    /// Lowest role for what a room has set no permission for: KIND.PERMISSION=ROLE with the kinds group
    /// and channel, the permissions post, react, invite, edit_settings, delete_messages and
    /// mention_all and the roles member, admin and owner; comma-separated. Must be the same on every node
    /// [default: none, as in docs/rooms.md]
    #[arg(long, help_heading = LIMITS, env = "PARLANCE_DEFAULT_PERMISSIONS", value_name = "PERMISSIONS", value_delimiter = ',')]
    #[serde(alias = "default_permissions")]
    pub default_permissions: Option<Vec<String>>,

    /// File with the webhooks that events of all rooms are posted to, see docs/events.md
    /// [default: none]
    #[arg(long, help_heading = EVENTS, env = "PARLANCE_WEBHOOKS", value_name = "FILE")]
    pub webhooks: Option<PathBuf>,

    /// File with the Kafka topic that events of all rooms are sent to, see docs/events.md
    /// [default: none]
    #[arg(long, help_heading = EVENTS, env = "PARLANCE_KAFKA", value_name = "FILE")]
    pub kafka: Option<PathBuf>,

    /// Connections at the same time; further ones wait [default: as many as there are file
    /// descriptors, less a reserve for the store and operators, at most 100000]
    #[arg(long, help_heading = LIMITS, env = "PARLANCE_MAX_CONNECTIONS", value_name = "N")]
    #[serde(alias = "max_connections")]
    pub max_connections: Option<u32>,

    /// Memory that rooms may use beside the store, in MiB: beyond that they are read from the
    /// store [default: 1024]
    #[arg(long, help_heading = LIMITS, env = "PARLANCE_ROOM_MEMORY_MIB", value_name = "N")]
    #[serde(alias = "room_memory_mib")]
    pub room_memory_mib: Option<u32>,

    /// Proxies in front of this server, as addresses or networks (10.0.0.0/8),
    /// comma-separated: x-forwarded-for is only accepted from them [default: none]
    #[arg(long, help_heading = LIMITS, env = "PARLANCE_TRUSTED_PROXIES", value_name = "NETWORKS", value_delimiter = ',')]
    #[serde(alias = "trusted_proxies")]
    pub trusted_proxies: Option<Vec<String>>,

    /// Whether the trusted proxies forward bytes instead of requests, and name each client by the
    /// PROXY protocol (version 1 or 2) at the beginning of its connection: load balancers for TCP
    /// [default: off]
    #[arg(long, help_heading = LIMITS, env = "PARLANCE_PROXY_PROTOCOL", value_name = "on|off")]
    #[serde(alias = "proxy_protocol")]
    pub proxy_protocol: Option<OnOff>,

    /// For how many seconds browsers that came by https, to this server or to a trusted proxy that
    /// says so in x-forwarded-proto, ask for nothing else (Strict-Transport-Security); 0: not said
    /// [default: 31536000]
    #[arg(long, help_heading = TLS, env = "PARLANCE_HSTS_SECONDS", value_name = "N")]
    #[serde(alias = "hsts_seconds")]
    pub hsts_seconds: Option<u32>,

    /// How long a node that shuts down takes to move its clients, in seconds: they are told
    /// to reconnect during the first half, and disconnected at the end [default: 10]
    #[arg(long, help_heading = OPERATION, env = "PARLANCE_DRAIN_SECONDS", value_name = "N")]
    #[serde(alias = "drain_seconds")]
    pub drain_seconds: Option<u32>,

    /// Seconds after which the process aborts if its runtime is stuck, so that its supervisor
    /// restarts it and clients reconnect elsewhere; 0: never [default: 30]
    #[arg(long, help_heading = OPERATION, env = "PARLANCE_WATCHDOG_SECONDS", value_name = "N")]
    #[serde(alias = "watchdog_seconds")]
    pub watchdog_seconds: Option<u32>,

    /// Whether messages are synced to disk before they are acknowledged. "off" loses messages
    /// in a power cut and only serves to measure the cost of syncing [default: on]
    #[arg(long, help_heading = STORAGE, env = "PARLANCE_SYNC", value_name = "WHEN")]
    pub sync: Option<OnOff>,

    /// Log filter: a level, or directives such as info,parlance_api=debug [default: info]
    #[arg(long, help_heading = OPERATION, env = "PARLANCE_LOG", value_name = "FILTER")]
    pub log: Option<String>,
}

impl Options {
    /// These options, completed from the file at `path`.
    pub(super) fn or_file(self, path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the configuration {}", path.display()))?;
        let file =
            toml::from_str(&text).with_context(|| format!("in the configuration {}", path.display()))?;
        self.or(file)
    }

    /// These options, and those of `file` that are not among them. Merged by name, so that a new
    /// option cannot be forgotten.
    fn or(self, mut file: Self) -> anyhow::Result<Self> {
        // Keys on the command line replace all of those in the file.
        if self.jwt_secret_file.is_some() || self.jwt_public_key.is_some() || self.jwt_jwks_url.is_some() {
            (file.jwt_secret_file, file.jwt_public_key, file.jwt_jwks_url) = (None, None, None);
        }
        let mut merged = toml::Table::try_from(file)?;
        merged.extend(toml::Table::try_from(self)?);
        Ok(merged.try_into()?)
    }
}

#[cfg(test)]
mod tests {
    use clap::Command;

    use super::*;

    const EXAMPLE: &str = include_str!("../../../../deploy/parlance.toml");

    #[test]
    fn the_example_has_every_option() {
        assert_eq!(toml::from_str::<toml::Table>(EXAMPLE).unwrap(), toml::Table::new());
        let is_option = |line: &&str| line.starts_with('#') && !line.starts_with("# ") && *line != "#";
        let options: Vec<_> = EXAMPLE.lines().filter(is_option).map(|line| &line[1..]).collect();
        let text = options.join("\n");
        toml::from_str::<Options>(&text).unwrap();
        let mut named: Vec<_> = toml::from_str::<toml::Table>(&text).unwrap().into_iter().collect();
        named.sort_by(|(a, _), (b, _)| a.cmp(b));
        let command = Options::augment_args(Command::new("serve"));
        let mut flags: Vec<_> = command.get_arguments().filter_map(|arg| arg.get_long()).collect();
        flags.sort_unstable();
        assert_eq!(named.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), flags);
    }

    #[test]
    fn every_option_is_in_a_group_of_the_help() {
        let command = Options::augment_args(Command::new("serve"));
        for arg in command.get_arguments() {
            assert!(arg.get_help_heading().is_some(), "{arg}");
        }
    }
}
