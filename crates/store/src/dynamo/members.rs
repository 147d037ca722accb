//! The attributes of a membership: human-readable, since operators inspect them when a
//! user cannot read a room.

use aws_sdk_dynamodb::types::AttributeValue;
use parlance_core::{Interval, Member, Role, Settings, Standing, Title, Topic, UserId, Visibility};

use super::item::{Item, get_text, text};

/// `member`, `admin` or `owner`.
pub(super) const ROLE: &str = "role";
/// Seqs of joining and leaving, oldest first: `3-17 40-`.
pub(super) const INTERVALS: &str = "intervals";

/// For each interval how much of the history was open when it ended: `a` for all, `s`
/// since joining, `-` if unknown or if the interval has not ended.
const OPEN: &str = "left_open";
/// `removed` or `banned`; empty for users who may return on their own.
const STANDING: &str = "standing";
/// Title and topic when they last left; the visibility at that time is the last one in
/// [`OPEN`].
const TITLE: &str = "left_title";
const TOPIC: &str = "left_topic";

/// The attributes of a membership. Those about leaving are written only once a member
/// has left.
pub(super) fn attributes(member: &Member) -> Vec<(&'static str, AttributeValue)> {
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
    let mut attributes = vec![(ROLE, text(role)), (INTERVALS, text(&intervals.join(" ")))];
    if member.intervals.iter().any(|interval| interval.left.is_some()) {
        let open = member.intervals.iter().map(|interval| match interval.visibility {
            Some(Visibility::All) => 'a',
            Some(Visibility::SinceJoined) => 's',
            None => '-',
        });
        let standing = match member.standing {
            Standing::Free => "",
            Standing::Removed => "removed",
            Standing::Banned => "banned",
        };
        attributes.extend([(OPEN, text(&open.collect::<String>())), (STANDING, text(standing))]);
        // Overwrites what an earlier departure has left there.
        let (title, topic) = match &member.left_with {
            Some(settings) => (settings.title.as_str(), settings.topic.as_str()),
            None => ("", ""),
        };
        attributes.extend([(TITLE, text(title)), (TOPIC, text(topic))]);
    }
    attributes
}

/// Parses the membership of `user` from an item.
pub(super) fn read(user: UserId, item: &Item) -> Option<Member> {
    let role = match get_text(item, ROLE)? {
        "member" => Role::Member,
        "admin" => Role::Admin,
        "owner" => Role::Owner,
        // A role of a later version grants nothing beyond membership.
        _ => Role::Member,
    };
    let interval = |interval: &str| {
        let (joined, left) = interval.split_once('-')?;
        let left = if left.is_empty() { None } else { Some(left.parse().ok()?) };
        Some(Interval { joined: joined.parse().ok()?, left, visibility: None })
    };
    let intervals: Option<Vec<Interval>> = get_text(item, INTERVALS)?.split(' ').map(interval).collect();
    let mut intervals = intervals?;
    for (interval, open) in intervals.iter_mut().zip(get_text(item, OPEN).unwrap_or_default().chars()) {
        interval.visibility = match open {
            'a' => Some(Visibility::All),
            '-' => None,
            // Unknown values of a later version open nothing.
            _ => Some(Visibility::SinceJoined),
        };
    }
    let standing = match get_text(item, STANDING) {
        None | Some("") => Standing::Free,
        Some("banned") => Standing::Banned,
        // Unknown values of a later version are treated as a removal: neither open to
        // all nor closed for good.
        Some(_) => Standing::Removed,
    };
    let left_with = left_with(item, intervals.last()?);
    Some(Member { user, role, intervals, standing, left_with })
}

fn left_with(item: &Item, last: &Interval) -> Option<Settings> {
    let visibility = last.visibility.filter(|_| last.left.is_some())?;
    let title = Title::stored(get_text(item, TITLE)?);
    Some(Settings { title, topic: Topic::stored(get_text(item, TOPIC)?), visibility, ..Settings::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamo::item;

    fn check(intervals: &[(u64, Option<u64>)], expected: &str) {
        let interval = |&(joined, left)| Interval { joined, left, visibility: None };
        let member = Member {
            user: UserId::parse("u").unwrap(),
            role: Role::Admin,
            intervals: intervals.iter().map(interval).collect(),
            standing: Standing::Free,
            left_with: None,
        };
        let item = item_of(&member);
        assert_eq!(get_text(&item, INTERVALS), Some(expected));
        assert_eq!(read(member.user.clone(), &item), Some(member));
    }

    fn item_of(member: &Member) -> Item {
        attributes(member).into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    #[test]
    fn leaving_is_read_back_and_overwritten_by_coming_back() {
        let left = Interval { joined: 3, left: Some(17), visibility: Some(Visibility::SinceJoined) };
        let mut member = Member {
            user: UserId::parse("u").unwrap(),
            role: Role::Member,
            intervals: vec![left],
            standing: Standing::Banned,
            left_with: Some(Settings {
                title: Title::parse("Team").unwrap(),
                topic: Topic::default(),
                visibility: Visibility::SinceJoined,
                ..Settings::default()
            }),
        };
        let mut item = item_of(&member);
        assert_eq!(read(member.user.clone(), &item), Some(member.clone()));
        member.intervals.push(Interval::starting_at(40));
        (member.standing, member.left_with) = (Standing::Free, None);
        item.extend(item_of(&member));
        assert_eq!(read(member.user.clone(), &item), Some(member.clone()));
        // As left by an earlier version, which does not know these attributes.
        item.insert(INTERVALS.to_owned(), text("3-17 40-50"));
        assert!(read(member.user.clone(), &item).is_some_and(|read| !read.is_active()));
    }

    #[test]
    fn memberships_are_readable_and_read_back() {
        check(&[(3, None)], "3-");
        check(&[(3, Some(17)), (40, None)], "3-17 40-");
    }

    #[test]
    fn values_of_a_later_version_grant_nothing() {
        let values = [(ROLE, "moderator"), (INTERVALS, "3-17 40-50"), (OPEN, "xa"), (STANDING, "muted")];
        let item = item::item(values.map(|(name, value)| (name, text(value))));
        let member = read(UserId::parse("u").unwrap(), &item).unwrap();
        assert_eq!((member.role, member.standing), (Role::Member, Standing::Removed));
        let open: Vec<_> = member.intervals.iter().map(|interval| interval.visibility).collect();
        assert_eq!(open, [Some(Visibility::SinceJoined), Some(Visibility::All)]);
    }

    #[test]
    fn what_is_no_membership_is_none() {
        for broken in ["", "3", "-4", "3-x", "3- "] {
            let item = item::item([(ROLE, text("member")), (INTERVALS, text(broken))]);
            assert_eq!(read(UserId::parse("u").unwrap(), &item), None, "{broken:?}");
        }
    }
}
