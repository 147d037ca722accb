use parlance_core::RoomId;
use parlance_registry::Registry;
use tokio::sync::Mutex;

/// Whether this node gets what is published to a room as such.
#[derive(Default)]
pub(crate) struct Following(Mutex<State>);

#[derive(Default, PartialEq)]
enum State {
    #[default]
    No,
    Yes,
    /// The feed is out of use.
    Closed,
}

impl Following {
    /// Has what is published to `room` as such reach this node. Returns whether it did
    /// not before: what came until then has to be looked for.
    pub(crate) async fn begin(&self, registry: &dyn Registry, room: &RoomId) -> bool {
        let mut state = self.0.lock().await;
        if *state != State::No {
            return false;
        }
        // Out of reach, it is made up for once the registry is back.
        let _ = registry.follow(room).await;
        *state = State::Yes;
        true
    }

    /// Ends that, for good.
    pub(crate) async fn end(&self, registry: &dyn Registry, room: &RoomId) {
        let mut state = self.0.lock().await;
        if std::mem::replace(&mut *state, State::Closed) == State::Yes {
            registry.unfollow(room).await;
        }
    }

    /// Whether it does, or soon will.
    pub(crate) fn is_under_way(&self) -> bool {
        self.0.try_lock().map_or(true, |state| *state == State::Yes)
    }
}
