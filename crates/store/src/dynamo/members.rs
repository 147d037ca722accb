//! The attributes of a membership: human-readable, since operators inspect them when a
//! user cannot read a room.

use aws_sdk_dynamodb::types::AttributeValue;
use parlance_core::{
    Data, Interval, Member, MemberData, Mute, Role, Settings, Standing, Timestamp, Title, Topic, UserId,
    Visibility,
};

use parlance_proto::data;
use prost::Message;
use prost_types::Struct;

use super::item::{Item, bytes, get_bytes, get_number, get_text, number, text};
use crate::record::moment;

/// `member`, `admin` or `owner`.
pub(super) const ROLE: &str = "role";
/// Seqs of joining and leaving, oldest first: `3-17 40-`.
pub(super) const INTERVALS: &str = "intervals";

/// For each interval how much of the history was open when it ended: `a` for all, `s`
/// since joining, `-` if unknown or if the interval has not ended.
const OPEN: &str = "left_open";
/// `removed` or `banned`, the latter with its end in Unix milliseconds, if it has one; empty for those who may rejoin
/// by themselves.
const STANDING: &str = "standing";
/// End of the last mute, Unix milliseconds; 0 if it has no end.
const MUTED: &str = "muted_until";
/// The app's own data, as a `google.protobuf.Struct`, and the event that last changed it.
const DATA: &str = "data";
const DATA_SEQ: &str = "data_seq";
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
            Standing::Free => String::new(),
            Standing::Removed => "removed".to_owned(),
            Standing::Banned => match member.ban_ends {
                Some(ends) => format!("banned {}", ends.0),
                None => "banned".to_owned(),
            },
        };
        attributes.extend([(OPEN, text(&open.collect::<String>())), (STANDING, text(&standing))]);
        // Overwrites what an earlier leaving has stored.
        let (title, topic) = match &member.left_with {
            Some(settings) => (settings.title.as_str(), settings.topic.as_str()),
            None => ("", ""),
        };
        attributes.extend([(TITLE, text(title)), (TOPIC, text(topic))]);
    }
    // Never removed: a lifted mute has an end in the past.
    if let Some(Mute { until }) = member.mute {
        attributes.push((MUTED, text(&until.map_or(0, |until| until.0).to_string())));
    }
    attributes
}

/// The attributes of the data on a member, once there was any. They are in the row of the room, not in that of the user.
pub(super) fn data_attributes(member: &Member) -> Vec<(&'static str, AttributeValue)> {
    let MemberData { values, seq } = &member.data;
    if *seq == 0 {
        return Vec::new();
    }
    vec![(DATA, bytes(data::whole_struct(values).encode_to_vec())), (DATA_SEQ, number(*seq))]
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
    let mut ban_ends = None;
    let standing = match get_text(item, STANDING) {
        None | Some("") => Standing::Free,
        Some("banned") => Standing::Banned,
        Some(standing) => match standing.strip_prefix("banned ").and_then(|ends| ends.parse().ok()) {
            Some(ends) => {
                ban_ends = Some(Timestamp(ends));
                Standing::Banned
            }
            // Unknown values of a later version neither open the room to all nor close it for good.
            None => Standing::Removed,
        },
    };
    // An unknown value of a later version holds until it is lifted.
    let mute = get_text(item, MUTED).map(|until| Mute { until: moment(until.parse().unwrap_or(0)) });
    let left_with = left_with(item, intervals.last()?);
    let member =
        Member { user, role, intervals, standing, left_with, ban_ends, mute, data: MemberData::default() };
    let values = match get_bytes(item, DATA) {
        Some(bytes) => data::stored(&Struct::decode(bytes).ok()?),
        None => Data::default(),
    };
    Some(member.with_data(MemberData { values, seq: get_number(item, DATA_SEQ)? }))
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
            ban_ends: None,
            mute: None,
            data: MemberData::default(),
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
            ban_ends: Some(Timestamp(1_700_000_000_123)),
            mute: Some(Mute { until: None }),
            data: MemberData::default(),
        };
        let mut item = item_of(&member);
        assert_eq!(read(member.user.clone(), &item), Some(member.clone()));
        assert_eq!(get_text(&item, STANDING), Some("banned 1700000000123"));
        (member.ban_ends, member.mute) = (None, Some(Mute { until: Some(Timestamp(5)) }));
        item.extend(item_of(&member));
        assert_eq!(read(member.user.clone(), &item), Some(member.clone()), "for good, and lifted");
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
    fn invalid_membership_is_not_parsed() {
        for broken in ["", "3", "-4", "3-x", "3- "] {
            let item = item::item([(ROLE, text("member")), (INTERVALS, text(broken))]);
            assert_eq!(read(UserId::parse("u").unwrap(), &item), None, "{broken:?}");
        }
    }
}
