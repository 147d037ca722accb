//! The subcommands.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is where we talk to whoever typed the command"
)]

pub(crate) mod chat;
pub(crate) mod config;
pub(crate) mod restored;
pub(crate) mod serve;
#[cfg_attr(not(feature = "cluster"), path = "no_tables.rs")]
pub(crate) mod tables;
pub(crate) mod token;
mod watchdog;

use clap::Subcommand;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run the server
    Serve(Box<serve::Arguments>),
    /// Check the configuration of a server
    Config(config::Arguments),
    /// Create the tables in DynamoDB, or check them
    Tables(tables::Arguments),
    /// Say that the store was restored from a backup: clients then start over
    Restored(restored::Arguments),
    /// Print a token for a user, signed with the self-made key of local mode
    Token(token::Arguments),
    /// Chat in the terminal: join a room, see its history, talk
    Chat(chat::Arguments),
}

pub(crate) fn warn(message: &str) {
    eprintln!("warning: {message}");
}

pub(crate) fn complain(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
}
