//! All members of a room, for a decision that rests on them.
use std::collections::{BTreeMap, BTreeSet};

use parlance_core::{Body, Chunk, Member, UserId};

/// The members as they were read once, while commands are served. In a large room that takes seconds, in
/// which others may append: after a lost race only those are read again whose rows have changed since.
pub(super) struct Roster {
    pub(super) rows: BTreeMap<UserId, Member>,
    pub(super) changed: BTreeSet<UserId>,
}

impl Roster {
    /// A chunk of the room was read.
    pub(super) fn note(&mut self, chunk: &Chunk) {
        self.changed.extend(chunk.events().iter().filter_map(|event| match &event.body {
            Body::MemberAdded { user, .. }
            | Body::MemberRemoved { user }
            | Body::MemberBanned { user }
            | Body::MemberUnbanned { user }
            | Body::RoleChanged { user, .. } => Some(user.clone()),
            _ => None,
        }));
    }
}
