use std::time::Duration;

use parlance_core::{RoomId, UserId};
use tokio::time::sleep;

use super::Script;
use crate::asks;
use crate::dice::lock;
use crate::node::Node;
use crate::orders::Do;

/// The setting of an act: who is where.
pub(super) struct Stage {
    pub(super) room: RoomId,
    pub(super) owner: UserId,
    /// A client of the owner.
    pub(super) owners: usize,
    /// A member who is not the owner, and one of their clients.
    pub(super) member: UserId,
    pub(super) members: usize,
    /// Another user, member or not.
    pub(super) other: UserId,
    /// The owner's place, and everyone else's.
    pub(super) here: (usize, Node),
    pub(super) there: (usize, Node),
}

impl Script {
    /// Moves the owner of a room to one node, and everyone else to another.
    pub(super) async fn stage(&self) -> Option<Stage> {
        let dice = &self.world.dice;
        self.world.replace(true);
        self.world.wait(Duration::from_secs(20), || self.world.nodes().len() == self.world.places()).await;
        let nodes = self.world.nodes();
        let room = dice.pick(&self.rooms)?.clone();
        let (owner, _) = self.owner(&room)?;
        let at = dice.below(nodes.len() as u64) as usize;
        let (here, there) = (nodes.get(at)?.clone(), nodes.get((at + 1) % nodes.len())?.clone());
        for (user, clients) in &self.users {
            for client in clients {
                let place = if *user == owner { here.0 } else { there.0 };
                self.world.tell(*client, Do::Prefer(Some(place)));
                self.world.tell(*client, Do::Slow(Duration::ZERO));
                self.world.tell(*client, Do::Cut { half_open: Duration::ZERO });
            }
        }
        sleep(Duration::from_millis(600)).await;
        self.world.wait(Duration::from_secs(10), || self.is_quiet() && self.all_open()).await;
        let mut members = self.world.members(&room);
        members.retain(|user| *user != owner);
        if members.is_empty() {
            let (user, _) = self.users.iter().find(|(user, _)| *user != owner)?;
            let (_, owners) = self.owner(&room)?;
            let asked =
                self.world.ask(owners, asks::add(&room, std::slice::from_ref(user), self.number()), true);
            self.world.wait(Duration::from_secs(10), || self.is_answered(asked)).await;
            members.push(user.clone());
        }
        let member = dice.pick(&members)?.clone();
        let others: Vec<&UserId> = self
            .users
            .iter()
            .map(|(user, _)| user)
            .filter(|user| **user != owner && **user != member)
            .collect();
        let other = (*dice.pick(&others)?).clone();
        let owners = self.client_of(&owner)?;
        let clients = self.client_of(&member)?;
        Some(Stage { room, owner, owners, members: clients, member, other, here, there })
    }

    fn all_open(&self) -> bool {
        let history = lock(&self.world.history);
        let open =
            history.sessions.iter().filter(|session| session.closed.is_none() && !session.seen.is_empty());
        open.count() >= self.world.clients()
    }

    pub(super) fn say_as(&self, client: usize, room: &RoomId, retry: bool) -> usize {
        let number = self.number();
        self.world.ask(client, asks::send(room, number, self.text(number)), retry)
    }
}
