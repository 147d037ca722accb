//! How a membership stands in items: readable, since it is what one looks up when
//! somebody asks why they cannot read a room.

use aws_sdk_dynamodb::types::AttributeValue;
use parlance_core::{Interval, Member, Role, UserId};

use super::item::{Item, get_text, text};

/// `member`, `admin` or `owner`.
pub(super) const ROLE: &str = "role";
/// Seqs of joining and leaving, oldest first: `3-17 40-`.
pub(super) const INTERVALS: &str = "intervals";

/// The attributes of a membership.
pub(super) fn attributes(member: &Member) -> [(&'static str, AttributeValue); 2] {
    let role = match member.role {
        Role::Member => "member",
        Role::Admin => "admin",
        Role::Owner => "owner",
    };
    let interval = |interval: &Interval| match interval.left {
        Some(left) => format!("{}-{left}", interval.joined),
        None => format!("{}-", interval.joined),
    };
    let intervals: Vec<String> = member.intervals.iter().map(interval).collect();
    [(ROLE, text(role)), (INTERVALS, text(&intervals.join(" ")))]
}

/// The membership of `user` that an item holds.
pub(super) fn read(user: UserId, item: &Item) -> Option<Member> {
    let role = match get_text(item, ROLE)? {
        "member" => Role::Member,
        "admin" => Role::Admin,
        "owner" => Role::Owner,
        _ => return None,
    };
    let interval = |interval: &str| {
        let (joined, left) = interval.split_once('-')?;
        let left = if left.is_empty() { None } else { Some(left.parse().ok()?) };
        Some(Interval { joined: joined.parse().ok()?, left })
    };
    let intervals: Option<Vec<Interval>> = get_text(item, INTERVALS)?.split(' ').map(interval).collect();
    Some(Member { user, role, intervals: intervals? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamo::item;

    fn check(intervals: &[(u64, Option<u64>)], expected: &str) {
        let intervals = intervals.iter().map(|&(joined, left)| Interval { joined, left }).collect();
        let member = Member { user: UserId::parse("u").unwrap(), role: Role::Admin, intervals };
        let item = item::item(attributes(&member));
        assert_eq!(get_text(&item, INTERVALS), Some(expected));
        assert_eq!(read(member.user.clone(), &item), Some(member));
    }

    #[test]
    fn memberships_are_readable_and_read_back() {
        check(&[(3, None)], "3-");
        check(&[(3, Some(17)), (40, None)], "3-17 40-");
    }

    #[test]
    fn what_is_no_membership_is_none() {
        for broken in ["", "3", "-4", "3-x", "3- "] {
            let item = item::item([(ROLE, text("member")), (INTERVALS, text(broken))]);
            assert_eq!(read(UserId::parse("u").unwrap(), &item), None, "{broken:?}");
        }
    }
}
