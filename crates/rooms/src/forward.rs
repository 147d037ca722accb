//! Sends that another node decides.
//!
//! Nodes that write one room race for its head. The loser has to read before it retries while the winner does not, so
//! it could lose repeatedly. It therefore forwards its sends to the room's home, the same for all nodes, where they
//! share a chunk. Without an answer it decides them itself: whichever is second finds the message in the log. If the
//! home itself loses, it asks the other nodes to forward, and the winner does.
//!
//! A send must not be refused here and carried out there later, when it would no longer be refused. Therefore only
//! sends whose outcome cannot change are forwarded: plain texts of users, no replies, and nothing that names a head
//! that does not exist yet. The home carries a send out only if the sender's membership is still the one that the forwarding node may
//! have seen.
//!
//! Commands of one user keep their order. While the home decides their sends, their other commands wait; and the home
//! leaves a send undecided if it has not decided the previous one.
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::future::join_all;
use parlance_cluster::envelope::{self, Content};
use parlance_core::{Action, Authority, Message, Outcome, RoomId, Timestamp, UserId};
use parlance_proto::cluster::v1::{Contended, Forward, Forwarded};
use parlance_registry::NodeId;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use crate::limits::FORWARD_TIMEOUT;
use crate::messages::{Decided, PendingCommand, RoomMessage};
use crate::shared::Shared;

/// The home's answer.
enum Answer {
    Outcome(Outcome),
    /// The home declined, or must not decide it: the forwarding node finds out why.
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

/// Whether another node may decide `pending`, given the head known here.
pub(crate) fn may_forward(pending: &PendingCommand, head: u64) -> bool {
    let plain = match &pending.command.action {
        Action::Send(message) => *message == Message::plain(message.text.clone()),
        _ => false,
    };
    let plain = plain && pending.command.authority == Authority::Member;
    let known = pending.command.after.is_none_or(|after| after <= head);
    plain && known && pending.decided == Decided::Anywhere && pending.direct_with.is_none()
}

impl Shared {
    /// Has `home` decide `commands` of one user, in order. Undecided commands are returned.
    pub(crate) fn forward(
        self: &Arc<Self>,
        room: &RoomId,
        head: u64,
        home: NodeId,
        user: UserId,
        commands: Vec<PendingCommand>,
    ) {
        let (shared, room) = (self.clone(), room.clone());
        self.tasks.spawn(async move {
            let mut previous = 0;
            let answers = commands.into_iter().map(|pending| {
                let id = shared.forwards.next.fetch_add(1, Ordering::Relaxed) + 1;
                shared.ask_home(&room, head, &home, pending, (id, std::mem::replace(&mut previous, id)))
            });
            let mut returned = Vec::new();
            for (pending, answer) in join_all(answers).await {
                metrics::counter!("parlance_sends_forwarded_total", "answer" => answer.name()).increment(1);
                match answer {
                    // The caller may be gone.
                    Answer::Outcome(outcome) => drop(pending.reply.send(Ok(outcome))),
                    Answer::Undecided => returned.push(PendingCommand { decided: Decided::Here, ..pending }),
                    Answer::Silence => {
                        shared.forwards.silent.insert(home.clone(), Instant::now());
                        returned.push(pending);
                    }
                }
            }
            shared.post(&room, RoomMessage::Returned(user, returned)).await;
        });
    }

    /// Asks the other nodes to forward sends in `room`, of which this node is the home.
    pub(crate) fn request_forwarding(&self, room: &RoomId) {
        let own = self.registry.node().clone();
        let contended = Contended { node_id: own.as_str().to_owned(), room_id: room.as_str().to_owned() };
        let payload = envelope::encode(Content::Contended(contended));
        for node in self.registry.nodes().into_iter().filter(|node| *node != own) {
            let (registry, payload) = (self.registry.clone(), payload.clone());
            // A node that misses this is asked again if necessary.
            self.tasks.spawn(async move { registry.send_to(&node, payload).await });
        }
    }

    async fn ask_home(
        &self,
        room: &RoomId,
        head: u64,
        home: &NodeId,
        pending: PendingCommand,
        (id, previous_id): (u64, u64),
    ) -> (PendingCommand, Answer) {
        let Action::Send(message) = &pending.command.action else { return (pending, Answer::Undecided) };
        let (answer, answered) = oneshot::channel();
        self.forwards.waiting.insert(id, answer);
        let forward = Forward {
            id,
            node_id: self.registry.node().as_str().to_owned(),
            room_id: room.as_str().to_owned(),
            user_id: pending.command.actor.as_str().to_owned(),
            client_message_id: pending.command.request.as_str().to_owned(),
            after_seq: pending.command.after,
            text: message.text.as_str().to_owned(),
            head_seq: head,
            previous_id,
        };
        let asked = async {
            self.registry.send_to(home, envelope::encode(Content::Forward(forward))).await.ok()?;
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
        (pending, answer)
    }
}
