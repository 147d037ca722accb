//! Tracks a reader's progress in the shards of the streams of all tables. Pure.
//!
//! A shard is read from beginning to end, and its children after it, so the changes of one item are in order. Only
//! unfinished shards are remembered, and finished ones until their children are.

use std::collections::{BTreeMap, BTreeSet};

use parlance_core::Timestamp;

use crate::feed::Position;

/// A table whose changes are in the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Source {
    Messages,
    Rooms,
    UserRooms,
    Users,
}

impl Source {
    pub(super) const ALL: [Self; 4] = [Self::Messages, Self::Rooms, Self::UserRooms, Self::Users];

    fn letter(self) -> char {
        match self {
            Self::Messages => 'm',
            Self::Rooms => 'r',
            Self::UserRooms => 'i',
            Self::Users => 'u',
        }
    }

    fn parse(letter: char) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.letter() == letter)
    }
}

/// One shard of the stream of one table.
pub(super) type ShardKey = (Source, String);

/// A reader's position in a shard.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Place {
    /// Before the first record of a shard that was discovered at this time.
    Start(Timestamp),
    /// Before the first record that is not older than this.
    Since(Timestamp),
    /// After the record with this sequence number.
    After(String),
    /// After the last record: the shard is closed.
    End,
}

/// A shard as listed by the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shard {
    pub(super) id: String,
    pub(super) parent: Option<String>,
}

/// A reader's positions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Frontier(BTreeMap<ShardKey, Place>);

impl Frontier {
    /// Moves to the end, at the time `now`, of all shards of `source` without children.
    pub(super) fn end_of(&mut self, source: Source, shards: &[Shard], now: Timestamp) {
        for leaf in leaves(shards) {
            self.0.insert((source, leaf.id.clone()), Place::Since(now));
        }
    }

    /// The shards, in a fixed order.
    pub(super) fn shards(&self) -> impl Iterator<Item = (&ShardKey, &Place)> {
        self.0.iter()
    }

    pub(super) fn set(&mut self, shard: &ShardKey, place: Place) {
        self.0.insert(shard.clone(), place);
    }

    /// Whether a shard of `source` has ended, or is missing in `shards`: the list may be outdated.
    pub(super) fn needs_newer(&self, source: Source, shards: &[Shard]) -> bool {
        let mut own = self.0.iter().filter(|((of, _), _)| *of == source);
        own.any(|((_, id), place)| *place == Place::End || !shards.iter().any(|shard| shard.id == *id))
    }

    /// Whether what follows in `source` is in shards that are not known yet.
    pub(super) fn needs_listing(&self, source: Source) -> bool {
        let mut own = self.0.iter().filter(|((of, _), _)| *of == source).peekable();
        own.peek().is_none() || own.any(|(_, place)| *place == Place::End)
    }

    /// Merges the shards that the service lists for `source`: children of ended shards are read from their start,
    /// and so are unknown shards.
    ///
    /// An unfinished shard that is not listed stays: the list may be outdated, and a read reports it if the shard is
    /// gone.
    pub(super) fn meet(&mut self, source: Source, shards: &[Shard], now: Timestamp) {
        let by_id: BTreeMap<&str, &Shard> = shards.iter().map(|shard| (shard.id.as_str(), shard)).collect();
        let own: Vec<(String, bool)> = self.own(source);
        for (id, has_ended) in &own {
            if *has_ended && !by_id.contains_key(id.as_str()) {
                self.0.remove(&(source, id.clone()));
            }
        }
        let known: BTreeMap<String, bool> = self.own(source).into_iter().collect();
        let mut covered: BTreeSet<&str> = BTreeSet::new();
        for id in known.keys() {
            let mut above = by_id.get(id.as_str()).and_then(|shard| shard.parent.as_deref());
            while let Some(parent) = above.filter(|parent| covered.insert(parent)) {
                above = by_id.get(parent).and_then(|shard| shard.parent.as_deref());
            }
        }
        for shard in shards {
            if known.contains_key(&shard.id) || covered.contains(shard.id.as_str()) {
                continue;
            }
            let is_due = match shard.parent.as_deref() {
                Some(parent) => match known.get(parent) {
                    Some(has_ended) => *has_ended,
                    // Read after its parent, unless the parent was read, or is gone.
                    None => covered.contains(parent) || !by_id.contains_key(parent),
                },
                None => true,
            };
            if is_due {
                self.0.insert((source, shard.id.clone()), Place::Start(now));
            }
        }
        // A shard without children may still get some: until then it is remembered as ended.
        let parents: BTreeSet<&str> = shards.iter().filter_map(|shard| shard.parent.as_deref()).collect();
        self.0.retain(|(of, id), place| {
            *of != source || *place != Place::End || !parents.contains(id.as_str())
        });
    }

    /// The shards of `source`, and whether each has ended.
    fn own(&self, source: Source) -> Vec<(String, bool)> {
        let own = self.0.iter().filter(|((of, _), _)| *of == source);
        own.map(|((_, id), place)| (id.clone(), *place == Place::End)).collect()
    }

    /// Encodes the frontier as a position in the feed of the store `identity`; `None` if it would be too long.
    pub(super) fn position(&self, identity: &str) -> Option<Position> {
        let places = self.0.iter().map(|((source, shard), place)| {
            let place = match place {
                Place::Start(found) => format!("s{}", found.0),
                Place::Since(at) => format!("t{}", at.0),
                Place::After(number) => format!("a{number}"),
                Place::End => "e".to_owned(),
            };
            format!("{}{shard}.{place}", source.letter())
        });
        Position::parse(&format!("{identity}:{}", places.collect::<Vec<_>>().join(",")))
    }

    /// Decodes a position written by [`Self::position`]; `None` for positions of other feeds.
    pub(super) fn parse(position: &Position, identity: &str) -> Option<Self> {
        let places = position.as_str().strip_prefix(identity)?.strip_prefix(':')?;
        let places = places.split(',').filter(|place| !place.is_empty());
        places.map(parse_place).collect::<Option<_>>().map(Self)
    }
}

fn parse_place(text: &str) -> Option<(ShardKey, Place)> {
    let (shard, place) = text.rsplit_once('.')?;
    let source = Source::parse(shard.chars().next()?)?;
    let (kind, value) = place.split_at_checked(1)?;
    let place = match kind {
        "s" => Place::Start(Timestamp(value.parse().ok()?)),
        "t" => Place::Since(Timestamp(value.parse().ok()?)),
        "a" => Place::After(value.to_owned()),
        "e" => Place::End,
        _ => return None,
    };
    Some(((source, shard.get(1..)?.to_owned()), place))
}

/// Shards without children.
fn leaves(shards: &[Shard]) -> impl Iterator<Item = &Shard> {
    let parents: BTreeSet<&str> = shards.iter().filter_map(|shard| shard.parent.as_deref()).collect();
    shards.iter().filter(move |shard| !parents.contains(shard.id.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn shards(listed: &[(&str, &str)]) -> Vec<Shard> {
        let parent = |parent: &str| (!parent.is_empty()).then(|| parent.to_owned());
        listed.iter().map(|(id, of)| Shard { id: (*id).to_owned(), parent: parent(of) }).collect()
    }

    fn key(id: &str) -> ShardKey {
        (Source::Messages, id.to_owned())
    }

    fn in_words(frontier: &Frontier) -> String {
        let place = |place: &Place| match place {
            Place::Start(_) => "start".to_owned(),
            Place::Since(_) => "now".to_owned(),
            Place::After(number) => number.clone(),
            Place::End => "end".to_owned(),
        };
        let shards: Vec<_> = frontier.shards().map(|((_, id), at)| format!("{id} {}", place(at))).collect();
        shards.join(", ")
    }

    #[test]
    fn the_end_is_that_of_the_youngest_shards() {
        let mut frontier = Frontier::default();
        frontier.end_of(Source::Messages, &shards(&[("a", ""), ("b", "a"), ("c", "a"), ("d", "")]), NOW);
        assert_eq!(in_words(&frontier), "b now, c now, d now");
    }

    #[test]
    fn children_come_after_their_parent_has_ended_and_none_is_skipped() {
        let mut frontier = Frontier::default();
        frontier.end_of(Source::Messages, &shards(&[("a", "")]), NOW);
        let split = shards(&[("a", ""), ("b", "a"), ("c", "a"), ("d", "c")]);
        frontier.meet(Source::Messages, &split, NOW);
        assert_eq!(in_words(&frontier), "a now", "a child waits");
        frontier.set(&key("a"), Place::End);
        frontier.meet(Source::Messages, &split[..1], NOW);
        assert_eq!(in_words(&frontier), "a end", "the children may be listed later");
        frontier.meet(Source::Messages, &split[..2], NOW);
        assert_eq!(in_words(&frontier), "b start");
        frontier.meet(Source::Messages, &split, NOW);
        assert_eq!(in_words(&frontier), "b start, c start", "and one after the other");
        frontier.set(&key("c"), Place::End);
        frontier.set(&key("b"), Place::After("7".to_owned()));
        frontier.meet(Source::Messages, &split, NOW);
        assert_eq!(in_words(&frontier), "b 7, d start");
        // Old shards are trimmed one by one.
        frontier.meet(Source::Messages, &split[1..], NOW);
        let rest = shards(&[("b", "a"), ("d", "c")]);
        frontier.meet(Source::Messages, &rest, NOW);
        assert_eq!(in_words(&frontier), "b 7, d start");
    }

    #[test]
    fn an_unfinished_shard_that_is_not_listed_is_kept() {
        let mut frontier = Frontier::default();
        frontier.end_of(Source::Messages, &shards(&[("a", ""), ("b", "")]), NOW);
        frontier.set(&key("a"), Place::End);
        frontier.meet(Source::Messages, &shards(&[("b", ""), ("c", "a")]), NOW);
        assert_eq!(in_words(&frontier), "b now, c start");
        assert!(frontier.needs_newer(Source::Messages, &shards(&[("c", "a")])));
        frontier.meet(Source::Messages, &shards(&[("c", "a")]), NOW);
        assert_eq!(in_words(&frontier), "b now, c start", "whoever reads it is told");
    }

    #[test]
    fn shards_that_nobody_has_heard_of_are_read_whole() {
        let mut frontier = Frontier::default();
        frontier.end_of(Source::Messages, &shards(&[("a", "")]), NOW);
        frontier.meet(Source::Messages, &shards(&[("a", ""), ("x", "gone"), ("y", "x"), ("z", "")]), NOW);
        assert_eq!(in_words(&frontier), "a now, x start, z start");
    }

    #[test]
    fn tables_are_apart() {
        let mut frontier = Frontier::default();
        frontier.end_of(Source::Messages, &shards(&[("a", "")]), NOW);
        frontier.end_of(Source::Users, &shards(&[("a", "")]), NOW);
        frontier.meet(Source::Users, &shards(&[("a", ""), ("b", "")]), NOW);
        assert_eq!(in_words(&frontier), "a now, a now, b start");
    }

    /// A table has a shard for each 10 GB or so.
    #[test]
    fn feeds_of_thousands_of_shards_have_positions() {
        let mut frontier = Frontier::default();
        for number in 0..4_000 {
            let id = format!("shardId-{number:020}-1a2b3c4d");
            frontier.set(&key(&id), Place::After("100000000000000000001".to_owned()));
        }
        let position = frontier.position("0123456789abcdef0123456789abcdef-1-2-3-4").unwrap();
        let read = Frontier::parse(&position, "0123456789abcdef0123456789abcdef-1-2-3-4");
        assert_eq!(read, Some(frontier));
    }

    #[test]
    fn positions_read_back() {
        let mut frontier = Frontier::default();
        frontier.end_of(Source::Rooms, &shards(&[("shardId-0000-a.b_c", "")]), NOW);
        frontier.set(&key("shardId-1"), Place::After("100000000000000000001".to_owned()));
        frontier.set(&key("shardId-2"), Place::Start(NOW));
        frontier.set(&key("shardId-3"), Place::End);
        let position = frontier.position("store").unwrap();
        assert_eq!(Frontier::parse(&position, "store"), Some(frontier));
        assert_eq!(Frontier::parse(&position, "other"), None);
        assert_eq!(Frontier::parse(&Position::numbered("store", 7), "store"), None);
        assert_eq!(
            Frontier::parse(&Frontier::default().position("s").unwrap(), "s"),
            Some(Frontier::default())
        );
    }
}
