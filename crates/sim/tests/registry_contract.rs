//! The simulated registry fulfils the contract of the real ones.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../../registry/tests/contract/mod.rs"]
mod contract;
#[path = "../../registry/tests/support/mod.rs"]
mod support;

use std::sync::Arc;

use parlance_sim::dice::Dice;
use parlance_sim::fence::Fence;
use parlance_sim::mesh::Mesh;
use parlance_sim::trace::Trace;
use parlance_sim::weather::Weather;
use support::{AnyRegistry, node_id};

fn nodes(count: usize) -> Vec<AnyRegistry> {
    let mesh = Mesh::new(Arc::new(Weather::new(Dice::new(1), Arc::new(Trace::new(false)))));
    (0..count).map(|_| mesh.join(node_id(), Arc::new(Fence::new())) as AnyRegistry).collect()
}

async fn one() -> (Vec<AnyRegistry>, ()) {
    (nodes(1), ())
}

async fn three() -> (Vec<AnyRegistry>, ()) {
    (nodes(3), ())
}

mod alone {
    crate::contract::contract!(super::one, alone);
}
mod fleet {
    crate::contract::contract!(super::three, fleet);
}
