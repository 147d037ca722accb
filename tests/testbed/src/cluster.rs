//! A cluster: nodes, Redis and a store behind them, and proxies in between.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use parlance_faults::TcpProxy;
use parlance_faults::dynamodb::{self, Dynamodb};
use parlance_faults::redis::RedisServer;
use tokio::process::Command;
use tokio::sync::Mutex;

use crate::node::Node;
use crate::token;

/// The connections of a node's clients are divided into this many shares.
pub const SHARES: u8 = 3;

const TABLE_PREFIX: &str = "torture_";

/// The first half of it is for clients to leave: shorter than by default, since a run has
/// many restarts.
const DRAIN_SECONDS: &str = "4";

/// Addresses of a node: direct, and through proxies that inject failures.
#[derive(Debug, Clone)]
pub struct NodeAddresses {
    pub direct: String,
    pub shares: Vec<String>,
}

#[derive(Debug)]
pub struct Cluster {
    pub nodes: Vec<Mutex<Node>>,
    /// By node, the proxies of its shares of clients.
    pub client_proxies: Vec<Vec<TcpProxy>>,
    /// `None`: one node with its embedded store.
    pub shared: Option<Shared>,
    addresses: Vec<NodeAddresses>,
    program: PathBuf,
    more: Vec<String>,
    environment: Vec<(String, String)>,
    /// The shared secret, deleted with the cluster.
    _secret: tempfile::NamedTempFile,
}

/// What all nodes share.
#[derive(Debug)]
pub struct Shared {
    pub redis: Mutex<RedisServer>,
    /// Each node's proxy to Redis.
    pub redis_proxies: Vec<TcpProxy>,
    pub dynamodb: Dynamodb,
}

/// Options of a cluster.
#[derive(Debug)]
pub struct Options<'a> {
    pub program: &'a Path,
    pub nodes: u8,
    pub embedded: bool,
    pub plant: Option<&'static str>,
    /// Further arguments of the nodes, and of a worker.
    pub arguments: Vec<String>,
}

impl Cluster {
    pub async fn start(options: &Options<'_>) -> Result<Self> {
        let secret = tempfile::NamedTempFile::new()?;
        std::fs::write(secret.path(), token::SECRET)?;
        let mut environment = Vec::new();
        if let Some(plant) = options.plant {
            environment.push(("PARLANCE_PLANT".to_owned(), plant.to_owned()));
        }
        let shared = match options.embedded {
            true => None,
            false => Some(Box::pin(Shared::start(options)).await?),
        };
        if let Some(shared) = &shared {
            environment.extend(dynamodb::environment(&shared.dynamodb.endpoint()));
            create_tables(options.program, TABLE_PREFIX, &environment).await?;
        }
        let mut cluster = Self {
            nodes: Vec::new(),
            client_proxies: Vec::new(),
            shared,
            addresses: Vec::new(),
            program: options.program.to_owned(),
            more: options.arguments.clone(),
            environment,
            _secret: secret,
        };
        for index in 0..usize::from(options.nodes) {
            let node = Box::pin(cluster.start_node(index, TABLE_PREFIX)).await?;
            cluster.add(node).await?;
        }
        Ok(cluster)
    }

    /// Starts another node like this one, with tables of that prefix.
    pub async fn start_node(&self, like: usize, table_prefix: &str) -> Result<Node> {
        let arguments = self.arguments(like, table_prefix);
        Node::start(&self.program, &arguments, &self.environment).await
    }

    /// Starts another node of this fleet.
    pub async fn start_like_the_others(&self) -> Result<Node> {
        self.start_node(0, TABLE_PREFIX).await
    }

    /// A process that delivers events of this fleet, and serves no clients.
    pub async fn start_worker(&self) -> Result<Node> {
        let mut arguments: Vec<String> =
            ["--role", "worker", "--store", "dynamodb", "--table-prefix", TABLE_PREFIX]
                .map(String::from)
                .into();
        arguments.extend(self.more.iter().cloned());
        Node::start(&self.program, &arguments, &self.environment).await
    }

    /// Creates the tables of another fleet.
    pub async fn create_tables(&self, table_prefix: &str) -> Result<()> {
        create_tables(&self.program, table_prefix, &self.environment).await
    }

    fn arguments(&self, node: usize, table_prefix: &str) -> Vec<String> {
        let secret = self._secret.path().to_string_lossy().into_owned();
        let mut arguments = vec!["--jwt-secret-file".to_owned(), secret];
        // The tables of another fleet have consumers of their own.
        if table_prefix == TABLE_PREFIX {
            arguments.extend(self.more.iter().cloned());
        }
        arguments.extend(["--drain-seconds", DRAIN_SECONDS].map(String::from));
        if let Some(shared) = &self.shared {
            let redis = format!("redis://{}", shared.redis_proxies[node].address());
            arguments.extend(["--store", "dynamodb", "--table-prefix", table_prefix].map(String::from));
            arguments.extend(["--redis".to_owned(), redis]);
        }
        arguments
    }

    /// Adds a node, with proxies in front of it.
    async fn add(&mut self, node: Node) -> Result<()> {
        let address: SocketAddr = node.address().parse()?;
        let mut proxies = Vec::new();
        for _ in 0..SHARES {
            proxies.push(TcpProxy::start(address).await?);
        }
        let shares = proxies.iter().map(|proxy| proxy.address().to_string()).collect();
        self.addresses.push(NodeAddresses { direct: address.to_string(), shares });
        self.client_proxies.push(proxies);
        self.nodes.push(Mutex::new(node));
        Ok(())
    }

    pub fn addresses(&self) -> &[NodeAddresses] {
        &self.addresses
    }

    /// `host:port` of a node for clients.
    pub fn address(&self, node: usize) -> &str {
        &self.addresses[node].direct
    }

    /// A counter, summed over its labels and the nodes.
    pub async fn metric(&self, name: &str) -> Result<f64> {
        let mut sum = 0.0;
        for node in &self.nodes {
            sum += node.lock().await.metric(name).await?;
        }
        Ok(sum)
    }

    /// Ends all faults, and checks that every node is alive.
    pub async fn heal(&self) -> Result<()> {
        self.client_proxies.iter().flatten().for_each(TcpProxy::pass);
        if let Some(shared) = &self.shared {
            shared.redis_proxies.iter().for_each(TcpProxy::pass);
            shared.dynamodb.plan().clear();
        }
        for node in &self.nodes {
            node.lock().await.expect_alive()?;
        }
        Ok(())
    }

    /// Stops everything gracefully.
    pub async fn end(self) -> Result<()> {
        let ends = self.nodes.into_iter().map(|node| async move { node.into_inner().end().await });
        futures::future::try_join_all(ends).await.map(drop)
    }

    /// The end of each node's log.
    pub async fn last_words(&self) -> String {
        let mut words = String::new();
        for (index, node) in self.nodes.iter().enumerate() {
            words.push_str(&format!("node {index}, {}\n", node.lock().await.last_words()));
        }
        words
    }
}

impl Shared {
    async fn start(options: &Options<'_>) -> Result<Self> {
        let redis = RedisServer::start().await.context("cannot start Redis")?;
        let mut redis_proxies = Vec::new();
        for _ in 0..options.nodes {
            redis_proxies.push(TcpProxy::start(redis.address()).await?);
        }
        let dynamodb = Dynamodb::start().context("cannot start a DynamoDB API")?;
        Ok(Self { redis: Mutex::new(redis), redis_proxies, dynamodb })
    }
}

async fn create_tables(program: &Path, table_prefix: &str, environment: &[(String, String)]) -> Result<()> {
    let mut command = Command::new(program);
    command.args(["tables", "create", "--table-prefix", table_prefix]);
    command.envs(environment.iter().map(|(key, value)| (key, value))).kill_on_drop(true);
    let output = command.output().await.context("cannot create tables")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cannot create tables: {}\n{said}", output.status);
    Ok(())
}
