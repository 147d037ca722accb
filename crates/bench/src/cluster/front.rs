use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, anyhow};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// The production configuration.
const CONFIGURATION: &str = include_str!("../../../../deploy/nginx/nginx.conf");

/// The ports in the configuration.
const HTTP: u16 = 8080;
const GRPC: u16 = 8090;

/// Debian's path of nginx, which is not in every `PATH`.
const DEBIAN: &str = "/usr/sbin/nginx";

/// nginx in front of the nodes. Stops when dropped.
pub(super) struct Front {
    child: Child,
    http: u16,
    grpc: u16,
}

impl Front {
    /// Starts nginx in front of `nodes`, with its files in `folder`.
    pub(super) async fn start(folder: &TempDir, nodes: &[String], port: PickPort) -> Result<Self> {
        let (http, grpc) = (port(HTTP)?, port(GRPC)?);
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, configuration(folder.path(), nodes, http, grpc))?;
        let program = if Path::new(DEBIAN).is_file() { DEBIAN } else { "nginx" };
        let log = std::fs::File::create(folder.path().join("nginx.log"))?;
        let mut command = Command::new(program);
        command.args(["-e", "stderr", "-g", "daemon off;", "-c"]).arg(&file);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
        let child = command.spawn().context("is nginx installed?")?;
        Ok(Self { child, http, grpc })
    }

    /// `host:port` for everything over HTTP/1.1.
    pub(super) fn http(&self) -> String {
        format!("127.0.0.1:{}", self.http)
    }

    /// `host:port` for gRPC.
    pub(super) fn grpc(&self) -> String {
        format!("127.0.0.1:{}", self.grpc)
    }

    /// Resolves if it exits on its own.
    pub(super) async fn died(&mut self) -> anyhow::Error {
        match self.child.wait().await {
            Ok(status) => anyhow!("nginx ended with {status}: see nginx.log"),
            Err(error) => error.into(),
        }
    }
}

/// The configuration with these ports and nodes, and its files in `folder`.
fn configuration(folder: &Path, nodes: &[String], http: u16, grpc: u16) -> String {
    let mut text = String::new();
    for line in CONFIGURATION.lines() {
        // The first node is replaced by all of ours; the others are removed.
        match line.trim_start().strip_prefix("server 127.0.0.1:") {
            Some(rest) if rest.starts_with("8081 ") => {
                for node in nodes {
                    text.push_str(&format!("        server {node} max_fails=1 fail_timeout=2s;\n"));
                }
            }
            Some(_) => {}
            None => text.push_str(&format!("{line}\n")),
        }
    }
    text.replace("127.0.0.1:8080;", &format!("127.0.0.1:{http};"))
        .replace("127.0.0.1:8090 ", &format!("127.0.0.1:{grpc} "))
        .replace("/tmp/parlance-nginx", &folder.join("nginx").to_string_lossy())
        .replace("/run/parlance-nginx", &folder.join("nginx").to_string_lossy())
        // A single process, so that killing it stops everything.
        .replace("worker_processes auto;", "worker_processes 1; master_process off;")
}

/// Returns `wanted`, or a free port outside the range of outgoing connections.
pub(super) fn free_port(wanted: u16) -> Result<u16> {
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let others = (1..40).map(|step| 10_000 + wanted + step * 100);
    std::iter::once(wanted).chain(others).find(is_free).context("no free port")
}

/// Any free port, for a listener that nobody looks up again after a restart.
pub(super) fn any_port(_: u16) -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Selects a port, given the preferred one.
pub(super) type PickPort = fn(u16) -> Result<u16>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_has_our_nodes_and_ports() {
        let text = configuration(Path::new("/here"), &["127.0.0.1:1".into(), "127.0.0.1:2".into()], 3, 4);
        assert_eq!(text.matches("server 127.0.0.1:1 ").count(), 2, "one upstream for each protocol");
        assert_eq!(text.matches("server 127.0.0.1:2 ").count(), 2);
        assert!(text.contains("listen 127.0.0.1:3;") && text.contains("listen 127.0.0.1:4 http2;"));
        assert!(
            !text.contains("/tmp/") && !text.contains("/run/") && !text.contains("127.0.0.1:80"),
            "{text}"
        );
    }
}
