use crate::limits::MAX_INTERVALS;
use crate::{Data, Role, Settings, Timestamp, UserId, Visibility};

/// A user's membership of a room, present or past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The user.
    pub user: UserId,
    /// The role; for former members the last one.
    pub role: Role,
    /// Periods of membership, oldest first; never empty.
    pub intervals: Vec<Interval>,
    /// Whether a former member may return on their own.
    pub standing: Standing,
    /// The settings when they last left; `None` for members, and in rows from before this
    /// was kept.
    pub left_with: Option<Settings>,
    /// When a ban ends by itself; `None` if only by being lifted, and for those who are not banned.
    pub ban_ends: Option<Timestamp>,
    /// The last mute, which stays here when it is over; `None` for who was never muted.
    pub mute: Option<Mute>,
    /// What the app keeps about them in this room.
    pub data: MemberData,
}

/// The app's own data on a member. It ends with the membership.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemberData {
    /// Values by key.
    pub values: Data,
    /// The event that last changed them; 0 if none ever did.
    pub seq: u64,
}

/// Someone may read a room, and neither send, edit nor react.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mute {
    /// When it ends, or has ended; `None` until it is lifted.
    pub until: Option<Timestamp>,
}

impl Mute {
    /// Whether it is in force at `at`.
    pub fn holds_at(self, at: Timestamp) -> bool {
        self.until.is_none_or(|until| at < until)
    }
}

/// Whether a user who is not a member may become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Standing {
    /// They may join a channel, and be added.
    #[default]
    Free,
    /// Removed by another member: an admin may add them again, but they cannot join.
    Removed,
    /// Banned: neither, until the ban is lifted.
    Banned,
}

/// A period of membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// The event that added them.
    pub joined: u64,
    /// The event that removed them; `None` while they are members.
    pub left: Option<u64>,
    /// How much of the history was open when they left; `None` while they are members, and in rows
    /// older than this field.
    pub visibility: Option<Visibility>,
}

impl Interval {
    /// An interval starting at `joined`.
    pub fn starting_at(joined: u64) -> Self {
        Self { joined, left: None, visibility: None }
    }

    /// Whether it opens earlier history, in a room whose setting is `now`. Opening a room's
    /// history does not open it to users who have left.
    fn opens_past(&self, now: Visibility) -> bool {
        let then = if self.left.is_some() { self.visibility } else { None };
        now == Visibility::All && then.unwrap_or(now) == Visibility::All
    }
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
    /// The intersection of both ranges.
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
    /// A user who has just joined at `seq`.
    pub fn joined(user: UserId, role: Role, seq: u64) -> Self {
        let intervals = vec![Interval::starting_at(seq)];
        Self {
            user,
            role,
            intervals,
            standing: Standing::Free,
            left_with: None,
            ban_ends: None,
            mute: None,
            data: MemberData::default(),
        }
    }

    /// The row with data as stored. An earlier version that ended the membership left the data there: it is not that of
    /// this membership.
    #[must_use]
    pub fn with_data(mut self, stored: MemberData) -> Self {
        let is_of_now = self.is_active() && stored.seq >= self.changed_at();
        let values = if is_of_now { stored.values } else { Data::default() };
        self.data = MemberData { values, seq: stored.seq };
        self
    }

    /// The app's own backend in a room: treated as an owner since the beginning.
    pub fn app(user: UserId) -> Self {
        Self::joined(user, Role::Owner, 1)
    }

    /// The row as in the lists of a user's rooms, which would grow with the data.
    #[must_use]
    pub fn without_data(self) -> Self {
        Self { data: MemberData::default(), ..self }
    }

    /// Whether they are a member now.
    pub fn is_active(&self) -> bool {
        self.intervals.last().is_some_and(|interval| interval.left.is_none())
    }

    /// Whether they may act on `other`, whose role is lower. Former members keep their last role, but the owner may act on
    /// any of them.
    pub fn outranks(&self, other: &Self) -> bool {
        other.role < self.role || (self.role == Role::Owner && !other.is_active())
    }

    /// Whether an owner or admin may ban `other`: anyone who has left, and those whom they outrank.
    pub fn may_ban(&self, other: &Self) -> bool {
        !other.is_active() || self.outranks(other)
    }

    /// Whether they are banned at `at`.
    pub fn is_banned_at(&self, at: Timestamp) -> bool {
        self.standing == Standing::Banned && self.ban_ends.is_none_or(|ends| at < ends)
    }

    /// The row as of `head`: memberships that began later are left out. `None` for a user who had
    /// not been a member yet.
    ///
    /// A row read after its room may include a membership under settings that the room did not
    /// have yet.
    pub fn as_of(mut self, head: u64) -> Option<Self> {
        self.intervals.retain(|interval| interval.joined <= head);
        (!self.intervals.is_empty()).then_some(self)
    }

    /// Joins again at `seq`.
    pub(crate) fn rejoin(&mut self, role: Role, seq: u64) {
        self.role = role;
        self.standing = Standing::Free;
        self.ban_ends = None;
        self.left_with = None;
        self.intervals.push(Interval::starting_at(seq));
        if self.intervals.len() > MAX_INTERVALS {
            self.intervals.remove(0);
        }
    }

    /// Leaves at `seq`, voluntarily or not, a room with these settings at that time.
    pub(crate) fn leave(&mut self, seq: u64, standing: Standing, settings: &Settings) {
        if let Some(interval) = self.intervals.last_mut()
            && interval.left.is_none()
        {
            interval.left = Some(seq);
            interval.visibility = Some(settings.visibility);
            self.standing = standing;
            self.left_with = Some(settings.names());
            if self.data.seq > 0 {
                self.data = MemberData { values: Data::default(), seq };
            }
        }
    }

    /// Seq of the last change of membership that this row includes.
    pub fn changed_at(&self) -> u64 {
        self.intervals.last().map_or(0, |interval| interval.left.unwrap_or(interval.joined))
    }
}

/// What `member` may read of a room whose last event is `head`: disjoint ranges in ascending
/// order. A former member still sees the event of leaving.
pub fn visible_ranges(member: &Member, visibility: Visibility, head: u64) -> Vec<SeqRange> {
    let mut ranges: Vec<SeqRange> = Vec::with_capacity(member.intervals.len());
    for interval in &member.intervals {
        let to = interval.left.unwrap_or(head).min(head);
        let from = if interval.opens_past(visibility) { 1 } else { interval.joined };
        if from > to {
            continue;
        }
        let mut range = SeqRange { from, to };
        while let Some(last) = ranges.pop_if(|last| range.from <= last.to + 1) {
            range = SeqRange { from: range.from.min(last.from), to: range.to.max(last.to) };
        }
        ranges.push(range);
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
            intervals: intervals
                .iter()
                .map(|&(joined, left)| Interval { joined, left, visibility: None })
                .collect(),
            standing: Standing::Free,
            left_with: None,
            ban_ends: None,
            mute: None,
            data: MemberData::default(),
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

    #[test]
    fn memberships_that_began_after_the_head_are_left_out() {
        let as_of = |head| {
            let then = member(&[(3, Some(5)), (9, None)]).as_of(head)?;
            Some((then.intervals.len(), then.is_active()))
        };
        assert_eq!(as_of(2), None);
        assert_eq!(as_of(3), Some((1, false)), "who has left since is not taken for a member");
        assert_eq!(as_of(8), Some((1, false)));
        assert_eq!(as_of(9), Some((2, true)));
    }

    #[test]
    fn data_ends_with_the_membership() {
        let values = Data::new([("team".to_owned(), b"red".to_vec())].into()).unwrap();
        let stored = |seq| MemberData { values: values.clone(), seq };
        let kept = |intervals, seq| member(intervals).with_data(stored(seq)).data;
        assert_eq!(kept(&[(3, None)], 7), stored(7));
        // As left by a version without data.
        assert_eq!(kept(&[(3, Some(9))], 7), MemberData { seq: 7, ..MemberData::default() });
        assert_eq!(kept(&[(3, Some(9)), (12, None)], 7), MemberData { seq: 7, ..MemberData::default() });
        let mut left = member(&[(3, None)]).with_data(stored(7));
        left.leave(9, Standing::Free, &Settings::default());
        assert_eq!(left.data, MemberData { seq: 9, ..MemberData::default() });
    }

    #[test]
    fn past_stays_as_open_as_it_was_when_they_left() {
        use Visibility::{All, SinceJoined};
        let left_under = |then| {
            let mut member = member(&[(3, Some(5))]);
            member.intervals[0].visibility = Some(then);
            member
        };
        let ranges = |member: &Member, now| {
            visible_ranges(member, now, 10).iter().map(|r| (r.from, r.to)).collect::<Vec<_>>()
        };
        assert_eq!(ranges(&left_under(SinceJoined), All), [(3, 5)], "opened after they left");
        assert_eq!(ranges(&left_under(All), All), [(1, 5)]);
        assert_eq!(ranges(&left_under(All), SinceJoined), [(3, 5)], "closed for everyone");
        // A returning member has the same rights as any other.
        let mut back = left_under(SinceJoined);
        back.rejoin(Role::Member, 8);
        assert_eq!(ranges(&back, All), [(1, 10)]);
        assert_eq!(ranges(&back, SinceJoined), [(3, 5), (8, 10)]);
    }
}
