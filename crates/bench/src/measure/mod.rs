//! `parlance-bench measure`: compares a server with what the machine achieves without it.

mod connects;
mod deliveries;
mod effort;
mod figure;
mod history;
mod load;
mod machine;
mod many_nodes;
mod memory;
mod plot;
pub(crate) mod raw;
mod results;
mod room;
mod sends;
mod series;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use self::effort::Effort;
pub(crate) use self::effort::text;
pub(crate) use self::load::Bare;
pub(crate) use self::many_nodes::soak::{Hold, hold};
use self::results::Results;
pub(crate) use self::series::quantile;
use parlance_testbed::server_program;

/// Compares a server with what the same machine achieves without it.
///
/// Numbers are those of `docs/performance.md`: 1 and 10 one message at a time; 2 and 4 at
/// maximum load; 3 encodings of frames; 5 and 6 acknowledged sends; 7 memory of idle
/// connections; 8 many sockets for ten minutes; 9 connects; 11 stalled readers; 12 more nodes;
/// 13 history; 14 a killed node; 15 TLS.
///
/// Servers, clients and baselines share this machine. The compared servers alternate within
/// one run, and each figure is a ratio within one round; shown are the median and, in
/// brackets, the lowest and highest round. Written to `latest.md`, `latest.json` and
/// `latest.svg` in the results folder.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Fewer and shorter rounds, under five minutes: for use before and after a change.
    #[arg(long)]
    quick: bool,
    /// Only these numbers, separated by commas.
    #[arg(long, value_delimiter = ',')]
    only: Vec<u8>,
    /// The server to start. Default: `parlance` next to this program.
    #[arg(long, value_name = "PATH")]
    server_bin: Option<PathBuf>,
    /// Where `tools/install-peers` has installed other servers, to measure them as well.
    #[arg(long, value_name = "FOLDER")]
    peers: Option<PathBuf>,
    /// Folder for the results.
    #[arg(long, value_name = "FOLDER", default_value = "bench/results")]
    results: PathBuf,
}

/// Runs the measurements.
pub(crate) async fn run(args: Args) -> Result<bool> {
    let server = server_program(args.server_bin)?;
    let peers = args.peers.map(std::path::absolute).transpose()?;
    let effort = if args.quick {
        Effort {
            server,
            rounds: 3,
            duration: Duration::from_secs(1),
            listeners: 500,
            messages: 200,
            idle_connections: 500,
            history: 50_000,
            history_on_dynamodb: 5_000,
            soak_sockets: 3_000,
            soak: Duration::from_secs(20),
            storm: 1_000,
            less: 2,
            peers,
        }
    } else {
        Effort {
            server,
            rounds: 5,
            duration: Duration::from_secs(3),
            listeners: 1_000,
            messages: 1_000,
            idle_connections: 2_000,
            history: 1_000_000,
            history_on_dynamodb: 50_000,
            soak_sockets: 90_000,
            soak: Duration::from_secs(600),
            storm: 15_000,
            less: 1,
            peers,
        }
    };
    let wanted =
        |numbers: &[u8]| args.only.is_empty() || numbers.iter().any(|number| args.only.contains(number));
    let mut results = Results::default();
    if wanted(&[1, 10]) {
        Box::pin(deliveries::one_at_a_time(&effort, &mut results)).await?;
    }
    if wanted(&[2, 4]) {
        Box::pin(deliveries::saturated(&effort, &mut results)).await?;
    }
    if wanted(&[3]) {
        Box::pin(deliveries::forms(&effort, &mut results)).await?;
    }
    if wanted(&[5, 6]) {
        Box::pin(sends::measure(&effort, &mut results)).await?;
    }
    if wanted(&[7]) {
        Box::pin(memory::measure(&effort, &mut results)).await?;
    }
    if wanted(&[9]) {
        Box::pin(connects::measure(&effort, &mut results)).await?;
    }
    if wanted(&[11]) {
        Box::pin(deliveries::stalled(&effort, &mut results)).await?;
    }
    if wanted(&[13]) {
        Box::pin(history::measure(&effort, &mut results)).await?;
        Box::pin(history::on_dynamodb(&effort, &mut results)).await?;
    }
    if wanted(&[8]) {
        Box::pin(many_nodes::soak::measure(&effort, &mut results)).await?;
    }
    if wanted(&[12]) {
        Box::pin(many_nodes::spread::measure(&effort, &mut results)).await?;
    }
    if wanted(&[14]) {
        Box::pin(many_nodes::storm::measure(&effort, &mut results)).await?;
    }
    if wanted(&[15]) {
        Box::pin(deliveries::tls(&effort, &mut results)).await?;
    }
    results.write(&args.results, &machine::describe())?;
    Ok(true)
}

/// Implements the hidden command `bare`: see [`load::BareServer`].
pub(crate) async fn bare(bare: Bare) -> Result<bool> {
    load::bare::serve(bare).await.map(|()| true)
}
