//! The `parlance` command.

mod cli;

use std::process::ExitCode;

use clap::builder::Resettable;
use clap::{Arg, Command as Clap, CommandFactory, FromArgMatches, Parser};

use crate::cli::{Command, chat, config, restored, serve, tables, token};

/// A chat backend: rooms, messages, history, inbox and presence over gRPC, grpc-web,
/// WebSocket and REST.
#[derive(Parser)]
#[command(name = "parlance", version = parlance_server::features::VERSION, max_term_width = 100)]
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

/// What builds for tests, and those who run them, know besides: which bug is planted, and where the
/// server is.
const OF_TESTS: [&str; 2] = ["PARLANCE_PLANT", "PARLANCE_BIN"];

/// Variables named as ours are, of which none of the commands knows. A misspelt one would leave a
/// setting at its default without a word.
fn unknown_variables(command: &Clap) -> Vec<String> {
    fn known(command: &Clap) -> Vec<std::ffi::OsString> {
        let own = command.get_arguments().filter_map(|arg| arg.get_env().map(ToOwned::to_owned));
        own.chain(command.get_subcommands().flat_map(known)).collect()
    }
    let known = known(command);
    // Kubernetes tells every container of a service `parlance` by variables of such names.
    let is_ours =
        |name: &str| name.starts_with("PARLANCE_") && !name.contains("_SERVICE_") && !name.contains("_PORT");
    let set = std::env::vars_os().filter(|(_, value)| !value.is_empty()).map(|(name, _)| name);
    let unknown = set.filter(|name| !known.contains(name) && OF_TESTS.iter().all(|other| name != other));
    unknown.filter_map(|name| name.into_string().ok()).filter(|name| is_ours(name)).collect()
}

fn main() -> ExitCode {
    for name in unknown_variables(&Cli::command()) {
        cli::warn(&format!("there is no variable {name}; see parlance serve --help"));
    }
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
