//! The registry of a single node keeps the contract.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(dead_code, reason = "what is promised about several nodes cannot be asked of one")]

mod contract;
mod support;

use std::sync::Arc;

use parlance_registry::Local;
use support::{AnyRegistry, node_id};

async fn open() -> (Vec<AnyRegistry>, ()) {
    (vec![Arc::new(Local::new(node_id()))], ())
}

contract::contract!(crate::open, alone);
