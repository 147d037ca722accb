//! Measure 12: the same load on one, two and four nodes.

use std::time::Duration;

use anyhow::{Context, Result};
use parlance_client::transport::{Connection, Door};
use parlance_proto::v1;
use tokio::time::{MissedTickBehavior, interval};

use super::{Spent, start};
use crate::fleet::people::{create, room};
use crate::measure::effort::{Effort, progress, text};
use crate::measure::load::{Listeners, Way};
use crate::measure::raw::{answer, connect, message};
use crate::measure::results::{Goal, Results};
use crate::measure::series::Series;
use parlance_testbed::{Cluster, token};

const NODES: [usize; 3] = [1, 2, 4];

/// Rooms, and users per room, spread over the nodes.
const ROOMS: usize = 32;
const MEMBERS: usize = 16;

/// Senders per room, which take turns: each on another node, as far as possible.
const SENDERS: usize = 4;

/// Interval between messages, to one room after the other.
const EVERY: Duration = Duration::from_millis(2);

pub(in crate::measure) async fn measure(effort: &Effort, results: &mut Results) -> Result<()> {
    let cluster = start(effort, 4).await?;
    let mut loads = Vec::new();
    for nodes in NODES {
        loads.push(Box::pin(Load::prepare(&cluster, nodes)).await?);
    }
    let mut costs = NODES.map(|_| Vec::new());
    let mut of_redis = NODES.map(|_| Series::default());
    for round in 0..effort.rounds {
        progress("one, two and four nodes", round, effort.rounds);
        for (number, load) in loads.iter_mut().enumerate() {
            let (all, redis) = Box::pin(load.one_round(&cluster, effort)).await?;
            costs[number].push(all);
            of_redis[number].push(redis);
        }
    }
    let [one, two, four] = &costs;
    let growth = |more: &[f64]| more.iter().zip(one).map(|(more, one)| more / one).collect::<Series>();
    let measure = |nodes| format!("CPU for each message, {nodes} nodes against one");
    results.add(12, measure("two"), Goal::AtMost(1.3), growth(two));
    results.add(12, measure("four"), Goal::AtMost(1.3), growth(four));
    for ((nodes, costs), redis) in NODES.iter().zip(costs).zip(of_redis) {
        let what = format!("CPU us for each message and its {MEMBERS} deliveries, nodes and Redis: {nodes}");
        results.detail(12, what, costs.into_iter().collect());
        results.detail(12, format!("of that Redis, nodes: {nodes}"), redis);
    }
    cluster.end().await
}

/// Users and rooms of their own on the first nodes.
struct Load {
    nodes: usize,
    /// The listeners' cursors: delivering past events would be measured, too.
    rooms: Vec<v1::Cursor>,
    /// By node: their tokens, and the room of each.
    listeners: Vec<Vec<(String, usize)>>,
    /// By room, then by turn.
    senders: Vec<Vec<Connection>>,
    sent: usize,
}

impl Load {
    async fn prepare(cluster: &Cluster, nodes: usize) -> Result<Self> {
        let mut load = Self {
            nodes,
            rooms: Vec::new(),
            listeners: vec![Vec::new(); nodes],
            senders: Vec::new(),
            sent: 0,
        };
        for number in 0..ROOMS {
            let members = create(cluster, &format!("spread:{nodes}:{number}"), MEMBERS).await?;
            let room_id = room(cluster, &format!("spread-{nodes}-{number}"), &members).await?;
            load.rooms.push(v1::Cursor { room_id, ..Default::default() });
            let mut senders = Vec::new();
            for (place, user) in members.iter().enumerate() {
                let (node, token) = ((number + place) % nodes, token(user)?);
                if place < SENDERS {
                    senders.push(connect(cluster.address(node), Door::Grpc, &token).await?);
                }
                load.listeners[node].push((token, number));
            }
            load.senders.push(senders);
        }
        Ok(load)
    }

    /// Microseconds per message, and Redis' share of them.
    async fn one_round(&mut self, cluster: &Cluster, effort: &Effort) -> Result<(f64, f64)> {
        let mut listening = Vec::new();
        for (node, people) in self.listeners.iter().enumerate() {
            let people = people.iter().map(|(token, room)| (token, self.rooms.get(*room)));
            listening.push(Listeners::open(Way::WebSocketJson, cluster.address(node).into(), people).await?);
        }
        // Warms caches, and drains the few past events.
        self.send(ROOMS).await?;
        let messages = (effort.duration.as_secs_f64() / EVERY.as_secs_f64()) as usize;
        let before = Spent::now(cluster, self.nodes).await?;
        self.send(messages).await?;
        let spent = Spent::now(cluster, self.nodes).await?.since(before);
        for listeners in listening {
            listeners.close().await;
        }
        let each = |spent: Duration| spent.as_secs_f64() * 1e6 / messages as f64;
        Ok((each(spent.all()), each(spent.redis)))
    }

    /// Sends one message after the other, without waiting for answers.
    async fn send(&mut self, messages: usize) -> Result<()> {
        let mut tick = interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut unanswered = Vec::new();
        for _ in 0..messages {
            tick.tick().await;
            let (room, turn) = (self.sent % ROOMS, self.sent / ROOMS % SENDERS);
            let frame = message(&self.rooms[room].room_id, &format!("{}", self.sent), &text(), None);
            self.senders[room][turn].send(frame).await?;
            unanswered.push((room, turn));
            self.sent += 1;
        }
        for (room, turn) in unanswered {
            let sender = self.senders.get_mut(room).and_then(|senders| senders.get_mut(turn));
            let seq = answer(sender.context("there is a sender")?).await?;
            let known = self.rooms.get_mut(room).context("there is a room")?;
            known.seq = known.seq.max(seq);
        }
        Ok(())
    }
}
