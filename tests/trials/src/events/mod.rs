//! `parlance-trials events`: how soon events leave, what they cost, and how soon a killed process is replaced.

mod reader;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use parlance_faults::kafka::Broker;
use parlance_proto::v1;
use parlance_testbed::{Cluster, Options, Unary, server_program, token};
use tempfile::TempDir;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use self::reader::{PARTITIONS, Reader, TOPIC};

/// Messages before the measured ones: until then a topic is created and a lease acquired.
const WARM_UP: u64 = 20;

/// How long events may take to arrive before the run has failed.
const PATIENCE: Duration = Duration::from_secs(120);

const LOOK: Duration = Duration::from_millis(5);

const APPENDED: &str = "parlance_dynamodb_write_units_total{operation=\"append\"}";

/// Measures how events leave for Kafka: the time from the acknowledgement of a message until a consumer of the topic has
/// it, with the embedded store and in a cluster; the write units of a message on DynamoDB with and without the feed; and the
/// time until a killed process is replaced. Everything runs on this machine, so it has to be quiet.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Messages of each run.
    #[arg(long, value_name = "N", default_value_t = 3_000)]
    messages: u64,
    /// Messages a second.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    rate: u64,
    /// Rooms that they are sent to.
    #[arg(long, value_name = "N", default_value_t = 20)]
    rooms: u64,
    /// Processes that are killed.
    #[arg(long, value_name = "N", default_value_t = 5)]
    kills: u32,
    /// The server to start. Default: `parlance` beside this program.
    #[arg(long, value_name = "PATH")]
    server_bin: Option<std::path::PathBuf>,
}

/// A broker, a cluster whose events leave to it, and somebody who sends.
struct Stage {
    cluster: Cluster,
    reader: Reader,
    _broker: Broker,
    _folder: TempDir,
}

impl Stage {
    async fn start(program: &Path, nodes: u8, embedded: bool) -> Result<Self> {
        let broker = Broker::start().await.context("cannot start a broker")?;
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("kafka.toml");
        let address = broker.address();
        std::fs::write(
            &file,
            format!(
                "brokers = '{address}'\ntopic = '{TOPIC}'\npartitions = {PARTITIONS}\ncreate-with-replicas = 1\n"
            ),
        )?;
        let arguments = vec!["--kafka".to_owned(), file.to_string_lossy().into_owned()];
        let options = Options { program, nodes, embedded, plant: None, arguments };
        let cluster = Box::pin(Cluster::start(&options)).await?;
        Ok(Self { cluster, reader: Reader::start(address)?, _broker: broker, _folder: folder })
    }
}

/// Somebody who sends to rooms in turn.
struct Sender {
    node: Unary,
    token: String,
    rooms: Vec<String>,
    sent: u64,
}

impl Sender {
    async fn new(address: &str, rooms: u64) -> Result<Self> {
        let (node, token) = (Unary::connect(address).await?, token("alice")?);
        node.create_user(&token, "alice").await?;
        let mut sender = Self { node, token, rooms: Vec::new(), sent: 0 };
        for number in 0..rooms.max(1) {
            let request = v1::CreateRoomRequest {
                kind: v1::RoomKind::Group.into(),
                request_id: format!("room.{number}"),
                ..Default::default()
            };
            let room = sender.node.create_room(&sender.token, request).await?;
            sender.rooms.push(room.room_id);
        }
        Ok(sender)
    }

    /// Sends a message; returns its room and seq.
    async fn send(&mut self) -> Result<(String, u64)> {
        let room = self.rooms[self.sent as usize % self.rooms.len()].clone();
        self.sent += 1;
        let request = v1::SendMessageRequest {
            target: Some(v1::send_message_request::Target::RoomId(room.clone())),
            client_message_id: format!("message.{}", self.sent),
            text: format!("message {} of an everyday length, as people write them", self.sent),
            ..Default::default()
        };
        let answer = self.node.send(&self.token, request).await?;
        Ok((room, answer.seq))
    }
}

pub(crate) async fn run(args: Args) -> Result<bool> {
    let program = server_program(args.server_bin.clone())?;
    println!("from the acknowledgement of a message until a consumer of the topic has it, ms");
    let stage = Box::pin(Stage::start(&program, 1, true)).await?;
    print_ages("embedded", &ages(&stage, &args).await?);
    stage.cluster.end().await?;
    let stage = Box::pin(Stage::start(&program, 1, false)).await?;
    let before = stage.cluster.metric(APPENDED).await?;
    print_ages("dynamodb", &ages(&stage, &args).await?);
    let with = stage.cluster.metric(APPENDED).await? - before;
    stage.cluster.end().await?;

    let options =
        Options { program: &program, nodes: 1, embedded: false, plant: None, arguments: Vec::new() };
    let cluster = Box::pin(Cluster::start(&options)).await?;
    let mut sender = Sender::new(cluster.address(0), args.rooms).await?;
    let before = cluster.metric(APPENDED).await?;
    for _ in 0..args.messages {
        sender.send().await?;
    }
    let without = cluster.metric(APPENDED).await? - before;
    cluster.end().await?;
    let sent = args.messages as f64;
    // With the feed, rooms and messages of the warm-up are among what was written.
    let all = sent + WARM_UP as f64 + args.rooms.max(1) as f64;
    println!("\nwrite units of a message: {:.3} with the feed, {:.3} without it", with / all, without / sent);

    println!("\nuntil another process delivers after one was killed, s");
    let times = Box::pin(recoveries(&program, &args)).await?;
    println!(
        "  {}",
        times.iter().map(|time| format!("{:.1}", time.as_secs_f64())).collect::<Vec<_>>().join(", ")
    );
    Ok(true)
}

fn print_ages(store: &str, ages: &Histogram<u64>) {
    let ms = |us: u64| us as f64 / 1_000.0;
    println!(
        "  {store:<10} p50 {:>8.1}  p99 {:>8.1}  longest {:>8.1}  ({} messages)",
        ms(ages.value_at_quantile(0.5)),
        ms(ages.value_at_quantile(0.99)),
        ms(ages.max()),
        ages.len()
    );
}

/// How old the acknowledgement of each message is when a consumer has it, microseconds.
async fn ages(stage: &Stage, args: &Args) -> Result<Histogram<u64>> {
    let mut sender = Sender::new(stage.cluster.address(0), args.rooms).await?;
    for _ in 0..WARM_UP {
        let (room, seq) = sender.send().await?;
        arrived(&stage.reader, &room, seq).await?;
    }
    let mut tick = interval(Duration::from_secs(1) / u32::try_from(args.rate)?);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut acknowledged = Vec::new();
    for _ in 0..args.messages {
        tick.tick().await;
        let (room, seq) = sender.send().await?;
        acknowledged.push((room, seq, Instant::now()));
    }
    let mut ages = Histogram::new(3)?;
    for (room, seq, at) in acknowledged {
        let arrived = arrived(&stage.reader, &room, seq).await?;
        ages.record(u64::try_from(arrived.saturating_duration_since(at).as_micros())?)?;
    }
    Ok(ages)
}

/// When an event arrived.
async fn arrived(reader: &Reader, room: &str, seq: u64) -> Result<Instant> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(at) = reader.arrived(room, seq) {
            return Ok(at);
        }
        ensure!(Instant::now() < deadline, "event {seq} of {room} does not arrive");
        sleep(LOOK).await;
    }
}

/// Kills the process that delivers, several times; returns how long each time no event left.
async fn recoveries(program: &Path, args: &Args) -> Result<Vec<Duration>> {
    let stage = Box::pin(Stage::start(program, 2, false)).await?;
    let mut sender = Sender::new(stage.cluster.address(0), 1).await?;
    let mut times = Vec::new();
    for _ in 0..args.kills {
        let (room, seq) = sender.send().await?;
        arrived(&stage.reader, &room, seq).await?;
        let owner = delivering(&stage.cluster).await?;
        let mut killed = stage.cluster.nodes[owner].lock().await;
        killed.kill().await?;
        let at = Instant::now();
        sender.node = Unary::connect(stage.cluster.address(1 - owner)).await?;
        let (room, seq) = sender.send().await?;
        times.push(arrived(&stage.reader, &room, seq).await?.saturating_duration_since(at));
        killed.start_again().await?;
    }
    stage.cluster.end().await?;
    Ok(times)
}

/// The node that delivers.
async fn delivering(cluster: &Cluster) -> Result<usize> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        for (index, node) in cluster.nodes.iter().enumerate() {
            if node.lock().await.operators("/consumers").await?.contains("\"here\":true") {
                return Ok(index);
            }
        }
        sleep(LOOK).await;
    }
    anyhow::bail!("no node delivers")
}
