use std::time::Duration;

use parlance_api::PRESENCE_GRACE;
use parlance_proto::v1::client_frame::Operation;
use tokio::time::sleep;

use super::Script;
use super::stage::Stage;
use crate::asks;
use crate::fence::CrashPoint;
use crate::orders::Do;
use crate::weather::Faults;

impl Script {
    /// One act, followed by silence unless it says otherwise.
    pub(super) async fn act(&self) {
        let Some(stage) = self.stage().await else { return };
        let act = self.world.dice.below(if self.world.wide { 29 } else { 20 });
        self.world.trace.line(format_args!("act {act} in {}", stage.room));
        match act {
            0 | 1 => self.last_words(&stage).await,
            2 => self.hint_lost_before_removal(&stage).await,
            3 => self.removal_overtakes(&stage).await,
            4 => self.hint_of_an_addition_lost(&stage).await,
            5 => self.lease_lost(&stage).await,
            6 => self.large_and_small(&stage).await,
            7 => self.pause(&stage).await,
            8 => self.wipe(&stage).await,
            9 => self.cut_off_and_dead(&stage).await,
            10 => self.page_while_removed(&stage).await,
            11 => self.in_and_out(&stage).await,
            12 => self.slow_store(&stage).await,
            13 => self.outcome_not_found_out(&stage).await,
            14 | 15 => self.comes_before_the_removal(&stage).await,
            16 => self.last_hint_lost(&stage).await,
            17 => self.late_registration(&stage).await,
            18 => self.registration_lost(&stage).await,
            19 => self.added_and_spoken_to(&stage).await,
            20 | 21 => self.hello_in_churn(&stage).await,
            22 | 23 => self.callers_vanish(&stage).await,
            24 | 25 => self.hang_ups(&stage).await,
            26 => self.stalled_store(&stage).await,
            27 => self.kept_quiet(&stage).await,
            _ => self.race(&stage).await,
        }
        self.world.weather.set(Faults::NONE);
    }

    /// A node dies between writing the last message and answering it, and then nobody sends any more; in half of the
    /// runs not even the sender retries.
    async fn last_words(&self, stage: &Stage) {
        let dice = &self.world.dice;
        let points =
            [CrashPoint::Committed, CrashPoint::ReadingBack, CrashPoint::Publishing, CrashPoint::Published];
        let by_owner = dice.chance(500);
        let (node, client) =
            if by_owner { (&stage.here, stage.owners) } else { (&stage.there, stage.members) };
        self.world.replace(dice.chance(500));
        node.1.fence.arm(dice.pick(&points).copied());
        let retry = dice.chance(500);
        if by_owner && dice.chance(300) {
            let number = self.number();
            let users = std::slice::from_ref(&stage.other);
            self.world.ask(client, asks::add(&stage.room, users, number), retry);
        } else {
            self.say_as(client, &stage.room, retry);
        }
        if dice.chance(200) {
            // The room moves at once to a node that does not know it.
            sleep(dice.millis(0, 30)).await;
            self.say_as(if by_owner { stage.members } else { stage.owners }, &stage.room, true);
        }
        self.world.wait(Duration::from_secs(3), || node.1.fence.dead().is_cancelled()).await;
        for (user, clients) in &self.users {
            let away = (*user == stage.owner) == by_owner;
            clients.iter().filter(|_| away).for_each(|client| self.world.tell(*client, Do::Prefer(None)));
        }
        node.1.fence.arm(None);
    }

    /// A message is written and answered, its hint is lost, and then nobody sends any more.
    async fn last_hint_lost(&self, stage: &Stage) {
        let dice = &self.world.dice;
        self.world.weather.set(Faults { payload_lost: 1_000, ..Faults::NONE });
        self.say_as(stage.owners, &stage.room, true);
        sleep(dice.millis(30, 200)).await;
    }

    async fn hint_lost_before_removal(&self, stage: &Stage) {
        let dice = &self.world.dice;
        if dice.chance(500) {
            self.world.mesh.deafen(&stage.there.1.id);
        } else {
            self.world.weather.set(Faults { payload_lost: 1_000, ..Faults::NONE });
        }
        self.say_as(stage.owners, &stage.room, true);
        sleep(dice.millis(5, 60)).await;
        self.world.weather.set(Faults::NONE);
        self.world.ask(stage.owners, asks::remove(&stage.room, &stage.member, self.number()), true);
        sleep(dice.millis(0, 60)).await;
        if dice.chance(500) {
            self.say_as(stage.owners, &stage.room, true);
        }
    }

    async fn removal_overtakes(&self, stage: &Stage) {
        let dice = &self.world.dice;
        self.world.weather.set(Faults { payload_late: 1_000, ..Faults::NONE });
        for _ in 0..dice.within(1, 4) {
            self.say_as(stage.owners, &stage.room, true);
            sleep(dice.millis(10, 40)).await;
        }
        self.world.weather.set(Faults { payload_late: 300, payload_twice: 500, ..Faults::NONE });
        self.world.ask(stage.owners, asks::remove(&stage.room, &stage.member, self.number()), true);
        sleep(dice.millis(10, 60)).await;
        self.say_as(stage.owners, &stage.room, true);
        if dice.chance(500) {
            let users = std::slice::from_ref(&stage.member);
            self.world.ask(stage.owners, asks::add(&stage.room, users, self.number()), true);
        }
        sleep(Duration::from_millis(100)).await;
    }

    async fn hint_of_an_addition_lost(&self, stage: &Stage) {
        let dice = &self.world.dice;
        match dice.below(3) {
            0 => self.world.mesh.deafen(&stage.there.1.id),
            1 => self.world.mesh.expire(&stage.there.1.id),
            _ => self.world.weather.set(Faults { payload_lost: 1_000, ..Faults::NONE }),
        }
        let users = std::slice::from_ref(&stage.other);
        self.world.ask(stage.owners, asks::add(&stage.room, users, self.number()), true);
        sleep(dice.millis(20, 200)).await;
        self.world.weather.set(Faults::NONE);
        if dice.chance(300) {
            self.world.ask(stage.owners, asks::remove(&stage.room, &stage.other, self.number()), true);
        }
    }

    /// Someone is added on a node without members of the room, and a message is sent while their session opens it. No
    /// faults.
    async fn added_and_spoken_to(&self, stage: &Stage) {
        let dice = &self.world.dice;
        // Longer than earlier faults can have an effect.
        sleep(Duration::from_millis(4_500)).await;
        for _ in 0..dice.within(2, 4) {
            let members = self.world.members(&stage.room).into_iter().filter(|user| *user != stage.owner);
            for user in members {
                self.asked_by_owner(stage, asks::remove(&stage.room, &user, self.number())).await;
            }
            sleep(Duration::from_millis(500)).await;
            let users = std::slice::from_ref(if dice.chance(500) { &stage.member } else { &stage.other });
            self.world.ask(stage.owners, asks::add(&stage.room, users, self.number()), true);
            sleep(dice.millis(0, 40)).await;
            self.say_as(stage.owners, &stage.room, true);
            sleep(Duration::from_millis(800)).await;
        }
    }

    async fn asked_by_owner(&self, stage: &Stage, operation: Operation) {
        let asked = self.world.ask(stage.owners, operation, true);
        self.world.wait(Duration::from_secs(10), || self.is_answered(asked)).await;
    }

    async fn lease_lost(&self, stage: &Stage) {
        let dice = &self.world.dice;
        self.say_as(stage.owners, &stage.room, true);
        self.world.mesh.expire(if dice.chance(700) { &stage.there.1.id } else { &stage.here.1.id });
        for _ in 0..dice.within(1, 5) {
            self.say_as(if dice.chance(500) { stage.owners } else { stage.members }, &stage.room, true);
            sleep(dice.millis(0, 300)).await;
        }
        // From here on, nobody publishes to new users until the lease is restored.
        self.world.tell(stage.members, Do::Cut { half_open: Duration::ZERO });
        // Long after the node has reported missed messages, which must not be what registers its users.
        sleep(dice.millis(2_500, 4_000)).await;
        self.say_as(stage.owners, &stage.room, true);
    }

    /// Chunks that are too large to be published, among others.
    async fn large_and_small(&self, stage: &Stage) {
        let dice = &self.world.dice;
        self.world.weather.set(Faults { payload_late: 400, ..Faults::NONE });
        for _ in 0..dice.within(1, 3) {
            self.say_as(stage.members, &stage.room, true);
            for _ in 0..dice.within(5, 9) {
                let number = self.number();
                let text = format!("text of q{number} {}", "long ".repeat(3_000));
                self.world.ask(stage.owners, asks::send(&stage.room, number, text), true);
            }
            sleep(dice.millis(0, 80)).await;
            self.say_as(stage.owners, &stage.room, true);
        }
        if dice.chance(500) {
            let users = std::slice::from_ref(&stage.other);
            self.world.ask(stage.owners, asks::add(&stage.room, users, self.number()), true);
        }
        sleep(dice.millis(0, 200)).await;
    }

    async fn pause(&self, stage: &Stage) {
        let dice = &self.world.dice;
        let node = if dice.chance(500) { &stage.here } else { &stage.there };
        self.say_as(stage.owners, &stage.room, true);
        sleep(dice.millis(0, 25)).await;
        let pause = dice.millis(2_500, 9_000);
        self.world.trace.line(format_args!("{} stands still for {pause:?}", node.1.id));
        self.world.weather.trouble(Some(&node.1.id), pause);
        node.1.fence.pause(pause);
        for _ in 0..3 {
            self.say_as(stage.members, &stage.room, true);
            self.say_as(stage.owners, &stage.room, true);
            sleep(dice.millis(0, 1_500)).await;
        }
        self.change_members(&stage.room);
    }

    async fn wipe(&self, stage: &Stage) {
        let dice = &self.world.dice;
        self.say_as(stage.members, &stage.room, true);
        sleep(dice.millis(0, 20)).await;
        self.world.mesh.wipe();
        for _ in 0..dice.within(1, 4) {
            self.say_as(if dice.chance(500) { stage.owners } else { stage.members }, &stage.room, true);
            sleep(dice.millis(0, 400)).await;
        }
    }

    /// The only member on a node opens a session there while the registry is slow: messages sent then reach that node
    /// only if the registration is in effect.
    async fn late_registration(&self, stage: &Stage) {
        let dice = &self.world.dice;
        for (user, clients) in &self.users {
            for client in clients {
                if *user == stage.member {
                    self.world.tell(*client, Do::Away(PRESENCE_GRACE + Duration::from_millis(2_500)));
                } else {
                    self.world.tell(*client, Do::Prefer(Some(stage.here.0)));
                    self.world.tell(*client, Do::Cut { half_open: Duration::ZERO });
                }
            }
        }
        // Until then they are still registered.
        sleep(PRESENCE_GRACE + Duration::from_millis(2_000)).await;
        self.world.mesh.stall(&stage.there.1.id, dice.millis(1_000, 2_500));
        sleep(dice.millis(950, 1_600)).await;
        self.say_as(stage.owners, &stage.room, true);
        sleep(Duration::from_millis(2_500)).await;
        self.world.mesh.stall(&stage.there.1.id, Duration::ZERO);
    }

    /// One key of the registry is gone, as if evicted; everything else works.
    async fn registration_lost(&self, stage: &Stage) {
        let dice = &self.world.dice;
        self.world.mesh.forget(&stage.member);
        if dice.chance(300) {
            self.world.tell(stage.members, Do::Cut { half_open: Duration::ZERO });
        }
        for _ in 0..dice.within(1, 3) {
            sleep(dice.millis(0, 2_000)).await;
            self.say_as(stage.owners, &stage.room, true);
        }
    }

    /// A node that is cut off from the others continues to serve, and dies before it can publish.
    async fn cut_off_and_dead(&self, stage: &Stage) {
        let dice = &self.world.dice;
        self.world.mesh.cut(&stage.here.1.id, true);
        sleep(dice.millis(0, 7_000)).await;
        for _ in 0..dice.within(1, 3) {
            self.say_as(stage.owners, &stage.room, dice.chance(500));
            sleep(dice.millis(0, 900)).await;
        }
        match dice.below(3) {
            0 => self.world.mesh.cut(&stage.here.1.id, false),
            _ => stage.here.1.fence.crash(),
        }
        self.world.replace(dice.chance(500));
        for client in
            self.users.iter().filter(|(user, _)| *user == stage.owner).flat_map(|(_, clients)| clients)
        {
            self.world.tell(*client, Do::Prefer(None));
        }
    }

    /// Someone pages through a room while they are removed from it.
    async fn page_while_removed(&self, stage: &Stage) {
        let dice = &self.world.dice;
        let page = || self.world.ask(stage.members, asks::events(&stage.room, 0), false);
        for _ in 0..4 {
            page();
            sleep(dice.millis(0, 4)).await;
        }
        self.world.ask(stage.owners, asks::remove(&stage.room, &stage.member, self.number()), true);
        for _ in 0..20 {
            page();
            sleep(dice.millis(0, 3)).await;
            if dice.chance(300) {
                self.say_as(stage.owners, &stage.room, true);
            }
        }
    }

    async fn in_and_out(&self, stage: &Stage) {
        let dice = &self.world.dice;
        self.world.weather.set(Faults { payload_late: 500, payload_twice: 200, ..Faults::NONE });
        for _ in 0..dice.within(1, 3) {
            self.world.ask(stage.owners, asks::remove(&stage.room, &stage.member, self.number()), true);
            sleep(dice.millis(0, 60)).await;
            self.say_as(stage.owners, &stage.room, true);
            sleep(dice.millis(0, 60)).await;
            let users = std::slice::from_ref(&stage.member);
            self.world.ask(stage.owners, asks::add(&stage.room, users, self.number()), true);
            sleep(dice.millis(0, 60)).await;
            if dice.chance(300) {
                self.world.tell(stage.members, Do::Cut { half_open: dice.millis(0, 300) });
            }
        }
        sleep(Duration::from_millis(50)).await;
    }

    /// The store takes so long that clients retry elsewhere while the first attempt is still in progress.
    async fn slow_store(&self, stage: &Stage) {
        let dice = &self.world.dice;
        for client in 0..self.world.clients() {
            self.world.tell(client, Do::Prefer(None));
        }
        self.world.weather.set(Faults { slow: 800, answer_lost: dice.below(300), ..Faults::NONE });
        for _ in 0..dice.within(2, 6) {
            self.say_as(if dice.chance(500) { stage.owners } else { stage.members }, &stage.room, true);
            sleep(dice.millis(0, 1_000)).await;
        }
        sleep(dice.millis(3_000, 8_000)).await;
    }

    /// Messages are written, but the node never learns of it; nobody retries.
    async fn outcome_not_found_out(&self, stage: &Stage) {
        let dice = &self.world.dice;
        self.world.weather.set(Faults { answer_lost: 1_000, store_fails: 350, ..Faults::NONE });
        for _ in 0..dice.within(1, 5) {
            self.say_as(stage.owners, &stage.room, false);
            sleep(dice.millis(5, 60)).await;
        }
        sleep(Duration::from_millis(100)).await;
    }

    /// Only one member is on a node. They are removed, which reaches it late; later messages are not published to it;
    /// and then another member arrives there.
    async fn comes_before_the_removal(&self, stage: &Stage) {
        let dice = &self.world.dice;
        let users = std::slice::from_ref(&stage.other);
        self.world.ask(stage.owners, asks::add(&stage.room, users, self.number()), true);
        for (user, clients) in &self.users {
            for client in clients.iter().filter(|_| *user != stage.member) {
                let place = if *user == stage.other { stage.there.0 } else { stage.here.0 };
                self.world.tell(*client, Do::Prefer(Some(place)));
                let away = if *user == stage.other { dice.millis(1_300, 1_700) } else { Duration::ZERO };
                self.world.tell(*client, Do::Away(away));
            }
        }
        sleep(Duration::from_millis(1_000)).await;
        self.world.weather.set(Faults { payload_late: 1_000, ..Faults::NONE });
        let removed =
            self.world.ask(stage.owners, asks::remove(&stage.room, &stage.member, self.number()), true);
        self.world.wait(Duration::from_secs(2), || self.is_answered(removed)).await;
        self.world.weather.set(Faults::NONE);
        self.say_as(stage.owners, &stage.room, true);
        sleep(Duration::from_millis(1_500)).await;
    }

    /// Both nodes write to the room at once, repeatedly.
    async fn race(&self, stage: &Stage) {
        let dice = &self.world.dice;
        for _ in 0..dice.within(3, 12) {
            for _ in 0..dice.within(1, 3) {
                self.say_as(stage.owners, &stage.room, true);
                self.say_as(stage.members, &stage.room, true);
            }
            sleep(dice.millis(0, 15)).await;
        }
        match dice.below(4) {
            0 => stage.here.1.fence.crash(),
            1 => stage.there.1.fence.crash(),
            _ => {}
        }
        for client in 0..self.world.clients() {
            self.world.tell(client, Do::Prefer(None));
        }
    }
}
