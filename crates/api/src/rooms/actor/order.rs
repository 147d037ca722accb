//! What one user asks is decided in the order of their calls, wherever that is.

use std::collections::{HashSet, VecDeque};

use parlance_core::UserId;
use tokio::time::Instant;

use super::{Actor, Waiting, answer};
use crate::Error;
use crate::limits::{FORWARDS_KNOWN, ROOM_QUEUE};
use crate::map::HashMap;
use crate::rooms::{Ask, Decided, forward};

impl Actor {
    /// Keeps back what a user asks while the home decides what they asked before.
    pub(super) fn hold(&mut self, ask: Ask) -> Option<Ask> {
        if matches!(ask.decided, Decided::ForAnother(_)) {
            return Some(ask);
        }
        let Some(held) = self.held.get_mut(&ask.command.actor) else { return Some(ask) };
        if held.len() < ROOM_QUEUE {
            held.push_back(ask);
        } else {
            answer(ask, Err(Error::Contention));
        }
        None
    }

    /// Under contention, lets the room's home decide what is sent. Of each user those that come
    /// first and may go, and the others once these are decided.
    pub(super) fn hand_on(&mut self, asks: &mut VecDeque<Ask>) {
        if self.forward_until.is_none_or(|until| Instant::now() >= until) {
            self.forward_until = None;
            return;
        }
        let (Some(room), Some(home)) = (&self.room, self.other_home()) else { return };
        let head = room.head().seq();
        let (mut batches, mut stay) = (HashMap::<UserId, Vec<Ask>>::default(), VecDeque::new());
        let mut staying = HashSet::new();
        // Of those that are closed, whoever asked has given up.
        for ask in asks.drain(..).filter(|ask| !ask.reply.is_closed()) {
            if matches!(ask.decided, Decided::ForAnother(_)) {
                stay.push_back(ask);
                continue;
            }
            let user = &ask.command.actor;
            let goes = forward::may_go(&ask, head);
            if let Some(batch) = batches.get_mut(user) {
                match self.held.get_mut(user) {
                    Some(held) if !goes || !held.is_empty() => held.push_back(ask),
                    _ => batch.push(ask),
                }
            } else if goes && !staying.contains(user) {
                let user = user.clone();
                self.held.insert(user.clone(), VecDeque::new());
                batches.insert(user, vec![ask]);
            } else {
                staying.insert(user.clone());
                stay.push_back(ask);
            }
        }
        *asks = stay;
        for (user, batch) in batches {
            self.shared.forward(&self.id, head, home.clone(), user, batch);
        }
    }

    /// Puts commands that were decided for an append that did not happen back in line.
    pub(super) fn give_back(&mut self, asks: &mut VecDeque<Ask>, waiting: Vec<Waiting>) {
        for Waiting { ask, result } in waiting.into_iter().rev() {
            if let (Decided::ForAnother(origin), true) = (&ask.decided, result.is_ok()) {
                let key = (origin.node.clone(), ask.command.actor.clone());
                self.decided_for.insert(key, origin.previous);
            }
            asks.push_front(ask);
        }
    }

    /// Notes that a forwarded send was decided here, or was not: then those after it are not
    /// either, since the other node decides this one.
    pub(super) fn set_decided(&mut self, ask: &Ask, decided: bool) {
        let Decided::ForAnother(origin) = &ask.decided else { return };
        let key = (origin.node.clone(), ask.command.actor.clone());
        if !decided {
            self.decided_for.remove(&key);
            return;
        }
        if self.decided_for.len() >= FORWARDS_KNOWN {
            self.decided_for.clear();
        }
        self.decided_for.insert(key, origin.id);
    }
}
