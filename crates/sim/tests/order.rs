//! Nothing simulated has an undefined order.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};

/// Not used by any simulated node.
const NOT_SIMULATED: [&str; 8] = [
    "bench/src",
    "bridge/src",
    "faults/src",
    "http2/src",
    "server/src",
    "registry/src/redis",
    "store/src/dynamo",
    "store/src/embedded",
];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    if NOT_SIMULATED.iter().any(|other| dir.ends_with(other)) {
        return;
    }
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Lines that begin a `select!` without `biased` on the next line.
fn without_order(text: &str) -> Vec<usize> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let begins = |line: &str| line.contains("select! {") && !line.starts_with("//");
    let selects = lines.iter().enumerate().filter(|(_, line)| begins(line));
    let random = selects.filter(|(at, _)| lines.get(at + 1) != Some(&"biased;"));
    random.map(|(at, _)| at + 1).collect()
}

/// Without `biased`, tokio polls the branches in a random order that no seed repeats.
#[test]
fn every_simulated_select_is_biased() {
    assert_eq!(without_order("a\ntokio::select! {\n  biased;\n}\nselect! {\n  x = y => {}\n}"), [5]);
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = Vec::new();
    for entry in fs::read_dir(crates).unwrap() {
        let src = entry.unwrap().path().join("src");
        if src.is_dir() {
            sources(&src, &mut files);
        }
    }
    let selects = files.iter().filter(|file| fs::read_to_string(file).unwrap().contains("select! {")).count();
    assert!(selects > 5, "only {selects} files with a select: looked in the wrong place?");
    for file in files {
        assert_eq!(without_order(&fs::read_to_string(&file).unwrap()), [0; 0], "{}", file.display());
    }
}
