use std::path::PathBuf;

use super::say::say;
use crate::config::TABLE_PREFIX;
use crate::features::require_cluster;
use anyhow::Context;
use clap::{Args, ValueEnum};
use parlance_store::{Embedded, Options};

/// Copied data directories and copied tables are detected without this. A restored volume, or items restored into the
/// same tables, are not. Stop all nodes first.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Storage of rooms and messages
    #[arg(long, env = "PARLANCE_STORE", value_enum, default_value_t = Engine::Embedded)]
    store: Engine,

    /// The data directory of the server
    #[arg(
        long,
        visible_alias = "data",
        env = "PARLANCE_DATA_DIR",
        value_name = "DIR",
        default_value = "parlance-data"
    )]
    data_dir: PathBuf,

    /// Prefix of the table names
    #[arg(long, env = "PARLANCE_TABLE_PREFIX", value_name = "PREFIX", default_value = TABLE_PREFIX)]
    table_prefix: String,
}

#[derive(Clone, Copy, ValueEnum)]
enum Engine {
    Embedded,
    Dynamodb,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let epoch = match arguments.store {
        Engine::Embedded => {
            let dir = arguments.data_dir.join("store");
            anyhow::ensure!(dir.is_dir(), "there is no store in {}", arguments.data_dir.display());
            Embedded::open(&dir, Options::default())?.restored().context("cannot write the identity")?
        }
        Engine::Dynamodb => {
            require_cluster("--store dynamodb")?;
            super::tables::restored(&arguments.table_prefix)?
        }
    };
    say!("the epoch is {epoch} now: clients discard their state and reload")?;
    Ok(())
}
