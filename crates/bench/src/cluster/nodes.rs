use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use parlance_faults::dynamodb;
use ring::rand::{SecureRandom, SystemRandom};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, interval, sleep};

use super::front::PickPort;
use parlance_testbed::token;
use parlance_testbed::{get, spawn};

/// Ports of the first node, for clients and operators; those of the others follow.
const FIRST: u16 = 8081;
const FIRST_ADMIN: u16 = 9081;

/// The worker's.
const WORKER: u16 = 8099;
const WORKER_ADMIN: u16 = 9099;

/// For a node to serve.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// Delay before an exited node is restarted: long enough to observe the cluster
/// without it.
const START_AGAIN: Duration = Duration::from_secs(3);

/// What all nodes share.
pub(super) struct Shared {
    folder: PathBuf,
    secret: String,
    redis: String,
    dynamodb: String,
}

/// One process per node.
pub(super) struct Nodes {
    program: PathBuf,
    environment: Vec<(String, String)>,
    nodes: Vec<Node>,
    /// Delivers events, and serves no clients.
    worker: Option<Node>,
}

struct Node {
    name: String,
    folder: PathBuf,
    arguments: Vec<String>,
    address: String,
    admin: String,
    child: Child,
}

impl Shared {
    /// Creates a key, and tokens signed with it, in `folder`.
    pub(super) fn new(folder: &TempDir, redis: String, dynamodb: String) -> Result<Self> {
        let mut random = [0; 32];
        SystemRandom::new().fill(&mut random).map_err(|_| anyhow!("no random bytes"))?;
        let secret = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let shared = Self { folder: folder.path().to_owned(), secret, redis, dynamodb };
        std::fs::write(shared.key(), &shared.secret)?;
        Ok(shared)
    }

    fn key(&self) -> PathBuf {
        self.folder.join("key")
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    fn topic(&self) -> PathBuf {
        self.folder.join("kafka.toml")
    }

    /// Writes where the worker publishes events.
    pub(super) fn write_topic(&self, brokers: &str, topic: &str) -> Result<()> {
        let text = format!(
            "brokers = '{brokers}'\ntopic = '{topic}'\npartitions = 6\ncreate-with-replicas = 1\n\
             start = 'beginning'\n"
        );
        Ok(std::fs::write(self.topic(), text)?)
    }

    /// Writes a token for `user`; returns the file.
    pub(super) fn token(&self, user: &str) -> Result<PathBuf> {
        let file = self.folder.join(format!("{user}.token"));
        std::fs::write(&file, token::signed(user, &self.secret)?)?;
        Ok(file)
    }
}

impl Nodes {
    /// Creates the tables and starts `count` nodes.
    pub(super) async fn start(program: &Path, shared: &Shared, count: u16, port: PickPort) -> Result<Self> {
        let mut nodes = Self {
            program: program.to_owned(),
            environment: dynamodb::environment(&shared.dynamodb),
            nodes: Vec::new(),
            worker: None,
        };
        nodes.create_tables().await?;
        for number in 0..count {
            let folder = shared.folder.join(format!("node-{}", number + 1));
            std::fs::create_dir(&folder)?;
            let address = format!("127.0.0.1:{}", port(FIRST + number)?);
            let admin = format!("127.0.0.1:{}", port(FIRST_ADMIN + number)?);
            let text = |path: PathBuf| path.to_string_lossy().into_owned();
            let arguments: Vec<String> = ["serve", "--store", "dynamodb", "--redis", &shared.redis]
                .into_iter()
                .chain(["--listen", &address, "--admin-listen", &admin])
                .chain(["--jwt-secret-file", &text(shared.key()), "--data-dir", &text(folder.join("data"))])
                .map(ToOwned::to_owned)
                .collect();
            let child = nodes.spawn(&arguments, &folder)?;
            let name = format!("node {}", number + 1);
            nodes.nodes.push(Node { name, folder, arguments, address, admin, child });
        }
        nodes.worker = Some(nodes.start_worker(shared, port)?);
        for node in nodes.nodes.iter_mut().chain(&mut nodes.worker) {
            node.wait_until_ready().await?;
        }
        Ok(nodes)
    }

    fn start_worker(&self, shared: &Shared, port: PickPort) -> Result<Node> {
        let folder = shared.folder.join("worker");
        std::fs::create_dir(&folder)?;
        let address = format!("127.0.0.1:{}", port(WORKER)?);
        let admin = format!("127.0.0.1:{}", port(WORKER_ADMIN)?);
        let topic = shared.topic().to_string_lossy().into_owned();
        let arguments: Vec<String> = ["serve", "--role", "worker", "--store", "dynamodb", "--kafka", &topic]
            .into_iter()
            .chain(["--listen", &address, "--admin-listen", &admin])
            .map(ToOwned::to_owned)
            .collect();
        let child = self.spawn(&arguments, &folder)?;
        Ok(Node { name: "the worker".to_owned(), folder, arguments, address, admin, child })
    }

    /// The admin listener of the worker, and its process.
    pub(super) fn worker(&self) -> (&str, u32) {
        let worker = self.worker.as_ref();
        (
            worker.map_or("", |worker| &worker.admin),
            worker.and_then(|worker| worker.child.id()).unwrap_or_default(),
        )
    }

    async fn create_tables(&self) -> Result<()> {
        let mut command = Command::new(&self.program);
        command.args(["tables", "create"]).stdin(Stdio::null()).kill_on_drop(true);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let output = command.output().await.context("cannot create the tables")?;
        ensure!(output.status.success(), "no tables: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    fn spawn(&self, arguments: &[String], folder: &Path) -> Result<Child> {
        spawn(&self.program, arguments, &self.environment, folder)
    }

    /// `host:port` of each node.
    pub(super) fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.address.clone()).collect()
    }

    /// `host:port` of each admin listener.
    pub(super) fn admins(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.admin.clone()).collect()
    }

    /// Process ids, for killing nodes.
    pub(super) fn pids(&self) -> Vec<u32> {
        self.nodes.iter().filter_map(|node| node.child.id()).collect()
    }

    /// Restarts nodes that have exited. Returns if one cannot be restarted.
    pub(super) async fn look_after(&mut self) -> anyhow::Error {
        let mut tick = interval(Duration::from_millis(200));
        loop {
            tick.tick().await;
            let Self { program, environment, nodes, worker } = self;
            for node in nodes.iter_mut().chain(worker) {
                if let Err(error) = node.start_again(program, environment).await {
                    return error;
                }
            }
        }
    }
}

impl Node {
    async fn start_again(&mut self, program: &Path, environment: &[(String, String)]) -> Result<()> {
        let Some(status) = self.child.try_wait()? else { return Ok(()) };
        println!("{} ended ({status}); it is back in a moment", self.name);
        sleep(START_AGAIN).await;
        self.child = spawn(program, &self.arguments, environment, &self.folder)?;
        self.wait_until_ready().await?;
        println!("{} is back, pid {}", self.name, self.child.id().unwrap_or_default());
        Ok(())
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_DEADLINE;
        let mut again = interval(Duration::from_millis(50));
        loop {
            again.tick().await;
            if let Some(status) = self.child.try_wait()? {
                bail!("a node ended with {status}: see {}", self.folder.display());
            }
            if get(&self.admin, "/readyz").await.is_ok_and(|page| page.contains("ready\n")) {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "a node is not ready: see {}", self.folder.display());
        }
    }
}
