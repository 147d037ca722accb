//! Sends that another node decides.
//!
//! Nodes that write one room race for its head, and who lost reads before it tries again
//! while the winner need not: it could go on losing. So it hands its sends to the room's
//! home, the same for all nodes, where they share a chunk. Without an answer it decides by
//! itself: whichever comes second finds the message in the log. Where it is the home that
//! loses, it says so to the others, and whoever wins hands on to it.
//!
//! Unless it is refused here, and carried out there later, when it would no longer be
//! refused. So only what cannot change its mind is forwarded: no replies, nothing that
//! names a head that is not there yet; and the home carries it out only if the sender's
//! membership is still the one that the asking node may have seen.
//!
//! What one user asks keeps its order. While the home decides their sends, whatever else they ask
//! waits; and the home leaves a send undecided if it has not decided the one before.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::future::join_all;
use parlance_core::{Action, Command, Outcome, RequestId, RoomId, Text, Timestamp, UserId};
use parlance_proto::cluster::v1::{Contended, Forward, Forwarded};
use parlance_registry::NodeId;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::{Ask, Decided, Letter, Origin, Rooms, Shared};
use crate::cluster::envelope::{self, Content};
use crate::limits::{FORWARD_TIMEOUT, SILENT_FOR};
use crate::map::Map;

/// Sends that wait for another node's answer.
#[derive(Default)]
pub(super) struct Forwards {
    waiting: Map<u64, oneshot::Sender<Forwarded>>,
    next: AtomicU64,
    /// Nodes that did not answer, and when that was noticed.
    silent: Map<NodeId, Instant>,
}

/// What came of asking a room's home.
enum Answer {
    Outcome(Outcome),
    /// It would not, or must not: whoever asked finds out why.
    Undecided,
    Silence,
}

impl Answer {
    fn name(&self) -> &'static str {
        match self {
            Self::Outcome(_) => "outcome",
            Self::Undecided => "undecided",
            Self::Silence => "silence",
        }
    }
}

impl Forwards {
    /// How many sends wait for an answer.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The node that decides for `room`, of those that answer.
    pub(super) fn home(&self, room: &RoomId, nodes: Vec<NodeId>) -> Option<NodeId> {
        self.silent.retain(|_, since| since.elapsed() < SILENT_FOR);
        let nodes: Vec<_> = nodes.into_iter().filter(|node| !self.silent.contains_key(node)).collect();
        home(room, &nodes).cloned()
    }
}

/// Whether another node may decide `ask`, for one that knows the room up to `head`.
pub(super) fn may_go(ask: &Ask, head: u64) -> bool {
    let plain = matches!(ask.command.action, Action::Send { reply_to: None, .. });
    let known = ask.command.after.is_none_or(|after| after <= head);
    plain && known && ask.decided == Decided::Anywhere && ask.direct_with.is_none()
}

/// The node of `nodes` that decides for `room` when several want to: by rendezvous
/// hashing, so that one that comes or goes moves only its own share.
fn home<'a>(room: &RoomId, nodes: &'a [NodeId]) -> Option<&'a NodeId> {
    nodes.iter().max_by_key(|node| weight(room, node))
}

/// FNV-1a over both, then the finaliser of SplitMix64, which spreads the last bytes over all bits.
/// All nodes must come to the same, of whatever version: this never changes.
fn weight(room: &RoomId, node: &NodeId) -> u64 {
    let bytes = room.as_str().bytes().chain([0]).chain(node.as_str().bytes());
    let fnv = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mixed = (fnv ^ (fnv >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

impl Shared {
    /// Has `home` decide `asks` of one user, in their order. What it does not, comes back.
    pub(super) fn forward(
        self: &Arc<Self>,
        room: &RoomId,
        head: u64,
        home: NodeId,
        user: UserId,
        asks: Vec<Ask>,
    ) {
        let (shared, room) = (self.clone(), room.clone());
        self.tasks.spawn(async move {
            let mut previous = 0;
            let answers = asks.into_iter().map(|ask| {
                let id = shared.forwards.next.fetch_add(1, Ordering::Relaxed) + 1;
                shared.ask_home(&room, head, &home, ask, (id, std::mem::replace(&mut previous, id)))
            });
            let mut returned = Vec::new();
            for (ask, answer) in join_all(answers).await {
                metrics::counter!("parlance_sends_forwarded_total", "answer" => answer.name()).increment(1);
                match answer {
                    // Whoever asked may have gone.
                    Answer::Outcome(outcome) => drop(ask.reply.send(Ok(outcome))),
                    Answer::Undecided => returned.push(Ask { decided: Decided::Here, ..ask }),
                    Answer::Silence => {
                        shared.forwards.silent.insert(home.clone(), Instant::now());
                        returned.push(ask);
                    }
                }
            }
            shared.post(&room, Letter::Returned(user, returned)).await;
        });
    }

    /// Has the other nodes hand on what they are sent in `room`, of which this is the home.
    pub(super) fn call_for(&self, room: &RoomId) {
        let own = self.registry.node().clone();
        let contended = Contended { node_id: own.as_str().to_owned(), room_id: room.as_str().to_owned() };
        let payload = envelope::encode(Content::Contended(contended));
        for node in self.registry.nodes().into_iter().filter(|node| *node != own) {
            let (registry, payload) = (self.registry.clone(), payload.clone());
            // Who does not hear of it is told again, if it must be.
            self.tasks.spawn(async move { registry.tell(&node, payload).await });
        }
    }

    async fn ask_home(
        &self,
        room: &RoomId,
        head: u64,
        home: &NodeId,
        ask: Ask,
        (id, previous_id): (u64, u64),
    ) -> (Ask, Answer) {
        let Action::Send { text, .. } = &ask.command.action else { return (ask, Answer::Undecided) };
        let (answer, answered) = oneshot::channel();
        self.forwards.waiting.insert(id, answer);
        let forward = Forward {
            id,
            node_id: self.registry.node().as_str().to_owned(),
            room_id: room.as_str().to_owned(),
            user_id: ask.command.actor.as_str().to_owned(),
            client_message_id: ask.command.request.as_str().to_owned(),
            after_seq: ask.command.after,
            text: text.as_str().to_owned(),
            head_seq: head,
            previous_id,
        };
        let asked = async {
            self.registry.tell(home, envelope::encode(Content::Forward(forward))).await.ok()?;
            answered.await.ok()
        };
        let forwarded = timeout(FORWARD_TIMEOUT, asked).await.ok().flatten();
        self.forwards.waiting.remove(&id);
        let answer = match forwarded {
            None => Answer::Silence,
            Some(Forwarded { seq: 0, .. }) => Answer::Undecided,
            Some(forwarded) => Answer::Outcome(Outcome {
                first: forwarded.seq,
                last: forwarded.seq,
                at: Timestamp(forwarded.at_ms),
                message_count: forwarded.message_count,
                is_repeat: forwarded.is_repeat,
            }),
        };
        (ask, answer)
    }
}

impl Rooms {
    /// Decides what another node asks to be decided here.
    pub(crate) fn decide_forwarded(&self, forward: Forward) {
        let Some((node, room, command)) = parse(&forward) else { return };
        let (reply, answer) = oneshot::channel();
        let origin = Origin {
            node: node.clone(),
            id: forward.id,
            previous: forward.previous_id,
            head: forward.head_seq,
        };
        let ask = Ask { command, direct_with: None, decided: Decided::ForAnother(origin), reply };
        // In the order in which they came. With a full queue the other node is on its own:
        // it hears so at once, since `ask` is gone.
        let _ = self.shared.actor(&room).try_send(Letter::Ask(ask));
        let shared = self.shared.clone();
        self.shared.tasks.spawn(async move {
            let mut forwarded = Forwarded { id: forward.id, ..Forwarded::default() };
            // A refusal is for the other node to find out: it knows how to say it.
            if let Ok(Ok(outcome)) = answer.await {
                forwarded.seq = outcome.first;
                forwarded.at_ms = outcome.at.0;
                forwarded.message_count = outcome.message_count;
                forwarded.is_repeat = outcome.is_repeat;
            }
            let payload = envelope::encode(Content::Forwarded(forwarded));
            let _ = shared.registry.tell(&node, payload).await;
        });
    }

    /// A room's home cannot get through to decide.
    pub(crate) fn contended(&self, contended: &Contended) {
        let room = RoomId::parse(&contended.room_id).ok();
        if let (Some(room), Some(home)) = (room, NodeId::parse(&contended.node_id))
            && let Some(actor) = self.shared.actors.get(&room)
        {
            // With a full queue it is told again.
            let _ = actor.try_send(Letter::Contended(home));
        }
    }

    /// The answer to what this node has forwarded.
    pub(crate) fn forwarded(&self, forwarded: Forwarded) {
        if let Some((_, waiting)) = self.shared.forwards.waiting.remove(&forwarded.id) {
            // Too late: it is decided here.
            let _ = waiting.send(forwarded);
        }
    }
}

fn parse(forward: &Forward) -> Option<(NodeId, RoomId, Command)> {
    let text = Text::parse(&forward.text).ok()?;
    let command = Command {
        actor: UserId::parse(&forward.user_id).ok()?,
        request: RequestId::parse(&forward.client_message_id).ok()?,
        after: forward.after_seq,
        action: Action::Send { text, reply_to: None },
    };
    Some((NodeId::parse(&forward.node_id)?, RoomId::parse(&forward.room_id).ok()?, command))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_never_change() {
        let weight = |room, node| weight(&RoomId::parse(room).unwrap(), &NodeId::parse(node).unwrap());
        assert_eq!(weight("r1", "a"), 0x26a03e89a0c9d53d);
        assert_eq!(weight("r1", "b"), 0xb3d89fd996d23a69);
    }

    #[test]
    fn a_node_that_leaves_moves_only_its_own_rooms() {
        let nodes: Vec<_> = ["a", "b", "c", "d"].iter().map(|id| NodeId::parse(id).unwrap()).collect();
        let rooms: Vec<_> = (0..400).map(|n| RoomId::parse(&format!("r{n}")).unwrap()).collect();
        let mut moved = 0;
        for room in &rooms {
            let before = home(room, &nodes).unwrap();
            let after = home(room, &nodes[..3]).unwrap();
            assert!(before == after || *before == nodes[3]);
            moved += usize::from(before != after);
        }
        assert!((60..=140).contains(&moved), "{moved} of 400");
    }
}
