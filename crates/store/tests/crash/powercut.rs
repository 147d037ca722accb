//! Power cuts: like a kill, and unsynced data is lost.

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use crate::child::{Load, Start};
use crate::cut::{Cut, Device};
use crate::promises::Promises;
use crate::random::Random;
use crate::shim::Shim;

/// Checks that `device` keeps the promises after each of `cuts`; returns one of the
/// copies.
fn check(mut device: Device, cuts: &[Cut], promises: &mut Promises, random: &mut Random) -> TempDir {
    let copies: Vec<_> = cuts.iter().map(|cut| (cut, device.cut(*cut, random), promises.clone())).collect();
    let mut checked = std::thread::scope(|scope| {
        let check = |(cut, copy, mut promises): (&Cut, TempDir, Promises)| {
            let broken = promises.check(&copy.path().join("root"));
            broken.unwrap_or_else(|broken| panic!("{cut:?}: {broken}"));
            (copy, promises)
        };
        let checks: Vec<_> = copies.into_iter().map(|copy| scope.spawn(move || check(copy))).collect();
        checks.into_iter().map(|check| check.join().unwrap()).collect::<Vec<_>>()
    });
    let (copy, checked) = checked.swap_remove(random.below(cuts.len() as u64) as usize);
    *promises = checked;
    copy
}

#[test]
fn a_power_cut_loses_nothing_acknowledged() {
    let shim = Shim::compile();
    let (mut promises, mut random) = (Promises::default(), Random(2));
    let mut home = TempDir::new().unwrap();
    let mut acks = 0;
    for run in 0..16 {
        let device = Device::new(home);
        let mut writer = shim.watching(&device, Start::seed(run)).on(&device.root());
        writer.run_until("ack", 1 + random.below(60) as usize);
        writer.run_for(Duration::from_millis(random.below(100)));
        acks += promises.hear(&writer.kill());
        home = check(device, &Cut::ALL, &mut promises, &mut random);
    }
    promises.check_all(&home.path().join("root")).unwrap();
    assert!(acks > 200, "only {acks} chunks were acknowledged");
}

#[test]
fn a_store_cut_off_while_it_is_created_opens() {
    let shim = Shim::compile();
    let mut random = Random(3);
    for run in 0..16 {
        let device = Device::new(TempDir::new().unwrap());
        let mut writer = shim.watching(&device, Start::seed(run)).on(&device.root());
        // Creating takes 20 ms, or 500 where the device is slow.
        writer.run_for(Duration::from_millis(random.below([30, 400][run as usize % 2])));
        let mut promises = Promises::default();
        promises.hear(&writer.kill());
        check(device, &Cut::ALL, &mut promises, &mut random);
    }
}

/// The engine starts a new journal after 64 MB, and removes the old one once its content
/// is in tables.
#[test]
fn a_power_cut_between_journals_loses_nothing() {
    let shim = Shim::compile();
    let (mut promises, mut random) = (Promises::default(), Random(4));
    let mut home = TempDir::new().unwrap();
    // Once the second has been started, and once the first has been removed.
    let begun = |root: &Path| root.join("engine/1.jnl").exists();
    let removed = |root: &Path| !root.join("engine/0.jnl").exists();
    for (is_time, cut) in [(&begun as &dyn Fn(&Path) -> bool, Cut::Strict), (&removed, Cut::Torn)] {
        let device = Device::new(home);
        let start = Start { load: Load::LARGE, ..Start::seed(7) };
        let mut writer = shim.watching(&device, start).on(&device.root());
        writer.run_until_it(|_| is_time(&device.root()));
        writer.run_for(Duration::from_millis(random.below(100)));
        promises.hear(&writer.kill());
        home = check(device, &[cut], &mut promises, &mut random);
    }
}

/// These tests can fail: without syncing, acknowledged writes are gone.
#[test]
fn unsynced_writes_do_not_survive_a_power_cut() {
    let shim = Shim::compile();
    let mut random = Random(5);
    let mut lost = 0;
    for run in 0..5 {
        let mut device = Device::new(TempDir::new().unwrap());
        let start = Start { durability: "buffered", ..Start::seed(run) };
        let mut writer = shim.watching(&device, start).on(&device.root());
        writer.run_until("ack", 20);
        let mut promises = Promises::default();
        promises.hear(&writer.kill());
        let copy = device.cut(Cut::Strict, &mut random);
        lost += usize::from(promises.check(&copy.path().join("root")).is_err());
    }
    assert!(lost > 0, "nothing was lost that was never synced");
}
