//! The script of one run: traffic under faults, then acts that target what traffic rarely reaches, then silence.

mod acts;
mod faults;
mod growth;
mod hello;
mod later;
mod moderation;
mod stage;
mod traffic;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parlance_core::{RoomId, UserId};
use parlance_proto::v1;
use tokio::time::sleep;

use crate::asks;
use crate::client::Client;
use crate::dice::lock;
use crate::orders::Do;
use crate::weather::Faults;
use crate::world::World;

pub use self::growth::grow;

/// How long after the last fault everyone must have everything: a lease ends, a heartbeat notices, the store is
/// compared; and again, if that failed.
const SETTLE: Duration = Duration::from_secs(45);

/// Longer than any stalled command of the registry or the store.
const STALLED: Duration = Duration::from_secs(12);

/// Runs one script.
pub struct Script {
    world: Arc<World>,
    /// Users, each with their clients.
    users: Vec<(UserId, Vec<usize>)>,
    rooms: Vec<RoomId>,
    numbers: AtomicU64,
}

impl Script {
    /// The script of a world, once its users and rooms exist.
    pub async fn begin(world: Arc<World>) -> Option<Self> {
        let mut script = Self { world, users: Vec::new(), rooms: Vec::new(), numbers: AtomicU64::new(1) };
        let people = script.world.dice.within(4, 7);
        for person in 0..people {
            let user = UserId::parse(&format!("u{person}")).ok()?;
            let devices = if script.world.dice.chance(300) { 2 } else { 1 };
            let clients = (0..devices).map(|_| Client::start(&script.world, &user)).collect();
            script.users.push((user, clients));
        }
        let everyone = script.users.len();
        script.world.wait(Duration::from_secs(10), || script.welcomed() >= everyone).await;
        for _ in 0..script.world.dice.within(1, 3) {
            script.create_room(v1::RoomKind::Group).await?;
        }
        script.create_room(v1::RoomKind::Channel).await?;
        // Long enough for everyone to have their rooms.
        sleep(Duration::from_secs(2)).await;
        Some(script)
    }

    fn welcomed(&self) -> usize {
        let history = lock(&self.world.history);
        let welcomed = history.sessions.iter().filter(|session| !session.seen.is_empty());
        welcomed.map(|session| &session.user).collect::<std::collections::BTreeSet<_>>().len()
    }

    async fn create_room(&mut self, kind: v1::RoomKind) -> Option<()> {
        let dice = &self.world.dice;
        let owner = dice.pick(&self.users)?.clone();
        let others: Vec<UserId> = self.users.iter().map(|(user, _)| user.clone()).collect();
        let members: Vec<UserId> =
            others.into_iter().filter(|user| *user != owner.0 && dice.chance(650)).collect();
        let visibility =
            if dice.chance(300) { v1::HistoryVisibility::All } else { v1::HistoryVisibility::Unspecified };
        let number = self.number();
        let asked = self.world.ask(owner.1[0], asks::create(kind, visibility, &members, number), true);
        self.world.wait(Duration::from_secs(10), || self.is_answered(asked)).await;
        let history = lock(&self.world.history);
        let v1::reply::Result::CreateRoom(created) = &history.asked[asked].answer.as_ref()?.result else {
            return None;
        };
        let room = RoomId::parse(&created.room.as_ref()?.room_id).ok()?;
        drop(history);
        self.rooms.push(room);
        Some(())
    }

    fn is_answered(&self, asked: usize) -> bool {
        lock(&self.world.history).asked[asked].answer.is_some()
    }

    /// A number unique among requests.
    fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// A text unique among messages.
    fn text(&self, number: u64) -> String {
        format!("text of q{number}")
    }

    /// One of a user's clients.
    fn client_of(&self, user: &UserId) -> Option<usize> {
        let (_, clients) = self.users.iter().find(|(other, _)| other == user)?;
        self.world.dice.pick(clients).copied()
    }

    /// Sends a message of a member, if there is one.
    fn say(&self, room: &RoomId, retry: bool) -> Option<usize> {
        let members = self.world.members(room);
        let client = self.client_of(self.world.dice.pick(&members)?)?;
        let number = self.number();
        Some(self.world.ask(client, asks::send(room, number, self.text(number)), retry))
    }

    /// The owner of a room, and one of their clients.
    fn owner(&self, room: &RoomId) -> Option<(UserId, usize)> {
        let tables = self.world.memory.tables();
        let members = tables.rooms.get(room)?.members.values();
        let owner = members
            .into_iter()
            .find(|member| member.is_active() && member.role == parlance_core::Role::Owner);
        let owner = owner?.user.clone();
        drop(tables);
        let client = self.client_of(&owner)?;
        Some((owner, client))
    }

    /// Runs the whole script.
    pub async fn run(&self) {
        let calm = self.world.dice.chance(80);
        self.small_talk().await;
        if !calm {
            self.traffic().await;
            self.heal().await;
        }
        for _ in 0..self.world.dice.within(1, 3) {
            self.act().await;
            sleep(self.world.dice.millis(0, 3_000)).await;
        }
        self.end().await;
    }

    /// Traffic without faults, where everything arrives at once.
    async fn small_talk(&self) {
        for room in &self.rooms {
            for _ in 0..self.world.dice.within(0, 3) {
                sleep(self.world.dice.millis(0, 600)).await;
                self.say(room, true);
            }
        }
        sleep(Duration::from_millis(500)).await;
    }

    /// Ends all faults; isolated nodes are reconnected.
    async fn heal(&self) {
        self.world.trace.line(format_args!("all faults end"));
        self.world.weather.set(Faults::NONE);
        for (_, node) in self.world.nodes() {
            self.world.mesh.cut(&node.id, false);
        }
        // In some runs the acts are executed under faults.
        if self.world.dice.chance(600) {
            self.settle().await;
        }
    }

    /// No more operations; waits until everyone has everything, or should have.
    async fn end(&self) {
        self.world.weather.set(Faults::NONE);
        self.settle().await;
        // A stalled operation of a caller that has given up may still be executed.
        sleep(STALLED).await;
        self.settle().await;
        for (_, clients) in &self.users {
            self.world.ask(clients[0], asks::inbox(), true);
        }
        // Time for duplicates to arrive.
        sleep(Duration::from_secs(4)).await;
        self.world.wait(SETTLE, || self.is_quiet()).await;
    }

    async fn settle(&self) {
        for client in 0..self.world.clients() {
            self.world.tell(client, Do::Slow(Duration::ZERO));
            self.world.tell(client, Do::Prefer(None));
        }
        self.world.wait(SETTLE, || self.is_quiet() && crate::check::is_settled(&self.world)).await;
        self.world.trace.line(format_args!("settled, or should be"));
    }

    /// Whether all retried operations are answered.
    fn is_quiet(&self) -> bool {
        let history = lock(&self.world.history);
        history.asked.iter().all(|asked| {
            asked.attempts > 0
                && (!asked.retries
                    || asked.answer.is_some()
                        && asked.error().is_none_or(|error| !crate::history::is_passing(&error.reason)))
        })
    }
}
