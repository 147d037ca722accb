use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use parlance_core::{RoomId, UserId};
use parlance_delivery::SharedFrame;
use parlance_hub::SignalTarget;
use parlance_proto::cluster::v1::{HeadHint, SignalHint};
use parlance_proto::stored;
use parlance_proto::v1::ServerFrame;
use parlance_proto::v1::server_frame::Frame;
use parlance_registry::Notice;
use parlance_store::StoreError;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cluster::Cluster;
use crate::commands::RoomCommands;
use crate::envelope::{self, Content};
use crate::follow_ups::EndsWithPanic;
use crate::uncompared::Target;

impl Cluster {
    /// Handles incoming notices until `shutdown` or the end of `notices`. Messages for a room are passed to `rooms`.
    pub async fn receive(
        self: Arc<Self>,
        rooms: impl RoomCommands,
        mut notices: mpsc::Receiver<Notice>,
        tasks: TaskTracker,
        shutdown: CancellationToken,
    ) {
        loop {
            let notice = tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                notice = notices.recv() => notice,
            };
            match notice {
                Some(Notice::Payload(payload)) => {
                    if let Some(content) = envelope::decode(payload) {
                        self.take(&rooms, &tasks, content);
                    }
                }
                Some(Notice::Unverified(payload)) => {
                    if let Some(content) = envelope::decode(payload) {
                        self.take_unverified(&rooms, &tasks, content);
                    }
                }
                Some(Notice::Missed) => self.look_for_missed("missed", None),
                // While cut off it continues to write, without publishing, until its clients have left.
                Some(Notice::NodeLost(node)) => {
                    tracing::warn!(%node, "a node is gone");
                    self.look_for_missed("node_lost", Some(self.lost_node_writes));
                }
                Some(Notice::UsersGone(users)) => self.report_gone(users, &tasks, &shutdown),
                Some(Notice::Swept) => self.report_here(&tasks, &shutdown),
                None => return,
            }
        }
    }

    fn take(self: &Arc<Self>, rooms: &impl RoomCommands, tasks: &TaskTracker, content: Content) {
        match content {
            Content::Chunk(hint) => {
                let Ok(room) = RoomId::parse(&hint.room_id) else { return };
                let Some(chunk) = hint.chunk.as_ref().and_then(stored::chunk_from) else {
                    // It may be from a later version: read the store.
                    return self.follow_up(tasks, envelope::head_after(hint.room_id, None));
                };
                self.audiences.observe(&room, &chunk);
                if let Err(users) = self.hub.observe(&room, &chunk) {
                    metrics::counter!("parlance_hints_unverified_total").increment(1);
                    let head = chunk.head().seq();
                    self.follow_up(tasks, envelope::head_hint(hint.room_id, head, users.iter()));
                }
                rooms.observe(&room, chunk);
            }
            Content::Head(hint) => self.follow_up(tasks, hint),
            Content::Signal(hint) => self.take_signal(hint),
            Content::Forward(forward) => rooms.decide_forwarded(forward),
            Content::Forwarded(forwarded) => rooms.forwarded(forwarded),
            Content::Contended(contended) => rooms.contended(&contended),
            Content::BlocksChanged(changed) => self.blocks_changed_elsewhere(&changed.user_id),
        }
    }

    /// Only uses hints: commands of a node that may belong to another fleet are not carried out, and its answers not
    /// trusted.
    fn take_unverified(self: &Arc<Self>, rooms: &impl RoomCommands, tasks: &TaskTracker, content: Content) {
        match content {
            // The store has the room's actual head.
            Content::Chunk(hint) => {
                let chunk = hint.chunk.as_ref().and_then(stored::chunk_from);
                self.follow_up(tasks, envelope::head_after(hint.room_id, chunk.as_ref()));
            }
            Content::Head(_) | Content::BlocksChanged(_) => self.take(rooms, tasks, content),
            // Clients trust signals as coming from the server.
            Content::Signal(_) => metrics::counter!("parlance_signals_unverified_total").increment(1),
            Content::Forward(_) | Content::Forwarded(_) | Content::Contended(_) => {
                metrics::counter!("parlance_commands_unverified_total").increment(1);
                tracing::debug!("ignoring an unverified command");
            }
        }
    }

    /// Follows up the room of `hint`, one read at a time per room.
    fn follow_up(self: &Arc<Self>, tasks: &TaskTracker, hint: HeadHint) {
        let Ok(room) = RoomId::parse(&hint.room_id) else { return };
        if !self.follow_ups.begin(&room, &hint) {
            return;
        }
        let cluster = self.clone();
        tasks.spawn(async move {
            let _ends = EndsWithPanic(&cluster.follow_ups, &room);
            let mut hint = Some(hint);
            while let Some(said) = hint {
                // A few rooms at a time; others wait, and may then have nothing left to do.
                let users = cluster.users_here(&said);
                let read = cluster.hints.run(cluster.read_head(&room, said.head_seq, &users)).await;
                if let Err(error) = read {
                    tracing::warn!(%error, "cannot read a room that has advanced, retrying");
                    metrics::counter!("parlance_recoveries_total", "cause" => "hint_failed").increment(1);
                    cluster.missed.uncompared.defer(Target::Room(room.clone()));
                    for user in users {
                        cluster.missed.uncompared.defer(Target::User(user));
                    }
                }
                hint = cluster.follow_ups.next(&room);
            }
        });
    }

    /// The users of `hint` that are here.
    fn users_here(&self, hint: &HeadHint) -> Vec<UserId> {
        let users = hint.user_ids.iter().filter_map(|user| UserId::parse(user).ok());
        users.filter(|user| self.hub.is_here(user)).collect()
    }

    /// Reads the head of a room that is reported to be further than it is known here.
    async fn read_head(&self, room: &RoomId, head: u64, here: &[UserId]) -> Result<(), StoreError> {
        if let Some(feed) = self.hub.feed(room)
            && feed.known().is_none_or(|known| known.head < head)
        {
            self.hub.refresh(&feed).await?;
        }
        stream::iter(here)
            .map(Ok)
            .try_for_each_concurrent(self.sizes.hint_concurrency, |user| async move {
                match self.store.member(room, user).await? {
                    Some(member) if member.is_active() => {
                        self.hub.attach(user, room, member.changed_at());
                    }
                    Some(member) => self.hub.removed(user, room, member.changed_at()),
                    None => {}
                }
                Ok(())
            })
            .await
    }

    fn take_signal(&self, hint: SignalHint) {
        let excepted = [&hint.except_user_id].into_iter().filter(|id| !id.is_empty());
        let excepted = excepted.chain(&hint.also_except_user_ids).map(|id| UserId::parse(id));
        let Ok(except) = excepted.collect::<Result<Vec<_>, _>>() else { return };
        let Some(frame) = signal_of(&hint) else { return };
        let rooms: Vec<RoomId> = hint.room_ids.iter().filter_map(|room| RoomId::parse(room).ok()).collect();
        let users: Vec<UserId> = hint.user_ids.iter().filter_map(|user| UserId::parse(user).ok()).collect();
        let in_large_rooms = hint.in_large_rooms;
        let to = SignalTarget { rooms: &rooms, users: &users, except: &except, in_large_rooms };
        self.hub.signal(&to, &frame);
    }
}

/// The frame of a hint. Events, gaps and replies are only created by sessions.
fn signal_of(hint: &SignalHint) -> Option<SharedFrame> {
    let frame = SharedFrame::from_encoded(&hint.frame);
    let is_signal = matches!(frame.decode_frame(), Ok(ServerFrame { frame: Some(Frame::Signal(_)) }));
    is_signal.then_some(frame)
}

#[cfg(test)]
mod tests {
    use parlance_proto::v1;
    use prost::Message;

    use super::*;

    fn passes(frame: Option<Frame>) -> bool {
        let frame = ServerFrame { frame }.encode_to_vec().into();
        signal_of(&SignalHint { frame, ..SignalHint::default() }).is_some()
    }

    #[test]
    fn hints_carry_signals_only() {
        assert!(passes(Some(Frame::Signal(v1::Signal::default()))));
        for frame in [
            Frame::Welcome(v1::Welcome::default()),
            Frame::Event(v1::Event::default()),
            Frame::Gap(v1::Gap::default()),
            Frame::Reply(v1::Reply::default()),
            Frame::Draining(v1::Draining::default()),
        ] {
            assert!(!passes(Some(frame.clone())), "{frame:?}");
        }
        assert!(!passes(None), "a frame of a later version");
        let garbage = SignalHint { frame: vec![0xff; 8].into(), ..SignalHint::default() };
        assert!(signal_of(&garbage).is_none());
    }
}
