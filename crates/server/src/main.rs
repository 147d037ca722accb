//! The `parlance` command.

mod cli;

use std::process::ExitCode;

use clap::builder::Resettable;
use clap::{Arg, Command as Clap, CommandFactory, FromArgMatches, Parser};

use crate::cli::{Command, chat, config, restored, serve, tables, token};

/// A chat backend: rooms, messages, history, inbox and presence over gRPC, grpc-web,
/// WebSocket and REST.
#[derive(Parser)]
#[command(name = "parlance", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Takes a variable of the environment that is empty for one that is not set: shells and
/// manifests cannot always leave one out.
fn without_empty_variables(command: Clap) -> Clap {
    let is_empty = |arg: &Arg| {
        let value = arg.get_env().and_then(std::env::var_os);
        value.is_some_and(|value| value.is_empty())
    };
    let unset = |arg: Arg| if is_empty(&arg) { arg.env(Resettable::Reset) } else { arg };
    command.mut_args(unset).mut_subcommands(without_empty_variables)
}

fn main() -> ExitCode {
    let matches = without_empty_variables(Cli::command()).get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let result = match cli.command {
        Command::Serve(arguments) => serve::run(*arguments),
        Command::Config(arguments) => config::run(arguments),
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
