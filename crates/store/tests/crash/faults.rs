//! A failing device: the store reports it, stops, and never acknowledges again.

use tempfile::TempDir;

use crate::child::Start;
use crate::promises::Promises;
use crate::shim::Shim;

/// Makes `what` fail under a running writer.
fn check(what: &str) {
    let shim = Shim::compile();
    let dir = TempDir::new().unwrap();
    let mut promises = Promises::default();
    let mut writer = shim.failing(dir.path(), Start::seed(6)).on(dir.path());
    writer.run_until("ack", 50);
    shim.fail(what);
    let (code, said) = writer.wait();

    assert_eq!(code, Some(3), "it ended in another way");
    let failed = said.iter().position(|line| line.starts_with("failed ")).unwrap();
    assert!(said[failed..].iter().filter(|line| line.starts_with("refused ")).count() >= 3);
    promises.hear(&said);
    // After a restart on a working device.
    promises.check(dir.path()).unwrap();
}

#[test]
fn a_failed_sync_is_final() {
    check("fail-sync");
}

#[test]
fn a_full_device_is_final() {
    check("fail-write");
}
