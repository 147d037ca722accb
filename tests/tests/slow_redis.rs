//! Delivery to sessions on other nodes while Redis is slow, or refuses some commands: everything
//! arrives within seconds.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use std::time::Duration;

use tokio::time::Instant;

use parlance_faults::TcpProxy;
use parlance_proto::v1::GetUserRequest;
use parlance_tests::{Cluster, Conversation, DOORS, Door, Http, Person, eventually};

/// Maximum delay of an event after its acknowledgement: publishing fails for three seconds before
/// other nodes are informed, and a busy machine needs some time.
const SOON: Duration = Duration::from_secs(15);

/// Two nodes, each with its own proxy to Redis.
async fn cluster() -> (Cluster, [TcpProxy; 2]) {
    let mut cluster = Cluster::start(0).await;
    let address = cluster.redis.address();
    let ways = [TcpProxy::start(address).await.unwrap(), TcpProxy::start(address).await.unwrap()];
    for way in &ways {
        cluster.add_at(&format!("redis://{}", way.address()), &[]).await;
    }
    (cluster, ways)
}

/// Users on the two nodes with an open session each, in a common group.
struct Pair {
    people: [Person; 2],
    sessions: [Conversation; 2],
    room: String,
}

impl Pair {
    async fn open(cluster: &Cluster, door: Door) -> Self {
        let people = [cluster.person(0, "alice"), cluster.person(1, "bob")];
        for person in &people {
            person.users().get_user(GetUserRequest { user_id: "me".to_owned() }).await.unwrap();
        }
        let room = people[0].group(&[&people[1]]).await;
        let sessions = [people[0].connect(door).await, people[1].connect(door).await];
        Self { people, sessions, room }
    }

    /// Sends a message, and waits until both sessions have it.
    async fn exchange(&mut self, speaker: usize, text: &str) {
        let seq = self.people[speaker].say(&self.room, text).await;
        let said = Instant::now();
        for session in &mut self.sessions {
            let events = tokio::time::timeout(SOON, session.events_up_to(&self.room, seq)).await;
            assert!(events.is_ok(), "{text} is not there after {:?}", said.elapsed());
        }
    }
}

#[tokio::test]
async fn every_session_gets_every_event_while_redis_is_slow() {
    let (cluster, ways) = cluster().await;
    let mut pair = Pair::open(&cluster, DOORS[0]).await;
    pair.exchange(0, "at first").await;
    // Round trip to Redis: long enough for every command to time out, and within the timeout.
    for (millis, slow) in [(300, &ways[..]), (500, &ways[..1]), (500, &ways[1..]), (200, &ways[..])] {
        for way in slow {
            way.delay(Duration::from_millis(millis));
        }
        let started = Instant::now();
        // Past the time when the nodes have noticed.
        while started.elapsed() < Duration::from_secs(6) {
            for speaker in [0, 1] {
                pair.exchange(speaker, &format!("after {:?}, {millis} ms", started.elapsed())).await;
            }
        }
        ways.iter().for_each(TcpProxy::pass);
        pair.exchange(0, "passes again").await;
        pair.exchange(1, "passes again").await;
    }
}

/// The last message is sent before or during a stall, and none after it.
#[tokio::test]
async fn short_stalls_hide_nothing_in_a_quiet_room() {
    let (cluster, ways) = cluster().await;
    let mut pair = Pair::open(&cluster, DOORS[1]).await;
    for (number, millis) in [600, 1_300, 2_500].into_iter().enumerate() {
        let (speaker, way) = (number % 2, ways[1 - number % 2].clone());
        let stall = tokio::spawn(async move { way.stall(Duration::from_millis(millis)).await });
        // A session that opens during the stall is registered late.
        let late = pair.people[1 - speaker].connect(DOORS[0]).await;
        pair.exchange(speaker, &format!("in a stall of {millis} ms")).await;
        stall.await.unwrap();
        pair.sessions[1 - speaker] = late;
        pair.exchange(speaker, "after it").await;
    }
}

/// Heartbeats succeed, but every lookup fails: no message is sent whose number could be missing.
#[tokio::test]
async fn failed_publishes_are_reported() {
    let mut cluster = Cluster::start(0).await;
    let acl = |rules: &[&str]| [&["ACL", "SETUSER", "chat"], rules].concat().join(" ");
    let change = async |cluster: &Cluster, rules: &[&str]| {
        let command = acl(rules);
        let words: Vec<&str> = command.split(' ').collect();
        cluster.redis.command(&words).await.unwrap();
    };
    change(&cluster, &["on", ">secret", "~*", "&*", "+@all"]).await;
    let (limited, direct) = (format!("redis://chat:secret@{}", cluster.redis.address()), cluster.redis.url());
    cluster.add_at(&limited, &[]).await;
    cluster.add_at(&direct, &[]).await;
    let mut pair = Pair::open(&cluster, DOORS[0]).await;
    pair.exchange(0, "at first").await;
    let keys = ["~parlance:nodes", "~parlance:fleet*", "~parlance:layout", "~parlance:sweep:*"];
    change(&cluster, &[&["resetkeys"], &keys[..]].concat()).await;
    pair.exchange(0, "without a lookup").await;
    let http = Http::new(cluster.nodes[1].admin());
    eventually("the report is counted", async || {
        let page = http.get("/metrics").answer().await;
        let page = String::from_utf8_lossy(&page.body).into_owned();
        page.contains("parlance_registry_recoveries_total{cause=\"unpublished\"}").then_some(())
    })
    .await;
}
