//! SIGKILL at any moment: everything acknowledged or read is there afterwards,
//! once.

use std::time::Duration;

use tempfile::TempDir;

use crate::child::Start;
use crate::promises::Promises;
use crate::random::Random;

#[test]
fn killed_process_loses_no_acknowledged_write() {
    let dir = TempDir::new().unwrap();
    let mut promises = Promises::default();
    let mut random = Random(1);
    let mut acks = 0;
    for run in 0..54 {
        let mut writer = Start::seed(run).on(dir.path());
        if run % 6 != 0 {
            writer.run_until("ack", 1 + random.below(40) as usize);
        }
        // Otherwise perhaps while it opens or creates the store.
        writer.run_for(Duration::from_millis(random.below(60)));
        acks += promises.hear(&writer.kill());
        promises.check(dir.path()).unwrap_or_else(|broken| panic!("after run {run}: {broken}"));
    }
    promises.check_all(dir.path()).unwrap();
    assert!(acks > 500, "only {acks} chunks were acknowledged");
}
