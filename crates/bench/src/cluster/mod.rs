//! `parlance-bench cluster`: what runs in production, on one machine and without data to
//! lose: Redis, the DynamoDB API, three nodes that share a key, nginx in front of them, and a worker
//! that publishes all events to a broker.

mod front;
mod nodes;

use std::path::PathBuf;

use anyhow::{Context, Result};
use parlance_faults::dynamodb::Emulator;
use parlance_faults::kafka::Broker;
use parlance_faults::redis::RedisServer;

use self::front::{Front, PickPort, any_port, free_port};
use self::nodes::{Nodes, Shared};
use parlance_testbed::server_program;

const TOPIC: &str = "parlance.events";

/// Starts a cluster to try things on: Redis, the DynamoDB API, nodes, nginx in front, a Kafka broker and a worker.
///
/// Everything is on loopback, and ends with this command; nothing is kept. Needs
/// `redis-server` and `nginx` on this machine, and what `make .tools/ready` installs.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Number of nodes.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=9))]
    nodes: u16,
    /// Use any free ports, so that several clusters can run side by side.
    #[arg(long)]
    any_ports: bool,
    /// The server to start. Default: `parlance` next to this program.
    #[arg(long, value_name = "PATH")]
    server_bin: Option<PathBuf>,
}

/// Runs until it is interrupted, or one of its processes exits.
pub(crate) async fn run(args: Args) -> Result<bool> {
    let program = server_program(args.server_bin)?;
    let port: PickPort = if args.any_ports { any_port } else { free_port };
    let folder = tempfile::Builder::new().prefix("parlance-cluster-").tempdir()?;
    let redis = RedisServer::start().await.context("is redis-server installed?")?;
    let dynamodb = Emulator::start().context("cannot start the dynamodb api")?;
    let shared = Shared::new(&folder, redis.url(), dynamodb.endpoint())?;
    let broker = Broker::start().await.context("cannot start a broker")?;
    shared.write_topic(&broker.address(), TOPIC)?;
    let mut nodes = Nodes::start(&program, &shared, args.nodes, port).await?;
    let mut front = Front::start(&folder, &nodes.addresses(), port).await?;
    greet(&program, &shared, &redis.url(), &dynamodb.endpoint(), &nodes, &front)?;
    greet_events(&broker.address(), &nodes);
    // What is dropped at the end is killed, also when this future is.
    tokio::select! {
        died = nodes.look_after() => Err(died),
        died = front.died() => Err(died),
    }
}

/// How events leave.
fn greet_events(broker: &str, nodes: &Nodes) {
    let (admin, pid) = nodes.worker();
    println!();
    println!(
        "Every event leaves to the topic {TOPIC} at {broker}; the worker is http://{admin}/metrics, pid {pid}:"
    );
    println!();
    println!(
        "  .tools/venv/bin/python clients/python/events/from_kafka.py --brokers {broker} --topic {TOPIC} --print"
    );
}

/// Where everything is, and lines to paste.
fn greet(
    program: &std::path::Path,
    shared: &Shared,
    redis: &str,
    dynamodb: &str,
    nodes: &Nodes,
    front: &Front,
) -> Result<()> {
    let (http, grpc, program) = (front.http(), front.grpc(), program.display());
    println!("a cluster of {} nodes; Ctrl-C ends it, and nothing is kept", nodes.addresses().len());
    println!();
    println!("  open      http://{http}/");
    println!("  doors     WebSocket, REST, grpc-web {http}; gRPC {grpc}");
    for (number, (address, admin)) in nodes.addresses().iter().zip(nodes.admins()).enumerate() {
        println!("  node {}    {address}, http://{admin}/metrics, pid {}", number + 1, nodes.pids()[number]);
    }
    println!("  redis     {redis}");
    println!("  dynamodb  {dynamodb}");
    println!("  logs      {}", shared.folder().display());
    println!();
    println!("Two people, a message, and its arrival:");
    println!();
    println!("  ALICE=$(cat {})", shared.token("alice")?.display());
    println!("  BOB=$(cat {})", shared.token("bob")?.display());
    println!("  curl -H \"authorization: Bearer $BOB\" http://{http}/v1/users/me");
    println!(
        "  curl -X POST http://{http}/v1/messages -H \"authorization: Bearer $ALICE\" \
         -H 'content-type: application/json' \
         -d '{{\"toUser\": \"bob\", \"clientMessageId\": \"m1\", \"text\": \"hello\"}}'"
    );
    println!("  npx wscat -H \"authorization: Bearer $BOB\" -c ws://{http}/ws -w 5 -x '{{\"hello\": {{}}}}'");
    println!("  {program} chat bob --server {grpc} --token-file {}", shared.token("alice")?.display());
    println!();
    println!("Then, in the middle of a conversation: kill -9 {}", nodes.pids()[0]);
    Ok(())
}
