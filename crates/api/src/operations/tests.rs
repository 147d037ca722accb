//! The exact DynamoDB requests of each operation. The table in `docs/performance.md` lists the same numbers.
use std::sync::Arc;

use parlance_faults::dynamodb::{Dynamodb, Tally};
use parlance_proto::v1;
use parlance_store::{Dynamo, DynamoOptions, Store, TableOptions};
use tokio_util::sync::CancellationToken;

use crate::testing::{Conversation, caller, parts, soon, user};
use crate::{Api, Sizes};

struct Node {
    api: Arc<Api>,
    dynamodb: Dynamodb,
}

/// The expected requests of an operation.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Cost {
    reads: u64,
    writes: u64,
    read_units: f64,
    write_units: f64,
}

fn cost(reads: u64, read_units: f64, writes: u64, write_units: f64) -> Cost {
    Cost { reads, writes, read_units, write_units }
}

const READS: [&str; 4] = ["Query", "GetItem", "TransactGetItems", "BatchGetItem"];
const WRITES: [&str; 4] = ["PutItem", "UpdateItem", "TransactWriteItems", "BatchWriteItem"];

impl Cost {
    fn between(before: &Tally, after: &Tally) -> Self {
        let calls = |of: [&str; 4]| {
            of.iter().map(|name| after.requests_of(name) - before.requests_of(name)).sum::<u64>()
        };
        let units = |of: [&str; 4]| {
            let units = |tally: &Tally, name| tally.units.get(name).copied().unwrap_or(0.0);
            of.iter().map(|name| units(after, *name) - units(before, *name)).sum::<f64>()
        };
        let round = |units: f64| (units * 100.0).round() / 100.0;
        cost(calls(READS), round(units(READS)), calls(WRITES), round(units(WRITES)))
    }
}

impl Node {
    async fn start() -> Self {
        let dynamodb = Dynamodb::start().unwrap();
        let options = DynamoOptions::emulator(dynamodb.endpoint());
        let store = Box::pin(Dynamo::connect(&options)).await.unwrap();
        Box::pin(store.create_tables(&TableOptions::default())).await.unwrap();
        store.identity().await.unwrap();
        let room_ids = store.room_ids().await.unwrap();
        let parts = parts(Arc::new(store), room_ids, &Sizes::PRODUCTION);
        let node = Self { api: Api::start(parts, CancellationToken::new()), dynamodb };
        for id in ["alice", "bob", "carol"] {
            node.api.ensure_user(&caller(id)).await.unwrap();
            // Read once, when they come online or are added.
            node.api.cluster().blocks_of(&user(id)).await.unwrap();
        }
        node
    }

    /// Runs `work` and compares its requests with `expected`.
    async fn check<T>(&self, what: &str, expected: Cost, work: impl Future<Output = T>) -> T {
        let before = self.dynamodb.tally();
        let result = soon(work).await;
        assert_eq!(Cost::between(&before, &self.dynamodb.tally()), expected, "{what}");
        result
    }

    async fn room(&self, request: &str) -> String {
        let request = v1::CreateRoomRequest {
            kind: v1::RoomKind::Group.into(),
            member_ids: vec!["bob".into()],
            request_id: request.into(),
            ..Default::default()
        };
        self.api.create_room(&caller("alice"), request).await.unwrap().room.unwrap().room_id
    }

    async fn say(&self, who: &str, room: &str, id: &str) -> u64 {
        let request = v1::SendMessageRequest {
            text: "x".repeat(200),
            client_message_id: id.into(),
            target: Some(v1::send_message_request::Target::RoomId(room.into())),
            ..Default::default()
        };
        self.api.send_message(&caller(who), request).await.unwrap().seq
    }

    async fn mark(&self, room: &str, seq: u64) {
        let request = v1::MarkReadRequest { room_id: room.into(), seq, ..Default::default() };
        self.api.mark_read(&caller("bob"), request).await.unwrap();
    }

    async fn acknowledge(&self, room: &str, seq: u64) {
        let request = v1::AcknowledgeDeliveryRequest { room_id: room.into(), seq, ..Default::default() };
        self.api.acknowledge_delivery(&caller("bob"), request).await.unwrap();
    }

    async fn type_in(&self, room: &str) {
        let request = v1::SendTypingRequest { room_id: room.into() };
        self.api.send_typing(&caller("bob"), request).await.unwrap();
    }

    async fn connect(&self, id: &str) -> Conversation {
        Conversation::open(&self.api, caller(id)).await
    }
}

#[tokio::test]
async fn operations_of_members_with_a_session_read_nothing() {
    let node = Node::start().await;
    let room = node.room("first").await;
    node.say("alice", &room, "1").await;
    let mut bob = node.connect("bob").await;
    bob.catch_up().await;
    node.say("alice", &room, "3").await;
    let seq = Box::pin(node.check("a message", cost(0, 0.0, 1, 1.0), node.say("alice", &room, "2"))).await;
    node.check("typing", cost(0, 0.0, 0, 0.0), node.type_in(&room)).await;
    // The messages up to the mark, and those sent after it.
    node.check("a mark far behind", cost(5, 6.0, 1, 1.0), node.mark(&room, 2)).await;
    node.check("a mark before the head", cost(0, 0.0, 1, 1.0), node.mark(&room, seq - 1)).await;
    node.check("a mark at the head", cost(0, 0.0, 1, 1.0), node.mark(&room, seq)).await;
    node.check("an acknowledgement", cost(0, 0.0, 1, 1.0), node.acknowledge(&room, seq)).await;
}

#[tokio::test]
async fn acknowledgements_of_a_session_share_writes() {
    let node = Node::start().await;
    let room = node.room("first").await;
    let mut bob = node.connect("bob").await;
    bob.catch_up().await;
    let acknowledge = |seq| {
        v1::client_frame::Operation::AcknowledgeDelivery(v1::AcknowledgeDeliveryRequest {
            room_id: room.clone(),
            seq,
            ..Default::default()
        })
    };
    node.check("the first", cost(0, 0.0, 1, 1.0), bob.call(acknowledge(1))).await;
    let more = async {
        bob.call(acknowledge(2)).await;
        bob.call(acknowledge(3)).await;
    };
    node.check("and those after it", cost(0, 0.0, 0, 0.0), more).await;
    let ended = async {
        let api = node.api.clone();
        drop(bob);
        while api.usage().users > 0 || api.usage().marks > 0 || api.usage().tasks > 3 {
            tokio::task::yield_now().await;
        }
    };
    node.check("when the session ends", cost(0, 0.0, 1, 1.0), ended).await;
}

#[tokio::test]
async fn operations_of_members_without_a_session_are_authorised_by_the_store() {
    let node = Node::start().await;
    let room = node.room("first").await;
    let seq = node.say("alice", &room, "1").await;
    node.check("typing", cost(3, 4.0, 0, 0.0), node.type_in(&room)).await;
    node.check("a mark at the head", cost(3, 4.0, 1, 1.0), node.mark(&room, seq)).await;
    node.check("an acknowledgement", cost(3, 4.0, 1, 1.0), node.acknowledge(&room, seq)).await;
}

#[tokio::test]
async fn changes_cost_one_write() {
    let node = Node::start().await;
    let room = node.room("first").await;
    let target = node.say("alice", &room, "1").await;
    let request = v1::EditMessageRequest {
        room_id: room.clone(),
        seq: target,
        text: "shorter".into(),
        request_id: "edit".into(),
        ..Default::default()
    };
    let edited = async { node.api.edit_message(&caller("alice"), request).await.unwrap() };
    Box::pin(node.check("an edit", cost(0, 0.0, 1, 4.0), edited)).await;
    let request = v1::AddMembersRequest {
        room_id: room.clone(),
        user_ids: vec!["carol".into()],
        request_id: "add".into(),
        ..Default::default()
    };
    let added = async { node.api.add_members(&caller("alice"), request).await.unwrap() };
    // Includes the read that checks whether she was a member before.
    Box::pin(node.check("a member added", cost(1, 2.0, 1, 6.0), added)).await;
}

#[tokio::test]
async fn hello_and_lists_cost_so_much_for_each_room() {
    for rooms in [1, 20] {
        let node = Node::start().await;
        for number in 0..rooms {
            let room = node.room(&format!("room-{number}")).await;
            node.say("alice", &room, &format!("message-{number}")).await;
        }
        let n = rooms as u64;
        let units = |pages: f64, each: f64| pages + each * rooms as f64;
        // The list twice, and for each room its tail and the data next to the log.
        let hello = cost(2 + 2 * n, units(2.0, 2.0), 0, 0.0);
        let _bob = node.check(&format!("hello with {rooms} rooms"), hello, node.connect("bob")).await;
        let list = v1::ListRoomsRequest::default();
        let listed = async { node.api.list_rooms(&caller("bob"), list).await.unwrap() };
        // The data next to the log, the tail, and if there are unread messages the user's own row.
        let expected = cost(1 + 3 * n, units(1.0, 4.0), 0, 0.0);
        assert_eq!(node.check("a page of rooms", expected, listed).await.rooms.len(), rooms);
        let inbox = async { node.api.list_inbox(&caller("bob"), v1::ListInboxRequest::default()).await };
        // The room, the user's own row and messages sent after its mark, and the present form of the last message.
        let expected = cost(1 + 6 * n, units(1.0, 8.0), 0, 0.0);
        assert_eq!(node.check("the inbox", expected, inbox).await.unwrap().entries.len(), rooms);
    }
}

#[tokio::test]
async fn pages_cost_the_same_however_long_the_room_is() {
    let node = Node::start().await;
    let room = node.room("first").await;
    for number in 0..20 {
        node.say("alice", &room, &format!("message-{number}")).await;
    }
    let request = v1::ListEventsRequest { room_id: room.clone(), page_size: 50, ..Default::default() };
    let page = async { node.api.list_events(&caller("bob"), request).await.unwrap() };
    // The reader's permission, the log and changes in it.
    assert_eq!(node.check("a page of events", cost(6, 8.0, 0, 0.0), page).await.events.len(), 23);
    let request = v1::ListMembersRequest { room_id: room.clone(), ..Default::default() };
    let page = async { node.api.list_members(&caller("bob"), request).await.unwrap() };
    // The reader's permission, the list, and the profiles at once.
    assert_eq!(node.check("a page of members", cost(5, 7.0, 0, 0.0), page).await.members.len(), 2);
}
