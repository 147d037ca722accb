//! The expected unread counts of each user, computed from what was acknowledged.

use std::collections::HashMap;

use super::plan::User;

/// One room, according to its acknowledged events.
#[derive(Debug, Default)]
pub(super) struct Model {
    /// The last seq acknowledged.
    head: u64,
    /// Seqs of the messages, in ascending order.
    messages: Vec<u64>,
    /// Each member's read mark.
    members: HashMap<User, Mark>,
    /// Marks of former members: rejoining never moves one back.
    left: HashMap<User, Mark>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Mark {
    seq: u64,
    message_count: u64,
}

impl Model {
    pub(super) fn head(&self) -> u64 {
        self.head
    }

    pub(super) fn message_count(&self) -> u64 {
        self.messages.len() as u64
    }

    /// The seq of the message at this place, if it was acknowledged.
    pub(super) fn message_seq(&self, place: usize) -> Option<u64> {
        self.messages.get(place).copied()
    }

    /// An event other than a message.
    pub(super) fn event(&mut self, seq: u64) {
        self.head = self.head.max(seq);
    }

    /// `user` became a member at `seq`, and starts with nothing unread.
    pub(super) fn joined(&mut self, user: User, seq: u64) {
        self.event(seq);
        let mark = self.left.remove(&user).unwrap_or_default();
        self.members.insert(user, mark);
        self.read_up_to(user, seq);
    }

    pub(super) fn left(&mut self, user: User, seq: u64) {
        self.event(seq);
        if let Some(mark) = self.members.remove(&user) {
            self.left.insert(user, mark);
        }
    }

    /// `user` sent the message at `seq`, and has read up to it. Returns whether the seq
    /// directly follows what was acknowledged before.
    pub(super) fn sent(&mut self, user: User, seq: u64) -> bool {
        let follows = seq > self.head;
        self.event(seq);
        self.messages.push(seq);
        self.read_up_to(user, seq);
        follows
    }

    /// `user` read up to `seq`, unless they had read further.
    pub(super) fn read_up_to(&mut self, user: User, seq: u64) {
        let message_count = self.messages.partition_point(|message| *message <= seq) as u64;
        if let Some(mark) = self.members.get_mut(&user).filter(|mark| seq > mark.seq) {
            *mark = Mark { seq, message_count };
        }
    }

    /// Unread messages of `user`; `None` for a non-member.
    pub(super) fn unread(&self, user: User) -> Option<u64> {
        self.members.get(&user).map(|mark| self.message_count() - mark.message_count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unread_counts_from_joining_sending_and_marks() {
        let (a, b) = (1, 2);
        let mut model = Model::default();
        model.joined(a, 2);
        assert!(model.sent(a, 3));
        model.joined(b, 4);
        assert_eq!((model.unread(a), model.unread(b)), (Some(0), Some(0)));
        for seq in 5..10 {
            assert!(model.sent(a, seq));
        }
        assert_eq!(model.unread(b), Some(5));
        model.read_up_to(b, 7);
        assert_eq!(model.unread(b), Some(2));
        model.read_up_to(b, 6);
        assert_eq!(model.unread(b), Some(2));
        model.left(b, 10);
        assert_eq!(model.unread(b), None);
        assert!(model.sent(a, 11));
        model.joined(b, 12);
        assert!(model.sent(b, 13) && model.sent(a, 14));
        assert_eq!((model.unread(a), model.unread(b)), (Some(0), Some(1)));
    }

    #[test]
    fn a_seq_that_goes_back_is_noticed() {
        let mut model = Model::default();
        model.joined(1, 5);
        assert!(!model.sent(1, 5));
    }
}
