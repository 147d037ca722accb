//! `parlance-bench measure`: what a server does on this machine, beside what the machine
//! does without it.

mod bare;
mod fanout;
mod memory;
pub(crate) mod raw;
mod raw_websocket;
mod send;
mod series;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;

use crate::server_process::server_program;

/// Measures sends, deliveries and memory, beside bare counterparts on the same machine.
///
/// - send: acknowledged sends a second at 1, 16 and 256 senders, each waiting for its
///   answer, over up to 64 rooms: with syncing, with `--sync off`, and a bare gRPC echo.
/// - fanout: deliveries a second from one sender to 1,000 listeners of one room, over
///   gRPC and over WebSocket, beside a bare TCP broadcast of the same bytes, with a write
///   for each message and with one for all that wait.
/// - memory: resident memory of the server for each idle connection, signed in and in
///   one room, over gRPC and over WebSocket.
///
/// Servers, clients and counterparts share this machine. Rounds alternate; shown are
/// the median and, in brackets, the lowest and highest round.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// One short round of each and fewer connections: for trying it out.
    #[arg(long)]
    quick: bool,
    /// Only these, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<What>,
    /// The server to start. Default: `parlance` beside this program.
    #[arg(long, value_name = "PATH")]
    server_bin: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    Send,
    Fanout,
    Memory,
}

/// How much to do.
#[derive(Debug, Clone)]
struct Effort {
    server: PathBuf,
    rounds: usize,
    /// Of one round of sends.
    duration: Duration,
    listeners: usize,
    /// Messages of one round of deliveries.
    messages: u64,
    idle_connections: usize,
}

/// Text of every message: 200 bytes, a long sentence.
const TEXT_BYTES: usize = 200;

/// Says on stderr what is being done: a round takes seconds, all of them minutes.
fn progress(what: &str, round: usize, rounds: usize) {
    eprintln!("{what}: round {} of {rounds}", round + 1);
}

pub(crate) fn text() -> String {
    "0123456789".repeat(TEXT_BYTES / 10)
}

/// Runs the measurements.
pub(crate) async fn run(args: Args) -> Result<bool> {
    let server = server_program(args.server_bin)?;
    let effort = if args.quick {
        Effort {
            server,
            rounds: 1,
            duration: Duration::from_secs(1),
            listeners: 200,
            messages: 50,
            idle_connections: 200,
        }
    } else {
        Effort {
            server,
            rounds: 5,
            duration: Duration::from_secs(3),
            listeners: 1_000,
            messages: 300,
            idle_connections: 2_000,
        }
    };
    let wanted = |what| args.only.is_empty() || args.only.contains(&what);
    if wanted(What::Send) {
        Box::pin(send::measure(&effort)).await?;
    }
    if wanted(What::Fanout) {
        Box::pin(fanout::measure(&effort)).await?;
    }
    if wanted(What::Memory) {
        Box::pin(memory::measure(&effort)).await?;
    }
    Ok(true)
}
