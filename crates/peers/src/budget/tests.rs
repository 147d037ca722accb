use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Waker};

use super::*;
use crate::{Held, Ledger, Limits, Proxies};

/// The reservation, if there is room now.
pub(crate) fn now<F: Future<Output = Reservation>>(reserving: Pin<&mut F>) -> Option<Reservation> {
    match reserving.poll(&mut Context::from_waker(Waker::noop())) {
        std::task::Poll::Ready(reserved) => Some(reserved),
        std::task::Poll::Pending => None,
    }
}

#[tokio::test]
async fn answers_are_made_as_far_as_they_fit() {
    let budget = Budget::new(16);
    budget.add(6);
    let (mut one, mut two) = (pin!(budget.reserve(6)), pin!(budget.reserve(6)));
    let (mut small, mut last) = (pin!(budget.reserve(2)), pin!(budget.reserve(2)));
    let first = now(one.as_mut()).expect("there is room");
    assert!(now(two.as_mut()).is_none());
    assert!(now(small.as_mut()).is_some(), "what fits may be made");
    assert!(now(last.as_mut()).is_some());
    drop(first);
    assert!(now(two.as_mut()).is_some());
}

#[tokio::test]
async fn held_bytes_count_and_all_that_fit_are_woken() {
    let budget = Budget::new(10);
    budget.add(10);
    let mut waiting: Vec<_> = (0..5).map(|_| Box::pin(budget.reserve(2))).collect();
    assert!(waiting.iter_mut().all(|reserving| now(reserving.as_mut()).is_none()));
    budget.remove(10);
    let made: Vec<_> = waiting.iter_mut().map(|reserving| now(reserving.as_mut())).collect();
    assert!(made.iter().all(Option::is_some), "all that fit");
    assert_eq!(budget.used(), 10);
    drop(made);
    assert_eq!(budget.used(), 0);
}

/// It does not wait until nothing is held at all.
#[tokio::test]
async fn an_answer_larger_than_all_is_made_while_little_is_held() {
    let budget = Budget::new(10);
    budget.add(5);
    let large = now(pin!(budget.reserve(100))).expect("half of it is free");
    let mut other = pin!(budget.reserve(1));
    assert!(now(other.as_mut()).is_none());
    drop(large);
    assert!(now(other.as_mut()).is_some());
}

/// Small things go on, and sessions are opened.
#[tokio::test]
async fn who_holds_little_is_not_refused_for_what_others_hold() {
    const LARGE: usize = UNCHARGED_BYTES + 1;
    let limits = Limits { held_by_all: 20, held_at_most: 30, ..Limits::production(1) };
    let total = Total::new(&limits);
    let [one, other, third] = [(); 3].map(|()| Budget::within(1 << 20, total.clone(), None));
    let _held = (one.hold(31), third.hold(LARGE));
    assert!(!other.is_full() && !one.is_full() && !other.refuses(UNCHARGED_BYTES));
    assert!(other.refuses(LARGE) && third.is_full(), "large ones do not");
    let nobody = Budget::of_nobody(total);
    assert!(!nobody.is_full() && nobody.refuses(LARGE));
    assert!(!other.refuses_hello(HELLO_BYTES) && other.refuses_hello(HELLO_BYTES + 1));
    assert!(now(pin!(other.reserve(LARGE))).is_none());
}

/// A claim costs its sender nothing: it must not take what others need.
#[tokio::test]
async fn what_would_be_more_than_its_share_is_refused_while_too_much_is_held() {
    const SHARE: usize = 2 * HELLO_BYTES;
    let limits = Limits {
        held_by_user: 3 * SHARE,
        held_by_all: 4 * SHARE,
        held_share: SHARE,
        ..Limits::production(8)
    };
    let ledger = Ledger::new(limits, Proxies::default());
    let connect = || {
        let place = ledger.connect("192.0.2.1".parse().unwrap()).unwrap();
        let held = Held::new(&place);
        (place, held)
    };
    let ((_one, one), (_two, two), (_other, other)) = (connect(), connect(), connect());
    assert!(one.belongs_to("alice") && two.belongs_to("alice") && other.belongs_to("bob"));
    let [one, two, other] = [&one, &two, &other].map(|held| held.budget());
    assert!(!one.refuses(3 * SHARE));
    let held = one.hold(SHARE);
    assert!(two.refuses(2 * SHARE + 1) && !other.refuses(2 * SHARE + 1), "of a user");
    assert!(two.refuses_hello(2 * SHARE + 1) && !two.refuses_hello(2 * SHARE));
    let _held = (held, other.hold(3 * SHARE + 1));
    assert!(two.refuses(SHARE + 1) && !two.refuses(SHARE) && !two.is_full(), "of the process");
    assert!(two.refuses_hello(SHARE + 1) && !two.refuses_hello(SHARE));
}

#[tokio::test]
async fn a_small_answer_is_made_although_a_large_one_waits_before_it() {
    let budget = Budget::new(10);
    budget.add(10);
    let (mut large, mut small) = (pin!(budget.reserve(8)), pin!(budget.reserve(2)));
    assert!(now(large.as_mut()).is_none() && now(small.as_mut()).is_none());
    budget.remove(3);
    // In the order in which they are woken.
    assert!(now(large.as_mut()).is_none());
    assert!(now(small.as_mut()).is_some());
}

#[tokio::test(start_paused = true)]
async fn what_all_hold_is_bounded() {
    let limits = Limits { held_by_all: 20, held_share: 5, held_at_most: 30, ..Limits::production(1) };
    let total = Total::new(&limits);
    let budget = || Budget::within(1 << 20, total.clone(), None);
    let [one, other, third] = [(); 3].map(|()| budget());
    let held = (one.hold(15), other.reserve(6).await);
    assert!(one.is_full(), "it holds more than its share");
    assert!(now(pin!(other.reserve(1))).is_none(), "a reservation counts, too");
    let last = now(pin!(third.reserve(10))).expect("nothing is held for it");
    assert_eq!(total.used(), 31);
    assert!(now(pin!(budget().reserve(UNCHARGED_BYTES + 1))).is_none(), "nobody gets much more");
    drop(held);
    assert_eq!(total.used(), 10);
    assert!(timeout(TOTAL_CHECK * 2, other.reserve(1)).await.is_ok());
    drop(last);
}

#[tokio::test]
async fn who_stops_waiting_passes_its_turn_on() {
    let budget = Budget::new(10);
    budget.add(10);
    let mut first = Box::pin(budget.reserve(10));
    let mut second = Box::pin(budget.reserve(10));
    assert!(now(first.as_mut()).is_none() && now(second.as_mut()).is_none());
    budget.remove(10);
    drop(first);
    assert!(now(second.as_mut()).is_some());
    assert_eq!(budget.waiting.load(Ordering::SeqCst), 0);
}
