use std::path::PathBuf;

use anyhow::Result;
use parlance_testbed::{Cluster, Options};

/// Selects what is measured, and how thoroughly.
pub(super) struct Effort {
    pub(super) program: PathBuf,
    pub(super) quick: bool,
}

impl Effort {
    /// `full`, or a tenth of it for a quick try.
    pub(super) fn of(&self, full: usize) -> usize {
        if self.quick { (full / 10).max(1) } else { full }
    }

    pub(super) async fn cluster(&self, nodes: u8) -> Result<Cluster> {
        let options =
            Options { program: &self.program, nodes, embedded: false, plant: None, arguments: Vec::new() };
        Box::pin(Cluster::start(&options)).await
    }
}
