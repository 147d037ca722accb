use std::path::PathBuf;
use std::process::{Output, Stdio};

use tokio::process::Command;

use crate::within;

/// The `parlance` binary: `PARLANCE_BIN`, or the one built next to this test.
pub fn parlance() -> PathBuf {
    let binary = std::env::var_os("PARLANCE_BIN").map_or_else(beside_this_test, PathBuf::from);
    assert!(
        binary.is_file(),
        "there is no {}: run `cargo build -p parlance-server` first, or set PARLANCE_BIN",
        binary.display()
    );
    binary
}

/// Tests are built into `target/<profile>/deps`.
fn beside_this_test() -> PathBuf {
    let test = std::env::current_exe().expect("this test has a path");
    let profile = test.parent().and_then(|deps| deps.parent()).expect("tests are built into deps/");
    profile.join("parlance")
}

/// Runs `parlance` with these arguments until it exits.
pub async fn run_to_end(arguments: &[&str]) -> Output {
    let mut command = Command::new(parlance());
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    within("the command ends", command.output()).await.expect("the command runs")
}
