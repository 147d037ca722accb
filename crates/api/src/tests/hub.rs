//! Sessions of a node that has missed part of a room's log.
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use parlance_core::{
    Append, Body, Chunk, Event, RequestId, RoomId, Settings, Timestamp, Unknown, Visibility,
};
use parlance_proto::v1;
use parlance_store::LogStore;
use v1::event::Body as Seen;
use v1::server_frame::Frame;

use crate::testing::{Conversation, TestNode, caller, group, soon, user};
use crate::{Api, Sizes};

/// A node, and another one on the same store whose hints never arrive.
struct Nodes {
    node: TestNode,
    other: Arc<Api>,
    room: RoomId,
    requests: AtomicU64,
}

impl Nodes {
    async fn start() -> Self {
        let node = TestNode::start();
        node.store.answer_all();
        node.api.ensure_user(&caller("bob")).await.unwrap();
        let room = node.api.rooms().create(group("first")).await.unwrap().into_parts().0.info.id;
        Self { other: node.other(), node, room, requests: AtomicU64::new(0) }
    }

    /// A new request id.
    fn id(&self) -> String {
        format!("request-{}", self.requests.fetch_add(1, Ordering::SeqCst))
    }

    /// A session of bob on the node, caught up.
    async fn bob(&self) -> Conversation {
        let mut bob = Conversation::open(&self.node.api, caller("bob")).await;
        bob.catch_up().await;
        bob
    }

    async fn say(&self, api: &Arc<Api>, text: &str) -> u64 {
        let request = v1::SendMessageRequest {
            text: text.into(),
            client_message_id: self.id(),
            target: Some(v1::send_message_request::Target::RoomId(self.room.to_string())),
            ..Default::default()
        };
        api.send_message(&caller("alice"), request).await.unwrap().seq
    }

    /// Adds events other than those that the node reads one by one.
    async fn say_more(&self) {
        for _ in 0..=Sizes::SMALL.hub.refresh_events {
            self.say(&self.other, "more").await;
        }
    }

    async fn edit(&self, seq: u64, text: &str) {
        let request = v1::EditMessageRequest {
            room_id: self.room.to_string(),
            seq,
            text: text.into(),
            request_id: self.id(),
            ..Default::default()
        };
        self.other.edit_message(&caller("alice"), request).await.unwrap();
    }

    async fn remove_bob(&self) {
        let request = v1::RemoveMemberRequest {
            room_id: self.room.to_string(),
            user_id: "bob".into(),
            request_id: "remove".into(),
            ..Default::default()
        };
        self.other.remove_member(&caller("alice"), request).await.unwrap();
    }

    async fn add_bob(&self) -> u64 {
        let request = v1::AddMembersRequest {
            room_id: self.room.to_string(),
            user_ids: vec!["bob".into()],
            request_id: "add".into(),
            ..Default::default()
        };
        self.other.add_members(&caller("alice"), request).await.unwrap();
        self.node.store.room(&self.room).await.unwrap().unwrap().head().seq()
    }

    async fn refresh(&self) {
        let feed = self.node.api.hub().feed(&self.room).unwrap();
        self.node.api.hub().refresh(&feed).await.unwrap();
    }
}

/// Reads the session's events until `is_last`.
async fn seen_until(session: &mut Conversation, is_last: impl Fn(&v1::Event) -> bool) -> Vec<v1::Event> {
    let mut seen = Vec::new();
    loop {
        if let Frame::Event(event) = session.next().await {
            let ends = is_last(&event);
            seen.push(event);
            if ends {
                return seen;
            }
        }
    }
}

fn removes_bob(event: &v1::Event) -> bool {
    matches!(&event.body, Some(Seen::MemberRemoved(removed)) if removed.user_id == "bob")
}

fn text_at(seen: &[v1::Event], seq: u64) -> Option<&str> {
    let event = seen.iter().find(|event| event.seq == seq)?;
    match &event.body {
        Some(Seen::Message(message)) => Some(&message.text),
        _ => None,
    }
}

/// The node skips over the removal, either by reading the room's head or by its own append.
#[tokio::test]
async fn a_missed_removal_ends_what_a_session_sees() {
    for is_refreshed in [true, false] {
        let nodes = Nodes::start().await;
        let (mut phone, mut laptop) = (nodes.bob().await, nodes.bob().await);
        let seq = nodes.say(&nodes.other, "for bob too").await;
        nodes.say_more().await;
        nodes.remove_bob().await;
        nodes.edit(seq, "not for bob").await;
        let before = nodes.node.store.row_batches();
        if is_refreshed {
            nodes.refresh().await;
        } else {
            nodes.say(&nodes.node.api, "not for bob either").await;
        }
        for session in [&mut phone, &mut laptop] {
            let seen = seen_until(session, removes_bob).await;
            assert_eq!(text_at(&seen, seq), Some("for bob too"));
        }
        assert_eq!(nodes.node.store.row_batches() - before, 1, "sessions share the rows that are read");
    }
}

#[tokio::test]
async fn missed_rejoin_continues_with_later_events() {
    let nodes = Nodes::start().await;
    let mut bob = nodes.bob().await;
    let seq = nodes.say(&nodes.other, "for bob too").await;
    nodes.say_more().await;
    nodes.remove_bob().await;
    let hidden = nodes.say(&nodes.other, "not for bob").await;
    nodes.say_more().await;
    let joined = nodes.add_bob().await;
    nodes.say_more().await;
    nodes.refresh().await;
    let last = nodes.say(&nodes.node.api, "for bob again").await;
    let seen = seen_until(&mut bob, |event| event.seq == last).await;
    assert_eq!(text_at(&seen, seq), Some("for bob too"));
    assert_eq!(text_at(&seen, hidden), None);
    let after: Vec<u64> = seen.iter().map(|event| event.seq).filter(|seq| *seq >= joined).collect();
    assert_eq!(after, (joined..=last).collect::<Vec<_>>());
    assert!(nodes.node.api.hub().as_member(&user("bob"), &nodes.room).is_some());
}

/// A later version of the server restricts the history of a room with an event of a kind that is
/// unknown here.
#[tokio::test]
async fn settings_are_read_again_after_an_unknown_event() {
    let nodes = Nodes::start().await;
    let store = &nodes.node.store;
    let update = v1::UpdateRoomRequest {
        room_id: nodes.room.to_string(),
        history_visibility: Some(v1::HistoryVisibility::All.into()),
        request_id: "open".into(),
        ..Default::default()
    };
    nodes.node.api.update_room(&caller("alice"), update).await.unwrap();
    let _bob = nodes.bob().await;
    let feed = nodes.node.api.hub().feed(&nodes.room).unwrap();
    assert_eq!(feed.known().unwrap().visibility, Visibility::All);

    let stored = store.room(&nodes.room).await.unwrap().unwrap();
    let (expected, mut info) = (stored.head(), stored.info);
    info.settings = Settings { visibility: Visibility::SinceJoined, ..info.settings };
    let event = Event {
        seq: expected.seq() + 1,
        at: Timestamp(2),
        actor: user("alice"),
        request: RequestId::parse("later").unwrap(),
        message_count: 0,
        deleted_count: 0,
        body: Body::Other,
        // The field 99, which holds one byte.
        unknown: Unknown::new(vec![0x9a, 0x06, 1, 0]),
        service: None,
    };
    let chunk = Chunk::new([3; 16], vec![event], 0, 2).unwrap().with_previous(Some(*expected.nonce()));
    let append = Append {
        expected,
        chunk: chunk.clone(),
        members: Vec::new(),
        overlays: Vec::new(),
        joins: Vec::new(),
        sent: Vec::new(),
        info: Some(info),
        invitations: None,
        listing: None,
    };
    store.append(&nodes.room, append).await.unwrap();
    nodes.node.api.hub().observe(&nodes.room, &chunk).unwrap_err();
    nodes.refresh().await;
    let known = feed.known().unwrap();
    assert_eq!((known.head, known.visibility), (chunk.head().seq(), Visibility::SinceJoined));
}

/// A caller that joins a refresh in progress finds the events it delivers.
#[tokio::test]
async fn a_refresh_is_over_once_its_news_are_delivered() {
    let nodes = Nodes::start().await;
    let _bob = nodes.bob().await;
    let seq = nodes.say(&nodes.other, "news").await;
    let (store, hub) = (nodes.node.store.as_ref(), nodes.node.api.hub());
    let feed = hub.feed(&nodes.room).unwrap();
    let mut first = Box::pin(feed.refresh(store, |_, _| {}));
    assert!(first.as_mut().now_or_never().is_none(), "it reads the store");
    // Both have asked before the next refresh begins, which serves both.
    let third = Mutex::new(Box::pin(feed.refresh(store, |_, _| {})));
    let mut second = Box::pin(feed.refresh(store, |terms, chunk| {
        assert!(third.lock().unwrap().as_mut().now_or_never().is_none(), "let go before the delivery");
        hub.deliver(&nodes.room, terms, chunk);
    }));
    assert!(second.as_mut().now_or_never().is_none());
    assert!(third.lock().unwrap().as_mut().now_or_never().is_none());
    soon(first).await.unwrap();
    soon(second).await.unwrap();
    assert_eq!(feed.known().unwrap().head, seq);
    let reads = nodes.node.store.reads();
    soon(third.into_inner().unwrap()).await.unwrap();
    assert_eq!(nodes.node.store.reads(), reads, "it was looked for already");
}

/// A session reads the room's head; before the answer arrives, a hint reports a newer head. The
/// events read for the hint must not be lost to the session.
#[tokio::test]
async fn a_refresh_while_a_session_opens_the_room_finds_what_is_new() {
    let nodes = Arc::new(Nodes::start().await);
    let hub = nodes.node.api.hub();
    let store = nodes.node.store.clone();
    let bob = hub.open(&user("bob"), None);
    let refresh = Arc::new(Mutex::new(None));
    let (there, begun) = (nodes.clone(), refresh.clone());
    *store.after_room.lock().unwrap() = Some(Box::pin(async move {
        there.say(&there.other, "news").await;
        let hub = there.node.api.hub().clone();
        let feed = hub.feed(&there.room).unwrap();
        let mut refresh = Box::pin(async move { hub.refresh(&feed).await });
        assert!(refresh.as_mut().now_or_never().is_none(), "it reads the store");
        *begun.lock().unwrap() = Some(refresh);
    }));
    let (listening, _) = hub.subscribe(&nodes.room, &bob).await.unwrap().unwrap();
    let refresh = refresh.lock().unwrap().take().unwrap();
    soon(refresh).await.unwrap();
    let head = store.room(&nodes.room).await.unwrap().unwrap().head().seq();
    assert_eq!(listening.feed().known().unwrap().head, head);
}
