//! Pushes new events of a room to the connections of idle sessions.
use std::sync::Arc;

use parlance_core::Visibility;
use parlance_delivery::{Delivery, Source};
use tokio::task::yield_now;

use crate::frame::{Blank, Piece};
use crate::limits::PUSHES_PER_TURN;
use crate::state::RoomState;
use crate::subscription::{Listeners, Subscription};
use crate::tail::Tail;

/// Pushes to connections, one after the other.
pub(crate) async fn push_all(subscriptions: Vec<Arc<Subscription>>) {
    let (mut pushes, mut found) = (Pushes(subscriptions), Found::default());
    while !pushes.0.is_empty() {
        for _ in 0..PUSHES_PER_TURN {
            let Some(subscription) = pushes.0.last() else { break };
            push(subscription, &mut found);
            pushes.0.pop();
        }
        yield_now().await;
    }
}

/// Pushes to the connection of `subscription`, or wakes the session.
fn push(subscription: &Arc<Subscription>, found: &mut Found) {
    // Before reading the room's state: later deliveries are pushed by another task.
    subscription.end_push();
    let mut news = News { subscription, found, is_all: false };
    let pushed = subscription.mailbox().outlet().is_some_and(|outlet| outlet.push(&mut news));
    if !(pushed && news.is_all) {
        subscription.wake();
    }
}

/// Whether `piece` can be pushed unchanged, without asking the session.
fn is_plain(subscription: &Subscription, piece: &Piece) -> bool {
    let removes_self = piece.removes.as_ref() == Some(subscription.mailbox().user());
    let may_hide = |blank: &Blank| {
        let open = |room: RoomState| room.visibility == Visibility::All;
        blank.target < subscription.joined() && !subscription.known().is_some_and(open)
    };
    !removes_self && !piece.blank.as_ref().is_some_and(may_hide)
}

/// Subscriptions still to be pushed to. If their task is dropped or panics, their sessions are woken instead.
struct Pushes(Vec<Arc<Subscription>>);

impl Drop for Pushes {
    fn drop(&mut self) {
        for subscription in &self.0 {
            subscription.end_push();
            subscription.wake();
        }
    }
}

/// The source of one session's new events for its connection.
struct News<'n> {
    subscription: &'n Subscription,
    found: &'n mut Found,
    /// Whether the source was exhausted; otherwise the session handles the rest.
    is_all: bool,
}

impl Source for News<'_> {
    fn next(&mut self) -> Option<&Delivery> {
        // A connection that accepts one more may not ask for the next.
        self.is_all = false;
        // The session may have run since.
        if !self.subscription.is_at_head() {
            return None;
        }
        match self.found.following(self.subscription.tail(), self.subscription.cursor()) {
            Some(Some(piece)) if is_plain(self.subscription, piece) => {
                self.subscription.move_to(piece.last);
                Some(&piece.delivery)
            }
            Some(_) => None,
            None => {
                self.is_all = true;
                None
            }
        }
    }
}

/// What was last found in the ring of a room: sessions that are pushed to in sequence are mostly at the same
/// position.
#[derive(Default)]
struct Found {
    pieces: Vec<Piece>,
    /// The room's last seq at that time. Read again when it has advanced: a message may have been deleted.
    delivered: u64,
}

impl Found {
    /// What follows `cursor`: `None` at the head, and `Some(None)` if the ring does not contain it.
    fn following(&mut self, tail: &Tail<Listeners>, cursor: u64) -> Option<Option<&Piece>> {
        let find = |pieces: &[Piece]| pieces.iter().position(|piece| piece.first == cursor + 1);
        let delivered = tail.delivered();
        if cursor >= delivered {
            return None;
        }
        let mut at = if delivered == self.delivered { find(&self.pieces) } else { None };
        if at.is_none() {
            let Some(fetched) = tail.following(cursor, u64::MAX) else { return Some(None) };
            *self = Self { pieces: fetched.pieces, delivered };
            at = find(&self.pieces);
        }
        Some(at.map(|at| &self.pieces[at]))
    }
}

#[cfg(test)]
mod tests;
