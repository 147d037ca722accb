use super::*;

fn connected() -> Holders<&'static str> {
    let counts = Holders::new();
    assert!(counts.connect());
    counts
}

fn alone() -> Answer {
    Answer { others: false, found: true }
}

fn answer((_, change): (bool, Change)) -> oneshot::Receiver<bool> {
    match change {
        Change::Sent(answer) => answer,
        other => panic!("{other:?}"),
    }
}

#[test]
fn only_first_and_last_holder_are_sent() {
    let counts = connected();
    let mut first = answer(counts.acquire(&"a"));
    let batch = counts.next_batch(10);
    assert_eq!(batch, [("a", true)]);
    counts.settle(batch, &[alone()]);
    assert_eq!(first.try_recv(), Ok(false));
    assert!(matches!(counts.acquire(&"a"), (false, Change::Settled)));
    assert!(matches!(counts.release(&"a"), (false, Change::Settled)));
    let mut last = answer(counts.release(&"a"));
    let batch = counts.next_batch(10);
    assert_eq!(batch, [("a", false)]);
    counts.settle(batch, &[Answer { others: true, found: true }]);
    assert_eq!(last.try_recv(), Ok(true));
    assert!(counts.keys().counts.is_empty());
    assert!(matches!(counts.release(&"a"), (false, Change::Settled)));
}

#[test]
fn second_holder_waits_for_confirmation_of_the_first() {
    let counts = connected();
    let _first = answer(counts.acquire(&"a"));
    let batch = counts.next_batch(10);
    let mut second = answer(counts.acquire(&"a"));
    counts.settle(batch, &[alone()]);
    assert!(second.try_recv().is_err());
    let batch = counts.next_batch(10);
    counts.settle(batch, &[alone()]);
    assert!(second.try_recv().is_ok());
}

#[test]
fn changes_during_an_update_are_sent_again() {
    let counts = connected();
    let _opened = counts.acquire(&"a");
    let batch = counts.next_batch(10);
    let _closed = counts.release(&"a");
    assert!(counts.next_batch(10).is_empty(), "one change of a key at a time");
    counts.settle(batch, &[alone()]);
    let batch = counts.next_batch(10);
    assert_eq!(batch, [("a", false)]);
    let _opened = counts.acquire(&"a");
    counts.settle(batch, &[alone()]);
    assert_eq!(counts.next_batch(10), [("a", true)]);
}

#[test]
fn lost_link_fails_waiters_and_resends_everything() {
    let counts = connected();
    let mut queued = answer(counts.acquire(&"queued"));
    counts.lost();
    assert!(queued.try_recv().is_err());
    assert!(matches!(counts.acquire(&"away"), (true, Change::Away)));
    assert!(matches!(counts.release(&"queued"), (true, Change::Away)));
    assert!(!counts.connect(), "there is something to tell");
    let mut batch = counts.next_batch(10);
    batch.sort();
    assert_eq!(batch, [("away", true), ("queued", false)]);
    counts.settle(batch, &[alone(); 2]);
    assert!(counts.connect());
}

#[test]
fn failed_updates_are_sent_again() {
    let counts = connected();
    let mut answer = answer(counts.acquire(&"a"));
    let batch = counts.next_batch(10);
    counts.failed(batch);
    assert!(answer.try_recv().is_err());
    assert_eq!(counts.next_batch(10), [("a", true)]);
}

#[test]
fn late_registration_is_missed_once_it_lands() {
    let counts = connected();
    drop(answer(counts.acquire(&"a")));
    assert!(counts.settle(counts.next_batch(10), &[alone()]), "the caller had timed out");
    counts.refresh(&["a"]);
    assert!(!counts.settle(counts.next_batch(10), &[alone()]), "reported once");
}

#[test]
fn failed_registration_is_missed_once_it_lands() {
    let counts = connected();
    let _waiting = answer(counts.acquire(&"a"));
    counts.failed(counts.next_batch(10));
    assert!(counts.settle(counts.next_batch(10), &[alone()]));
}

#[test]
fn confirmed_registration_is_not_missed() {
    let counts = connected();
    let _waiting = answer(counts.acquire(&"a"));
    assert!(!counts.settle(counts.next_batch(10), &[Answer { others: false, found: false }]));
}

#[test]
fn refresh_reports_a_registration_that_is_gone() {
    let counts = connected();
    let _waiting = answer(counts.acquire(&"a"));
    counts.settle(counts.next_batch(10), &[Answer { others: false, found: false }]);
    let confirmed = counts.confirmed();
    assert_eq!(confirmed, ["a"]);
    counts.refresh(&confirmed);
    let batch = counts.next_batch(10);
    assert_eq!(batch, [("a", true)]);
    counts.failed(batch);
    let gone = Answer { others: false, found: false };
    assert!(counts.settle(counts.next_batch(10), &[gone]), "even if the first attempt failed");
    let _released = counts.release(&"a");
    counts.settle(counts.next_batch(10), &[alone()]);
    counts.refresh(&confirmed);
    assert!(counts.next_batch(10).is_empty(), "no longer held");
}

#[test]
fn verifying_counts_confirm_each_holder() {
    let counts = Holders::verifying();
    assert!(counts.connect());
    let _first = answer(counts.acquire(&"a"));
    counts.settle(counts.next_batch(10), &[alone()]);
    let mut second = answer(counts.acquire(&"a"));
    assert!(counts.settle(counts.next_batch(10), &[Answer { others: false, found: false }]));
    assert_eq!(second.try_recv(), Ok(false));
}
