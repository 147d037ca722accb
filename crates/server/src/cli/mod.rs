//! The command line.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is where we talk to whoever typed the command"
)]

mod chat;
mod config;
mod consumers;
mod events;
mod remote;
mod restored;
mod revoke;
mod say;
mod serve;
#[cfg_attr(not(feature = "cluster"), path = "no_tables.rs")]
mod tables;
mod token;
mod watchdog;

use std::io;
use std::process::ExitCode;

use clap::builder::Resettable;
use clap::{Arg, Command as Clap, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::Seams;

/// A chat backend: rooms, messages, history, inbox and presence over gRPC, grpc-web,
/// WebSocket and REST.
#[derive(Parser)]
#[command(name = "parlance", version = crate::features::VERSION, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Treats an empty environment variable as unset: shells and manifests cannot always omit one.
fn without_empty_variables(command: Clap) -> Clap {
    let is_empty = |arg: &Arg| {
        let value = arg.get_env().and_then(std::env::var_os);
        value.is_some_and(|value| value.is_empty())
    };
    let unset = |arg: Arg| if is_empty(&arg) { arg.env(Resettable::Reset) } else { arg };
    command.mut_args(unset).mut_subcommands(without_empty_variables)
}

/// Variables used by tests: the planted bug of a server, and its binary.
const OF_TESTS: [&str; 2] = ["PARLANCE_PLANT", "PARLANCE_BIN"];

/// Variables with our prefix that no command knows. A misspelt one would silently leave a setting
/// at its default.
fn unknown_variables(command: &Clap) -> Vec<String> {
    fn known(command: &Clap) -> Vec<std::ffi::OsString> {
        let own = command.get_arguments().filter_map(|arg| arg.get_env().map(ToOwned::to_owned));
        own.chain(command.get_subcommands().flat_map(known)).collect()
    }
    let known = known(command);
    // Kubernetes sets variables with such names in every container of a service `parlance`.
    let is_ours =
        |name: &str| name.starts_with("PARLANCE_") && !name.contains("_SERVICE_") && !name.contains("_PORT");
    let set = std::env::vars_os().filter(|(_, value)| !value.is_empty()).map(|(name, _)| name);
    let unknown = set.filter(|name| !known.contains(name) && OF_TESTS.iter().all(|other| name != other));
    unknown.filter_map(|name| name.into_string().ok()).filter(|name| is_ours(name)).collect()
}

/// Runs the command line.
pub fn main(seams: Seams) -> ExitCode {
    for name in unknown_variables(&Cli::command()) {
        warn(&format!("there is no variable {name}; see parlance serve --help"));
    }
    let matches = without_empty_variables(Cli::command()).get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let is_server = matches!(cli.command, Command::Serve(_));
    let result = match cli.command {
        Command::Serve(arguments) => serve::run(*arguments, seams),
        Command::Config(arguments) => config::run(arguments),
        Command::Tables(arguments) => tables::run(&arguments),
        Command::Restored(arguments) => restored::run(&arguments),
        Command::Revoke(arguments) => revoke::run(arguments),
        Command::Token(arguments) => token::run(&arguments),
        Command::Events(arguments) => events::run(arguments),
        Command::Consumers(arguments) => consumers::run(arguments),
        Command::Chat(arguments) => chat::run(arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads the output has enough of it, like `head`.
        Err(error) if !is_server && is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

#[derive(Subcommand)]
enum Command {
    /// Run the server
    Serve(Box<serve::Arguments>),
    /// Check the configuration of a server
    Config(config::Arguments),
    /// Create the tables in DynamoDB, or check them
    Tables(tables::Arguments),
    /// Record that the store was restored from a backup, so that clients start over
    Restored(restored::Arguments),
    /// Revoke tokens: those of a user, a single one by its id, or all
    Revoke(revoke::Arguments),
    /// Print a token for a user, signed with the generated key of local mode
    Token(token::Arguments),
    /// List and control the consumers of events (webhooks, Kafka) in a running server
    Consumers(consumers::Arguments),
    /// Print the events of all rooms as they happen, one JSON object per line
    Events(events::Arguments),
    /// Chat in the terminal: join a room, see its history, talk
    Chat(chat::Arguments),
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn warn(message: &str) {
    eprintln!("warning: {message}");
}

fn complain(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
}
