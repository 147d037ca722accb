use super::command::{Command, Need};
use super::decide::Stop;
use super::former::Former;
use super::requests::{Requests, Seen};
use super::state::Room;
use crate::{Event, UserId};

impl Room {
    /// Whether the actor of `command`, whose membership ended at `left`, has asked this before.
    pub(super) fn check_former(&self, command: &Command, left: u64) -> Result<Seen, Stop> {
        let floor = self.info.floor;
        if self.requests.after() <= left {
            return match self.requests.check_former(command, left, floor)? {
                Seen::LookFurther => Err(Need::Older { before: self.requests.after() + 1 }.into()),
                seen => Ok(seen),
            };
        }
        // What lies between their end and what the room remembers need not be read.
        let loaded = self.former.as_ref().filter(|former| former.is_of(&command.actor, left));
        let nothing = Requests::starting_at(left);
        let requests = loaded.map_or(&nothing, |former| &former.requests);
        match requests.check_former(command, left, floor)? {
            Seen::LookFurther => {
                let (user, before) = (command.actor.clone(), requests.after() + 1);
                Err(Need::Past { user, left, before }.into())
            }
            seen => Ok(seen),
        }
    }

    /// Gives the room events right before `before`, by rising seq, for [`Need::Past`]. One former member's
    /// are kept at a time.
    pub fn load_past(&mut self, user: &UserId, left: u64, before: u64, events: &[Event]) {
        let end = events.partition_point(|event| event.seq < before);
        let former = match &mut self.former {
            Some(former) if former.is_of(user, left) => former,
            other => other.insert(Former::new(user.clone(), left)),
        };
        former.requests.push_older(&events[..end]);
        former.requests.keep_only(user);
    }
}
