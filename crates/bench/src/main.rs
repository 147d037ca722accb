//! `parlance-bench`: runs measurements, or starts a cluster to try things on.
// The output of these commands is their purpose: tables on stdout, progress on stderr.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool prints")]

mod cluster;
mod fleet;
mod measure;
mod peers;
mod processes;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use parlance_testbed::run_command;

/// Measures the performance of a Parlance server; or starts a cluster to try things
/// on.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Measure(measure::Args),
    Fleet(fleet::Args),
    Cluster(cluster::Args),
    /// A baseline server for `measure`, in a process of its own.
    #[command(hide = true)]
    Bare {
        kind: measure::Bare,
    },
    /// Connections of `measure`, in a process of their own.
    #[command(hide = true)]
    Hold(measure::Hold),
}

#[tokio::main]
async fn main() -> ExitCode {
    let command = async {
        match Cli::parse().command {
            Command::Measure(args) => Box::pin(measure::run(args)).await,
            Command::Fleet(args) => Box::pin(fleet::run(args)).await,
            Command::Cluster(args) => Box::pin(cluster::run(args)).await,
            Command::Hold(hold) => Box::pin(measure::hold(hold)).await,
            Command::Bare { kind } => measure::bare(kind).await,
        }
    };
    run_command("parlance-bench", command).await
}
