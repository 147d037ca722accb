//! Measures 5 and 6: durable messages, and their latency.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use parlance_proto::v1;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::effort::{Effort, progress, text};
use super::load::{Talker, Way};
use super::raw::{Creator, create_users, message};
use super::results::{Goal, Results};
use super::series::{Series, quantile};
use crate::peers::Peer;
use crate::processes;
use parlance_testbed::ServerProcess;

pub(super) const SENDERS: usize = 256;
pub(super) const ROOMS: usize = 64;

/// Before the measurement, so that connections and caches are warm.
const WARM_UP: Duration = Duration::from_millis(300);

/// Size of the store's record for a message of 200 bytes, with framing.
const RECORD: usize = 320;

/// Messages of each sender that ejabberd archives in a round: some seconds.
const ARCHIVED: u64 = 20;

/// How long half load, derived from the previous measure, is held.
const HALF_LOAD: Duration = Duration::from_secs(4);

const COMMITS: &str = "parlance_store_commits_total";

struct Target {
    server: ServerProcess,
    tokens: Vec<String>,
    /// Sender n sends to room n modulo their count. Their cursors: catching up with earlier
    /// rounds would be measured, too.
    rooms: Vec<v1::Cursor>,
    round: u64,
}

/// The result of one round.
struct Round {
    /// Acknowledged messages per second.
    rate: f64,
    /// Milliseconds, in ascending order.
    latencies: Vec<f64>,
    /// Microseconds of the server's processor time per message.
    cpu: f64,
    /// Messages per sync of the store.
    group: f64,
}

/// Rounds over one transport.
#[derive(Default)]
struct Sent {
    /// Relative to the bare log, and to ejabberd.
    share: Series,
    against: Series,
    acknowledged: Series,
    cpu: Series,
    groups: Series,
    /// At half load: relative to the device, and milliseconds.
    above: Series,
    p99: Series,
    median: Series,
    cpu_at_half: Series,
}

pub(super) async fn measure(effort: &Effort, results: &mut Results) -> Result<()> {
    let mut target = Target::fill(effort).await?;
    let ejabberd = match &effort.peers {
        Some(installed) => Some(Peer::ejabberd(installed).await?),
        None => None,
    };
    let mut own = [Way::WebSocketBinary, Way::Grpc].map(|way| (way, Sent::default()));
    let [mut bare, mut archived, mut sync] = [(); 3].map(|()| Series::default());
    for round in 0..effort.rounds {
        progress("256 senders", round, effort.rounds);
        let archive = match &ejabberd {
            Some(ejabberd) => {
                let round = Box::pin(ejabberd.sends(SENDERS, ROOMS, ARCHIVED, text().len())).await?;
                archived.push(round.rate());
                Some(round.rate())
            }
            None => None,
        };
        for (way, sent) in &mut own {
            let full = Box::pin(target.round(*way, SENDERS, effort.duration, None)).await?;
            let log = Box::pin(bare_log(effort.duration, full.group.round() as usize)).await?;
            bare.push(log);
            sent.share.push(full.rate / log);
            if let Some(archive) = archive {
                sent.against.push(full.rate / archive);
            }
            sent.acknowledged.push(full.rate);
            sent.cpu.push(full.cpu);
            sent.groups.push(full.group);

            let device = device_sync_p99()?;
            let half = HALF_LOAD.min(effort.duration * 2);
            let half = Box::pin(target.round(*way, SENDERS, half, Some(full.rate / 2.0))).await?;
            let p99 = quantile(&half.latencies, 0.99);
            sent.above.push(p99 / device);
            sent.p99.push(p99);
            sent.median.push(quantile(&half.latencies, 0.5));
            sent.cpu_at_half.push(half.cpu);
            sync.push(device);
        }
    }
    let acknowledged = |way| format!("acknowledged sends a second, 256 senders, {way}");
    for (way, sent) in own {
        let what = format!("{}, against a bare log with the same groups", acknowledged(way));
        results.add(5, what, Goal::AtLeast(0.5), sent.share);
        if ejabberd.is_some() {
            let what = format!("{}, against ejabberd with its archive", acknowledged(way));
            results.add(5, what, Goal::AtLeast(10.0), sent.against);
        }
        let what = format!("ack p99 at half load, {way}, against the device's fdatasync p99");
        results.add(6, what, Goal::AtMost(2.0), sent.above);
        results.detail(5, acknowledged(way), sent.acknowledged);
        results.detail(5, format!("server CPU us for each, {way}"), sent.cpu);
        results.detail(5, format!("messages for each sync, {way}"), sent.groups);
        results.detail(6, format!("ack p99 at half load, {way}, ms"), sent.p99);
        results.detail(6, format!("ack median at half load, {way}, ms"), sent.median);
        results.detail(6, format!("server CPU us for each at half load, {way}"), sent.cpu_at_half);
    }
    if let Some(ejabberd) = ejabberd {
        ejabberd.stop().await?;
        results.detail(5, "acknowledged sends a second, ejabberd", archived);
    }
    results.detail(5, "appends a second to the bare log", bare);
    results.detail(6, "fdatasync p99 of the device, ms", sync);
    for senders in [1, 16] {
        let mut rates = Series::default();
        for _ in 0..effort.rounds {
            let round = target.round(Way::WebSocketBinary, senders, effort.duration, None);
            rates.push(Box::pin(round).await?.rate);
        }
        let what = format!("acknowledged sends a second, {}, senders: {senders}", Way::WebSocketBinary);
        results.detail(5, what, rates);
    }
    target.server.stop().await
}

impl Target {
    async fn fill(effort: &Effort) -> Result<Self> {
        let server = Box::pin(ServerProcess::start(&effort.server, &[])).await?;
        let ids: Vec<_> = (0..SENDERS).map(|sender| format!("sender:{sender}")).collect();
        let tokens = create_users(server.address(), &ids).await?;
        let creator = Creator::new(server.address()).await?;
        let mut rooms = Vec::with_capacity(ROOMS);
        for room in 0..ROOMS {
            let members: Vec<_> = ids.iter().skip(room).step_by(ROOMS).cloned().collect();
            let room_id = creator.room(&format!("room-{room}"), &members).await?;
            rooms.push(v1::Cursor { room_id, ..Default::default() });
        }
        Ok(Self { server, tokens, rooms, round: 0 })
    }

    /// Everyone sends, and again after each acknowledgement; at this total rate, if given.
    async fn round(
        &mut self,
        way: Way,
        senders: usize,
        duration: Duration,
        rate: Option<f64>,
    ) -> Result<Round> {
        self.round += 1;
        let address = self.server.address();
        let people = self.tokens.iter().take(senders).zip(self.rooms.iter().cycle());
        let talkers = Talker::open_all(way, address, people).await?;
        let counting = Arc::new(AtomicBool::new(false));
        let stop = Arc::new(AtomicBool::new(false));
        let pace = rate.map(|rate| Duration::from_secs_f64(senders as f64 / rate));
        let mut sending = JoinSet::new();
        for (number, talker) in talkers.into_iter().enumerate() {
            let room_number = number % self.rooms.len();
            let room = self.rooms[room_number].room_id.clone();
            let prefix = format!("{}-", self.round);
            // Spread over one interval, instead of all at the same time.
            let offset = pace.unwrap_or_default().mul_f64(number as f64 / senders as f64);
            let (counting, stop) = (counting.clone(), stop.clone());
            sending.spawn(async move {
                sleep(offset).await;
                let sent = send(talker, room, prefix, pace, &counting, &stop).await?;
                anyhow::Ok((room_number, sent))
            });
        }
        sleep(WARM_UP.max(pace.unwrap_or_default())).await;
        let pid = self.server.pid()?;
        let commits = self.server.metric(COMMITS).await?;
        let (before, began) = (processes::cpu(pid)?, Instant::now());
        counting.store(true, Ordering::Relaxed);
        sleep(duration).await;
        counting.store(false, Ordering::Relaxed);
        let (elapsed, used) = (began.elapsed(), processes::cpu(pid)?.saturating_sub(before));
        let commits = self.server.metric(COMMITS).await? - commits;
        stop.store(true, Ordering::Relaxed);
        let mut latencies: Vec<f64> = Vec::new();
        while let Some(sent) = sending.join_next().await {
            let (room_number, (of_one, head)) = sent??;
            latencies.extend(of_one);
            let known = self.rooms.get_mut(room_number).context("there is a room")?;
            known.seq = known.seq.max(head.unwrap_or_default());
        }
        latencies.sort_by(f64::total_cmp);
        let count = latencies.len() as f64;
        let (rate, cpu) = (count / elapsed.as_secs_f64(), used.as_secs_f64() * 1e6 / count);
        Ok(Round { rate, cpu, group: (count / commits).max(1.0), latencies })
    }
}

/// The latency of each message in milliseconds, and the seq of the last one.
async fn send(
    mut talker: Talker,
    room: String,
    prefix: String,
    pace: Option<Duration>,
    counting: &AtomicBool,
    stop: &AtomicBool,
) -> Result<(Vec<f64>, Option<u64>)> {
    let text = text();
    let mut pace = pace.map(|pace| {
        let mut pace = interval(pace);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        pace
    });
    // The head is unknown until the first answer.
    let mut head = None;
    let mut latencies = Vec::new();
    for number in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        if let Some(pace) = &mut pace {
            // Incoming events are read, or they would delay the answer.
            loop {
                tokio::select! {
                    biased;
                    _ = pace.tick() => break,
                    read = talker.read() => read?,
                }
            }
        }
        let counted = counting.load(Ordering::Relaxed);
        let began = Instant::now();
        talker.send(&message(&room, &format!("{prefix}{number}"), &text, head)).await?;
        head = Some(talker.seq().await?);
        if counted && counting.load(Ordering::Relaxed) {
            latencies.push(began.elapsed().as_secs_f64() * 1e3);
        }
    }
    Ok((latencies, head))
}

/// Appends per second by as many writers to one file that is synced once per `group` of
/// waiting records: nothing else is done.
async fn bare_log(duration: Duration, group: usize) -> Result<f64> {
    let mut file = tempfile::tempfile()?;
    let (appends, mut waiting) = mpsc::channel::<oneshot::Sender<()>>(SENDERS);
    let log = std::thread::spawn(move || -> Result<()> {
        let mut answers = Vec::new();
        while let Some(first) = waiting.blocking_recv() {
            answers.push(first);
            while answers.len() < group
                && let Ok(next) = waiting.try_recv()
            {
                answers.push(next);
            }
            file.write_all(&vec![7; RECORD * answers.len()])?;
            file.sync_data()?;
            for answer in answers.drain(..) {
                let _ = answer.send(());
            }
        }
        Ok(())
    });
    let count = Arc::new(AtomicU64::new(0));
    let mut writers = JoinSet::new();
    for _ in 0..SENDERS {
        let (appends, count) = (appends.clone(), count.clone());
        writers.spawn(async move {
            loop {
                let (answer, answered) = oneshot::channel();
                if appends.send(answer).await.is_err() || answered.await.is_err() {
                    return;
                }
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    sleep(WARM_UP).await;
    let (before, began) = (count.load(Ordering::Relaxed), Instant::now());
    sleep(duration).await;
    let rate = (count.load(Ordering::Relaxed) - before) as f64 / began.elapsed().as_secs_f64();
    writers.shutdown().await;
    drop(appends);
    tokio::task::spawn_blocking(move || log.join()).await?.ok().context("the log panicked")??;
    Ok(rate)
}

/// 99th percentile of syncing one record, milliseconds.
fn device_sync_p99() -> Result<f64> {
    let mut file: File = tempfile::tempfile()?;
    let mut took = Vec::new();
    for _ in 0..500 {
        file.write_all(&[7; RECORD])?;
        let began = tokio::time::Instant::now();
        file.sync_data()?;
        took.push(began.elapsed().as_secs_f64() * 1e3);
    }
    took.sort_by(f64::total_cmp);
    Ok(quantile(&took, 0.99))
}
