use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;

use parlance_core::{
    Append, Body, Chunk, Event, Mark, Member, Message, RequestId, Role, RoomId, Settings, Text, Unknown,
    UserId, Visibility,
};
use parlance_proto::v1;
use parlance_store::{Dynamo, DynamoOptions, Embedded, Options, Store};
use prost::Message as _;
use prost::encoding::{bytes, int32};

use crate::{Cluster, Server, fresh};

/// The content that only the later version knows, in all places.
pub const LATER: &[u8] = b"of a later version";

/// A later version of the server, simulated by its writes to the store: it writes what this version does not
/// know. It publishes nothing.
pub struct LaterVersion(Arc<dyn Store>);

/// An event that it writes.
pub enum Later<'a> {
    /// Of an unknown kind.
    Kind,
    /// A message with an unknown field.
    Message(&'a str),
    /// Someone is added in an unknown role.
    Added(&'a str),
    /// The history is opened in an unknown way.
    Settings(&'a str),
}

impl LaterVersion {
    /// Replaces a stopped server on its data directory.
    pub fn instead_of(server: &Server) -> Self {
        let store = Embedded::open(&server.data().join("store"), Options::default());
        Self(Arc::new(store.expect("its server has ended")))
    }

    /// Runs next to the nodes of a cluster.
    pub async fn beside(cluster: &Cluster) -> Self {
        let options = DynamoOptions::emulator(cluster.dynamodb.endpoint());
        Self(Arc::new(Dynamo::connect(&options).await.expect("the tables are there")))
    }

    /// Writes events of `actor` as one chunk; returns the first seq.
    pub async fn write(&self, room: &str, actor: &str, later: &[Later<'_>]) -> u64 {
        let id = RoomId::parse(room).expect("a room's id");
        let stored = self.0.room(&id).await.expect("the store answers").expect("the room is there");
        let expected = stored.head();
        let last = stored.tail.events().last().expect("a chunk has events").clone();
        let (mut message_count, mut member_count) = (expected.message_count(), expected.member_count());
        let (mut events, mut members, mut joins, mut info) = (Vec::new(), Vec::new(), Vec::new(), None);
        for (seq, later) in (expected.seq() + 1..).zip(later) {
            let (body, encoded) = later.body(&stored.info.settings);
            match &body {
                Body::Message(_) => message_count += 1,
                Body::MemberAdded { user, .. } => {
                    member_count += 1;
                    members.push(Member::joined(user.clone(), Role::Member, seq));
                    joins.push((user.clone(), Mark { seq, message_count, ..Mark::from(expected) }));
                }
                Body::RoomChanged { settings } => {
                    info =
                        Some(parlance_core::RoomInfo { settings: settings.clone(), ..stored.info.clone() });
                }
                _ => {}
            }
            events.push(Event {
                seq,
                at: last.at,
                actor: user(actor),
                request: RequestId::parse(&fresh("later")).expect("a request's id"),
                message_count,
                deleted_count: expected.deleted_count(),
                body,
                unknown: Unknown::new(encoded),
                service: None,
            });
        }
        let mut nonce = [0x1a; 16];
        nonce[..8].copy_from_slice(&unique().to_be_bytes());
        let chunk = Chunk::new(nonce, events, message_count, member_count).expect("a chunk");
        let chunk = chunk.with_previous(Some(*expected.nonce()));
        let first = chunk.first_seq();
        let (overlays, sent) = (Vec::new(), Vec::new());
        let (invitations, listing) = (None, None);
        let append = Append { expected, chunk, members, overlays, joins, sent, info, invitations, listing };
        self.0.append(&id, append).await.expect("the head is the one that was read");
        first
    }

    /// Reads its own events from `first` on; returns the seqs of those that differ from what it wrote.
    pub async fn changed(&self, room: &str, first: u64, written: &[Later<'_>]) -> Vec<u64> {
        let id = RoomId::parse(room).expect("a room's id");
        let stored = self.0.room(&id).await.expect("the store answers").expect("the room is there");
        let chunks = self.0.chunks_after(&id, first - 1, written.len()).await.expect("the log is readable");
        let events = chunks.iter().flat_map(Chunk::events).take(written.len());
        let differs = |(event, later): &(&Event, &Later<'_>)| {
            event.unknown.bytes() != later.body(&stored.info.settings).1.as_slice()
        };
        events.zip(written).filter(differs).map(|(event, _)| event.seq).collect()
    }
}

/// A unique number: chunks of two rooms with one nonce would be one request to the store.
#[expect(clippy::disallowed_methods, reason = "of a test, which nothing is to repeat")]
fn unique() -> u64 {
    RandomState::new().hash_one(0)
}

impl Later<'_> {
    /// The body as this version interprets it, and its encoding.
    fn body(&self, now: &Settings) -> (Body, Vec<u8>) {
        match self {
            Self::Kind => (Body::Other, field(99, LATER)),
            Self::Message(text) => {
                let message = v1::Message { text: (*text).to_owned(), ..Default::default() };
                let encoded = field(15, &[message.encode_to_vec(), field(40, LATER)].concat());
                let text = Text::parse(text).expect("a text");
                (Body::Message(Message::plain(text)), encoded)
            }
            Self::Added(id) => {
                let added = v1::MemberAdded { user_id: (*id).to_owned(), role: 99, link_seq: 0 };
                (
                    Body::MemberAdded { user: user(id), role: Role::Member, link: None },
                    field(12, &[added.encode_to_vec(), field(40, LATER)].concat()),
                )
            }
            Self::Settings(title) => {
                let mut visibility = Vec::new();
                int32::encode(3, &99, &mut visibility);
                let titled = v1::RoomSettings { title: (*title).to_owned(), ..Default::default() };
                let content = [titled.encode_to_vec(), visibility, field(40, LATER)].concat();
                let title = parlance_core::Title::parse(title).expect("a title");
                let settings = Settings {
                    title,
                    topic: now.topic.clone(),
                    visibility: Visibility::SinceJoined,
                    ..Settings::default()
                };
                (Body::RoomChanged { settings }, field(11, &field(1, &content)))
            }
        }
    }
}

fn user(id: &str) -> UserId {
    UserId::parse(id).expect("a user's id")
}

fn field(number: u32, content: &[u8]) -> Vec<u8> {
    let mut field = Vec::new();
    bytes::encode(number, &content.to_vec(), &mut field);
    field
}
