//! The seeded members of each room before the run.

use std::fmt;

use parlance_client::transport::Door;
use parlance_proto::v1;

use super::history::{RoomIndex, Text};
use parlance_testbed::Seeded;

/// A user, as an index into the world; each has one client.
pub(super) type User = u16;

/// Identifies an operation: the client, and a number of its own. Written `c-n` in
/// hexadecimal, it is the request id, and the first word of every text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct OpId {
    pub(super) client: User,
    pub(super) number: u32,
}

impl fmt::Display for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}", self.client, self.number)
    }
}

impl OpId {
    pub(super) fn parse(id: &str) -> Option<Self> {
        let (client, number) = id.split_once('-')?;
        let id = Self {
            client: User::from_str_radix(client, 16).ok()?,
            number: u32::from_str_radix(number, 16).ok()?,
        };
        Some(id)
    }

    /// The text written by the operation: unique, and unmistakable.
    pub(super) fn text(self) -> String {
        let length = Seeded::new(u64::from(self.client) << 32 | u64::from(self.number)).below(180) as usize;
        format!("{self} {}", &FILLER[..length])
    }
}

impl Text {
    pub(super) fn read(text: &str) -> Self {
        if text.is_empty() {
            return Self::Empty;
        }
        let id = text.split(' ').next().and_then(OpId::parse);
        id.filter(|id| id.text() == text).map_or(Self::Foreign, Self::Of)
    }
}

/// Two hundred bytes of filler.
const FILLER: &str = "the tide goes out and the tide comes in and whoever counts the waves from the pier \
    has to begin again after each of them while the gulls keep a count of their own and never tell \
    anyone the sum ..........";

pub(super) const EMOJI: [&str; 4] = ["👍", "🌊", "❤", "🎉"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Direct,
    Group,
    Channel,
}

#[derive(Debug, Clone)]
pub(super) struct PlannedRoom {
    pub(super) kind: Kind,
    /// The owner first. In a direct room: both users.
    pub(super) members: Vec<User>,
    /// Assigned by the server on creation.
    pub(super) id: String,
    /// The request that creates it.
    pub(super) request: String,
}

impl PlannedRoom {
    pub(super) fn owner(&self) -> User {
        self.members[0]
    }

    pub(super) fn proto_kind(&self) -> v1::RoomKind {
        match self.kind {
            Kind::Direct => v1::RoomKind::Direct,
            Kind::Group => v1::RoomKind::Group,
            Kind::Channel => v1::RoomKind::Channel,
        }
    }
}

/// The size of the world.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) clients: u16,
    pub(super) rooms: u16,
    pub(super) members: u16,
    /// Only groups, from which the scripts let nobody leave by themselves.
    pub(super) groups_only: bool,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) clients: u16,
    pub(super) rooms: Vec<PlannedRoom>,
    /// By user, all rooms that they are ever in.
    pub(super) rooms_of: Vec<Vec<RoomIndex>>,
}

impl World {
    pub(super) fn new(seed: u64, size: Size) -> Self {
        let mut seeded = Seeded::new(seed ^ 0x0077_6f72_6c64);
        let clients = size.clients.max(2);
        let mut rooms: Vec<PlannedRoom> = Vec::new();
        for room in 0..size.rooms.max(1) {
            let kind = match room % 5 {
                _ if size.groups_only => Kind::Group,
                0 | 2 => Kind::Group,
                1 | 3 => Kind::Channel,
                _ => Kind::Direct,
            };
            let wanted = if kind == Kind::Direct { 2 } else { size.members.clamp(2, clients.min(40)) };
            let mut members = vec![room % clients];
            while members.len() < wanted as usize {
                let other = seeded.below(clients.into()) as User;
                if !members.contains(&other) {
                    members.push(other);
                }
            }
            rooms.push(PlannedRoom { kind, members, id: String::new(), request: format!("room.{room}") });
        }
        // Two direct rooms of the same users are one.
        let mut pairs = std::collections::HashSet::new();
        rooms.retain(|room| {
            let mut pair = room.members.clone();
            pair.sort_unstable();
            room.kind != Kind::Direct || pairs.insert(pair)
        });
        for user in 0..clients {
            let shared: Vec<usize> = (0..rooms.len()).filter(|at| rooms[*at].kind != Kind::Direct).collect();
            if !rooms.iter().any(|room| room.members.contains(&user)) {
                let room = shared[user as usize % shared.len()];
                rooms[room].members.push(user);
            }
        }
        let rooms_of = (0..clients).map(|user| {
            let own = rooms.iter().zip(0..).filter(|(room, _)| room.members.contains(&user));
            own.map(|(_, index)| index).collect()
        });
        Self { clients, rooms_of: rooms_of.collect(), rooms }
    }
}

pub(super) fn name(user: User) -> String {
    format!("u{user}")
}

pub(super) fn user_of(name: &str) -> Option<User> {
    name.strip_prefix('u')?.parse().ok()
}

/// Distributes the users over all transports.
pub(super) fn door(user: User) -> Door {
    [Door::Grpc, Door::WebSocketBinary, Door::WebSocketJson, Door::Grpc][user as usize % 4]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { clients: 30, rooms: 20, members: 6, groups_only: false };

    #[test]
    fn the_same_seed_makes_the_same_world_and_everyone_is_somewhere() {
        let (one, other) = (World::new(7, SIZE), World::new(7, SIZE));
        let members = |world: &World| world.rooms.iter().map(|room| room.members.clone()).collect::<Vec<_>>();
        assert_eq!(members(&one), members(&other));
        assert_ne!(members(&one), members(&World::new(8, SIZE)));
        assert!(one.rooms_of.iter().all(|rooms| !rooms.is_empty()));
        let requests: std::collections::HashSet<_> = one.rooms.iter().map(|room| &room.request).collect();
        assert_eq!(requests.len(), one.rooms.len());
    }

    #[test]
    fn texts_name_their_operation() {
        let id = OpId { client: 300, number: 70_000 };
        assert_eq!(OpId::parse(&id.to_string()), Some(id));
        assert_eq!(Text::read(&id.text()), Text::Of(id));
        assert_eq!(Text::read(""), Text::Empty);
        assert_eq!(Text::read(&format!("{} ", id.text())), Text::Foreign);
        assert_eq!(Text::read("setup"), Text::Foreign);
    }
}
