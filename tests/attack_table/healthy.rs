//! Two people who talk while others attack.

use std::fmt;
use std::time::Duration;

use parlance_client::transport::Door;
use parlance_tests::{Conversation, Person};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// One writes this often.
const EVERY: Duration = Duration::from_millis(25);

pub(crate) struct Pair {
    writes: Conversation,
    reads: Conversation,
    pub(crate) room: String,
}

/// From sending a message until the other has it.
pub(crate) struct Latencies(Vec<Duration>);

impl Pair {
    /// In a room that the attacker is a member of.
    pub(crate) async fn meet(alice: Person, bob: Person, eve: &Person) -> Self {
        for person in [&alice, &bob, eve] {
            let user =
                parlance_proto::v1::CreateUserRequest { user_id: person.id.clone(), ..Default::default() };
            person.users().create_user(user).await.unwrap();
        }
        let room = alice.group(&[&bob, eve]).await;
        // Pages of the room are large.
        for _ in 0..8 {
            alice.say(&room, &"x".repeat(16 * 1024)).await;
        }
        let (writes, reads) = (alice.connect(Door::WebSocketJson).await, bob.connect(Door::Grpc).await);
        Self { writes, reads, room }
    }

    pub(crate) async fn talk_for(&mut self, lasts: Duration) -> Latencies {
        let (mut found, end, mut next) = (Vec::new(), Instant::now() + lasts, interval(EVERY));
        next.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while Instant::now() < end {
            next.tick().await;
            let start = Instant::now();
            let sent = self.writes.call(Person::message(&self.room, "still here")).await.unwrap();
            self.reads.events_up_to(&self.room, sent.seq).await;
            found.push(start.elapsed());
        }
        found.sort_unstable();
        Latencies(found)
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |share: f64| self.0[((self.0.len() - 1) as f64 * share) as usize].as_secs_f64() * 1_000.0;
        write!(f, "{:.1}, {:.0}", at(0.5), at(0.99))
    }
}
