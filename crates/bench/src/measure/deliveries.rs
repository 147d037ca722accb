//! Measures 1, 2, 3, 4, 10, 11 and 15: the cost of delivering messages to everyone in a room.

use anyhow::Result;

use super::effort::{Effort, progress, text};
use super::load::{self, Bare, Listeners, Way};
use super::results::{Goal, Results};
use super::room::{PIPELINE, Paced, Room};
use super::series::{Series, quantile};
use crate::peers::{FanOut, Peer};

const BARE_WEBSOCKET: Way = Way::Bare(Bare::WebSocket);
const BARE_GRPC: Way = Way::Bare(Bare::Grpc);

/// Measures 1 and 10, in rooms of these sizes.
pub(super) async fn one_at_a_time(effort: &Effort, results: &mut Results) -> Result<()> {
    for (members, goal) in [(100, 3.0), (1_000, 25.0), (10_000, 130.0)] {
        let members = members / effort.less;
        let mut room = Room::fill(effort, members).await?;
        // Both ends of more connections would exceed the descriptor limit of a process.
        let ways: &[Way] = if members > 5_000 {
            &[Way::Bare(Bare::Tcp), Way::WebSocketJson]
        } else {
            &[Way::Bare(Bare::Tcp), Way::WebSocketJson, Way::Grpc, BARE_WEBSOCKET, BARE_GRPC]
        };
        let messages = (200_000 / members as u64).clamp(20, 1_000) / effort.less as u64;
        let mut rounds: Vec<Vec<Paced>> = ways.iter().map(|_| Vec::new()).collect();
        for round in 0..effort.rounds {
            progress(&format!("one message at a time, room of {members}"), round, effort.rounds);
            for (way, rounds) in ways.iter().zip(&mut rounds) {
                let listeners = room.listeners(*way).await?;
                let paced = Box::pin(room.paced(*way, &listeners, messages.max(5))).await?;
                rounds.push(paced);
                listeners.close().await;
            }
        }
        let p99 = |paced: &Paced| quantile(&paced.latencies, 0.99);
        let of = |way| ways.iter().position(|other| *other == way).map(|at| &rounds[at]);
        for (way, own) in ways.iter().zip(&rounds) {
            results.detail(
                10,
                format!("{way}, room of {members}: p99 ms until the last has it"),
                own.iter().map(p99).collect(),
            );
            results.detail(
                1,
                format!("{way}, room of {members}: CPU us for each delivery"),
                own.iter().map(|paced| paced.cpu).collect(),
            );
            let (cpu_goal, library) = match way {
                Way::Grpc => (1.5, BARE_GRPC),
                Way::WebSocketJson => (1.25, BARE_WEBSOCKET),
                _ => continue,
            };
            results.add(
                10,
                format!("p99 ms to the last of {members}, {way}"),
                Goal::AtMost(goal),
                own.iter().map(p99).collect(),
            );
            for (bare, cpu_goal, p99_goal) in [
                (Way::Bare(Bare::Tcp), Goal::AtMost(cpu_goal), Goal::AtMost(1.5)),
                (library, Goal::Reported, Goal::Reported),
            ] {
                let Some(others) = of(bare) else { continue };
                let pairs = || own.iter().zip(others);
                if members == 1_000 / effort.less {
                    let ratios = pairs().map(|(own, bare)| own.cpu / bare.cpu).collect();
                    let what = format!("server CPU for each delivery, {way} / {bare}");
                    results.add(1, what, cpu_goal, ratios);
                }
                let ratios = pairs().map(|(own, bare)| p99(own) / p99(bare)).collect();
                results.add(10, format!("p99 to the last of {members}, {way} / {bare}"), p99_goal, ratios);
            }
        }
        room.server.stop().await?;
    }
    Ok(())
}

/// Measures 2 and 4: maximum throughput, compared with other servers.
pub(super) async fn saturated(effort: &Effort, results: &mut Results) -> Result<()> {
    let mut room = Room::fill(effort, effort.listeners).await?;
    let ways = [Way::Grpc, Way::WebSocketJson, Way::Bare(Bare::Tcp), BARE_WEBSOCKET, BARE_GRPC];
    let mut own = ways.map(|way| (way, Compared::default()));
    let mut others = Vec::new();
    if let Some(installed) = &effort.peers {
        // As many messages for each server as take some seconds.
        others.push(("NATS", Peer::nats(installed).await?, effort.messages, Compared::default()));
        others.push((
            "Socket.IO",
            Peer::socket_io(installed).await?,
            effort.messages / 5,
            Compared::default(),
        ));
        others.push((
            "ejabberd",
            Peer::ejabberd(installed).await?,
            effort.messages / 16,
            Compared::default(),
        ));
    }
    for round in 0..effort.rounds {
        progress("deliveries", round, effort.rounds);
        for (way, compared) in &mut own {
            let (rate, cost) = Box::pin(room.saturated(*way, effort.messages)).await?;
            compared.push(rate, cost);
        }
        for (name, peer, messages, compared) in &mut others {
            progress(name, round, effort.rounds);
            let load = FanOut {
                listeners: effort.listeners,
                messages: *messages,
                pipeline: PIPELINE,
                payload: text().len(),
            };
            let round = Box::pin(peer.fan_out(load)).await?;
            compared.push(round.rate(), round.cost());
        }
    }
    for (name, peer, _, compared) in others {
        peer.stop().await?;
        for (way, goals) in [(Way::Grpc, [1.0, f64::NAN, f64::NAN]), (Way::WebSocketJson, [1.4, 5.0, 10.0])] {
            let (id, goal) = match name {
                "NATS" => (2, goals[0]),
                "Socket.IO" => (4, goals[1]),
                _ => (4, goals[2]),
            };
            let goal = if goal.is_nan() { Goal::Reported } else { Goal::AtLeast(goal) };
            let mine = own.iter().find(|(own, _)| *own == way);
            let ratios = mine.map(|(_, mine)| mine.ratios(&compared)).unwrap_or_default();
            results.add(id, format!("deliveries a second, {way} / {name}"), goal, ratios);
        }
        compared.detail(results, 2, name);
    }
    for (way, compared) in own {
        compared.detail(results, 2, &way.to_string());
    }
    room.server.stop().await
}

/// Rounds of one of the compared servers.
#[derive(Default)]
struct Compared {
    /// Deliveries per second, by round.
    rates: Vec<f64>,
    /// Microseconds of processor time per delivery.
    costs: Vec<f64>,
}

impl Compared {
    fn push(&mut self, rate: f64, cost: f64) {
        self.rates.push(rate);
        self.costs.push(cost);
    }

    fn ratios(&self, other: &Self) -> Series {
        self.rates.iter().zip(&other.rates).map(|(own, other)| own / other).collect()
    }

    fn detail(self, results: &mut Results, id: u8, name: &str) {
        results.detail(
            id,
            format!("deliveries a second, saturated, {name}"),
            self.rates.into_iter().collect(),
        );
        results.detail(id, format!("CPU us for each, saturated, {name}"), self.costs.into_iter().collect());
    }
}

/// Measure 3: the cost of the encodings of frames.
pub(super) async fn forms(effort: &Effort, results: &mut Results) -> Result<()> {
    let mut room = Room::fill(effort, effort.listeners).await?;
    let [mut ratios, mut json, mut binary, mut encodes] = [(); 4].map(|()| Series::default());
    for round in 0..effort.rounds {
        progress("JSON and binary frames", round, effort.rounds);
        let made = room.server.metric("parlance_bridge_frames_to_json_total").await?;
        let (in_json, _) = Box::pin(room.saturated(Way::WebSocketJson, effort.messages)).await?;
        let made = room.server.metric("parlance_bridge_frames_to_json_total").await? - made;
        let (in_binary, _) = Box::pin(room.saturated(Way::WebSocketBinary, effort.messages)).await?;
        // Each listener's welcome is encoded separately.
        encodes.push((made - effort.listeners as f64) / effort.messages as f64);
        ratios.push(in_json / in_binary);
        json.push(in_json);
        binary.push(in_binary);
    }
    results.add(3, "deliveries a second, JSON / binary on the WebSocket", Goal::AtLeast(0.9), ratios);
    results.add(3, "JSON encodes for each message", Goal::AtMost(1.0), encodes);
    results.detail(3, "deliveries a second, JSON", json);
    results.detail(3, "deliveries a second, binary", binary);
    room.server.stop().await
}

/// Measure 15: the cost of TLS.
pub(super) async fn tls(effort: &Effort, results: &mut Results) -> Result<()> {
    let mut clear = Room::fill(effort, effort.listeners).await?;
    let mut secured = Room::fill_with_tls(effort, effort.listeners).await?;
    for (way, goal) in [(Way::WebSocketJson, Goal::AtLeast(0.6)), (Way::Grpc, Goal::Reported)] {
        let [mut without, mut with] = [(); 2].map(|()| Compared::default());
        for round in 0..effort.rounds {
            progress(&format!("{way} without TLS and with it"), round, effort.rounds);
            for (room, compared) in [(&mut clear, &mut without), (&mut secured, &mut with)] {
                let (rate, cost) = Box::pin(room.saturated(way, effort.messages)).await?;
                compared.push(rate, cost);
            }
        }
        let ratios = with.ratios(&without);
        results.add(15, format!("deliveries a second, {way}, TLS 1.3 / clear text"), goal, ratios);
        without.detail(results, 15, &format!("{way} in clear text"));
        with.detail(results, 15, &format!("{way} with TLS 1.3"));
    }
    clear.server.stop().await?;
    secured.server.stop().await
}

/// Measure 11: one of a hundred listeners does not read.
pub(super) async fn stalled(effort: &Effort, results: &mut Results) -> Result<()> {
    let mut room = Room::fill(effort, effort.listeners).await?;
    let deaf = (effort.listeners / 100).max(1);
    let [mut ratios, mut growth] = [(); 2].map(|()| Series::default());
    let messages = effort.messages.max(20);
    for round in 0..effort.rounds {
        progress("stalled readers", round, effort.rounds);
        let p99 = |paced: Paced| quantile(&paced.latencies, 0.99);
        let listeners = room.listeners(Way::WebSocketJson).await?;
        let all = p99(Box::pin(room.paced(Way::WebSocketJson, &listeners, messages)).await?);
        listeners.close().await;
        let (healthy, stalled) = room.tokens.split_at(effort.listeners - deaf);
        let stalled = load::stalled(room.server.address(), stalled).await?;
        let (at, healthy) = (room.server.address().into(), room.with_what_is_known(healthy));
        let listeners = Listeners::open(Way::WebSocketJson, at, healthy).await?;
        let before = room.server.resident_bytes()?;
        let with = p99(Box::pin(room.paced(Way::WebSocketJson, &listeners, messages)).await?);
        growth.push(room.server.resident_bytes()?.saturating_sub(before) as f64 / 1024.0 / deaf as f64);
        ratios.push(with / all);
        drop(stalled);
    }
    results.add(11, "p99 of the healthy with 1 % stalled, against none", Goal::AtMost(1.2), ratios);
    // Ring and pages of the room, plus one frame and one write buffer of the session.
    results.add(
        11,
        "memory growth for each stalled reader, KiB",
        Goal::AtMost(1_300.0 / deaf as f64 + 32.0),
        growth,
    );
    room.server.stop().await
}
