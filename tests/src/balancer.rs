use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::{Cluster, Http, eventually, free_port};

/// Load balancers that `deploy/` has a configuration for, and that tests can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `deploy/nginx/nginx.conf`.
    Nginx,
    /// `deploy/haproxy/haproxy.cfg`.
    Haproxy,
}

/// All of them.
pub const BALANCERS: [Kind; 2] = [Kind::Nginx, Kind::Haproxy];

/// A real load balancer in front of a cluster, with the configuration in `deploy/` except
/// for addresses and folders. Stops when dropped.
pub struct Balancer {
    _child: Child,
    grpc: u16,
    http: u16,
    _dir: TempDir,
}

impl Balancer {
    /// Starts one in front of the current nodes of `cluster`: three, as in the
    /// configuration.
    pub async fn start(kind: Kind, cluster: &Cluster) -> Self {
        let dir = tempfile::Builder::new().prefix("balancer-of-parlance-").tempdir().expect("a folder");
        let (program, file) = match kind {
            Kind::Nginx => ("nginx", "nginx/nginx.conf"),
            Kind::Haproxy => ("haproxy", "haproxy/haproxy.cfg"),
        };
        let configuration = std::fs::read_to_string(deploy().join(file)).expect("deploy/ is there");
        let http = free_port();
        // HAProxy uses one port for both.
        let grpc = if kind == Kind::Nginx { free_port() } else { http };
        let configuration = adapt(&configuration, cluster, grpc, http, dir.path());
        let path = dir.path().join("configuration");
        std::fs::write(&path, configuration).expect("the configuration can be written");
        let mut command = Command::new(find(program));
        match kind {
            Kind::Nginx => command.args(["-g", "daemon off;", "-e", "stderr", "-c"]).arg(&path),
            Kind::Haproxy => command.args(["-db", "-f"]).arg(&path),
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        let child = command.spawn().unwrap_or_else(|error| panic!("{program}: {error}"));
        let balancer = Self { _child: child, grpc, http, _dir: dir };
        let client = Http::new(balancer.http());
        eventually("the balancer reaches a node", async || {
            (client.get("/readyz").send().await.ok()?.status == 200).then_some(())
        })
        .await;
        balancer
    }

    /// `host:port` for gRPC.
    pub fn grpc(&self) -> String {
        format!("127.0.0.1:{}", self.grpc)
    }

    /// `host:port` for WebSocket, REST and grpc-web.
    pub fn http(&self) -> String {
        format!("127.0.0.1:{}", self.http)
    }
}

/// The folder with the configurations.
pub fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

/// Debian's paths of servers, which are not in every `PATH`.
fn find(program: &str) -> PathBuf {
    let sbin = Path::new("/usr/sbin").join(program);
    if sbin.is_file() { sbin } else { program.into() }
}

/// Runs a program that must succeed.
pub async fn run_program(program: &str, arguments: &[&str]) {
    let output = Command::new(find(program)).args(arguments).stdin(Stdio::null()).output().await;
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn adapt(configuration: &str, cluster: &Cluster, grpc: u16, http: u16, dir: &Path) -> String {
    let dir = dir.to_string_lossy();
    let mut text = configuration
        .replace("127.0.0.1:8080", &format!("127.0.0.1:{http}"))
        .replace("127.0.0.1:8090", &format!("127.0.0.1:{grpc}"))
        .replace("/run/parlance", &format!("{dir}/run"))
        .replace("/tmp/parlance", &format!("{dir}/tmp"))
        // A single process, so that killing it stops everything.
        .replace("worker_processes auto;", "worker_processes 1; master_process off;");
    assert_eq!(cluster.nodes.len(), 3, "as in the configuration");
    for (number, node) in cluster.nodes.iter().enumerate() {
        let placeholder = format!("127.0.0.1:808{}", number + 1);
        assert!(text.contains(&placeholder), "the configuration has no {placeholder}");
        text = text.replace(&placeholder, &node.address());
        // HAProxy probes the admin listener.
        let admin = node.admin();
        let port = admin.rsplit(':').next().expect("it has a port");
        text = text.replace(&format!(" port 909{}\n", number + 1), &format!(" port {port}\n"));
    }
    text
}
