//! Announces changed profiles to open sessions.
use std::sync::Arc;

use dashmap::mapref::entry::Entry;
use futures::{StreamExt, TryStreamExt};
use parlance_cluster::Cluster;
use parlance_core::{RoomId, UserId};
use parlance_delivery::SharedFrame;
use parlance_proto::v1::signal::Signal;
use parlance_runtime::map::Map;
use parlance_store::{Store, StoreError, rooms};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Sizes;
use crate::limits::{MAX_PROFILE_ROOMS, PROFILE_EVERY};
use crate::operations::views::user_to_proto;
use crate::rules::ProfileRules;

/// Announces changed profiles, in one task per user.
pub(crate) struct Profiles {
    store: Arc<dyn Store>,
    cluster: Arc<Cluster>,
    tasks: TaskTracker,
    end: CancellationToken,
    rules: ProfileRules,
    sizes: &'static Sizes,
    /// Users with a running task, and whether their profile has changed again since the task read it.
    changed: Map<UserId, bool>,
}

impl Profiles {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        cluster: Arc<Cluster>,
        tasks: TaskTracker,
        end: CancellationToken,
        rules: ProfileRules,
        sizes: &'static Sizes,
    ) -> Self {
        Self { store, cluster, tasks, end, rules, sizes, changed: Map::default() }
    }

    /// Announces a changed profile of `user` immediately; further changes within [`PROFILE_EVERY`] are announced
    /// together afterwards.
    pub(crate) fn changed(self: &Arc<Self>, user: &UserId) {
        match self.changed.entry(user.clone()) {
            Entry::Occupied(mut again) => *again.get_mut() = true,
            Entry::Vacant(none) => {
                none.insert(false);
                let (profiles, user) = (self.clone(), user.clone());
                self.tasks.spawn(async move { profiles.run(&user).await });
            }
        }
    }

    async fn run(&self, user: &UserId) {
        loop {
            if let Err(error) = self.announce(user).await {
                tracing::warn!(%user, %error, "cannot announce a changed profile");
            }
            let _ = self.end.run_until_cancelled(sleep(PROFILE_EVERY)).await;
            // Under the lock of the map: a change is either seen here or starts a new task.
            match self.changed.entry(user.clone()) {
                Entry::Occupied(mut again) if *again.get() => *again.get_mut() = false,
                Entry::Occupied(done) => {
                    done.remove();
                    return;
                }
                Entry::Vacant(_) => return,
            }
        }
    }

    async fn announce(&self, user: &UserId) -> Result<(), StoreError> {
        // Reads the current profile: it may have changed again.
        let Some(profile) = self.store.user(user).await? else { return Ok(()) };
        let rooms = rooms::active(self.store.as_ref(), user, self.sizes.rooms_page);
        let rooms = rooms.map_ok(|row| row.room).take(MAX_PROFILE_ROOMS);
        let mut rooms: Vec<RoomId> = rooms.try_collect().await?;
        if !self.rules.are_open() {
            let unanswered = self.cluster.unanswered(user, &rooms).await;
            rooms.retain(|room| !unanswered.contains(room));
        }
        let frame = SharedFrame::signal(Signal::UserUpdated(user_to_proto(&profile)));
        self.cluster.signal_contacts(user, &rooms, &frame).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use parlance_proto::v1;
    use v1::server_frame::Frame;

    use super::*;
    use crate::testing::{Conversation, TestNode, caller, group, soon, user};
    use parlance_hub::Waken;

    async fn rename(node: &TestNode, name: &str) {
        let request = v1::UpdateUserRequest {
            user_id: "me".to_owned(),
            name: Some(name.to_owned()),
            ..Default::default()
        };
        node.api.update_user(&caller("bob"), request).await.unwrap();
    }

    fn names(frames: Vec<Frame>) -> Vec<String> {
        let name = |frame| match frame {
            Frame::Signal(v1::Signal { signal: Some(Signal::UserUpdated(user)) }) => Some(user.name),
            _ => None,
        };
        frames.into_iter().filter_map(name).collect()
    }

    async fn next_name(of: &mut Conversation) -> String {
        loop {
            if let Some(name) = names(vec![of.next().await]).pop() {
                return name;
            }
        }
    }

    /// A node with alice and bob in `rooms` shared rooms.
    async fn node(rooms: usize) -> TestNode {
        let node = TestNode::start();
        node.store.answer_all();
        for id in ["alice", "bob"] {
            node.api.ensure_user(&caller(id)).await.unwrap();
        }
        for number in 0..rooms {
            node.api.rooms().create(group(&format!("room-{number}"))).await.unwrap();
        }
        node
    }

    #[tokio::test]
    async fn a_rename_reads_pages_of_rooms_and_no_room() {
        let node = node(7).await;
        let alice = node.live("alice", &group("room-0").info.id).await;
        let _too = node.live("alice", &group("room-1").info.id).await;
        let reads = node.store.reads();
        rename(&node, "Robert").await;
        assert!(matches!(soon(alice.0.next()).await, Waken::Signal(_)));
        // Pages of three rooms.
        assert_eq!(node.store.reads() - reads, 3);
        assert!(alice.0.next().now_or_never().is_none(), "once, however many rooms");
    }

    #[tokio::test]
    async fn renames_in_quick_succession_end_with_the_last_name() {
        let node = node(1).await;
        let mut at_alice = Conversation::open(&node.api, caller("alice")).await;
        rename(&node, "1").await;
        let first = next_name(&mut at_alice).await;
        for name in ["2", "3", "4"] {
            rename(&node, name).await;
        }
        node.api.end.cancel();
        assert_eq!((first.as_str(), next_name(&mut at_alice).await.as_str()), ("1", "4"));
        assert!(names(at_alice.waiting()).is_empty());
        while node.api.profiles().changed.contains_key(&user("bob")) {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn former_members_get_no_renames() {
        let node = node(1).await;
        let mut at_alice = Conversation::open(&node.api, caller("alice")).await;
        let mut at_bob = Conversation::open(&node.api, caller("bob")).await;
        let room_id = group("room-0").info.id.to_string();
        let request = v1::RemoveMemberRequest {
            room_id,
            user_id: "bob".to_owned(),
            request_id: "remove".to_owned(),
            ..Default::default()
        };
        node.api.remove_member(&caller("alice"), request).await.unwrap();
        rename(&node, "Robert").await;
        assert_eq!(next_name(&mut at_bob).await, "Robert", "one's own sessions, without a room");
        assert!(names(at_alice.waiting()).is_empty());
    }
}
