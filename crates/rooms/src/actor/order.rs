//! Commands of one user are decided in the order of their calls, on whichever node.
use std::collections::{HashSet, VecDeque};

use parlance_core::UserId;
use parlance_core::evict::survivors;
use parlance_runtime::map::HashMap;
use tokio::time::Instant;

use super::Actor;
use super::waiting::Waiting;
use crate::error::Error;
use crate::forward;
use crate::limits::{FORWARDS_KNOWN, ROOM_QUEUE};
use crate::messages::{Decided, PendingCommand};

impl Actor {
    /// Holds back a user's command while the home decides their earlier ones.
    pub(super) fn hold(&mut self, pending: PendingCommand) -> Option<PendingCommand> {
        if matches!(pending.decided, Decided::ForAnother(_)) {
            return Some(pending);
        }
        let Some(held) = self.held.get_mut(&pending.command.actor) else { return Some(pending) };
        if held.len() < ROOM_QUEUE {
            held.push_back(pending);
        } else {
            pending.answer(Err(Error::Contention));
        }
        None
    }

    /// Under contention, forwards sends to the room's home. For each user, forwards the leading commands that may go
    /// and holds the others until these are decided.
    pub(super) fn forward_to_home(&mut self, commands: &mut VecDeque<PendingCommand>) {
        if self.forward_until.is_none_or(|until| Instant::now() >= until) {
            self.forward_until = None;
            return;
        }
        let (Some(room), Some(home)) = (&self.room, self.other_home()) else { return };
        let head = room.head().seq();
        let (mut batches, mut stay) = (HashMap::<UserId, Vec<PendingCommand>>::default(), VecDeque::new());
        let mut staying = HashSet::new();
        // A closed channel means that the caller has given up.
        for pending in commands.drain(..).filter(|pending| !pending.reply.is_closed()) {
            if matches!(pending.decided, Decided::ForAnother(_)) {
                stay.push_back(pending);
                continue;
            }
            let user = &pending.command.actor;
            let goes = forward::may_forward(&pending, head);
            if let Some(batch) = batches.get_mut(user) {
                match self.held.get_mut(user) {
                    Some(held) if !goes || !held.is_empty() => held.push_back(pending),
                    _ => batch.push(pending),
                }
            } else if goes && !staying.contains(user) {
                let user = user.clone();
                self.held.insert(user.clone(), VecDeque::new());
                batches.insert(user, vec![pending]);
            } else {
                staying.insert(user.clone());
                stay.push_back(pending);
            }
        }
        *commands = stay;
        for (user, batch) in batches {
            self.shared.forward(&self.id, head, home.clone(), user, batch);
        }
    }

    /// Requeues commands that were decided for an append that did not happen.
    pub(super) fn give_back(&mut self, commands: &mut VecDeque<PendingCommand>, waiting: Vec<Waiting>) {
        for Waiting { pending, result, .. } in waiting.into_iter().rev() {
            if let (Decided::ForAnother(origin), true) = (&pending.decided, result.is_ok()) {
                let key = (origin.node.clone(), pending.command.actor.clone());
                self.decided_for.insert(key, origin.previous);
            }
            commands.push_front(pending);
        }
    }

    /// Records whether a forwarded send was decided here. If not, later ones are not either, since the other node
    /// decides this one.
    pub(super) fn set_decided(&mut self, pending: &PendingCommand, decided: bool) {
        let Decided::ForAnother(origin) = &pending.decided else { return };
        let key = (origin.node.clone(), pending.command.actor.clone());
        if !decided {
            self.decided_for.remove(&key);
            return;
        }
        let known = self.decided_for.len();
        if known > FORWARDS_KNOWN {
            let mut survives = survivors(known, FORWARDS_KNOWN);
            self.decided_for.retain(|_, _| survives());
        }
        self.decided_for.insert(key, origin.id);
    }
}
