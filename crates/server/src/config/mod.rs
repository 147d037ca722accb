//! Options of `parlance serve`: flags before environment before file before defaults.

pub(crate) mod address;
mod check;
mod effective;
mod files;
mod images;
#[cfg_attr(not(feature = "kafka"), path = "no_kafka.rs")]
mod kafka;
mod names;
mod node;
mod options;
mod permissions;
mod tls_files;
mod webhooks;

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use parlance_peers::Proxies;

use crate::descriptors::Descriptors;
use crate::limits::{ANONYMOUS_RATE, HSTS_SECONDS, WATCHDOG_SECONDS};
use crate::origin::Origin;

pub use images::ImageOrigins;
pub(crate) use kafka::Topic;
pub use names::{AdditionsName, OnOff, RoleName, ShownName, StoreName};
pub use node::{Identity, Keys, Node, RedisConfig, StoreConfig};
pub use options::{Options, TABLE_PREFIX};
pub use tls_files::TlsFiles;
pub(crate) use webhooks::{Endpoint, Webhooks};

/// The effective options.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address of the listener for clients.
    pub listen: SocketAddr,
    /// TLS certificate and key for client connections.
    pub tls: Option<TlsFiles>,
    /// Address of the admin listener.
    pub admin_listen: SocketAddr,
    /// The role of this process.
    pub role: Role,
    /// Origins of web pages beside the server's own.
    pub allowed_origins: Vec<Origin>,
    /// Origins of the pictures that the web app shows.
    pub image_origins: ImageOrigins,
    /// Maximum number of concurrent connections.
    pub max_connections: usize,
    /// Proxies whose `x-forwarded-for` is trusted.
    pub trusted_proxies: Proxies,
    /// Whether they name their clients by the PROXY protocol.
    pub proxy_protocol: bool,
    /// Requests per second from one address that belong to no caller.
    pub anonymous_rate: Option<NonZeroU32>,
    /// For how long browsers that came with TLS ask for nothing else, in seconds.
    pub hsts_seconds: u32,
    /// Time over which clients are sent to other nodes at shutdown.
    pub drain: Duration,
    /// Seconds without any progress after which the process aborts.
    pub watchdog: Option<NonZeroU32>,
    /// Log filter.
    pub log: String,
}

/// The role of a process.
#[derive(Debug, Clone)]
pub enum Role {
    /// A node: rooms and sessions.
    Node(Box<Node>),
    /// A bridge in front of these nodes, `host:port` each.
    Bridge(Vec<String>),
    /// A worker: delivers events, and serves no clients.
    Worker(Box<Worker>),
}

/// Options of a worker.
#[derive(Debug, Clone)]
pub struct Worker {
    /// Prefix of the table names in DynamoDB.
    pub table_prefix: String,
    /// File with the webhooks.
    pub webhooks: Option<PathBuf>,
    /// File with the Kafka topic.
    pub kafka: Option<PathBuf>,
}

impl Worker {
    fn new(options: Options) -> anyhow::Result<Self> {
        let StoreConfig::Dynamodb { table_prefix } = StoreConfig::new(&options)? else {
            bail!("a worker reads the tables of a cluster: give --store dynamodb");
        };
        let Options { webhooks, kafka, api_url, edge_listen, .. } = options;
        ensure!(webhooks.is_some() || kafka.is_some(), "a worker needs --webhooks or --kafka");
        ensure!(api_url.is_none() && edge_listen.is_none(), "api-url and edge-listen are not for workers");
        Ok(Self { table_prefix, webhooks, kafka })
    }
}

impl Options {
    /// Completes the options from `file` and the defaults, and checks them.
    ///
    /// # Errors
    /// The mistake, for the operator.
    pub fn into_config(self, file: Option<&Path>) -> anyhow::Result<Config> {
        let options = match file {
            Some(path) => self.or_file(path)?,
            None => self,
        };
        let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listen = options.listen.unwrap_or_else(|| loopback(8080));
        let admin_listen = options.admin_listen.unwrap_or_else(|| loopback(9090));
        let allowed_origins = origins(options.allowed_origins.as_deref().unwrap_or_default())?;
        let image_origins = ImageOrigins::new(options.image_origin.as_deref().unwrap_or_default())?;
        let max_connections = options
            .max_connections
            .map_or_else(|| Descriptors::raised().connections(), |given| given as usize);
        let trusted_proxies = networks(options.trusted_proxies.as_deref().unwrap_or_default())?;
        let proxy_protocol = options.proxy_protocol == Some(OnOff::On);
        ensure!(
            !proxy_protocol || !trusted_proxies.networks().is_empty(),
            "proxy-protocol goes with trusted-proxies: only they may name a client"
        );
        let is_limited = options.user_rate != Some(0);
        let anonymous_rate = options.anonymous_rate.unwrap_or(if is_limited { ANONYMOUS_RATE } else { 0 });
        let hsts_seconds = options.hsts_seconds.unwrap_or(HSTS_SECONDS);
        let drain = Duration::from_secs(options.drain_seconds.unwrap_or(10).into());
        let watchdog = NonZeroU32::new(options.watchdog_seconds.unwrap_or(WATCHDOG_SECONDS));
        let tls = match (options.tls_certificate.clone(), options.tls_key.clone()) {
            (Some(certificate), Some(key)) => {
                Some(TlsFiles { certificate, key, client_ca: options.tls_client_ca.clone() })
            }
            (None, None) => {
                ensure!(
                    options.tls_client_ca.is_none(),
                    "tls-client-ca goes with tls-certificate and tls-key"
                );
                None
            }
            _ => bail!("tls-certificate and tls-key go together"),
        };
        let log = options.log.clone().unwrap_or_else(|| "info,fjall=warn,lsm_tree=warn".into());
        let role = match options.role.unwrap_or(RoleName::All) {
            RoleName::Bridge => Role::Bridge(upstreams(&options)?),
            RoleName::Worker => Role::Worker(Box::new(Worker::new(options)?)),
            name => {
                ensure!(options.api_url.is_none(), "api-url is for --role bridge");
                let node = Node::new(options, name == RoleName::All, image_origins.clone())?;
                node.check_listeners([Some(listen), node.edge_listen])?;
                Role::Node(Box::new(node))
            }
        };
        ensure!(max_connections > 0, "max-connections must be at least 1");
        Ok(Config {
            listen,
            tls,
            admin_listen,
            role,
            allowed_origins,
            image_origins,
            max_connections,
            trusted_proxies,
            proxy_protocol,
            anonymous_rate: NonZeroU32::new(anonymous_rate),
            hsts_seconds,
            drain,
            watchdog,
            log,
        })
    }
}

/// The origins of web pages that may connect. A comma at the end adds none.
fn origins(given: &[String]) -> anyhow::Result<Vec<Origin>> {
    let given = given.iter().filter(|origin| !origin.trim().is_empty());
    given.map(|origin| origin.parse().with_context(|| format!("allowed-origins {origin:?}"))).collect()
}

/// The trusted proxies.
fn networks(given: &[String]) -> anyhow::Result<Proxies> {
    let given = given.iter().filter(|network| !network.trim().is_empty());
    let networks =
        given.map(|network| network.parse().with_context(|| format!("trusted-proxies {network:?}")));
    Ok(Proxies::new(networks.collect::<anyhow::Result<_>>()?))
}

/// The nodes of a bridge.
fn upstreams(options: &Options) -> anyhow::Result<Vec<String>> {
    // A bridge forwards tokens and stores nothing: other options are mistakes.
    let misplaced = [
        ("store", options.store.is_some()),
        ("redis", options.redis.is_some()),
        ("data-dir", options.data_dir.is_some()),
        ("edge-listen", options.edge_listen.is_some()),
        ("webhooks", options.webhooks.is_some()),
        ("kafka", options.kafka.is_some()),
        ("jwt-secret-file", options.jwt_secret_file.is_some()),
        ("jwt-public-key", options.jwt_public_key.is_some()),
        ("jwt-jwks-url", options.jwt_jwks_url.is_some()),
    ];
    for (name, given) in misplaced {
        ensure!(!given, "{name} is for the api nodes: a bridge only forwards requests");
    }
    let urls = options.api_url.as_deref().unwrap_or_default();
    ensure!(!urls.is_empty(), "a bridge needs --api-url: the nodes that it forwards to");
    urls.iter().map(|url| authority(url)).collect()
}

/// `host:port` of `http://host:port`.
fn authority(url: &str) -> anyhow::Result<String> {
    let Some(rest) = url.strip_prefix("http://") else {
        bail!("api-url {url:?} must begin with http://: nodes are reached over a private network");
    };
    match rest.trim_end_matches('/').parse::<http::uri::Authority>() {
        Ok(authority) if authority.port_u16().is_some() && !authority.as_str().contains('@') => {
            Ok(authority.to_string())
        }
        _ => bail!("api-url {url:?} must be http://host:port"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(options: Options, file: &str) -> anyhow::Result<Config> {
        let path = tempfile::NamedTempFile::new()?;
        std::fs::write(path.path(), file)?;
        options.into_config(Some(path.path()))
    }

    fn refused(file: &str) -> String {
        format!("{:#}", read(Options::default(), file).unwrap_err())
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_the_defaults() {
        let options = Options { user_rate: Some(7), ..Options::default() };
        let config = read(options, "user-rate = 5\nlisten = '127.0.0.1:1234'\nsync = 'off'").unwrap();
        let Role::Node(node) = config.role else { panic!("a node by default") };
        assert_eq!(node.limits.operations.map(NonZeroU32::get), Some(7));
        assert!(node.serves_browsers);
        assert_eq!(config.listen.port(), 1234);
        assert_eq!(config.admin_listen.port(), 9090);
        assert!(matches!(node.store, StoreConfig::Embedded { sync: false, .. }));
    }

    #[test]
    fn a_mistake_is_named() {
        assert!(refused("lisen = '127.0.0.1:1'").contains("lisen"));
        assert!(refused("listen = '0.0.0.0:80'").contains("without a key"));
        assert!(refused("edge-listen = '0.0.0.0:80'").contains("without a key"));
        assert!(refused("tls-key = '/k'").contains("tls-certificate"));
        assert!(refused("tls-client-ca = '/c'").contains("tls-client-ca goes with tls-certificate"));
        assert!(refused("jwt-issuer = 'x'").contains("jwt-issuer"));
        assert!(refused("jwt-skew-seconds = 5").contains("jwt-skew-seconds"));
        let url = "jwt-jwks-url = 'https://id.example/keys'\n";
        assert!(refused(url).contains("jwt-audience"));
        assert!(refused("jwt-issuer = 'x'\njwt-jwks-url = 'http://id.example/keys'").contains("https://"));
        assert!(refused(&format!("{url}jwt-issuer = 'x'\njwt-skew-seconds = 3600")).contains("at most 600"));
        assert!(refused("trusted-proxies = ['10.0.0.0/40']").contains("10.0.0.0/40"));
        assert!(refused("proxy-protocol = 'on'").contains("trusted-proxies"));
        assert!(refused("max-connections = 0").contains("max-connections"));
        assert!(refused("api-url = ['http://a:1']").contains("api-url"));
    }

    #[test]
    fn keys_of_the_file_may_have_underscores() {
        let config = read(Options::default(), "max_connections = 1_000\nadmin_listen = 'localhost:9191'");
        let config = config.unwrap();
        assert_eq!((config.max_connections, config.admin_listen.port()), (1000, 9191));
        assert!(refused("user_rate = 1\nuser-rate = 2").contains("duplicate field"));
        let error = refused("[server]\n\nuser_rat = 1");
        assert!(error.contains("server"), "{error}");
    }

    #[test]
    fn origins_are_parsed_or_refused() {
        let origins = |list: &str| read(Options::default(), &format!("allowed-origins = {list}"));
        let config = origins("['https://a.example/', ' HTTPS://B.example:443', '']").unwrap();
        let written: Vec<_> = config.allowed_origins.iter().map(ToString::to_string).collect();
        assert_eq!(written, ["https://a.example:443", "https://b.example:443"]);
        for (wrong, reason) in [
            ("['a.example']", "must begin with https://"),
            ("['*']", "wildcards"),
            ("['https://a.example/chat']", "must end after the host"),
        ] {
            let error = format!("{:#}", origins(wrong).unwrap_err());
            assert!(error.contains("allowed-origins") && error.contains(reason), "{error}");
        }
    }

    #[test]
    fn nodes_of_a_cluster_share_keys_and_storage() {
        let key = "jwt-secret-file = '/k'\n";
        assert!(refused("store = 'dynamodb'").contains("share keys"));
        assert!(refused("redis = 'redis://h:1'\nstore = 'dynamodb'").contains("share keys"));
        assert!(refused(&format!("{key}redis = 'redis://h:1'")).contains("--store dynamodb"));
        assert!(refused(&format!("{key}redis-prefix = 'p'")).contains("redis-prefix"));
        assert!(refused(&format!("{key}table-prefix = 'p'")).contains("table-prefix"));
        assert!(refused(&format!("{key}store = 'dynamodb'\nsync = 'off'")).contains("sync"));
        let both = format!("{key}redis = 'redis://h:1'\nstore = 'dynamodb'\nlisten = '0.0.0.0:80'");
        let Role::Node(node) = read(Options::default(), &both).unwrap().role else { panic!("a node") };
        let StoreConfig::Dynamodb { table_prefix } = node.store else { panic!("on dynamodb") };
        assert_eq!((table_prefix.as_str(), node.redis.unwrap().prefix.as_str()), (TABLE_PREFIX, "parlance:"));
    }

    #[test]
    fn bridge_accepts_only_node_urls() {
        let urls = |urls: &str| read(Options::default(), &format!("role = 'bridge'\napi-url = {urls}"));
        let Role::Bridge(nodes) = urls("['http://a:1/', 'http://[::1]:2']").unwrap().role else {
            panic!("a bridge")
        };
        assert_eq!(nodes, ["a:1", "[::1]:2"]);
        for wrong in
            ["[]", "['a:1']", "['https://a:1']", "['http://a']", "['http://a:1/x']", "['http://u@a:1']"]
        {
            assert!(urls(wrong).is_err(), "{wrong}");
        }
        assert!(refused("role = 'bridge'").contains("--api-url"));
        let error = refused("role = 'bridge'\napi-url = ['http://a:1']\nstore = 'dynamodb'");
        assert!(error.contains("for the api nodes"), "{error}");
    }
}
