//! Handles messages of other nodes about the rooms here.
use parlance_cluster::RoomCommands;
use parlance_cluster::envelope::{self, Content};
use parlance_core::{Action, Authority, Chunk, Command, Message, RequestId, RoomId, Text, UserId};
use parlance_proto::cluster::v1::{Contended, Forward, Forwarded};
use parlance_registry::NodeId;
use tokio::sync::oneshot;

use crate::messages::{Decided, Origin, PendingCommand, RoomMessage};
use crate::rooms::Rooms;

impl RoomCommands for Rooms {
    fn observe(&self, room: &RoomId, chunk: Chunk) {
        // A loaded actor that knows of the chunk need not lose a race first.
        if let Some(actor) = self.shared.actors.get(room) {
            // With a full queue it has other work, and will find the chunk in the log.
            let _ = actor.try_send(RoomMessage::Observed(chunk));
        }
    }

    fn decide_forwarded(&self, forward: Forward) {
        let Some((node, room, command)) = parse(&forward) else { return };
        let (reply, answer) = oneshot::channel();
        let origin = Origin {
            node: node.clone(),
            id: forward.id,
            previous: forward.previous_id,
            head: forward.head_seq,
        };
        let pending =
            PendingCommand { command, direct_with: None, decided: Decided::ForAnother(origin), reply };
        // In order of arrival. With a full queue the other node has to decide itself: it
        // is answered immediately, since `pending` is dropped.
        let _ = self.shared.actor(&room).try_send(RoomMessage::Command(pending));
        let shared = self.shared.clone();
        self.shared.tasks.spawn(async move {
            let mut forwarded = Forwarded { id: forward.id, ..Forwarded::default() };
            // The other node determines a refusal itself, since it has to report it.
            if let Ok(Ok(outcome)) = answer.await {
                forwarded.seq = outcome.first;
                forwarded.at_ms = outcome.at.0;
                forwarded.message_count = outcome.message_count;
                forwarded.is_repeat = outcome.is_repeat;
            }
            let payload = envelope::encode(Content::Forwarded(forwarded));
            let _ = shared.registry.send_to(&node, payload).await;
        });
    }

    fn contended(&self, contended: &Contended) {
        let room = RoomId::parse(&contended.room_id).ok();
        if let (Some(room), Some(home)) = (room, NodeId::parse(&contended.node_id))
            && let Some(actor) = self.shared.actors.get(&room)
        {
            // With a full queue, the home will repeat it.
            let _ = actor.try_send(RoomMessage::Contended(home));
        }
    }

    fn forwarded(&self, forwarded: Forwarded) {
        if let Some((_, waiting)) = self.shared.forwards.waiting.remove(&forwarded.id) {
            // Too late: the command is decided here.
            let _ = waiting.send(forwarded);
        }
    }
}

fn parse(forward: &Forward) -> Option<(NodeId, RoomId, Command)> {
    let text = Text::parse(&forward.text).ok()?;
    let command = Command {
        actor: UserId::parse(&forward.user_id).ok()?,
        authority: Authority::Member,
        request: RequestId::parse(&forward.client_message_id).ok()?,
        after: forward.after_seq,
        action: Action::Send(Message::plain(text)),
    };
    Some((NodeId::parse(&forward.node_id)?, RoomId::parse(&forward.room_id).ok()?, command))
}
