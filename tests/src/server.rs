use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use parlance_proto::v1;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};

use crate::{Cluster, Http, Person, eventually, free_port, parlance, within};

/// A server of this test, on free ports and a fresh data directory. Dropping it kills it.
pub struct Server {
    child: Child,
    launch: Launch,
    data: TempDir,
    listening: Listening,
    output: Output,
    /// Its store and registry, if it does not use its data directory.
    shared: Option<Box<Cluster>>,
}

/// How to start a server.
#[derive(Clone, Default)]
pub struct Launch {
    /// Options other than the listeners and the data directory.
    pub options: Vec<String>,
    /// Environment variables in addition to those of the test.
    pub environment: Vec<(String, String)>,
    /// Whether it keeps no data, and has no data directory.
    pub is_bridge: bool,
    /// A program that starts it, with its arguments, such as `prlimit`.
    pub under: Vec<String>,
}

/// Where a server listens.
#[derive(Clone, Copy)]
struct Listening {
    clients: SocketAddr,
    operators: SocketAddr,
    bridges: Option<SocketAddr>,
}

impl Listening {
    fn new() -> Self {
        let [clients, operators] =
            [free_port(), free_port()].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        Self { clients, operators, bridges: None }
    }
}

impl Launch {
    /// A server that is restarted needs the port for bridges again, too.
    fn with_ports(mut self) -> Self {
        if let Some(at) = self.options.iter().position(|option| option == "--edge-listen")
            && self.options[at + 1].ends_with(":0")
        {
            self.options[at + 1] = format!("127.0.0.1:{}", free_port());
        }
        self
    }
}

/// Default drain time in tests: long enough to be observed, short enough to wait for.
const DRAIN_SECONDS: &str = "2";

/// The server's output so far, on both streams.
#[derive(Clone, Default)]
struct Output(Arc<Mutex<String>>);

impl Server {
    /// Starts a server without rate limits: in local mode; or with `PARLANCE_TEST_STORE=dynamodb`, as
    /// the only node of a cluster.
    pub async fn start() -> Self {
        if std::env::var("PARLANCE_TEST_STORE").is_ok_and(|store| store == "dynamodb") {
            let mut cluster = Box::pin(Cluster::start(1)).await;
            let mut server = cluster.nodes.pop().expect("it has a node");
            server.shared = Some(Box::new(cluster));
            return server;
        }
        Self::start_with(&["--user-rate", "0", "--failed-token-rate", "0"]).await
    }

    /// Starts a server with options other than the listeners and the data directory.
    pub async fn start_with(options: &[&str]) -> Self {
        let options = options.iter().map(ToString::to_string).collect();
        Self::launch(Launch { options, ..Launch::default() }).await
    }

    /// Starts a bridge in front of nodes, `host:port` each, as returned by [`Self::bridges`].
    pub async fn start_bridge(nodes: &[&str]) -> Self {
        Self::start_bridge_with(nodes, &[]).await
    }

    /// Like [`Self::start_bridge`], with additional options.
    pub async fn start_bridge_with(nodes: &[&str], options: &[&str]) -> Self {
        let urls: Vec<_> = nodes.iter().map(|node| format!("http://{node}")).collect();
        let role = ["--role", "bridge", "--api-url", &urls.join(",")].map(ToOwned::to_owned);
        let options = role.into_iter().chain(options.iter().map(ToString::to_string)).collect();
        let bridge = Self::launch(Launch { options, is_bridge: true, ..Launch::default() }).await;
        let http = Http::new(bridge.admin());
        eventually("the bridge has found a node", async || {
            (http.get("/readyz").send().await.ok()?.status == 200).then_some(())
        })
        .await;
        bridge
    }

    /// Started this way.
    pub async fn launch(launch: Launch) -> Self {
        let data = tempfile::Builder::new().prefix("parlance-test-").tempdir().expect("a place for data");
        let (listening, launch) = (Listening::new(), launch.with_ports());
        let output = Output::default();
        let child = spawn(&launch, data.path(), listening);
        let mut server = Self { child, launch, data, listening, output, shared: None };
        server.wait_until_it_serves().await;
        server
    }

    /// The output of a server that must refuse to start this way.
    pub async fn refused(launch: Launch) -> String {
        let data = tempfile::Builder::new().prefix("parlance-test-").tempdir().expect("a place for data");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listening = Listening { clients: any, operators: any, bridges: None };
        let child = spawn(&launch, data.path(), listening);
        let output = within("the server ends", child.wait_with_output()).await.expect("it ran");
        assert!(!output.status.success(), "it was started");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// `host:port` for clients.
    pub fn address(&self) -> String {
        self.listening.clients.to_string()
    }

    /// `host:port` for operators.
    pub fn admin(&self) -> String {
        self.listening.operators.to_string()
    }

    /// `host:port` for bridges, if it was started with `--edge-listen`.
    pub fn bridges(&self) -> String {
        self.listening.bridges.expect("it listens for bridges").to_string()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        self.data.path().join("data")
    }

    /// Plain HTTP to its client listener.
    pub fn http(&self) -> Http {
        Http::new(self.address())
    }

    /// Its output so far.
    pub fn output(&self) -> String {
        self.output.0.lock().expect("nobody panics with it").clone()
    }

    /// A new user.
    pub async fn person(&self, id: &str) -> Person {
        let token = self.shared.as_ref().map(|cluster| cluster.token(id));
        self.person_or_created(id, token).await
    }

    /// A service of the app with its scope; without the app's tokens, everyone has it.
    pub async fn service(&self, id: &str) -> Person {
        let token = self.shared.as_ref().map(|cluster| cluster.service_token(id));
        self.person_or_created(id, token).await
    }

    async fn person_or_created(&self, id: &str, token: Option<String>) -> Person {
        let Some(token) = token else { return Person::create(&self.address(), id).await };
        let person = Person::new(&self.address(), id, &token);
        let user = v1::CreateUserRequest { user_id: id.to_owned(), ..Default::default() };
        person.users().create_user(user).await.expect("a user in their own name");
        person
    }

    /// The user of `token`.
    pub fn person_with(&self, id: &str, token: &str) -> Person {
        Person::new(&self.address(), id, token)
    }

    /// Sends a signal, such as `TERM`.
    pub async fn signal(&self, name: &str) {
        let pid = self.child.id().expect("it runs").to_string();
        // Other signals than SIGKILL need unsafe code or a dependency; `kill` knows them.
        let sent = Command::new("kill").args([&format!("-{name}"), &pid]).status().await;
        assert!(sent.is_ok_and(|status| status.success()), "cannot send SIG{name}");
    }

    /// Waits until it exits on its own.
    pub async fn exited(&mut self) -> ExitStatus {
        within("the server ends", self.child.wait()).await.expect("its status is known")
    }

    /// Stops it gracefully; it must exit with 0.
    pub async fn stop(&mut self) {
        self.signal("TERM").await;
        assert_eq!(self.exited().await.code(), Some(0));
    }

    /// Kills it immediately, like a crash: SIGKILL.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("it can be killed");
    }

    /// Restarts it after it has ended, on the same ports and data.
    pub async fn start_again(&mut self) {
        self.child = spawn(&self.launch, self.data.path(), self.listening);
        self.wait_until_it_serves().await;
    }

    /// Stops it and restarts it with other options.
    pub async fn restart_with(&mut self, options: &[&str]) {
        self.stop().await;
        self.launch.options = options.iter().map(ToString::to_string).collect();
        self.start_again().await;
    }

    /// Its current resident memory, bytes.
    pub fn resident_bytes(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most resident memory that it had since it was started, bytes.
    pub fn peak_bytes(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("linux tells");
        let bytes = status.lines().find_map(|line| line.strip_prefix(field)?.trim().strip_suffix(" kB"));
        bytes.and_then(|kb| kb.trim().parse::<u64>().ok()).expect("a number of kB") * 1024
    }

    /// Reads its addresses from its output, and checks its health.
    async fn wait_until_it_serves(&mut self) {
        let stderr = self.child.stderr.take().expect("it is piped");
        let errors = tokio::spawn(self.output.clone().drain(BufReader::new(stderr)));
        let mut stdout = BufReader::new(self.child.stdout.take().expect("it is piped"));
        let addresses = within("the server says where it listens", self.output.addresses(&mut stdout)).await;
        let Some(listening) = addresses else {
            let status = self.exited().await;
            let _ = within("the server has said why", errors).await;
            panic!("the server ended with {status}");
        };
        self.listening = listening;
        tokio::spawn(self.output.clone().drain(stdout));
        let http = Http::new(self.admin());
        eventually("the server is healthy", async || {
            (http.get("/healthz").send().await.ok()?.status == 200).then_some(())
        })
        .await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("=== the server wrote\n{}===", self.output());
        } else {
            assert!(!self.output().contains("panicked at"), "the server panicked:\n{}", self.output());
        }
    }
}

impl Output {
    fn push(&self, line: &str) {
        let mut text = self.0.lock().expect("nobody panics with it");
        text.push_str(line);
        text.push('\n');
    }

    /// Reads to the end, so that the pipe never fills up.
    async fn drain(self, stream: BufReader<impl AsyncRead + Unpin>) {
        let mut lines = stream.lines();
        while let Ok(Some(line)) = lines.next_line().await {
            self.push(&line);
        }
    }

    /// Its addresses, once all of them are printed.
    async fn addresses(&self, stdout: &mut BufReader<impl AsyncRead + Unpin>) -> Option<Listening> {
        let after = |line: &str, words: &str| -> Option<SocketAddr> {
            let rest = line.split_once(words)?.1.split_once("://")?.1;
            rest.split(['/', ',', ' ']).next()?.parse().ok()
        };
        let mut lines = stdout.lines();
        let (mut clients, mut bridges) = (None, None);
        loop {
            let line = lines.next_line().await.ok()??;
            self.push(&line);
            clients = clients.or_else(|| after(&line, "open     "));
            bridges = bridges.or_else(|| after(&line, "bridges  "));
            if let Some(admin) = after(&line, "admin    ") {
                return Some(Listening { clients: clients?, operators: admin, bridges });
            }
        }
    }
}

fn spawn(launch: &Launch, dir: &Path, listening: Listening) -> Child {
    let mut program = launch.under.iter().map(OsString::from).chain([parlance().into_os_string()]);
    let mut command = Command::new(program.next().expect("at least the server itself"));
    command.args(program).arg("serve").args(&launch.options);
    if !launch.options.iter().any(|option| option == "--drain-seconds") {
        command.args(["--drain-seconds", DRAIN_SECONDS]);
    }
    if !launch.is_bridge {
        command.arg("--data-dir").arg(dir.join("data"));
    }
    command.args(["--listen", &listening.clients.to_string()]);
    command.args(["--admin-listen", &listening.operators.to_string()]);
    command.envs(launch.environment.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command.spawn().expect("the server can be started")
}
