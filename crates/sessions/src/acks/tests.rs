use parlance_hub::Listening;

use super::*;
use crate::testing::{TestNode, group, soon, user};
use parlance_store::MemberStore;

struct Device {
    node: TestNode,
    room: RoomId,
    acks: Acks,
    listening: Listening,
}

impl Device {
    /// Bob in a room of three events, whose store answers all writes but acknowledgements.
    async fn start() -> Self {
        let node = TestNode::start();
        node.store.answers.add_permits(1);
        let room = node.rooms.create(group("first")).await.unwrap().into_parts().0.info.id;
        let mailbox = node.sessions.hub.open(&user("bob"), None);
        let (listening, state) = node.sessions.hub.subscribe(&room, &mailbox).await.unwrap().unwrap();
        listening.now_live(state.head);
        let acks = Acks::new(&node.sessions, &node.operations, &user("bob"));
        Self { node, room, acks, listening }
    }

    /// Acknowledges as a session does. Returns what is answered before it is stored.
    async fn acknowledge(&mut self, seq: u64) -> Option<u64> {
        let request =
            v1::AcknowledgeDeliveryRequest { room_id: self.room.to_string(), seq, ..Default::default() };
        match self.acks.take(&request) {
            Taken::Waits(response) => Some(response.delivered_seq),
            Taken::First(first) => {
                let stored = self.node.operations.acknowledge(&user("bob"), &self.room, seq).await;
                match (first, stored) {
                    (Some(first), Ok(cursors)) => first.stored(cursors.delivered),
                    (Some(first), Err(_)) => first.failed(),
                    (None, _) => {}
                }
                None
            }
        }
    }

    async fn stored(&self) -> u64 {
        let row = self.node.store.user_room(&user("bob"), &self.room).await.unwrap();
        row.unwrap().cursors.delivered
    }

    /// Writes of acknowledgements since this was last asked.
    fn writes(&self) -> usize {
        let written = self.node.store.committed.available_permits();
        self.node.store.committed.forget_permits(written)
    }

    async fn end_window(&self) -> bool {
        let windows = self.acks.windows.as_ref().unwrap();
        windows.end_window(&self.acks.server, &user("bob")).await
    }
}

#[tokio::test]
async fn acknowledgements_within_a_window_share_a_write() {
    let mut device = Device::start().await;
    device.node.store.answer_all();
    device.writes();
    assert_eq!(device.acknowledge(1).await, None);
    assert_eq!((device.stored().await, device.writes()), (1, 1));
    assert_eq!(device.acknowledge(2).await, Some(2));
    assert_eq!(device.acknowledge(3).await, Some(3));
    assert_eq!(device.acknowledge(2).await, Some(3), "moved back");
    assert_eq!((device.stored().await, device.writes()), (1, 0));
    assert!(device.end_window().await);
    assert_eq!((device.stored().await, device.writes()), (3, 1));
    assert!(!device.end_window().await, "nothing came since");
    // A new window.
    assert_eq!(device.acknowledge(3).await, None);
}

#[tokio::test]
async fn ended_session_stores_pending_without_reads() {
    let mut device = Device::start().await;
    let tasks = device.node.sessions.tasks.len();
    device.node.store.answer_all();
    assert_eq!(device.acknowledge(1).await, None);
    assert_eq!(device.acknowledge(3).await, Some(3));
    let reads = device.node.store.reads();
    let Device { node, room, acks, listening } = device;
    drop(acks);
    drop(listening);
    soon(async {
        while node.sessions.tasks.len() > tasks {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(node.store.reads(), reads);
    let row = node.store.user_room(&user("bob"), &room).await.unwrap().unwrap();
    assert_eq!(row.cursors.delivered, 3);
}

#[tokio::test]
async fn answered_acknowledgements_survive_store_failure_at_session_end() {
    let mut device = Device::start().await;
    device.node.store.answer_all();
    assert_eq!(device.acknowledge(1).await, None);
    assert_eq!(device.acknowledge(3).await, Some(3));
    device.node.store.fail_advances(1);
    let Device { node, room, acks, listening } = device;
    drop(acks);
    drop(listening);
    soon(async {
        while node.store.user_room(&user("bob"), &room).await.unwrap().unwrap().cursors.delivered < 3 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Another device of the user has received more.
#[tokio::test]
async fn answers_never_move_back() {
    let mut device = Device::start().await;
    device.node.store.answer_all();
    device.node.operations.acknowledge(&user("bob"), &device.room, 3).await.unwrap();
    assert_eq!(device.acknowledge(1).await, None, "which the store answers with 3");
    assert_eq!(device.acknowledge(2).await, Some(3));
}

#[tokio::test]
async fn draining_node_stores_pending_acknowledgements_at_once() {
    let mut device = Device::start().await;
    device.node.store.answer_all();
    assert_eq!(device.acknowledge(1).await, None);
    assert_eq!(device.acknowledge(3).await, Some(3));
    device.node.sessions.departure.shutdown().cancel();
    soon(async {
        while device.stored().await < 3 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn failed_acknowledgements_are_stored_after_the_next_window() {
    let mut device = Device::start().await;
    device.node.store.answer_all();
    device.node.store.fail_advances(2);
    assert_eq!(device.acknowledge(1).await, None);
    assert_eq!(device.stored().await, 0);
    assert_eq!(device.acknowledge(3).await, Some(3));
    assert!(device.end_window().await);
    assert_eq!(device.stored().await, 0);
    assert!(device.end_window().await);
    assert_eq!(device.stored().await, 3);
}

#[tokio::test]
async fn undecidable_acknowledgements_go_to_the_store() {
    let mut device = Device::start().await;
    device.node.store.answer_all();
    for (room, seq) in [("no such room", 1), ("", 1), (device.room.clone().as_str(), 0)] {
        let request = v1::AcknowledgeDeliveryRequest { room_id: room.into(), seq, ..Default::default() };
        assert!(matches!(device.acks.take(&request), Taken::First(None)));
    }
    // Ahead of what has reached this node.
    let request =
        v1::AcknowledgeDeliveryRequest { room_id: device.room.to_string(), seq: 4, ..Default::default() };
    assert!(matches!(device.acks.take(&request), Taken::First(None)));
}
