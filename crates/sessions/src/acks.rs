//! Acknowledgements of one session, stored at most once per [`ACK_WINDOW`] and room.
//!
//! The first one for a room is stored before it is answered and opens a window. Later ones within the window are
//! answered at once, and the last of them is stored when the window ends, when the session ends or when the node
//! starts to drain; failed writes are retried for a while. A crash loses the pending ones: the user's devices then
//! catch up with a few seconds more than they need.
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::{StreamExt, stream};
use parlance_cluster::SignalRoom;
use parlance_core::{Cursors, Mark, RoomId, UserId};
use parlance_proto::v1;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::limits::{ACK_RETRY, ACK_TRIES, ACK_WINDOW, ACK_WRITES};
use crate::operations::{NotAcknowledged, Operations};
use crate::sessions::Sessions;

/// See the [module](self) documentation. Stores pending acknowledgements when dropped, which must happen while the
/// session is still subscribed to its rooms: otherwise each room is read first.
pub(crate) struct Acks {
    server: Server,
    user: UserId,
    /// `None` until the first acknowledgement.
    windows: Option<Arc<Windows>>,
}

/// What is needed to store an acknowledgement.
#[derive(Clone)]
struct Server {
    sessions: Arc<Sessions>,
    operations: Arc<dyn Operations>,
}

/// Rooms with an open window.
#[derive(Default)]
struct Windows {
    state: Mutex<State>,
    closed: CancellationToken,
}

#[derive(Default)]
struct State {
    rooms: BTreeMap<RoomId, Ack>,
    /// Whether a task stores pending acknowledgements when the windows end.
    is_served: bool,
}

struct Ack {
    seq: u64,
    /// The seq up to which it is stored, or being stored.
    stored: u64,
    /// The cursor as far as known: another device may be further.
    delivered: u64,
}

/// An acknowledgement that has to be stored.
struct Due {
    room: RoomId,
    seq: u64,
    /// The room, if the user is known to be a member.
    known: Option<SignalRoom>,
}

/// An acknowledgement that is stored before it is answered.
pub(crate) struct First {
    windows: Arc<Windows>,
    room: RoomId,
}

/// When an acknowledgement is answered.
pub(crate) enum Taken {
    /// At once; it is stored later.
    Waits(v1::AcknowledgeDeliveryResponse),
    /// Once it is stored, as any other operation.
    First(Option<First>),
}

impl Acks {
    pub(crate) fn new(sessions: &Arc<Sessions>, operations: &Arc<dyn Operations>, user: &UserId) -> Self {
        let server = Server { sessions: sessions.clone(), operations: operations.clone() };
        Self { server, user: user.clone(), windows: None }
    }

    pub(crate) fn take(&mut self, request: &v1::AcknowledgeDeliveryRequest) -> Taken {
        // Requests that this node cannot decide without the store go there, including refusals.
        let Ok(room) = RoomId::parse(&request.room_id) else { return Taken::First(None) };
        if request.seq == 0
            || self.server.sessions.cluster.known_room(&self.user, &room, request.seq).is_none()
        {
            return Taken::First(None);
        }
        let windows = self.windows.get_or_insert_default();
        let mut state = windows.state();
        if let Some(ack) = state.rooms.get_mut(&room) {
            ack.seq = ack.seq.max(request.seq);
            let delivered_seq = ack.seq.max(ack.delivered);
            return Taken::Waits(v1::AcknowledgeDeliveryResponse { delivered_seq });
        }
        state.rooms.insert(room.clone(), Ack { seq: request.seq, stored: request.seq, delivered: 0 });
        if !std::mem::replace(&mut state.is_served, true) {
            let (windows, server, user) = (windows.clone(), self.server.clone(), self.user.clone());
            self.server.sessions.tasks.spawn(windows.serve(server, user));
        }
        drop(state);
        Taken::First(Some(First { windows: windows.clone(), room }))
    }
}

impl Drop for Acks {
    fn drop(&mut self) {
        let Some(windows) = self.windows.take() else { return };
        windows.closed.cancel();
        let due = windows.due(&self.server, &self.user);
        if due.is_empty() {
            return;
        }
        let (server, user) = (self.server.clone(), self.user.clone());
        self.server.sessions.tasks.spawn(async move { windows.store_all(&server, &user, due).await });
    }
}

impl First {
    /// Records that it was stored, and the cursor's position.
    pub(crate) fn stored(self, delivered: u64) {
        self.windows.stored(&self.room, delivered);
    }

    /// Records that it was not stored: the end of the window retries.
    pub(crate) fn failed(self) {
        self.windows.not_stored(&self.room);
    }
}

impl Windows {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores pending acknowledgements at the end of each window, until a window has none.
    async fn serve(self: Arc<Self>, server: Server, user: UserId) {
        let (leaving, mut is_draining) = (server.sessions.departure.token(), false);
        loop {
            let is_end = tokio::select! {
                biased;
                // Whatever closed it stores the rest.
                () = self.closed.cancelled() => return,
                () = server.sessions.end.cancelled() => true,
                // At once, for devices that reconnect elsewhere.
                () = leaving.cancelled(), if !is_draining => {
                    is_draining = true;
                    false
                }
                () = sleep(ACK_WINDOW) => false,
            };
            if !self.end_window(&server, &user).await || is_end {
                return;
            }
        }
    }

    /// Stores pending acknowledgements, and closes windows without any. Returns whether some are open.
    async fn end_window(&self, server: &Server, user: &UserId) -> bool {
        let due = {
            let mut state = self.state();
            state.rooms.retain(|_, ack| ack.seq > ack.stored);
            state.is_served = !state.rooms.is_empty();
            if !state.is_served {
                return false;
            }
            state.due(server, user)
        };
        self.store(server, user, due).await;
        true
    }

    fn due(&self, server: &Server, user: &UserId) -> Vec<Due> {
        self.state().due(server, user)
    }

    /// Stores what an ended session leaves behind: it was answered, so it must not be lost.
    async fn store_all(&self, server: &Server, user: &UserId, mut due: Vec<Due>) {
        let mut delay = ACK_RETRY;
        for _ in 1..ACK_TRIES {
            self.store(server, user, due).await;
            due = self.due(server, user);
            if due.is_empty() {
                return;
            }
            // A node that shuts down tries at once, and once more.
            let _ = timeout(delay, server.sessions.end.cancelled()).await;
            delay *= 2;
        }
        self.store(server, user, due).await;
        let lost = self.due(server, user).len();
        if lost > 0 {
            tracing::warn!(%user, rooms = lost, "cannot store acknowledgements, giving up");
        }
    }

    async fn store(&self, server: &Server, user: &UserId, due: Vec<Due>) {
        stream::iter(due)
            .for_each_concurrent(ACK_WRITES, |Due { room, seq, known }| async move {
                let stored = match known {
                    Some(known) => {
                        let to = Cursors { delivered: seq, read: Mark::default() };
                        server.sessions.marks().advance_and_signal(user, &known, to).await.map_err(Into::into)
                    }
                    None => server.operations.acknowledge(user, &room, seq).await.map(Some),
                };
                match stored {
                    Ok(cursors) => self.stored(&room, cursors.map_or(0, |cursors| cursors.delivered)),
                    Err(error) => {
                        tracing::debug!(%room, %error, "cannot store an acknowledgement");
                        // Any other error is a refusal: the user is no longer a member.
                        if matches!(error, NotAcknowledged::Store(_)) {
                            self.not_stored(&room);
                        }
                    }
                }
            })
            .await;
    }

    fn stored(&self, room: &RoomId, delivered: u64) {
        if let Some(ack) = self.state().rooms.get_mut(room) {
            ack.delivered = ack.delivered.max(delivered);
        }
    }

    fn not_stored(&self, room: &RoomId) {
        if let Some(ack) = self.state().rooms.get_mut(room) {
            ack.stored = 0;
        }
    }
}

impl State {
    /// What has to be stored now; counts as stored from here on.
    fn due(&mut self, server: &Server, user: &UserId) -> Vec<Due> {
        let waiting = self.rooms.iter_mut().filter(|(_, ack)| ack.seq > ack.stored);
        let due = waiting.map(|(room, ack)| {
            ack.stored = ack.seq;
            Due {
                room: room.clone(),
                seq: ack.seq,
                known: server.sessions.cluster.known_room(user, room, ack.seq),
            }
        });
        due.collect()
    }
}

#[cfg(test)]
mod tests;
