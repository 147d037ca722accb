use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::{Config, Identity, Node, Options, Role, StoreConfig};
use crate::limits::{BLOCKING_THREADS, LAST_CALLS};
use crate::{Seams, Server};
use anyhow::{Context, bail};
use clap::Args;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::watchdog;

#[derive(Args)]
pub(crate) struct Arguments {
    /// TOML file with options named like these flags, such as listen = "127.0.0.1:8080". Flags override the
    /// environment, which overrides the file
    #[arg(long, env = "PARLANCE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(flatten)]
    options: Options,
}

impl Arguments {
    /// The effective options.
    pub(super) fn into_config(self) -> anyhow::Result<Config> {
        self.options.into_config(self.config.as_deref())
    }
}

/// The log filter.
pub(super) fn log_filter(config: &Config) -> anyhow::Result<EnvFilter> {
    let filter = EnvFilter::try_new(&config.log).with_context(|| format!("log filter {:?}", config.log))?;
    // It would log the contents of frames, which are private.
    Ok(filter.add_directive("tungstenite=info".parse()?))
}

pub(crate) fn run(arguments: Arguments, seams: Seams) -> anyhow::Result<()> {
    let config = arguments.into_config()?;
    tracing_subscriber::fmt()
        .with_env_filter(log_filter(&config)?)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build()?;
    let watchdog = match config.watchdog {
        Some(seconds) => Some(watchdog::start(runtime.handle(), seconds)?),
        None => None,
    };
    let served = runtime.block_on(serve(&config, seams));
    drop(watchdog);
    // A blocking call that does not end, as to brokers that do not answer, keeps no process.
    runtime.shutdown_timeout(LAST_CALLS);
    served
}

/// Histogram buckets in seconds: from a read of memory to the longest call.
const SECONDS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 20.0];

fn recorder() -> anyhow::Result<PrometheusHandle> {
    let seconds = Matcher::Suffix("_seconds".to_owned());
    let builder = PrometheusBuilder::new().set_buckets_for_metric(seconds, &SECONDS)?;
    builder.install_recorder().context("cannot set up metrics")
}

/// Processes recorded durations: until then each takes 8 bytes.
async fn keep_up(metrics: PrometheusHandle) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        tick.tick().await;
        metrics.run_upkeep();
    }
}

async fn serve(config: &Config, seams: Seams) -> anyhow::Result<()> {
    let metrics = recorder()?;
    tokio::spawn(keep_up(metrics.clone()));
    // Before anything is served: an earlier signal would end the process.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let server = Box::pin(Server::start(config, Some(metrics), seams)).await?;
    greet(config, &server)?;
    let failed = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        reason = server.failed() => Some(reason),
    };
    if failed.is_none() {
        tracing::info!("draining; interrupt (SIGINT, Ctrl-C) to stop immediately");
    }
    tokio::select! {
        () = server.stop() => {}
        _ = interrupt.recv() => bail!("stopped before all clients were moved"),
    }
    match failed {
        Some(reason) => bail!("the store has failed: {reason}"),
        None => Ok(()),
    }
}

/// Prints the addresses, and commands to copy.
fn greet(config: &Config, server: &Server) -> anyhow::Result<()> {
    let (address, admin) = (server.address(), server.admin_address());
    let mut out = std::io::stdout().lock();
    writeln!(out, "parlance {} is serving", crate::features::VERSION)?;
    writeln!(out)?;
    let s = if config.tls.is_some() { "s" } else { "" };
    let url = format!("http{s}://{address}");
    if let Role::Worker(worker) = &config.role {
        writeln!(out, "  role     worker: delivers events of the tables {}*", worker.table_prefix)?;
        writeln!(out, "  open     {url}/healthz, /readyz")?;
        writeln!(out, "  admin    http://{admin}/metrics, /healthz, /readyz")?;
        writeln!(out)?;
        return Ok(out.flush()?);
    }
    writeln!(out, "  open     {url}/")?;
    let clients = match &config.role {
        Role::Node(node) if node.serves_browsers => {
            format!("gRPC and grpc-web {address}, ws{s}://{address}/ws, {url}/v1/")
        }
        Role::Node(_) => format!("gRPC and grpc-web {address}"),
        Role::Bridge(_) | Role::Worker(_) => format!("ws{s}://{address}/ws, {url}/v1/"),
    };
    writeln!(out, "  clients  {clients}")?;
    if let Some(bridges) = server.bridge_address() {
        writeln!(out, "  bridges  http://{bridges}")?;
    }
    writeln!(out, "  admin    http://{admin}/metrics, /healthz, /readyz")?;
    match &config.role {
        Role::Node(node) => {
            greet_of_node(node, &mut out)?;
            if node.serves_browsers && matches!(node.identity, Identity::Local) {
                local_mode(node, address, s, &mut out)?;
            }
        }
        Role::Worker(_) => {}
        Role::Bridge(nodes) => writeln!(out, "  role     bridge, in front of {}", nodes.join(", "))?,
    }
    writeln!(out)?;
    out.flush()?;
    Ok(())
}

fn greet_of_node(node: &Node, out: &mut impl Write) -> std::io::Result<()> {
    match &node.store {
        StoreConfig::Embedded { sync } => {
            let data = node.data_dir.canonicalize().unwrap_or_else(|_| node.data_dir.clone());
            writeln!(out, "  data     {}", data.display())?;
            if !sync {
                writeln!(out, "  sync     OFF: a power cut loses acknowledged messages")?;
            }
        }
        StoreConfig::Dynamodb { table_prefix } => {
            writeln!(out, "  data     dynamodb, tables {table_prefix}*")?;
            if node.redis.is_none() {
                writeln!(
                    out,
                    "  nodes    SINGLE: without --redis, writes of other nodes to these tables are noticed late"
                )?;
            }
        }
    }
    Ok(())
}

/// Prints commands for first steps.
fn local_mode(node: &Node, address: SocketAddr, s: &str, out: &mut impl Write) -> std::io::Result<()> {
    // As it was called, so that the commands work in the same directory.
    let program = std::env::args().next().unwrap_or_else(|| "parlance".into());
    let data_dir = node.data_dir.display();
    let plaintext = if s.is_empty() { "-plaintext " } else { "" };
    writeln!(out, "  mode     local: anyone on this machine may sign in as anyone")?;
    writeln!(out)?;
    writeln!(out, "Get a token, and send a message over each transport:")?;
    writeln!(out)?;
    writeln!(out, "  TOKEN=$({program} token alice --data-dir {data_dir})")?;
    writeln!(out, "  curl -H \"authorization: Bearer $TOKEN\" http{s}://{address}/v1/users/me")?;
    writeln!(
        out,
        "  curl -X POST http{s}://{address}/v1/users -d '{{\"userId\": \"bob\", \"name\": \"Bob\"}}' \
         -H 'content-type: application/json'"
    )?;
    writeln!(
        out,
        "  grpcurl {plaintext}-H \"authorization: Bearer $TOKEN\" \
         -d '{{\"to_user\": \"bob\", \"client_message_id\": \"1\", \"text\": \"hello\"}}' \
         {address} parlance.v1.ChatService/SendMessage"
    )?;
    writeln!(
        out,
        "  npx wscat -H \"authorization: Bearer $TOKEN\" -c ws{s}://{address}/ws -w 5 -x '{{\"hello\": {{}}}}'"
    )?;
    writeln!(out, "  {program} chat bob --user alice --server http{s}://{address}")
}
