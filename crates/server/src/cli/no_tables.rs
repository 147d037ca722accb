//! Replaces `tables` in builds without DynamoDB.

use crate::features::require_cluster;
use clap::Args;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Any arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _any: Vec<String>,
}

pub(crate) fn run(_arguments: &Arguments) -> anyhow::Result<()> {
    require_cluster("parlance tables")
}

pub(crate) fn restored(_table_prefix: &str) -> anyhow::Result<u64> {
    require_cluster("--store dynamodb").map(|()| 0)
}
