use std::collections::BTreeSet;

use bytes::Bytes;
use futures::{StreamExt, stream};
use imbl::OrdSet;
use parlance_core::limits::{MAX_LOOKUP_MEMBERS, MAX_OVERLAP_MEMBERS, MAX_SIGNAL_MEMBERS};
use parlance_core::{Chunk, Head, RoomId, RoomInfo, UserId};
use parlance_delivery::SharedFrame;
use parlance_hub::{SignalTarget, Terms};
use parlance_registry::To;
use parlance_store::StoreError;
use prost::Message;
use tokio::time::timeout;

use crate::cluster::Cluster;
use crate::envelope::{self, encode};
use crate::limits::{AUDIENCE_WITHIN, MAX_HINT_BYTES};
use crate::signal_room::SignalRoom;

impl Cluster {
    /// Records a chunk that was committed by this node or read from the store.
    pub fn committed(&self, room: &RoomId, chunk: &Chunk) {
        self.audiences.fold(room, chunk);
    }

    /// Records a possible commit to `room` that was not published. The next publish for the room makes other nodes
    /// read the store, and includes `users`, whose membership it may have changed.
    pub fn may_be_unannounced(&self, room: &RoomId, users: BTreeSet<UserId>) {
        if self.registry.is_shared() && self.note_written(room, |written| written.not_announced(0, users)) {
            self.registry.report_unpublished();
        }
    }

    /// Publishes a chunk committed by this node to the nodes of the room's members. Failed publishes are repeated
    /// later.
    pub async fn publish(&self, info: &RoomInfo, chunk: &Chunk) {
        if !self.registry.is_shared() {
            return;
        }
        let (room, terms) = (&info.id, Terms::from(info));
        let users = chunk.concerned().cloned().collect();
        if self.written.get(room).is_some_and(|written| written.unannounced.is_some()) {
            // It does not continue the log that they know.
            return self.announce(room, chunk.head(), users).await;
        }
        let mut content = envelope::chunk(room, terms, chunk);
        if let envelope::Content::Chunk(hint) = &content
            && hint.encoded_len() > MAX_HINT_BYTES
        {
            content = envelope::head(room, chunk.head().seq(), users.iter());
        }
        self.notify_room(room, chunk.head(), users, Author::ThisNode, content).await;
    }

    /// Publishes a room's head, for earlier commits that may not have been published. `users` are those whose
    /// membership may have changed, in addition to those remembered.
    pub async fn announce(&self, room: &RoomId, head: Head, mut users: BTreeSet<UserId>) {
        if self.registry.is_shared() {
            if let Some(unannounced) = self.written.get(room).and_then(|written| written.unannounced.clone())
            {
                users.extend(unannounced.users);
            }
            let content = envelope::head(room, head.seq(), users.iter());
            self.notify_room(room, head, users, Author::MaybeAnother, content).await;
        }
    }

    async fn notify_room(
        &self,
        room: &RoomId,
        head: Head,
        users: BTreeSet<UserId>,
        author: Author,
        content: envelope::Content,
    ) {
        match self.try_notify_room(room, head, &users, author, content).await {
            Ok(Notified::Members) => {
                self.note_written(room, |written| written.announced(head.seq(), &users));
                return;
            }
            Ok(Notified::KnownNodes) => {
                if self.note_written(room, |written| written.told_known_nodes(head.seq(), users)) {
                    self.registry.report_unpublished();
                }
                return self.announce_again();
            }
            Err(Unpublished) => {}
        }
        metrics::counter!("parlance_publishes_failed_total").increment(1);
        // Recorded before signalling: the announcing task reads it at once.
        if self.note_written(room, |written| written.not_announced(head.seq(), users)) {
            self.registry.report_unpublished();
        }
        self.announce_again();
    }

    async fn try_notify_room(
        &self,
        room: &RoomId,
        head: Head,
        users: &BTreeSet<UserId>,
        author: Author,
        content: envelope::Content,
    ) -> Result<Notified, Unpublished> {
        if self.is_away() {
            return Err(Unpublished);
        }
        let mut told: Vec<UserId> = users.iter().cloned().collect();
        if head.member_count() <= MAX_OVERLAP_MEMBERS {
            let page = self.sizes.members_page;
            let nobody = BTreeSet::new();
            let changed = if author == Author::ThisNode { &nobody } else { users };
            let reading = self.audiences.of(self.store.as_ref(), room, head, changed, page);
            match timeout(AUDIENCE_WITHIN, reading).await {
                Ok(Ok(members)) => told.extend(members),
                unread => {
                    let unanswered = || Err(StoreError::Unreachable("the members of a room".to_owned()));
                    let error = unread.unwrap_or_else(|_| unanswered()).err().map(|error| error.to_string());
                    tracing::warn!(%room, error, "cannot read a room's members, notifying all nodes");
                    let payload = encode(envelope::head(room, head.seq(), users.iter()));
                    return self.notify_all_nodes(payload).await.map(|()| Notified::KnownNodes);
                }
            }
            told.sort_unstable();
            told.dedup();
        }
        let by_room = head.member_count() > MAX_LOOKUP_MEMBERS;
        let to = To { users: &told, room: by_room.then_some(room) };
        self.registry.publish(to, encode(content)).await?;
        Ok(Notified::Members)
    }

    /// Sends a signal to everyone in `rooms`, here and on other nodes, except to sessions of `except`. Rooms that are
    /// too large for signals are left out.
    pub async fn signal(&self, rooms: &[SignalRoom], frame: &SharedFrame, except: &[UserId]) {
        let ids: Vec<RoomId> = rooms.iter().map(|room| room.room.clone()).collect();
        self.hub.signal(&SignalTarget { rooms: &ids, except, ..SignalTarget::default() }, frame);
        if !self.registry.is_shared() || self.is_away() {
            return;
        }
        let small = rooms.iter().filter(|room| room.head.member_count() <= MAX_SIGNAL_MEMBERS);
        let (mut users, mut told): (Vec<UserId>, Vec<RoomId>) = (Vec::new(), Vec::new());
        let mut unknown = Vec::new();
        let excepted: BTreeSet<&UserId> = except.iter().collect();
        let mut left_out = BTreeSet::new();
        let mut add = |room: RoomId, members: OrdSet<UserId>| {
            let (without, with): (Vec<_>, Vec<_>) =
                members.into_iter().partition(|user| excepted.contains(user));
            left_out.extend(without);
            users.extend(with);
            told.push(room);
        };
        for room in small {
            match self.audiences.known(&room.room, room.head.seq()) {
                Some(members) => add(room.room.clone(), members),
                None => unknown.push(room.clone()),
            }
        }
        if !unknown.is_empty() {
            let mut read = stream::iter(unknown)
                .map(|room| async move { (self.signal_audience(&room).await, room.room) })
                .buffer_unordered(self.sizes.hint_concurrency);
            while let Some((members, room)) = read.next().await {
                if let Some(members) = members {
                    add(room, members);
                }
            }
        }
        users.sort_unstable();
        users.dedup();
        // Most of them are in none of the rooms.
        let first = except.first().into_iter();
        let except: Vec<UserId> =
            first.chain(except.iter().skip(1).filter(|user| left_out.contains(*user))).cloned().collect();
        let to = SignalTarget { rooms: &told, except: &except, ..SignalTarget::default() };
        // Best effort: signals may be lost.
        let _ = self
            .registry
            .publish(To { users: &users, room: None }, encode(envelope::signal(&to, frame)))
            .await;
    }

    /// Reads the members of `room`. Signals must not delay recovery: `None` if the members cannot be read, or not
    /// now.
    async fn signal_audience(&self, room: &SignalRoom) -> Option<OrdSet<UserId>> {
        if !self.reads.try_take() {
            return None;
        }
        let (store, page) = (self.store.as_ref(), self.sizes.members_page);
        self.audiences.of(store, &room.room, room.head, &BTreeSet::new(), page).await.ok()
    }

    /// Sends a signal to all sessions of `user`, on all nodes.
    pub async fn signal_user(&self, user: &UserId, frame: &SharedFrame) {
        let users = std::slice::from_ref(user);
        let to = SignalTarget { users, ..SignalTarget::default() };
        self.hub.signal(&to, frame);
        if self.registry.is_shared() && !self.is_away() {
            // Best effort: signals may be lost.
            let _ =
                self.registry.publish(To { users, room: None }, encode(envelope::signal(&to, frame))).await;
        }
    }

    /// Sends a signal to all sessions of `user` and of those who share one of `rooms` with them: one hint per node,
    /// whose feeds know which sessions are in the rooms. Reads nothing.
    pub async fn signal_contacts(&self, user: &UserId, rooms: &[RoomId], frame: &SharedFrame) {
        let users = std::slice::from_ref(user);
        let to = SignalTarget { rooms, users, in_large_rooms: true, ..SignalTarget::default() };
        self.hub.signal(&to, frame);
        if !self.registry.is_shared() || self.is_away() {
            return;
        }
        // Best effort: signals may be lost.
        let _ = self.notify_all_nodes(encode(envelope::signal(&to, frame))).await;
    }

    /// Sends `payload` to every other node. Fails if any send fails.
    pub(crate) async fn notify_all_nodes(&self, payload: Bytes) -> Result<(), Unpublished> {
        let others = self.registry.nodes().into_iter().filter(|node| node != self.registry.node());
        let told = stream::iter(others)
            .map(|node| {
                let payload = payload.clone();
                async move { self.registry.send_to(&node, payload).await }
            })
            .buffer_unordered(self.sizes.recovery_concurrency);
        let failed = told.filter(|told| std::future::ready(told.is_err())).count().await;
        if failed == 0 { Ok(()) } else { Err(Unpublished) }
    }
}

/// Who wrote the published chunk.
#[derive(Clone, Copy, PartialEq)]
enum Author {
    /// This node: all of it is visible.
    ThisNode,
    /// Possibly another node, whose write may be half visible.
    MaybeAnother,
}

/// Who was notified about a room.
enum Notified {
    /// The nodes of its members, according to the registry.
    Members,
    /// All nodes known here, as of about a second ago: there may be newer ones.
    KnownNodes,
}

/// Not everyone was notified.
pub(crate) struct Unpublished;

impl From<parlance_registry::RegistryError> for Unpublished {
    fn from(_: parlance_registry::RegistryError) -> Self {
        Self
    }
}
