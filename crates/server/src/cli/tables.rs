use super::say::say;
use crate::clock_error;
use crate::config::TABLE_PREFIX;
use anyhow::{Context, ensure};
use clap::{Args, Subcommand};
use parlance_store::{Dynamo, DynamoOptions, TableOptions};

/// Region, credentials and endpoint come from the standard AWS settings.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,

    /// Prefix of the table names
    #[arg(long, env = "PARLANCE_TABLE_PREFIX", value_name = "PREFIX", default_value = TABLE_PREFIX, global = true)]
    table_prefix: String,
}

#[derive(Subcommand)]
enum Command {
    /// Create the missing tables, with backups and on-demand billing
    Create {
        /// Protect them from deletion until this is switched off
        #[arg(long)]
        deletion_protection: bool,

        /// Tag them, for billing and access rules; may be repeated
        #[arg(long = "tag", value_name = "NAME=VALUE", value_parser = tag)]
        tags: Vec<(String, String)>,
    },
    /// Report missing tables and settings that differ from what is needed
    Check,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(ask(arguments))
}

/// Raises the epoch of the store in these tables. Returns the new one.
pub(crate) fn restored(table_prefix: &str) -> anyhow::Result<u64> {
    let table_prefix = table_prefix.to_owned();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let store = Dynamo::connect(&DynamoOptions { table_prefix, ..DynamoOptions::default() }).await?;
        store.restored().await.context("cannot write the identity")
    })
}

async fn ask(arguments: &Arguments) -> anyhow::Result<()> {
    let options = DynamoOptions { table_prefix: arguments.table_prefix.clone(), ..DynamoOptions::default() };
    let (store, clock) = (Dynamo::connect(&options).await?, options.clock);
    if let Command::Create { deletion_protection, tags } = &arguments.command {
        let options = TableOptions { deletion_protection: *deletion_protection, tags: tags.clone() };
        let report = store.create_tables(&options).await.context("cannot create the tables")?;
        report.notes.iter().try_for_each(|note| say!("{note}"))?;
    }
    // Also after creating: existing tables may have other settings.
    let report = store.check_tables().await.context("cannot check the tables")?;
    if matches!(arguments.command, Command::Check) {
        report.notes.iter().try_for_each(|note| say!("{note}"))?;
    }
    report.warnings.iter().try_for_each(|warning| say!("warning: {warning}"))?;
    if let Some(why) = clock_error(&clock) {
        say!("warning: the clock of this machine is {why}")?;
    }
    // Unusable tables are an error even if nobody reads why.
    let said = report.problems.iter().try_for_each(|problem| say!("problem: {problem}"));
    ensure!(report.problems.is_empty(), "the tables are not usable");
    said?;
    say!("the tables are ready")?;
    Ok(())
}

fn tag(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("must be NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
