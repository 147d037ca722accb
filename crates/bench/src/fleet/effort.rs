use std::path::PathBuf;

use anyhow::Result;
use parlance_testbed::{Cluster, Options};

/// What is measured, and how much of it.
pub(super) struct Effort {
    pub(super) program: PathBuf,
    pub(super) quick: bool,
}

impl Effort {
    /// `full`, or a tenth of it for trying out.
    pub(super) fn of(&self, full: usize) -> usize {
        if self.quick { (full / 10).max(1) } else { full }
    }

    pub(super) async fn cluster(&self, nodes: u8) -> Result<Cluster> {
        let options = Options { program: &self.program, nodes, embedded: false, plant: None };
        Box::pin(Cluster::start(&options)).await
    }
}
