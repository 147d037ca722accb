use std::time::Duration;

use parlance_core::RoomId;
use parlance_proto::v1;
use tokio::time::sleep;

use super::Script;
use super::stage::Stage;
use crate::asks;
use crate::dice::lock;
use crate::orders::Do;
use crate::weather::Faults;

impl Script {
    /// Someone with more rooms than fit on several pages reconnects repeatedly, while others create rooms with them,
    /// remove them and add them.
    pub(super) async fn hello_in_churn(&self, stage: &Stage) {
        let dice = &self.world.dice;
        let mut rooms = Vec::new();
        for _ in 0..dice.within(8, 12) {
            rooms.extend(self.room_with(stage).await);
        }
        self.world.weather.set(Faults { slow: dice.below(250), ..Faults::NONE });
        for _ in 0..dice.within(6, 12) {
            match dice.below(4) {
                0 => self.world.tell(stage.members, Do::Forget),
                1 => self.world.weather.hang_up(500),
                _ => self.world.tell(stage.members, Do::Cut { half_open: Duration::ZERO }),
            }
            for _ in 0..dice.within(2, 8) {
                sleep(dice.millis(0, 60)).await;
                let Some(room) = dice.pick(&rooms) else { return };
                let number = self.number();
                let member = std::slice::from_ref(&stage.member);
                let operation = match dice.below(6) {
                    0 => asks::remove(room, &stage.member, number),
                    1 => asks::add(room, member, number),
                    2 => {
                        let members = [stage.member.clone(), stage.other.clone()];
                        asks::create(v1::RoomKind::Group, v1::HistoryVisibility::All, &members, number)
                    }
                    3 => asks::edit(room, dice.within(1, 6), number),
                    4 => asks::react(room, dice.within(1, 6), number),
                    _ => asks::send(room, number, self.text(number)),
                };
                self.world.ask(stage.owners, operation, true);
            }
            self.world.weather.hang_up(0);
        }
        self.world.weather.set(Faults::NONE);
        sleep(dice.millis(0, 2_000)).await;
    }

    /// A new room of the owner with the member in it.
    async fn room_with(&self, stage: &Stage) -> Option<RoomId> {
        let dice = &self.world.dice;
        let visibility =
            if dice.chance(300) { v1::HistoryVisibility::All } else { v1::HistoryVisibility::Unspecified };
        let members = std::slice::from_ref(&stage.member);
        let operation = asks::create(v1::RoomKind::Group, visibility, members, self.number());
        let asked = self.world.ask(stage.owners, operation, true);
        self.world.wait(Duration::from_secs(10), || self.is_answered(asked)).await;
        let history = lock(&self.world.history);
        let v1::reply::Result::CreateRoom(created) = &history.asked[asked].answer.as_ref()?.result else {
            return None;
        };
        RoomId::parse(&created.room.as_ref()?.room_id).ok()
    }

    /// Callers disconnect at any of their awaits, and nobody sends any more.
    pub(super) async fn callers_vanish(&self, stage: &Stage) {
        let dice = &self.world.dice;
        for _ in 0..dice.within(3, 8) {
            let number = self.number();
            let members = [stage.member.clone(), stage.other.clone()];
            let operation = match dice.below(9) {
                0 | 1 => {
                    asks::create(v1::RoomKind::Group, v1::HistoryVisibility::Unspecified, &members, number)
                }
                2 => asks::add(&stage.room, &members[1..], number),
                3 => asks::remove(&stage.room, &stage.other, number),
                4 => asks::edit(&stage.room, dice.within(1, 8), number),
                5 => asks::mark_read(&stage.room, dice.within(1, 8), number),
                6 => asks::send_to(&stage.other, number, self.text(number)),
                _ => asks::send(&stage.room, number, self.text(number)),
            };
            let polls = dice.within(1, 12) as u32;
            self.world.call(&stage.owner, &stage.here.1, operation, Some(polls));
            if dice.chance(500) {
                sleep(dice.millis(0, 80)).await;
            }
        }
        sleep(dice.millis(0, 200)).await;
    }

    /// Connections end at any moment, during hello and between request and answer.
    pub(super) async fn hang_ups(&self, stage: &Stage) {
        let dice = &self.world.dice;
        self.world.weather.hang_up(700);
        for _ in 0..dice.within(3, 8) {
            self.world.tell(stage.owners, Do::Cut { half_open: Duration::ZERO });
            self.world.tell(stage.members, Do::Cut { half_open: Duration::ZERO });
            sleep(dice.millis(0, 500)).await;
            let number = self.number();
            let members = [stage.member.clone(), stage.other.clone()];
            let kind = v1::RoomKind::Group;
            let operation = match dice.below(5) {
                1 => asks::mark_read(&stage.room, dice.within(1, 8), number),
                2 => asks::acknowledge(&stage.room, dice.within(1, 8), number),
                0 => asks::create(kind, v1::HistoryVisibility::Unspecified, &members, number),
                _ => asks::send(&stage.room, number, self.text(number)),
            };
            self.world.ask(stage.owners, operation, dice.chance(500));
        }
        self.world.weather.hang_up(0);
        sleep(dice.millis(0, 200)).await;
    }

    /// Every call to the store may take seconds.
    pub(super) async fn stalled_store(&self, stage: &Stage) {
        let dice = &self.world.dice;
        for client in 0..self.world.clients() {
            self.world.tell(client, Do::Prefer(None));
        }
        self.world.weather.set(Faults { stall: dice.within(100, 500), ..Faults::NONE });
        for _ in 0..dice.within(3, 8) {
            self.say_as(if dice.chance(500) { stage.owners } else { stage.members }, &stage.room, true);
            if dice.chance(300) {
                self.world.tell(stage.members, Do::Cut { half_open: Duration::ZERO });
            }
            if dice.chance(300) {
                self.change_members(&stage.room);
            }
            sleep(dice.millis(0, 3_000)).await;
        }
    }
}
