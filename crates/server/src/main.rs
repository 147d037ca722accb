//! The `parlance` command.

mod cli;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Command, chat, restored, serve, tables, token};

/// A chat backend: rooms, messages, history, inbox and presence over gRPC, grpc-web,
/// WebSocket and REST.
#[derive(Parser)]
#[command(name = "parlance", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(arguments) => serve::run(*arguments),
        Command::Tables(arguments) => tables::run(&arguments),
        Command::Restored(arguments) => restored::run(&arguments),
        Command::Token(arguments) => token::run(&arguments),
        Command::Chat(arguments) => chat::run(arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            cli::complain(&error);
            ExitCode::FAILURE
        }
    }
}
