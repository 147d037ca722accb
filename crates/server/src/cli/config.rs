use std::io::Write as _;

use clap::{Args, Subcommand};

use super::serve;

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check options, environment and configuration file as `serve` would, and print the effective values without
    /// secrets. Opens no store and connects to nothing
    Check(Box<serve::Arguments>),
}

pub(crate) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Command::Check(arguments) = arguments.command;
    let config = arguments.into_config()?;
    serve::log_filter(&config)?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(config.check())?;
    write!(std::io::stdout(), "{}", config.effective())?;
    Ok(())
}
