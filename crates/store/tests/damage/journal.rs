//! Damage to acknowledged data in the journal.

use std::path::Path;

use parlance_store::OpenError;

use crate::files;
use crate::sample::{JOURNAL, MARK, Sample};

/// The position of `text` in the journal.
fn find(sample: &Sample, text: &str) -> usize {
    sample.journal().windows(text.len()).position(|bytes| bytes == text.as_bytes()).unwrap()
}

#[test]
fn a_commit_in_the_middle() {
    let sample = Sample::in_journal();
    let at = find(&sample, "message 5");
    let files = sample.change_journal(|journal| journal[at] ^= 1);
    sample.check_refused(&files);
}

#[test]
fn the_last_commit() {
    let sample = Sample::in_journal();
    let at = find(&sample, "message 9");
    let files = sample.change_journal(|journal| journal[at] ^= 1);
    sample.check_refused(&files);
}

#[test]
fn any_byte() {
    let sample = Sample::in_journal();
    for at in (0..sample.journal().len()).step_by(37) {
        let files = sample.change_journal(|journal| journal[at] ^= 1 << (at % 8));
        match sample.open() {
            Err(OpenError::Damaged { .. }) => assert!(files::read(sample.dir()) == files, "changed"),
            Err(other) => panic!("at {at}: {other:?}"),
            // A field of the engine itself, whose damage loses nothing.
            Ok(store) => {
                drop(store);
                sample.check_whole();
            }
        }
    }
}

#[test]
fn a_journal_that_is_cut_short() {
    let sample = Sample::in_journal();
    let ends = sample.batch_ends();
    // At the end of a batch, within one, and at the beginning.
    for length in [ends[ends.len() - 2], ends[3], ends[3] + 20, 0] {
        let files = sample.change_journal(|journal| journal.truncate(length));
        sample.check_refused(&files);
    }
    let files = sample.change(|files| drop(files.remove(Path::new(JOURNAL))));
    sample.check_refused(&files);
}

/// The engine starts a new journal once the previous one is full and completely
/// synced.
fn split(sample: &Sample, files: &mut files::Files, at: usize) {
    let (first, second) = sample.journal().split_at(at);
    files.insert(JOURNAL.into(), first.to_vec());
    files.insert("engine/1.jnl".into(), second.to_vec());
}

#[test]
fn the_end_of_an_earlier_journal() {
    let sample = Sample::in_journal();
    let at = sample.batch_ends()[5];
    sample.change(|files| split(&sample, files, at));
    sample.check_whole();

    // Even without a mark that it was acknowledged.
    let files = sample.change(|files| {
        split(&sample, files, at);
        files.get_mut(Path::new(JOURNAL)).unwrap()[at - 1] ^= 1;
        files.remove(Path::new(MARK));
    });
    assert!(matches!(sample.open(), Err(OpenError::Damaged { .. })));
    assert_eq!(files::read(sample.dir())[Path::new(JOURNAL)], files[Path::new(JOURNAL)]);

    sample.change(|files| {
        split(&sample, files, at);
        files.get_mut(Path::new(JOURNAL)).unwrap().truncate(sample.batch_ends()[4]);
        files.remove(Path::new(MARK));
    });
    assert!(matches!(sample.open(), Err(OpenError::Damaged { .. })));
}

#[test]
fn a_journal_missing_between_others() {
    let sample = Sample::in_journal();
    let at = sample.batch_ends()[5];
    let files = sample.change(|files| {
        split(&sample, files, at);
        let last = files.remove(Path::new("engine/1.jnl")).unwrap();
        files.insert("engine/2.jnl".into(), last);
    });
    sample.check_refused(&files);
}
