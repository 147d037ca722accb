use crate::limits::MAX_INTERVALS;
use crate::{UserId, Visibility};

/// What a member may do; later ones may do all that earlier ones may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Read and write.
    Member,
    /// And manage members, settings and messages.
    Admin,
    /// And give roles. A group or channel has exactly one.
    Owner,
}

/// Someone in a room, now or once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub user: UserId,
    /// The role; the last one where they left.
    pub role: Role,
    /// When they were members, oldest first; never empty.
    pub intervals: Vec<Interval>,
}

/// From joining to leaving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// The event that added them.
    pub joined: u64,
    /// The event that removed them; `None` while they are members.
    pub left: Option<u64>,
}

/// Seqs from `from` to `to`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeqRange {
    /// First.
    pub from: u64,
    /// Last.
    pub to: u64,
}

impl SeqRange {
    /// What both ranges hold.
    pub fn intersect(self, other: Self) -> Option<Self> {
        let range = Self { from: self.from.max(other.from), to: self.to.min(other.to) };
        (range.from <= range.to).then_some(range)
    }

    /// Whether `seq` lies in it.
    pub fn contains(self, seq: u64) -> bool {
        self.from <= seq && seq <= self.to
    }
}

impl Member {
    /// Someone who has just joined at `seq`.
    pub fn joined(user: UserId, role: Role, seq: u64) -> Self {
        Self { user, role, intervals: vec![Interval { joined: seq, left: None }] }
    }

    /// Whether they are a member now.
    pub fn is_active(&self) -> bool {
        self.intervals.last().is_some_and(|interval| interval.left.is_none())
    }

    /// Joined again at `seq`.
    pub(crate) fn rejoin(&mut self, role: Role, seq: u64) {
        self.role = role;
        self.intervals.push(Interval { joined: seq, left: None });
        if self.intervals.len() > MAX_INTERVALS {
            self.intervals.remove(0);
        }
    }

    /// Left at `seq`.
    pub(crate) fn leave(&mut self, seq: u64) {
        if let Some(interval) = self.intervals.last_mut() {
            interval.left.get_or_insert(seq);
        }
    }

    /// The last change of membership that this row knows.
    pub fn changed_at(&self) -> u64 {
        self.intervals.last().map_or(0, |interval| interval.left.unwrap_or(interval.joined))
    }
}

/// What `member` may read of a room whose last event is `head`: ranges by rising seq,
/// not touching each other. Leaving is the last event that one sees.
pub fn visible_ranges(member: &Member, visibility: Visibility, head: u64) -> Vec<SeqRange> {
    let mut ranges: Vec<SeqRange> = Vec::with_capacity(member.intervals.len());
    for interval in &member.intervals {
        let to = interval.left.unwrap_or(head).min(head);
        let from = match visibility {
            Visibility::All => 1,
            Visibility::SinceJoined => interval.joined,
        };
        if from > to {
            continue;
        }
        match ranges.last_mut() {
            Some(last) if from <= last.to + 1 => last.to = last.to.max(to),
            _ => ranges.push(SeqRange { from, to }),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(intervals: &[(u64, Option<u64>)]) -> Member {
        Member {
            user: UserId::parse("u").unwrap(),
            role: Role::Member,
            intervals: intervals.iter().map(|&(joined, left)| Interval { joined, left }).collect(),
        }
    }

    fn check(intervals: &[(u64, Option<u64>)], visibility: Visibility, head: u64, expected: &[(u64, u64)]) {
        let ranges = visible_ranges(&member(intervals), visibility, head);
        let got: Vec<_> = ranges.iter().map(|r| (r.from, r.to)).collect();
        assert_eq!(got, expected);
    }

    #[test]
    fn history_follows_membership() {
        use Visibility::{All, SinceJoined};
        check(&[(3, None)], SinceJoined, 10, &[(3, 10)]);
        check(&[(3, None)], All, 10, &[(1, 10)]);
        check(&[(3, Some(5)), (8, None)], SinceJoined, 10, &[(3, 5), (8, 10)]);
        check(&[(3, Some(5))], SinceJoined, 10, &[(3, 5)]);
        check(&[(3, Some(5))], All, 10, &[(1, 5)]);
        // A reader authorised at an older head sees nothing past it.
        check(&[(3, None)], SinceJoined, 4, &[(3, 4)]);
        check(&[(3, None)], SinceJoined, 2, &[]);
        check(&[(3, Some(7))], SinceJoined, 5, &[(3, 5)]);
    }
}
