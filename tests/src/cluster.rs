use std::path::PathBuf;
use std::process::Stdio;

use parlance_faults::dynamodb::{self, Dynamodb};
use parlance_faults::redis::RedisServer;
use tempfile::TempDir;
use tokio::process::Command;

use crate::{Http, Launch, Person, Server, Signer, claims, eventually, now, parlance, within};

/// Nodes that share a DynamoDB API, a Redis and a key, each in its own process. Dropping it
/// kills them all.
pub struct Cluster {
    /// The nodes, by number.
    pub nodes: Vec<Server>,
    /// The store; [`Dynamodb::plan`] injects faults.
    pub dynamodb: Dynamodb,
    /// The registry that connects the nodes.
    pub redis: RedisServer,
    setup: Setup,
    signer: Signer,
    key: PathBuf,
    _dir: TempDir,
}

/// Options of a cluster.
#[derive(Clone, Default)]
pub struct Setup {
    /// Additional options of each node.
    pub options: Vec<String>,
    /// Another URL of Redis, such as that of a proxy that can be cut.
    pub redis: Option<String>,
}

impl Cluster {
    /// Starts this many nodes, without rate limits.
    pub async fn start(nodes: usize) -> Self {
        Self::start_with(nodes, Setup::default()).await
    }

    /// Starts nodes with this setup.
    pub async fn start_with(nodes: usize, setup: Setup) -> Self {
        let dir = tempfile::Builder::new().prefix("parlance-cluster-").tempdir().expect("a place for keys");
        let secret = b"a secret that the nodes of a test share".to_vec();
        let key = dir.path().join("key");
        std::fs::write(&key, &secret).expect("the key can be written");
        let mut cluster = Self {
            nodes: Vec::new(),
            dynamodb: Dynamodb::start().expect("a dynamodb api"),
            redis: RedisServer::start().await.expect("redis-server is installed: see tools/install"),
            setup,
            signer: Signer::Hs256(secret),
            key,
            _dir: dir,
        };
        cluster.tables("create").await;
        for _ in 0..nodes {
            cluster.add().await;
        }
        cluster
    }

    /// Starts one more node; returns its number.
    pub async fn add(&mut self) -> usize {
        let node = Server::launch(self.launch()).await;
        self.nodes.push(node);
        self.ready(self.nodes.len() - 1).await;
        self.nodes.len() - 1
    }

    /// Starts one more node with additional options, which reaches Redis at this URL; returns
    /// its number.
    pub async fn add_at(&mut self, redis: &str, options: &[&str]) -> usize {
        let mut launch = self.launch();
        let at = launch.options.iter().position(|option| option == "--redis").expect("it has redis");
        launch.options[at + 1] = redis.to_owned();
        launch.options.extend(options.iter().map(ToString::to_string));
        self.nodes.push(Server::launch(launch).await);
        self.ready(self.nodes.len() - 1).await;
        self.nodes.len() - 1
    }

    /// The output of `parlance tables` for this command.
    pub async fn tables(&self, command: &str) -> String {
        self.run(&["tables", command]).await
    }

    /// The output of `parlance` for these arguments, next to the running nodes.
    pub async fn run(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(parlance());
        command.args(arguments).envs(self.environment()).stdin(Stdio::null()).kill_on_drop(true);
        let output = within("the command ends", command.output()).await.expect("the command runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        said
    }

    /// The launch options of a node, for a test that starts its own.
    pub fn launch(&self) -> Launch {
        let redis = self.setup.redis.clone().unwrap_or_else(|| self.redis.url());
        let key = self.key.to_string_lossy();
        let options =
            ["--user-rate", "0", "--store", "dynamodb", "--redis", &redis, "--jwt-secret-file", &key];
        let mut options: Vec<String> = options.map(ToOwned::to_owned).into();
        options.extend(self.setup.options.iter().cloned());
        Launch { options, environment: self.environment(), ..Launch::default() }
    }

    /// Environment variables that point an AWS client to this DynamoDB API.
    pub fn environment(&self) -> Vec<(String, String)> {
        dynamodb::environment(&self.dynamodb.endpoint())
    }

    /// A token that every node accepts, for an hour.
    pub fn token(&self, user: &str) -> String {
        self.signer.token(&claims(user, now() + 3600))
    }

    /// Like [`Self::token`], for a service of the app with more permissions.
    pub fn service_token(&self, user: &str) -> String {
        let mut claims = claims(user, now() + 3600);
        claims["scope"] = "service".into();
        self.signer.token(&claims)
    }

    /// A user who talks to node number `node`.
    pub fn person(&self, node: usize, id: &str) -> Person {
        self.nodes[node].person_with(id, &self.token(id))
    }

    /// A user who talks to this address, such as that of a load balancer.
    pub fn person_at(&self, address: &str, id: &str) -> Person {
        Person::new(address, id, &self.token(id))
    }

    /// Waits until a node accepts clients.
    pub async fn ready(&self, node: usize) {
        let http = Http::new(self.nodes[node].admin());
        eventually("the node is ready", async || {
            (http.get("/readyz").send().await.ok()?.status == 200).then_some(())
        })
        .await;
    }

    /// Kills a node, like a crash.
    pub async fn kill(&mut self, node: usize) {
        self.nodes[node].kill().await;
    }

    /// Restarts a stopped node at the same address.
    pub async fn start_again(&mut self, node: usize) {
        self.nodes[node].start_again().await;
        self.ready(node).await;
    }

    /// Drains a node, which must exit with 0, and restarts it.
    pub async fn restart(&mut self, node: usize) {
        self.nodes[node].stop().await;
        self.start_again(node).await;
    }

    /// Restarts one node after the other.
    pub async fn rolling_restart(&mut self) {
        for node in 0..self.nodes.len() {
            self.restart(node).await;
        }
    }
}
