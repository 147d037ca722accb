use std::time::Duration;

use tokio::time::sleep;

use super::Script;
use crate::dice::Dice;
use crate::fence::CrashPoint;
use crate::weather::Faults;

/// The faults of one run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Profile {
    /// Spontaneous ones.
    pub(super) faults: Faults,
    /// Incidents per thousand steps.
    pub(super) incidents: u64,
    crashes: bool,
    registry: bool,
    /// Connections per thousand that end at any moment.
    pub(super) hang_ups: u64,
}

impl Profile {
    pub(super) fn choose(dice: &Dice, wide: bool) -> Self {
        let store = dice.chance(450);
        let network = dice.chance(500);
        let often = |yes: bool, most: u64| if yes && dice.chance(700) { dice.within(1, most) } else { 0 };
        let faults = Faults {
            store_fails: often(store, 40),
            answer_lost: often(store, 120),
            slow: often(true, 60),
            payload_lost: often(network, 80),
            payload_twice: often(true, 150),
            payload_late: often(true, 150),
            payload_forged: often(network, 60),
            registry_fails: often(network, 60),
            stall: if wide && dice.chance(150) { dice.within(1, 20) } else { 0 },
            registry_stall: if wide && dice.chance(250) { dice.within(1, 60) } else { 0 },
        };
        Self {
            faults,
            incidents: if dice.chance(800) { dice.within(20, 120) } else { 0 },
            crashes: dice.chance(600),
            registry: dice.chance(600),
            hang_ups: if wide && dice.chance(300) { dice.within(20, 300) } else { 0 },
        }
    }
}

impl Script {
    /// Something breaks, at once or at the next opportunity.
    pub(super) fn incident(&self, profile: &Profile) {
        let dice = &self.world.dice;
        let nodes = self.world.nodes();
        let Some((place, node)) = dice.pick(&nodes) else { return };
        match dice.below(11) {
            0 if profile.crashes => node.fence.crash(),
            1 | 2 if profile.crashes => {
                let points = [
                    CrashPoint::Committed,
                    CrashPoint::ReadingBack,
                    CrashPoint::Publishing,
                    CrashPoint::Published,
                ];
                node.fence.arm(dice.pick(&points).copied());
            }
            3 if nodes.len() > 1 => self.world.roll(*place),
            4 if profile.registry => self.world.mesh.wipe(),
            5 if profile.registry => self.world.mesh.expire(&node.id),
            6 if profile.registry => self.world.mesh.deafen(&node.id),
            7 | 8 if profile.registry => {
                self.world.mesh.cut(&node.id, true);
                let (world, id, time) = (self.world.clone(), node.id.clone(), dice.millis(100, 12_000));
                tokio::spawn(async move {
                    sleep(time).await;
                    world.mesh.cut(&id, false);
                });
            }
            9 if profile.registry => {
                if let Some((user, _)) = dice.pick(&self.users) {
                    self.world.mesh.forget(user);
                }
            }
            _ => {
                let pause = if dice.chance(500) { dice.millis(50, 1_500) } else { dice.millis(3_000, 9_000) };
                self.world.trace.line(format_args!("{} stands still for {pause:?}", node.id));
                self.world.weather.trouble(Some(&node.id), pause);
                node.fence.pause(pause);
            }
        }
        if profile.registry && dice.chance(100) {
            // The whole registry is out of reach for a while, and empty when it is back.
            for (_, node) in &nodes {
                self.world.mesh.cut(&node.id, true);
            }
            let world = self.world.clone();
            let time = Duration::from_millis(dice.within(500, 7_000));
            tokio::spawn(async move {
                sleep(time).await;
                world.mesh.wipe();
                for (_, node) in nodes {
                    world.mesh.cut(&node.id, false);
                }
            });
        }
    }
}
