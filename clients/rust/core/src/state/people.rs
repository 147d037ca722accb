//! Members of a room, and their positions.

use imbl::OrdMap;
use parlance_proto::v1;
use parlance_proto::v1::event::Body;

/// Membership changes remembered before the members were requested.
const MAX_UNLISTED: usize = 256;

/// A user's membership, and the seq at which it is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    is_member: bool,
    role: v1::Role,
    seq: u64,
}

/// Members, once they were requested.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Members {
    /// Including those who have left since.
    by_user: OrdMap<String, Entry>,
    /// All members at this seq are included; `None` before they were requested.
    listed_at: Option<u64>,
    /// Changes up to here may be missing.
    missing_to: u64,
}

impl Members {
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (self.listed_at, self.missing_to) == (other.listed_at, other.missing_to)
            && (self.by_user.ptr_eq(&other.by_user) || self.by_user == other.by_user)
    }

    /// Applies a complete list that includes all events up to `seq`; later changes are
    /// kept.
    pub(super) fn list(&mut self, listed: &[(String, v1::Role)], seq: u64) {
        if Some(seq) < self.listed_at {
            return;
        }
        let entries =
            listed.iter().map(|(user, role)| (user.clone(), Entry { is_member: true, role: *role, seq }));
        let mut by_user: OrdMap<String, Entry> = entries.collect();
        for (user, entry) in &self.by_user {
            if entry.seq > seq {
                by_user.insert(user.clone(), *entry);
            }
        }
        (self.by_user, self.listed_at) = (by_user, Some(seq));
    }

    pub(super) fn event(&mut self, event: &v1::Event) {
        let (user, role, is_member) = match &event.body {
            Some(Body::MemberAdded(added)) => (&added.user_id, Some(added.role()), true),
            Some(Body::RoleChanged(changed)) => (&changed.user_id, Some(changed.role()), true),
            Some(Body::MemberRemoved(removed)) => (&removed.user_id, None, false),
            _ => return,
        };
        let before = self.by_user.get(user);
        if Some(event.seq) <= self.listed_at.max(before.map(|entry| entry.seq)) {
            return;
        }
        let role = role.or(before.map(|entry| entry.role)).unwrap_or(v1::Role::Unspecified);
        self.by_user.insert(user.clone(), Entry { is_member, role, seq: event.seq });
        if self.listed_at.is_none() && self.by_user.len() > MAX_UNLISTED {
            let oldest = self.by_user.iter().min_by_key(|(_, entry)| entry.seq);
            if let Some((user, seq)) = oldest.map(|(user, entry)| (user.clone(), entry.seq)) {
                self.by_user.remove(&user);
                self.missing_to = self.missing_to.max(seq);
            }
        }
    }

    /// Events up to `seq` will not be received.
    pub(super) fn hole(&mut self, seq: u64) {
        self.missing_to = self.missing_to.max(seq);
    }

    pub(super) fn is_complete(&self) -> bool {
        self.listed_at.is_some_and(|listed| listed >= self.missing_to)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, v1::Role)> {
        let members = self.by_user.iter().filter(|(_, entry)| entry.is_member);
        members.map(|(user, entry)| (user.as_str(), entry.role))
    }
}

/// A user's position in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Receipt {
    /// Received up to this seq.
    pub delivered_seq: u64,
    /// Read up to this seq.
    pub read_seq: u64,
}

/// Positions of others. They only move forward, so older news changes nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Receipts {
    pub(super) by_user: OrdMap<String, Receipt>,
    /// The furthest of all.
    pub(super) furthest: Receipt,
}

impl Receipts {
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.by_user.ptr_eq(&other.by_user) || self.by_user == other.by_user
    }

    /// Applies a user's position.
    pub(super) fn advance(&mut self, user_id: &str, receipt: Receipt) {
        let before = self.by_user.get(user_id).copied();
        let held = before.unwrap_or_default();
        let read_seq = held.read_seq.max(receipt.read_seq);
        // Everything read was also received.
        let after =
            Receipt { delivered_seq: held.delivered_seq.max(receipt.delivered_seq).max(read_seq), read_seq };
        if before == Some(after) || after == Receipt::default() {
            return;
        }
        self.by_user.insert(user_id.to_owned(), after);
        let Receipt { delivered_seq, read_seq } = self.furthest;
        self.furthest = Receipt {
            delivered_seq: delivered_seq.max(after.delivered_seq),
            read_seq: read_seq.max(after.read_seq),
        };
    }
}
