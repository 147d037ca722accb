//! What each attack does to a healthy pair of users and to the memory of the process: `make attack` prints a table.
//!
//! The process is allowed 512 MiB and 1,024 descriptors. An attacker uses the same processors as everybody else, so the
//! pair is measured twice: while the attack is on another server of this machine (the control), and while it is on theirs.
//! What depends on the speed of a machine is printed; that the process lives and serves is asserted.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may give up, and say what it found")]

mod attacks;
mod healthy;
mod http1;
mod http2;
mod seen;
mod websocket;
#[expect(dead_code, reason = "an attack needs some of the frames")]
#[path = "../tests/http2_rules/wire.rs"]
mod wire;

use std::time::Duration;

use parlance_tests::{Launch, Server, Signer, claims, now};
use tempfile::NamedTempFile;
use tokio::time::{Instant, sleep};

use crate::attacks::{ATTACKS, Attack, Target};
use crate::healthy::Pair;
use crate::seen::Seen;

/// What a server of the table may use.
const LIMITS: [&str; 3] = ["prlimit", "--nofile=1024:1024", "--data=536870912"];

/// How long an attack lasts, unless `PARLANCE_ATTACK_SECONDS` says otherwise.
const LASTS: Duration = Duration::from_secs(15);

/// Until when memory has to be given back.
const GIVEN_BACK: Duration = Duration::from_mins(2);

/// As much of what was resident before may be resident then.
const KEPT: f64 = 1.5;

/// A server with tokens of an app.
struct Attacked {
    server: Server,
    secret: Vec<u8>,
    _key: NamedTempFile,
}

impl Attacked {
    async fn start() -> Self {
        let secret = b"a secret of more than 32 bytes: 0123456789".to_vec();
        let key = NamedTempFile::new().unwrap();
        std::fs::write(key.path(), &secret).unwrap();
        let options = ["--jwt-secret-file", key.path().to_str().unwrap()].map(ToOwned::to_owned).to_vec();
        let under = LIMITS.map(ToOwned::to_owned).to_vec();
        let server = Server::launch(Launch { options, under, ..Launch::default() }).await;
        Self { server, secret, _key: key }
    }

    fn token(&self, user: &str) -> String {
        Signer::Hs256(self.secret.clone()).token(&claims(user, now() + 3_600))
    }

    async fn pair(&self) -> Pair {
        let [alice, bob, eve] =
            ["alice", "bob", "eve"].map(|name| self.server.person_with(name, &self.token(name)));
        Pair::meet(alice, bob, &eve).await
    }

    fn target(&self, room: &str) -> Target {
        let address = self.server.address().parse().unwrap();
        Target { address, token: self.token("eve"), room: room.to_owned(), seen: Seen::default() }
    }
}

/// For as long as an attack lasts, by as many as it takes.
async fn attack(attack: &Attack, target: &Target, lasts: Duration) {
    let attackers: Vec<_> =
        (0..attack.attackers).map(|_| tokio::spawn((attack.run)(target.clone()))).collect();
    sleep(lasts).await;
    for attacker in attackers {
        attacker.abort();
        // One that panicked found something that it did not expect.
        assert!(!attacker.await.is_err_and(|error| error.is_panic()), "{}", attack.name);
    }
}

async fn row(one: &Attack, lasts: Duration) -> String {
    let (attacked, other) = (Attacked::start().await, Attacked::start().await);
    let (mut pair, elsewhere) = (attacked.pair().await, other.pair().await);
    let decoy = other.target(&elsewhere.room);
    let (_, control) = tokio::join!(attack(one, &decoy, lasts), pair.talk_for(lasts));
    let before = attacked.server.resident_bytes();
    let target = attacked.target(&pair.room);
    let (_, meanwhile) = tokio::join!(attack(one, &target, lasts), pair.talk_for(lasts));
    let (peak, end) = (attacked.server.peak_bytes(), Instant::now());
    let kept = loop {
        let kept = attacked.server.resident_bytes();
        if (kept as f64) < before as f64 * KEPT || end.elapsed() > GIVEN_BACK {
            break kept;
        }
        sleep(Duration::from_millis(200)).await;
    };
    let given_back = end.elapsed().as_secs_f64();
    pair.talk_for(Duration::from_millis(100)).await;
    let mb = |bytes: u64| bytes >> 20;
    format!(
        "| {} | {} / {} / {} after {given_back:.0} s | {control} | {meanwhile} | {} |",
        one.name,
        mb(before),
        mb(peak),
        mb(kept),
        target.seen
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a quarter of an hour: make attack"]
async fn table() {
    let seconds = std::env::var("PARLANCE_ATTACK_SECONDS").ok().map(|seconds| seconds.parse().unwrap());
    let lasts = seconds.map_or(LASTS, Duration::from_secs);
    let only = std::env::var("PARLANCE_ATTACK").unwrap_or_default();
    println!(
        "| attack | MB before / peak / after | pair, control: p50, p99 ms | pair, attacked | what the attacker saw |"
    );
    println!("|---|---|---|---|---|");
    for one in ATTACKS.iter().filter(|one| one.name.contains(&only)) {
        println!("{}", Box::pin(row(one, lasts)).await);
    }
}
