use std::collections::BTreeSet;

use imbl::OrdSet;
use parlance_core::{Body, Chunk, Head, RoomId, UserId};
use parlance_runtime::map::Map;
use parlance_store::{Store, StoreError, members};
use tokio::time::Instant;

use crate::limits::AUDIENCE_IDLE;

/// The recipients of events in the rooms written here: their members, as of a head.
#[derive(Default)]
pub(crate) struct Audiences(Map<RoomId, Audience>);

struct Audience {
    /// All chunks up to here are included.
    head: Head,
    members: OrdSet<UserId>,
    used: Instant,
}

impl Audiences {
    /// Applies a chunk of `room` that was committed here or read from the store.
    pub(crate) fn fold(&self, room: &RoomId, chunk: &Chunk) {
        self.fold_if(room, chunk, |head| chunk.first_seq() == head.seq() + 1);
    }

    /// Applies a chunk of `room` that another node says it has committed. If it does not continue the log known here,
    /// the members are read again when needed.
    pub(crate) fn observe(&self, room: &RoomId, chunk: &Chunk) {
        self.fold_if(room, chunk, |head| chunk.continues(head));
    }

    fn fold_if(&self, room: &RoomId, chunk: &Chunk, follows: impl Fn(&Head) -> bool) {
        let Some(mut audience) = self.0.get_mut(room) else { return };
        if chunk.head().seq() <= audience.head.seq() {
            return;
        }
        if !follows(&audience.head) || chunk.changes_unknown() {
            drop(audience);
            self.0.remove(room);
            return;
        }
        for event in chunk.events() {
            match &event.body {
                Body::MemberAdded { user, .. } => {
                    audience.members.insert(user.clone());
                }
                Body::MemberRemoved { user } => {
                    audience.members.remove(user);
                }
                _ => {}
            }
        }
        audience.head = chunk.head();
    }

    /// The members of `room` at `head` or later; read if they are not known. `changed` are users whose membership has
    /// changed recently: see [`members::settle`].
    pub(crate) async fn of(
        &self,
        store: &dyn Store,
        room: &RoomId,
        head: Head,
        changed: &BTreeSet<UserId>,
        page_size: usize,
    ) -> Result<OrdSet<UserId>, StoreError> {
        if let Some(known) = self.known(room, head.seq()) {
            return Ok(known);
        }
        let mut rows = members::active(store, room, page_size).await?;
        members::settle(store, room, &mut rows, changed).await?;
        let members: OrdSet<UserId> = rows.into_keys().collect();
        // Rows may be newer than `head`; chunks applied later agree with them.
        let audience = Audience { head, members: members.clone(), used: Instant::now() };
        self.0.insert(room.clone(), audience);
        Ok(members)
    }

    pub(crate) fn known(&self, room: &RoomId, head: u64) -> Option<OrdSet<UserId>> {
        let mut known = self.0.get_mut(room).filter(|known| known.head.seq() >= head)?;
        known.used = Instant::now();
        Some(known.members.clone())
    }

    pub(crate) fn trim(&self) {
        self.0.retain(|_, audience| audience.used.elapsed() < AUDIENCE_IDLE);
    }
}

#[cfg(test)]
mod tests {
    use parlance_core::{Event, RequestId, Role, Timestamp, Unknown};

    use super::*;

    fn user(id: &str) -> UserId {
        UserId::parse(id).unwrap()
    }

    /// A chunk of one event, by which `added` joins.
    fn chunk(seq: u64, nonce: u8, previous: Option<u8>, added: &str) -> Chunk {
        let event = Event {
            seq,
            at: Timestamp(1),
            actor: user("alice"),
            request: RequestId::parse("add").unwrap(),
            message_count: 0,
            deleted_count: 0,
            body: Body::MemberAdded { user: user(added), role: Role::Member, link: None },
            unknown: Unknown::default(),
            service: None,
        };
        let chunk = Chunk::new([nonce; 16], vec![event], 0, 1).unwrap();
        chunk.with_previous(previous.map(|previous| [previous; 16]))
    }

    /// The members in alice's audience after bob has joined and `next` is observed; `None` once it has to be read
    /// again.
    fn after_observing(next: &Chunk) -> Option<Vec<String>> {
        let room = RoomId::parse("r").unwrap();
        let head = chunk(4, 4, Some(3), "bob").head();
        let audiences = Audiences::default();
        let members = OrdSet::unit(user("bob"));
        audiences.0.insert(room.clone(), Audience { head, members, used: Instant::now() });
        audiences.observe(&room, next);
        let known = audiences.known(&room, 0)?;
        Some(known.iter().map(|user| user.as_str().to_owned()).collect())
    }

    #[tokio::test]
    async fn hints_change_members_only_if_they_continue_the_log() {
        let names = |names: &[&str]| Some(names.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(after_observing(&chunk(5, 5, Some(4), "mallory")), names(&["bob", "mallory"]));
        assert_eq!(after_observing(&chunk(5, 5, Some(9), "mallory")), None, "of another log");
        assert_eq!(after_observing(&chunk(5, 5, None, "mallory")), None, "of no known log");
        assert_eq!(after_observing(&chunk(6, 6, Some(5), "mallory")), None, "after a hole");
        assert_eq!(after_observing(&chunk(4, 8, Some(9), "mallory")), names(&["bob"]), "known already");
    }
}
