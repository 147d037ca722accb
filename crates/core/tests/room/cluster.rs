//! The room keeps its promises despite failures of nodes, store and clients.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::model::{Cluster, Fault, MET, scripts, scripts_with_data, scripts_with_invitations};

/// No regression file: a failure prints its script, which becomes a test of its own.
fn config() -> ProptestConfig {
    ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_cluster_keeps_its_promises(script in scripts()) {
        let run = Cluster::run(&script, Fault::None);
        prop_assert!(run.is_ok(), "{}", run.err().unwrap_or_default());
    }

    #[test]
    fn a_cluster_keeps_its_promises_with_invitations(script in scripts_with_invitations()) {
        let run = Cluster::run(&script, Fault::None);
        prop_assert!(run.is_ok(), "{}", run.err().unwrap_or_default());
    }

    #[test]
    fn a_cluster_keeps_its_promises_with_data(script in scripts_with_data()) {
        let run = Cluster::run(&script, Fault::None);
        prop_assert!(run.is_ok(), "{}", run.err().unwrap_or_default());
    }
}

/// The property above is only meaningful if its scripts meet failures.
#[test]
fn scripts_run_into_everything_that_can_go_wrong() {
    let mut runner = TestRunner::deterministic();
    let mut met = std::collections::BTreeMap::new();
    for _ in 0..200 {
        let script = scripts().new_tree(&mut runner).unwrap().current();
        for (what, count) in Cluster::run(&script, Fault::None).unwrap_or_else(|e| panic!("{e}")).met.0 {
            *met.entry(what).or_insert(0) += count;
        }
    }
    let missed: Vec<_> = MET.iter().filter(|what| !met.contains_key(*what)).collect();
    assert!(missed.is_empty(), "never met: {missed:?}; met: {met:?}");
}

#[test]
fn scripts_accept_invitations_use_links_and_ask() {
    let mut runner = TestRunner::deterministic();
    let mut met = std::collections::BTreeMap::new();
    for _ in 0..200 {
        let script = scripts_with_invitations().new_tree(&mut runner).unwrap().current();
        for (what, count) in Cluster::run(&script, Fault::None).unwrap_or_else(|e| panic!("{e}")).met.0 {
            *met.entry(what).or_insert(0) += count;
        }
    }
    let wanted = ["an invitation accepted", "a link used", "a request to join"];
    let missed: Vec<_> = wanted.iter().filter(|what| !met.contains_key(*what)).collect();
    assert!(missed.is_empty(), "never met: {missed:?}; met: {met:?}");
}
