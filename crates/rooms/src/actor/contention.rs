//! Races for a room's head, and who decides after they are lost.
use std::collections::VecDeque;

use parlance_registry::NodeId;
use parlance_runtime::random;
use parlance_store::AppendError;
use tokio::time::{Instant, sleep};

use super::Actor;
use crate::error::Error;
use crate::forward;
use crate::limits::{FORWARD_FOR, HOME_RACES, MAX_RACES};
use crate::messages::PendingCommand;

impl Actor {
    /// Serves waiting commands in as few appends as possible.
    pub(crate) async fn serve(&mut self, mut commands: VecDeque<PendingCommand>) {
        let mut races = 0;
        self.failed_alone = 0;
        while !commands.is_empty() {
            self.forward_to_home(&mut commands);
            if commands.is_empty() {
                return;
            }
            let waiting = commands.len();
            match self.serve_some(&mut commands).await {
                Ok(()) if commands.len() == waiting => {}
                Ok(()) => races = 0,
                Err(AppendError::HeadMoved) if races < MAX_RACES => {
                    metrics::counter!("parlance_races_lost_total").increment(1);
                    races += 1;
                    // The home retries at once, on behalf of all nodes.
                    if self.other_home().is_some() {
                        self.forward_until = Some(Instant::now() + FORWARD_FOR);
                        // Some commands cannot be forwarded: do not retry all at once.
                        if !commands.iter().all(|pending| self.may_forward(pending)) {
                            let spread = (1 << races.min(6)) * 2;
                            sleep(std::time::Duration::from_millis(random::bits() % spread)).await;
                        }
                    } else if races >= HOME_RACES {
                        self.request_forwarding();
                    }
                }
                Err(AppendError::HeadMoved | AppendError::Unknown) => fail(&mut commands, &Error::Contention),
                Err(AppendError::Store(error)) => fail(&mut commands, &Error::Store(error)),
            }
        }
    }

    /// The node that decides for this room under contention, if it is another one.
    pub(super) fn other_home(&self) -> Option<NodeId> {
        let registry = &self.shared.registry;
        let home = self.shared.forwards.home(&self.id, registry.nodes())?;
        (home != *registry.node()).then_some(home)
    }

    /// Asks the nodes that win to forward to this one, the home, for a while.
    fn request_forwarding(&mut self) {
        if self.requested_at.is_none_or(|at| at.elapsed() >= FORWARD_FOR / 2) {
            self.requested_at = Some(Instant::now());
            self.shared.request_forwarding(&self.id);
        }
    }

    /// Whether the home may decide `pending`; requires the room to be loaded here.
    fn may_forward(&self, pending: &PendingCommand) -> bool {
        self.room.as_ref().is_some_and(|room| forward::may_forward(pending, room.head().seq()))
    }

    /// Catches up if `error` says that the room has advanced.
    pub(super) async fn behind(&mut self, error: AppendError) -> Result<(), AppendError> {
        if error == AppendError::HeadMoved {
            self.catch_up().await?;
        }
        Err(error)
    }
}

fn fail(commands: &mut VecDeque<PendingCommand>, error: &Error) {
    for pending in commands.drain(..) {
        pending.answer(Err(error.clone()));
    }
}
