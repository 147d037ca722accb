//! Built-in features: everything, or only what a single node needs.

/// Whether DynamoDB and Redis are built in (the Cargo feature `cluster`).
pub const CLUSTER: bool = cfg!(feature = "cluster");

/// The version, and the built-in features.
pub const VERSION: &str = if CLUSTER {
    concat!(env!("CARGO_PKG_VERSION"), " (stores: embedded, dynamodb; registries: local, redis)")
} else {
    concat!(env!("CARGO_PKG_VERSION"), " (stores: embedded; registries: local)")
};

/// Fails for features that need DynamoDB or Redis in builds without them. `asked` names the option or command.
///
/// # Errors
/// Names the build to use instead.
pub fn require_cluster(asked: &str) -> anyhow::Result<()> {
    require(CLUSTER, asked)
}

fn require(built_in: bool, asked: &str) -> anyhow::Result<()> {
    if built_in { Ok(()) } else { Err(not_built_in(asked)) }
}

/// The error for `asked`, with the build to use instead.
pub(crate) fn not_built_in(asked: &str) -> anyhow::Error {
    anyhow::anyhow!(
        "{asked} needs a server built with DynamoDB and Redis, which `make run` leaves out: \
         cargo build --release --locked -p parlance-server"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_features_are_refused_with_the_remedy() {
        assert!(require(true, "--redis").is_ok());
        let refused = require(false, "--redis").unwrap_err().to_string();
        assert!(refused.starts_with("--redis needs"), "{refused}");
        assert!(refused.ends_with("cargo build --release --locked -p parlance-server"), "{refused}");
    }
}
