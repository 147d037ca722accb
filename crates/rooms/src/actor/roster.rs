//! All members of a room, for decisions that depend on them.
use std::collections::{BTreeMap, BTreeSet};

use parlance_core::{Body, Chunk, Member, UserId};

/// The members as read once while commands are served. Reading a large room takes seconds, in which others may
/// append: after a lost race only rows that have changed since are read again.
pub(super) struct Roster {
    pub(super) rows: BTreeMap<UserId, Member>,
    pub(super) changed: BTreeSet<UserId>,
}

impl Roster {
    /// Records a chunk that was read.
    pub(super) fn note(&mut self, chunk: &Chunk) {
        self.changed.extend(chunk.events().iter().filter_map(|event| match &event.body {
            Body::MemberAdded { user, .. }
            | Body::MemberRemoved { user }
            | Body::MemberBanned { user, .. }
            | Body::MemberUnbanned { user }
            | Body::MemberMuted { user, .. }
            | Body::MemberUnmuted { user }
            | Body::MemberUpdated { user, .. }
            | Body::RoleChanged { user, .. } => Some(user.clone()),
            _ => None,
        }));
    }
}
