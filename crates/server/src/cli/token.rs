use std::path::PathBuf;
use std::time::Duration;

use super::say::say;
use crate::existing_local_key;
use anyhow::Context;
use clap::{Args, ValueEnum};
use parlance_api::identity::Auth;
use parlance_core::{Clock as _, SystemClock, UserId};

/// Works while the server is running, and after it has run once. Servers with --jwt-secret-file or
/// --jwt-public-key only accept tokens of your own backend.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The user id in the token: 1 to 64 letters, digits and -_.~@|:+=
    user: String,

    /// The data directory of the server
    #[arg(long, env = "PARLANCE_DATA_DIR", value_name = "DIR", default_value = "parlance-data")]
    data_dir: PathBuf,

    /// Hours until it expires
    #[arg(long, value_name = "HOURS", default_value_t = 720, value_parser = clap::value_parser!(u32).range(1..))]
    hours: u32,

    /// Makes it a token of the app's backend, which acts in any room [default: the token of a user]
    #[arg(long, value_name = "SCOPE")]
    scope: Option<Scope>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Scope {
    /// Creates and changes users and rooms, posts in any of them, and acts as any user
    Service,
    /// The same, and bans, mutes and operates the server
    Admin,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let user = UserId::parse(&arguments.user).with_context(|| format!("{:?}", arguments.user))?;
    let auth = Auth::local(&existing_local_key(&arguments.data_dir)?);
    let lifetime = Duration::from_secs(u64::from(arguments.hours) * 3600);
    let scope = match arguments.scope {
        None => "",
        Some(Scope::Service) => "service",
        Some(Scope::Admin) => "admin",
    };
    let token = auth.mint_with_scope(&user, scope, lifetime, SystemClock.now());
    say!("{}", token.context("cannot sign")?)?;
    Ok(())
}
