//! Orders one user's commands in one room, and one user's calls, when some of them have to read first.
use std::future::poll_fn;
use std::hash::Hash;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use futures::future::Either;
use parlance_core::{RoomId, UserId};
use parlance_runtime::map::Map;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// A room decides commands in the order in which they are queued. A command that reads something first takes a turn,
/// and later ones with the same key, such as those of the same user in the same room, wait behind it.
pub(crate) struct Turns<K: Eq + Hash = (UserId, RoomId)> {
    taken: Map<K, Arc<Mutex<()>>>,
    /// Number of turns taken or waited for: usually zero, and then no lookup is needed.
    count: AtomicUsize,
}

/// A turn; dropping it ends it.
pub(crate) struct Turn<K: Eq + Hash = (UserId, RoomId)> {
    turns: Arc<Turns<K>>,
    key: K,
    guard: Option<OwnedMutexGuard<()>>,
}

impl<K: Eq + Hash> Default for Turns<K> {
    fn default() -> Self {
        Self { taken: Map::default(), count: AtomicUsize::new(0) }
    }
}

impl Turns {
    /// Takes a turn behind earlier ones, for a command that is not queued immediately.
    pub(crate) async fn take(self: &Arc<Self>, user: &UserId, room: &RoomId) -> Turn {
        self.take_for((user.clone(), room.clone())).await
    }

    /// Waits for earlier turns, if there are any.
    pub(crate) async fn behind(self: &Arc<Self>, user: &UserId, room: &RoomId) -> Option<Turn> {
        let key = (user.clone(), room.clone());
        if self.is_taken(&key) { Some(self.take_for(key).await) } else { None }
    }
}

impl<K: Clone + Eq + Hash> Turns<K> {
    /// Takes a turn behind earlier ones with the same key.
    pub(crate) async fn take_for(self: &Arc<Self>, key: K) -> Turn<K> {
        self.count.fetch_add(1, Ordering::SeqCst);
        let lock = self.taken.entry(key.clone()).or_default().clone();
        let mut turn = Turn { turns: self.clone(), key, guard: None };
        turn.guard = Some(lock.lock_owned().await);
        turn
    }

    /// Whether there are turns with this key.
    pub(crate) fn is_taken(&self, key: &K) -> bool {
        self.count.load(Ordering::SeqCst) > 0 && self.taken.contains_key(key)
    }
}

impl<K: Eq + Hash> Drop for Turn<K> {
    fn drop(&mut self) {
        self.guard = None;
        self.turns.count.fetch_sub(1, Ordering::SeqCst);
        // Waiters clone the mutex from the map while they hold the same shard lock.
        self.turns.taken.remove_if(&self.key, |_, lock| Arc::strong_count(lock) == 1);
    }
}

/// Queues `command` on the first poll, then ends the turn if there is one. Not an `async fn`: usually there is no
/// turn, and then nothing is allocated.
pub(crate) fn in_line<'c, T: Send + 'c>(
    turn: Option<Turn>,
    command: impl Future<Output = T> + Send + 'c,
) -> impl Future<Output = T> + Send {
    let Some(turn) = turn else { return Either::Right(command) };
    Either::Left(begin_in(turn, Box::pin(command)))
}

/// Polls `command` once, then ends the turn.
pub(crate) async fn begin_in<K: Eq + Hash, T>(
    turn: Turn<K>,
    mut command: Pin<Box<impl Future<Output = T>>>,
) -> T {
    let begun = poll_fn(|cx| Poll::Ready(command.as_mut().poll(cx))).await;
    drop(turn);
    match begun {
        Poll::Ready(result) => result,
        Poll::Pending => command.await,
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use parlance_faults::fixture::user;

    use super::*;

    #[test]
    fn turns_of_one_user_in_one_room_are_sequential() {
        let (turns, red, blue) = (Arc::new(<Turns>::default()), room("red"), room("blue"));
        let alice = user("alice");
        assert!(turns.behind(&alice, &red).now_or_never().unwrap().is_none());
        let first = turns.take(&alice, &red).now_or_never().unwrap();
        let mut second = Box::pin(turns.behind(&alice, &red));
        let mut third = Box::pin(turns.take(&alice, &red));
        assert!(second.as_mut().now_or_never().is_none() && third.as_mut().now_or_never().is_none());
        assert!(turns.behind(&alice, &blue).now_or_never().unwrap().is_none(), "another room");
        assert!(turns.behind(&user("bob"), &red).now_or_never().unwrap().is_none(), "another user");
        drop(first);
        assert!(third.as_mut().now_or_never().is_none());
        let second = second.now_or_never().unwrap();
        assert!(second.is_some());
        drop(second);
        assert!(third.as_mut().now_or_never().is_some());
        drop(third);
        assert_eq!((turns.taken.len(), turns.count.load(Ordering::SeqCst)), (0, 0));
    }

    /// A waiter that gives up blocks nobody.
    #[test]
    fn abandoned_turn_does_not_block() {
        let (turns, red, alice) = (Arc::new(<Turns>::default()), room("red"), user("alice"));
        let first = turns.take(&alice, &red).now_or_never().unwrap();
        let mut second = Box::pin(turns.take(&alice, &red));
        assert!(second.as_mut().now_or_never().is_none());
        drop(second);
        drop(first);
        assert_eq!((turns.taken.len(), turns.count.load(Ordering::SeqCst)), (0, 0));
    }

    fn room(id: &str) -> RoomId {
        RoomId::parse(id).unwrap()
    }
}
