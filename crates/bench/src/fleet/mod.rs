//! `parlance-bench fleet`: cost and latency of several nodes on DynamoDB and Redis,
//! measured on this machine.

mod commands;
mod contention;
mod effort;
mod flush;
mod latency;
pub(crate) mod people;
mod units;

use std::path::PathBuf;

use anyhow::Result;
use clap::ValueEnum;

use parlance_testbed::server_program;

use self::effort::Effort;

/// Measures a fleet: starts its own Redis, DynamoDB API server and nodes.
///
/// - units: DynamoDB write units for each message of 200 bytes, and for other operations,
///   from ConsumedCapacity as the nodes count it, failed attempts included.
/// - commands: Redis commands per message in rooms of 2, 50 and 10,000 members.
/// - latency: of a delivery on the sender's node and on another, in one run.
/// - flush: time from FLUSHALL until every delivery is prompt again.
/// - contention: 16 nodes that write one room: sends per second, and their distribution
///   over the nodes.
///
/// Everything shares this machine: times are for comparison, not for capacity planning.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Smaller loads, for a quick try.
    #[arg(long)]
    quick: bool,
    /// Only these, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<What>,
    /// The server to start. Default: `parlance` next to this program.
    #[arg(long, value_name = "PATH")]
    server_bin: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    Units,
    Commands,
    Latency,
    Flush,
    Contention,
}

/// Runs the measurements; missed targets are part of the figures, so it always returns
/// `true`.
pub(crate) async fn run(args: Args) -> Result<bool> {
    let effort = Effort { program: server_program(args.server_bin)?, quick: args.quick };
    let wanted = |what| args.only.is_empty() || args.only.contains(&what);
    if wanted(What::Units) {
        Box::pin(units::measure(&effort)).await?;
    }
    if wanted(What::Commands) {
        Box::pin(commands::measure(&effort)).await?;
    }
    if wanted(What::Latency) {
        Box::pin(latency::measure(&effort)).await?;
    }
    if wanted(What::Flush) {
        Box::pin(flush::measure(&effort)).await?;
    }
    if wanted(What::Contention) {
        Box::pin(contention::measure(&effort)).await?;
    }
    Ok(true)
}
