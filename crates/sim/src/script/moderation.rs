use std::time::Duration;

use tokio::time::sleep;

use super::Script;
use super::stage::Stage;
use crate::asks;

impl Script {
    /// A member who is muted, or slowed down, sends through another node than the one where it was decided.
    pub(super) async fn kept_quiet(&self, stage: &Stage) {
        let dice = &self.world.dice;
        let (room, member) = (&stage.room, &stage.member);
        let is_mute = dice.chance(600);
        let operation = if is_mute {
            let lasts = dice.chance(500).then(|| dice.millis(1, 1_500));
            asks::mute(room, member, lasts, self.number())
        } else {
            asks::slow_mode(room, dice.within(1, 3) as u32, self.number())
        };
        self.say_as(stage.members, room, true);
        let decided = self.world.ask(stage.owners, operation, true);
        let until_answered = dice.chance(500);
        for _ in 0..dice.within(3, 8) {
            self.say_as(stage.members, room, dice.chance(500));
            sleep(dice.millis(0, 400)).await;
            if until_answered {
                self.world.wait(Duration::from_secs(10), || self.is_answered(decided)).await;
            }
        }
        match dice.below(6) {
            0 => stage.here.1.fence.crash(),
            1 => stage.there.1.fence.crash(),
            // Another node loads the room.
            2 => self.world.mesh.wipe(),
            _ => {}
        }
        self.say_as(stage.members, room, true);
        // Later acts need members who can be heard.
        let lifts = if is_mute {
            asks::unmute(room, member, self.number())
        } else {
            asks::slow_mode(room, 0, self.number())
        };
        let lifted = self.world.ask(stage.owners, lifts, true);
        self.world.wait(Duration::from_secs(10), || self.is_answered(lifted)).await;
        self.say_as(stage.members, room, true);
    }
}
