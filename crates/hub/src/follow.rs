use parlance_core::RoomId;
use parlance_registry::Registry;
use tokio::sync::Mutex;

/// Whether this node is subscribed to a room's channel.
#[derive(Default)]
pub(crate) struct Following(Mutex<State>);

#[derive(Default, PartialEq)]
enum State {
    #[default]
    No,
    Yes,
    /// The feed is no longer used.
    Closed,
}

impl Following {
    /// Subscribes this node to the channel of `room`. Returns whether this is new: events published before then have
    /// to be looked for.
    pub(crate) async fn begin(&self, registry: &dyn Registry, room: &RoomId) -> bool {
        let mut state = self.0.lock().await;
        if *state != State::No {
            return false;
        }
        // If the registry is unreachable, recovery makes up for it.
        let _ = registry.follow(room).await;
        *state = State::Yes;
        true
    }

    /// Unsubscribes this node, for good.
    pub(crate) async fn end(&self, registry: &dyn Registry, room: &RoomId) {
        let mut state = self.0.lock().await;
        if std::mem::replace(&mut *state, State::Closed) == State::Yes {
            registry.unfollow(room).await;
        }
    }

    /// Whether this node is subscribed, or about to be.
    pub(crate) fn is_under_way(&self) -> bool {
        self.0.try_lock().map_or(true, |state| *state == State::Yes)
    }
}
