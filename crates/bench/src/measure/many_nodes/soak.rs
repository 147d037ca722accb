//! Measure 8: tens of thousands of sockets, held open for minutes.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines, stdin};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{Instant, sleep, timeout};

use super::{Spent, start};
use crate::fleet::people::{create, open_deaf, room};
use crate::measure::effort::{Effort, progress};
use crate::measure::load::{Listeners, Way};
use crate::measure::raw::send_many;
use crate::measure::results::{Goal, Results};
use crate::measure::series::Series;
use parlance_testbed::token;

/// One process may have fewer descriptors than there are sockets.
const NODES: usize = 6;

const ROOM: usize = 50;

/// User number `n` is on node `n % NODES`, so each room is spread over all nodes.
const PEOPLE: &str = "soak";

/// Rooms set up concurrently.
const AT_ONCE: usize = 16;

/// Interval of progress reports.
const SAY: Duration = Duration::from_secs(60);

/// How long the last message may take to reach everyone.
const DEADLINE: Duration = Duration::from_secs(60);

pub(in crate::measure) async fn measure(effort: &Effort, results: &mut Results) -> Result<()> {
    let cluster = start(effort, NODES as u8).await?;
    let each = effort.soak_sockets / NODES;
    let count = each * NODES;
    eprintln!("{count} sockets: people and rooms");
    let users = create(&cluster, PEOPLE, count).await?;
    let owner = create(&cluster, "soak-owner", 1).await?.pop().context("an owner")?;
    let rooms: Vec<String> = futures::stream::iter(users.chunks(ROOM).enumerate())
        .map(|(number, members)| {
            let (cluster, owner) = (&cluster, &owner);
            async move {
                let members = [std::slice::from_ref(owner), members].concat();
                room(cluster, &format!("soak-{number}"), &members).await
            }
        })
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    let mut holders = Vec::new();
    for node in 0..NODES {
        eprintln!("{each} sockets come to node {}", node + 1);
        holders.push(Holder::start(cluster.address(node), node, each).await?);
    }
    let (before, began) = (Spent::now(&cluster, NODES).await?, Instant::now());
    let rounds = effort.soak.as_secs().div_ceil(SAY.as_secs()) as usize;
    for round in 0..rounds {
        progress("sockets are held, minutes", round, rounds);
        sleep(effort.soak / rounds as u32).await;
    }
    let (spent, elapsed) = (Spent::now(&cluster, NODES).await?.since(before), began.elapsed());
    // Each socket must still be open, and receive the message.
    for holder in &mut holders {
        holder.count_from_now().await?;
    }
    let session = open_deaf(&cluster, &owner, 0).await?;
    for room in &rooms {
        send_many(&session, room, 1, 1).await?;
    }
    let mut held = 0;
    let mut came = 0;
    for holder in holders {
        let (open, events) = holder.end().await?;
        held += open;
        came += events;
    }
    ensure!(came <= count, "{came} last messages came to {count} sockets");
    let minutes = elapsed.as_secs_f64() / 60.0;
    // A socket that is open but receives nothing counts as lost, too.
    let lost = count - held.min(came);
    let measure = format!("of {count} sockets on {NODES} nodes, lost within {minutes:.1} minutes");
    results.add(8, measure, Goal::AtMost(0.0), Series::from_iter([lost as f64]));
    let cost = spent.all().as_secs_f64() * 1e6 / elapsed.as_secs_f64() / count as f64;
    let measure = "CPU us for each second and idle socket, nodes and Redis";
    results.add(8, measure, Goal::AtMost(2.5), Series::from_iter([cost]));
    drop(session);
    cluster.end().await
}

/// A process with the sockets of one node.
struct Holder {
    child: Child,
    said: Lines<BufReader<ChildStdout>>,
    count: usize,
}

impl Holder {
    /// Returns once all of them are welcomed.
    async fn start(address: &str, first: usize, count: usize) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["hold", address, &first.to_string(), &NODES.to_string(), &count.to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let said = BufReader::new(child.stdout.take().context("its output is piped")?).lines();
        let mut holder = Self { child, said, count };
        let open = holder.line().await?;
        ensure!(open == "open", "sockets cannot be opened");
        Ok(holder)
    }

    /// Makes it count events.
    async fn count_from_now(&mut self) -> Result<()> {
        self.child.stdin.as_mut().context("it listens")?.write_all(b"count\n").await?;
        ensure!(self.line().await? == "counting", "it does not count");
        Ok(())
    }

    /// The number of sockets still open, and of events received.
    async fn end(mut self) -> Result<(usize, usize)> {
        drop(self.child.stdin.take());
        let line = self.line().await?;
        let (open, events) = line.split_once(' ').context("it says two numbers")?;
        let result = (open.parse()?, events.parse()?);
        self.child.wait().await?;
        ensure!(result.0 <= self.count, "more than were opened");
        Ok(result)
    }

    async fn line(&mut self) -> Result<String> {
        self.said.next_line().await?.context("a process with sockets has ended")
    }
}

/// Opens sockets, prints "open", and holds them. After a line on stdin, it counts events;
/// at end of input, it prints how many sockets are open and how many events all of them
/// received.
#[derive(Debug, clap::Args)]
pub(crate) struct Hold {
    address: String,
    /// Index of the first user on this node.
    first: usize,
    step: usize,
    count: usize,
}

/// Implements the hidden command.
pub(crate) async fn hold(hold: Hold) -> Result<bool> {
    let users = (0..hold.count).map(|number| format!("{PEOPLE}:{}", hold.first + number * hold.step));
    let tokens = users.map(|user| token(&user)).collect::<Result<Vec<_>>>()?;
    let people = tokens.iter().map(|token| (token, None));
    let mut listeners = Listeners::open(Way::WebSocketJson, hold.address.as_str().into(), people).await?;
    println!("open");
    let mut orders = BufReader::new(stdin()).lines();
    orders.next_line().await?;
    let before = listeners.tally.events();
    println!("counting");
    while orders.next_line().await?.is_some() {}
    // If a socket was lost, its events never arrive: then this times out, and the count
    // shows it.
    let _ = timeout(DEADLINE, listeners.tally.reach(before + hold.count as u64)).await;
    println!("{} {}", listeners.open_still(), listeners.tally.events() - before);
    Ok(true)
}
