//! Measure 7: resident memory of the server for each idle connection, and for each session that
//! has caught up.

use std::fmt;
use std::time::Duration;

use anyhow::Result;
use tokio::time::{Instant, interval};

use super::effort::{Effort, progress};
use super::load::{Listeners, Way};
use super::raw::{Creator, create_users, send_many};
use super::results::{Goal, Results};
use super::series::Series;
use parlance_testbed::ServerProcess;

/// Resident memory counts as settled once it changes by less than this share between two
/// samples, or at the deadline.
const SETTLED: f64 = 0.002;
const LOOK_EVERY: Duration = Duration::from_millis(500);
const DEADLINE: Duration = Duration::from_secs(10);

/// Streams per connection: fewer than the server allows.
const STREAMS: usize = 50;

/// Members of each room that sessions catch up in.
const CATCH_UP_MEMBERS: usize = 10;

/// Messages of each of these rooms: most of one page of the store.
const CATCH_UP_MESSAGES: u64 = 150;

/// Sends in flight while the rooms are filled.
const CATCH_UP_IN_FLIGHT: usize = 64;

/// When memory is sampled after catching up: the node drops cached pages 15 s after their last
/// use, and checks every 10 s.
const CATCH_UP_REST: Duration = Duration::from_secs(40);

/// What is opened repeatedly.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Connection(Way),
    /// One more stream on an existing gRPC connection.
    Stream,
    /// A session that has caught up with a quiet room.
    CaughtUp,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(way) => write!(f, "{way} connection"),
            Self::Stream => f.write_str("further stream of a gRPC connection"),
            Self::CaughtUp => write!(
                f,
                "{} connection that has caught up with {CATCH_UP_MESSAGES} messages",
                Way::WebSocketJson
            ),
        }
    }
}

pub(super) async fn measure(effort: &Effort, results: &mut Results) -> Result<()> {
    let kinds = [
        (Kind::Connection(Way::WebSocketJson), 8.0),
        (Kind::Connection(Way::Grpc), 26.0),
        (Kind::Stream, 6.0),
        (Kind::CaughtUp, 16.0),
    ];
    let mut series = kinds.map(|_| Series::default());
    for round in 0..effort.rounds {
        progress("memory", round, effort.rounds);
        for ((kind, _), series) in kinds.iter().zip(&mut series) {
            // A round takes most of a minute; the first ones suffice.
            if matches!(kind, Kind::CaughtUp) && round > effort.rounds / 2 {
                continue;
            }
            series.push(Box::pin(one_round(effort, *kind)).await? / 1024.0);
        }
    }
    for ((kind, goal), series) in kinds.into_iter().zip(series) {
        results.add(7, format!("KiB of memory for an idle {kind}"), Goal::AtMost(goal), series);
    }
    Ok(())
}

/// Uses a new server each time: the next round would reuse memory freed by this one.
async fn one_round(effort: &Effort, kind: Kind) -> Result<f64> {
    let server = Box::pin(ServerProcess::start(&effort.server, &[])).await?;
    let ids: Vec<_> = (0..effort.idle_connections).map(|user| format!("idle:{user}")).collect();
    let tokens = create_users(server.address(), &ids).await?;
    let creator = Creator::new(server.address()).await?;
    creator.room("idle", &ids).await?;

    let count = effort.idle_connections as f64;
    let grown = match kind {
        Kind::Connection(way) => {
            let before = settled(&server).await?;
            // gRPC with a library: the memory of its headers in the server counts.
            let idle = if way == Way::Grpc {
                Listeners::open_streams(server.address(), &tokens, None).await?
            } else {
                let people = tokens.iter().map(|token| (token, None));
                (Listeners::open(way, server.address().into(), people).await?, Vec::new())
            };
            let grown = settled(&server).await?.saturating_sub(before);
            drop(idle);
            grown as f64 / count
        }
        Kind::Stream => {
            // Opens one stream on each first, so that the cost of connections is excluded.
            let (first, more) = tokens.split_at(tokens.len() / STREAMS);
            let (_first, channels) = Listeners::open_streams(server.address(), first, None).await?;
            let before = settled(&server).await?;
            let (_more, _) = Listeners::open_streams(server.address(), more, Some(&channels)).await?;
            settled(&server).await?.saturating_sub(before) as f64 / more.len() as f64
        }
        Kind::CaughtUp => {
            for (number, members) in ids.chunks(CATCH_UP_MEMBERS).enumerate() {
                let room = creator.room(&format!("caught-up:{number}"), members).await?;
                send_many(&creator.0, &room, CATCH_UP_MESSAGES, CATCH_UP_IN_FLIGHT).await?;
            }
            let before = settled(&server).await?;
            let people = tokens.iter().map(|token| (token, None));
            let there = Listeners::open(Way::WebSocketJson, server.address().into(), people).await?;
            there.tally.reach(ids.len() as u64 * CATCH_UP_MESSAGES).await?;
            tokio::time::sleep(CATCH_UP_REST).await;
            let grown = settled(&server).await?.saturating_sub(before);
            drop(there);
            grown as f64 / count
        }
    };
    server.stop().await?;
    Ok(grown)
}

/// Resident memory once it is stable.
async fn settled(server: &ServerProcess) -> Result<u64> {
    let deadline = Instant::now() + DEADLINE;
    let mut look = interval(LOOK_EVERY);
    look.reset();
    let mut last = server.resident_bytes()?;
    loop {
        look.tick().await;
        let now = server.resident_bytes()?;
        if now.abs_diff(last) as f64 <= SETTLED * now as f64 || Instant::now() > deadline {
            return Ok(now);
        }
        last = now;
    }
}
