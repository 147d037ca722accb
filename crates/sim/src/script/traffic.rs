use std::time::Duration;

use parlance_core::{Body, RoomId, UserId};
use tokio::time::sleep;

use super::Script;
use super::faults::Profile;
use crate::asks;
use crate::dice::lock;
use crate::orders::Do;

impl Script {
    /// Ordinary activity, under the faults of the profile.
    pub(super) async fn traffic(&self) {
        let dice = &self.world.dice;
        let profile = Profile::choose(dice, self.world.wide);
        self.world.trace.line(format_args!("traffic, {profile:?}"));
        self.world.weather.set(profile.faults);
        self.world.weather.hang_up(profile.hang_ups);
        for _ in 0..dice.within(30, 90) {
            sleep(if dice.chance(50) { dice.millis(500, 3_000) } else { dice.millis(0, 120) }).await;
            self.something().await;
            if dice.chance(profile.incidents) {
                self.incident(&profile);
            }
        }
        self.world.weather.hang_up(0);
    }

    async fn something(&self) {
        let dice = &self.world.dice;
        let Some(room) = dice.pick(&self.rooms).cloned() else { return };
        match dice.below(100) {
            0..36 => drop(self.say(&room, dice.chance(850))),
            36..44 => {
                for _ in 0..dice.within(2, 8) {
                    self.say(&room, dice.chance(850));
                }
            }
            44..50 => self.send_direct(),
            50..62 => self.change_message(&room),
            62..74 => self.change_members(&room),
            74..80 => self.mark(&room),
            80..88 => self.page(&room),
            88..95 => self.lose_connection(),
            95..98 => {
                let client = dice.below(self.world.clients() as u64) as usize;
                let slow = if dice.chance(500) { Duration::ZERO } else { dice.millis(20, 300) };
                self.world.tell(client, Do::Slow(slow));
            }
            98 => self.later_version(&room),
            _ => {
                let client = dice.below(self.world.clients() as u64) as usize;
                self.world.tell(client, Do::Forget);
            }
        }
    }

    fn send_direct(&self) {
        let dice = &self.world.dice;
        let (Some((from, clients)), Some((to, _))) = (dice.pick(&self.users), dice.pick(&self.users)) else {
            return;
        };
        if from == to {
            return;
        }
        let number = self.number();
        let Some(client) = dice.pick(clients) else { return };
        self.world.ask(*client, asks::send_to(to, number, self.text(number)), dice.chance(850));
    }

    /// Edits, deletes or reacts to one of the last messages.
    fn change_message(&self, room: &RoomId) {
        let dice = &self.world.dice;
        let messages: Vec<(u64, UserId)> = {
            let tables = self.world.memory.tables();
            let Some(row) = tables.rooms.get(room) else { return };
            let messages = row.events().filter(|event| matches!(event.body, Body::Message(_)));
            messages.map(|event| (event.seq, event.actor.clone())).collect()
        };
        let recent = &messages[messages.len().saturating_sub(8)..];
        let Some((seq, sender)) = dice.pick(recent) else { return };
        let number = self.number();
        let operation = match dice.below(3) {
            0 => asks::edit(room, *seq, number),
            1 => asks::delete(room, *seq, number),
            _ => asks::react(room, *seq, number),
        };
        if let Some(client) = self.client_of(sender) {
            self.world.ask(client, operation, dice.chance(850));
        }
    }

    pub(super) fn change_members(&self, room: &RoomId) {
        let dice = &self.world.dice;
        let Some((user, clients)) = dice.pick(&self.users) else { return };
        let Some((owner, owners)) = self.owner(room) else { return };
        if *user == owner {
            return;
        }
        let number = self.number();
        let is_member = self.world.members(room).contains(user);
        let itself = dice.chance(400);
        let (client, operation) = match (is_member, itself) {
            (true, true) => (clients[0], asks::leave(room, number)),
            (true, false) => (owners, asks::remove(room, user, number)),
            (false, true) => (clients[0], asks::join(room, number)),
            (false, false) => (owners, asks::add(room, std::slice::from_ref(user), number)),
        };
        self.world.ask(client, operation, dice.chance(850));
    }

    fn mark(&self, room: &RoomId) {
        let dice = &self.world.dice;
        let Some(user) = dice.pick(&self.world.members(room)).cloned() else { return };
        let seq = {
            let tables = self.world.memory.tables();
            let head = tables.rooms.get(room).map_or(1, super::super::store::RoomRow::head);
            dice.within(1, head.max(1))
        };
        let number = self.number();
        let operation = if dice.chance(600) {
            asks::mark_read(room, seq, number)
        } else {
            asks::acknowledge(room, seq, number)
        };
        if let Some(client) = self.client_of(&user) {
            self.world.ask(client, operation, dice.chance(850));
        }
    }

    pub(super) fn page(&self, room: &RoomId) {
        let dice = &self.world.dice;
        let Some((_, clients)) = dice.pick(&self.users) else { return };
        let head = self.world.memory.tables().rooms.get(room).map_or(1, super::super::store::RoomRow::head);
        let seq = dice.within(1, head.max(1));
        let size = dice.within(1, 6) as u32;
        let operation = match dice.below(5) {
            0 => asks::messages(room, 0, 0, size),
            1 => asks::messages(room, seq, 0, size),
            2 => asks::messages(room, 0, seq, size),
            3 => asks::message_at(room, seq),
            _ => asks::events(room, if dice.chance(500) { 0 } else { seq }),
        };
        self.world.ask(clients[0], operation, false);
    }

    fn lose_connection(&self) {
        let dice = &self.world.dice;
        let client =
            dice.below(lock(&self.world.history).sessions.len().min(self.world.clients()) as u64) as usize;
        match dice.below(3) {
            0 => self.world.tell(client, Do::Cut { half_open: Duration::ZERO }),
            1 => self.world.tell(client, Do::Cut { half_open: dice.millis(100, 4_000) }),
            _ => self.world.tell(client, Do::Away(dice.millis(500, 8_000))),
        }
    }
}
