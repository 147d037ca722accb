use std::sync::Arc;

use parlance_core::{RoomId, UserId};

use crate::Api;
use parlance_cluster::SignalRoom;

/// The user of a session, registered here as online until a while after this is dropped.
pub(super) struct Online {
    api: Arc<Api>,
    user: UserId,
    came: bool,
    rooms: Vec<SignalRoom>,
}

impl Online {
    /// Registers a session of `user`. From when this returns, other nodes tell this one what
    /// happens in their rooms; what happened before, the store tells.
    pub(super) async fn register(api: &Arc<Api>, user: &UserId) -> Option<Self> {
        let (registering, user) = (api.clone(), user.clone());
        // In a task of its own, so that the session is counted once or not at all.
        let registered = api.tasks().spawn(async move {
            // Out of reach, the registry makes up for it.
            let came = registering.registry().connect(&user).await == Ok(true);
            Self { api: registering, user, came, rooms: Vec::new() }
        });
        registered.await.ok()
    }

    pub(super) fn api(&self) -> &Arc<Api> {
        &self.api
    }

    /// The user has left `room`: those in it are not told of the session's end.
    pub(super) fn left(&mut self, room: &RoomId) {
        self.rooms.retain(|told| told.room != *room);
    }

    /// Tells `rooms` of it, and of the leaving when it comes to that.
    pub(super) fn announce(&mut self, rooms: Vec<SignalRoom>) {
        self.rooms = rooms;
        if self.came {
            let (api, user, rooms) = (self.api.clone(), self.user.clone(), self.rooms.clone());
            self.api.tasks().spawn(async move { api.tell_presence(&user, true, &rooms).await });
        }
    }
}

impl Drop for Online {
    /// The registration outlives the session by the grace: whoever reloads a page never was away.
    fn drop(&mut self) {
        let (api, user, mut rooms) = (self.api.clone(), self.user.clone(), std::mem::take(&mut self.rooms));
        let linger = api.hub().linger(&user);
        self.api.tasks().spawn(async move {
            api.presence_grace().await;
            if api.registry().disconnect(&user).await == Ok(true) {
                rooms.retain(|told| !linger.has_left(&told.room));
                api.tell_presence(&user, false, &rooms).await;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use parlance_proto::v1;
    use v1::server_frame::Frame;
    use v1::signal::Signal;

    use crate::testing::{Conversation, TestNode, caller, user};

    /// Until the test ends it.
    const LONG: Duration = Duration::from_secs(3_600);

    fn presence(frames: Vec<Frame>) -> Vec<bool> {
        let online = |frame| match frame {
            Frame::Signal(v1::Signal { signal: Some(Signal::Presence(presence)) }) => Some(presence.online),
            _ => None,
        };
        frames.into_iter().filter_map(online).collect()
    }

    async fn next_presence(of: &mut Conversation) -> bool {
        loop {
            if let [online] = presence(vec![of.next().await])[..] {
                return online;
            }
        }
    }

    async fn with_bob(node: &TestNode, creator: &str) -> String {
        let request = v1::CreateRoomRequest {
            kind: v1::RoomKind::Group.into(),
            member_ids: vec!["bob".to_owned()],
            request_id: "create".to_owned(),
            ..Default::default()
        };
        node.api.create_room(&caller(creator), request).await.unwrap().room.unwrap().room_id
    }

    async fn remove_bob(node: &TestNode, by: &str, room_id: &str) {
        let request = v1::RemoveMemberRequest {
            room_id: room_id.to_owned(),
            user_id: "bob".to_owned(),
            request_id: "remove".to_owned(),
            ..Default::default()
        };
        node.api.remove_member(&caller(by), request).await.unwrap();
    }

    async fn node() -> TestNode {
        let node = TestNode::start_with_grace(LONG);
        node.store.answer_all();
        for id in ["alice", "bob", "carol"] {
            node.api.ensure_user(&caller(id)).await.unwrap();
        }
        node
    }

    #[tokio::test]
    async fn a_session_that_follows_within_the_grace_signals_nothing() {
        let node = node().await;
        with_bob(&node, "alice").await;
        let mut at_alice = Conversation::open(&node.api, caller("alice")).await;
        let at_bob = Conversation::open(&node.api, caller("bob")).await;
        assert!(next_presence(&mut at_alice).await);
        drop(at_bob);
        assert_eq!(node.api.registry().online(&[user("bob")]).await, Ok(vec![true]), "within the grace");
        let at_bob = Conversation::open(&node.api, caller("bob")).await;
        // The end of the first session comes first.
        drop(at_bob);
        node.api.end.cancel();
        assert!(!next_presence(&mut at_alice).await);
        assert_eq!(node.api.registry().online(&[user("bob")]).await, Ok(vec![false]));
        assert!(presence(at_alice.waiting()).is_empty(), "no more than that");
    }

    #[tokio::test]
    async fn rooms_left_within_the_grace_are_not_told_of_the_end() {
        let node = node().await;
        let (shared, _other) = (with_bob(&node, "alice").await, with_bob(&node, "carol").await);
        let mut at_alice = Conversation::open(&node.api, caller("alice")).await;
        let mut at_carol = Conversation::open(&node.api, caller("carol")).await;
        let at_bob = Conversation::open(&node.api, caller("bob")).await;
        assert!(next_presence(&mut at_alice).await && next_presence(&mut at_carol).await);
        drop(at_bob);
        remove_bob(&node, "alice", &shared).await;
        node.api.end.cancel();
        assert!(!next_presence(&mut at_carol).await);
        // All rooms are told at once.
        assert!(presence(at_alice.waiting()).is_empty());
    }
}
