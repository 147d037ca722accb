//! The end of the journal after a crash: an unfinished write is truncated, and
//! logged.

use std::path::PathBuf;

use crate::files::Files;
use crate::notes;
use crate::sample::{MARK, Sample};
use parlance_store::UserStore;

/// Size to which the engine preallocates journals.
const LAID_OUT: usize = 64 << 20;

const NOTE: &str = "truncated a torn write that was never acknowledged";

/// Opens the store with a journal modified by `change`, when the last commit was not
/// acknowledged: checks the remaining data, and whether the truncation is logged.
fn check(sample: &Sample, change: impl FnOnce(&mut Vec<u8>), expected: fn(&Sample), noted: bool) {
    sample.change_journal(change);
    std::fs::write(sample.dir().join(MARK), &sample.older_mark).unwrap();
    let ((), notes) = notes::of(|| expected(sample));
    assert_eq!(notes.contains(NOTE), noted, "{notes}");
    // Only once.
    let ((), notes) = notes::of(|| expected(sample));
    assert_eq!(notes, "");
}

fn last_batch(sample: &Sample) -> std::ops::Range<usize> {
    let ends = sample.batch_ends();
    ends[ends.len() - 2]..ends[ends.len() - 1]
}

#[test]
fn complete_unacknowledged_commit_is_kept() {
    let sample = Sample::in_journal();
    check(&sample, |_| {}, Sample::check_whole, false);
    check(&sample, |journal| journal.resize(LAID_OUT, 0), Sample::check_whole, false);
}

#[test]
fn torn_commit_is_truncated_at_any_offset() {
    let sample = Sample::in_journal();
    let last = last_batch(&sample);
    for end in last.clone().skip(1).step_by(23) {
        check(&sample, |journal| journal.truncate(end), Sample::check_without_last, true);
        let laid_out = |journal: &mut Vec<u8>| {
            journal.truncate(end);
            journal.resize(LAID_OUT, 0);
        };
        check(&sample, laid_out, Sample::check_without_last, true);
    }
    check(&sample, |journal| journal.truncate(last.start), Sample::check_without_last, false);
}

#[test]
fn commit_with_missing_page_is_truncated() {
    let sample = Sample::in_journal();
    let last = last_batch(&sample);
    for start in last.clone().step_by(23) {
        let end = last.end.min(start + 40);
        check(&sample, |journal| journal[start..end].fill(0), Sample::check_without_last, true);
    }
}

#[test]
fn commit_with_corrupted_bytes_is_truncated() {
    let sample = Sample::in_journal();
    // In a text: all lengths are correct, only the checksum is not.
    let at = last_batch(&sample).start + find(&sample.journal()[last_batch(&sample)], "message 9");
    check(&sample, |journal| journal[at] ^= 1, Sample::check_without_last, true);
}

fn find(bytes: &[u8], text: &str) -> usize {
    bytes.windows(text.len()).position(|bytes| bytes == text.as_bytes()).unwrap()
}

#[test]
fn garbage_after_the_last_commit_is_cut_off() {
    let sample = Sample::in_journal();
    let half = &sample.journal()[last_batch(&sample)][..100];
    for garbage in [b"garbage".as_slice(), &[1], &[0, 0, 7], half] {
        for length in [0, LAID_OUT] {
            let files = sample.change_journal(|journal| {
                journal.extend_from_slice(garbage);
                journal.resize(journal.len().max(length), 0);
            });
            assert!(files != sample.files);
            let ((), notes) = notes::of(|| sample.check_whole());
            assert!(notes.contains(NOTE), "{notes}");
        }
    }
}

#[test]
fn the_first_commit_of_all_is_cut_off() {
    let sample = Sample::in_journal();
    let first = sample.batch_ends()[0];
    sample.change(|files: &mut Files| {
        files.get_mut(&PathBuf::from(crate::sample::JOURNAL)).unwrap().truncate(first - 1);
        files.remove(&PathBuf::from(MARK));
    });
    let (store, notes) = notes::of(|| sample.open());
    assert!(notes.contains(NOTE), "{notes}");
    let users = crate::sample::runtime().block_on(async { store.unwrap().users(None, 10).await.unwrap() });
    assert_eq!(users, []);
}
