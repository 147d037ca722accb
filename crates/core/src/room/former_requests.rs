use super::command::Command;
use super::decide::Stop;
use super::decision::Need;
use super::former::Former;
use super::requests::{Requests, Seen};
use super::state::Room;
use crate::{Event, UserId};

impl Room {
    /// Whether the actor of `command`, whose membership ended at `left`, has made this request before.
    pub(super) fn check_former(&self, command: &Command, left: u64) -> Result<Seen, Stop> {
        let nothing = Requests::starting_at(left);
        let is_remembered = self.requests.after() <= left;
        let requests = if is_remembered {
            &self.requests
        } else {
            // Events between the end of the membership and what the room remembers are not needed.
            let loaded = self.former.as_ref().filter(|former| former.is_of(&command.actor, left));
            loaded.map_or(&nothing, |former| &former.requests)
        };
        let seen = requests.check_former(command, left, self.info.floor)?;
        if !matches!(seen, Seen::LookFurther) {
            return Ok(seen);
        }
        let before = requests.after() + 1;
        Err(if is_remembered {
            Need::Older { before }
        } else {
            Need::Past { user: command.actor.clone(), left, before }
        }
        .into())
    }

    /// Loads events right before `before`, in ascending order, for [`Need::Past`]. Keeps those of one former member
    /// at a time.
    pub fn load_past(&mut self, user: &UserId, left: u64, before: u64, events: &[Event]) {
        let end = events.partition_point(|event| event.seq < before);
        let former = match &mut self.former {
            Some(former) if former.is_of(user, left) => former,
            other => other.insert(Box::new(Former::new(user.clone(), left))),
        };
        former.requests.push_older(&events[..end]);
        former.requests.keep_only(user);
    }
}
