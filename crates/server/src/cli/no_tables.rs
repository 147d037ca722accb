//! In place of `tables` where DynamoDB is not built in.

use crate::features::require_cluster;
use clap::Args;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Whatever it would be.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _any: Vec<String>,
}

pub(crate) fn run(_arguments: &Arguments) -> anyhow::Result<()> {
    require_cluster("parlance tables")
}

pub(crate) fn restored(_table_prefix: &str) -> anyhow::Result<u64> {
    require_cluster("--store dynamodb").map(|()| 0)
}
