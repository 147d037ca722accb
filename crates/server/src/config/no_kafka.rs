//! Stub for builds without Kafka.

use std::path::Path;
use std::sync::Arc;

use parlance_core::Clock;

use crate::planned::Planned;

/// Cannot exist.
pub(crate) enum Topic {}

impl Topic {
    pub(crate) fn read(_: &Path) -> anyhow::Result<Self> {
        anyhow::bail!(
            "--kafka needs a server built with Kafka, which `make run` leaves out: \
             cargo build --release --locked -p parlance-server"
        )
    }

    pub(crate) fn plan(self, _: &Arc<dyn Clock>) -> anyhow::Result<Planned> {
        match self {}
    }
}
