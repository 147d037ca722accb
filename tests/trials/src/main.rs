//! `parlance-trials`: real servers under faults, and recorded conversations replayed through
//! them, with every message accounted for.
// The output of these commands is their purpose: tables on stdout, progress on stderr.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool prints")]
// Memberships are lists of ranges, often with a single one.
#![allow(clippy::single_range_in_vec_init, reason = "such a list is meant")]

mod events;
mod replay;
mod torture;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use parlance_testbed::run_command;

/// Replays recorded conversations through a Parlance server and checks that every message
/// arrived everywhere, once and in order; or tortures a cluster and checks every promise; or measures how events leave.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Replay(replay::Args),
    Torture(torture::Args),
    Events(events::Args),
}

#[tokio::main]
async fn main() -> ExitCode {
    let command = async {
        match Cli::parse().command {
            Command::Replay(args) => Box::pin(replay::run(args)).await,
            Command::Torture(args) => Box::pin(torture::run(args)).await,
            Command::Events(args) => Box::pin(events::run(args)).await,
        }
    };
    run_command("parlance-trials", command).await
}
