//! The mark of the last commit, which a power cut may leave in any former state.

use std::path::Path;

use crate::sample::{MARK, Sample};

#[test]
fn a_store_opens_without_its_mark() {
    let sample = Sample::in_journal();
    let mark = &sample.files[Path::new(MARK)];
    let half = mark[..mark.len() / 2 + 3].to_vec();
    let mut torn = mark.clone();
    torn[20..60].fill(0);
    for left in [None, Some(Vec::new()), Some(half), Some(torn), Some(sample.older_mark.clone())] {
        sample.change(|files| {
            files.remove(Path::new(MARK));
            files.extend(left.map(|left| (MARK.into(), left)));
        });
        sample.check_whole();
    }
}

#[test]
fn opening_corrects_the_mark() {
    let sample = Sample::in_journal();
    sample.change(|files| drop(files.remove(Path::new(MARK))));
    sample.check_whole();
    // Everything read since counts as acknowledged.
    assert_eq!(std::fs::read(sample.dir().join(MARK)).unwrap(), sample.files[Path::new(MARK)]);
}
