use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

use fred::types::Value;
use parlance_core::Timestamp;
use parlance_core::evict::survivors;

use super::script::strings;
use crate::NodeId;
use crate::redis::limits::REMEMBERED_NODES;

/// All leases, as reported by Redis.
///
/// A lease is named after its node: `abcdefgh`, and if the node lost that one, `abcdefgh.1`, and so on. An ended
/// lease therefore never comes back, and cleaning up after it takes nothing away from the node.
#[derive(Debug)]
pub(super) struct Leases {
    /// Whether the requesting node holds its own.
    pub(super) held: bool,
    pub(super) alive: Vec<String>,
    pub(super) ended: Vec<String>,
    /// Leases of nodes that deregistered a short while ago.
    pub(super) left: Vec<String>,
    /// The time of Redis.
    pub(super) now: Option<Timestamp>,
    /// Recorded values of the fleet whose nodes hold leases that differ from this node's.
    pub(super) differs: Vec<(String, String)>,
    /// Whether this node's fleet is recorded.
    pub(super) recorded: bool,
    /// How long this node has to wait before it takes the first lease.
    pub(super) wait: Duration,
    /// Since when the fleet is recorded, by the time of Redis.
    pub(super) claimed: Timestamp,
}

impl Leases {
    pub(super) fn parse(answer: Value) -> Self {
        let mut parts = answer.into_array().into_iter();
        let held = parts.next().and_then(|held| held.as_i64()) == Some(1);
        let mut names = || parts.next().map(strings).unwrap_or_default();
        let (alive, ended, left) = (names(), names(), names());
        let now = parts.next().and_then(|now| now.as_u64()).map(Timestamp);
        let differs = parts.next().map(strings).unwrap_or_default();
        let differs = differs.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
        let recorded = parts.next().and_then(|recorded| recorded.as_i64()) == Some(1);
        let mut number = || parts.next().and_then(|number| number.as_u64()).unwrap_or(0);
        let (wait, claimed) = (Duration::from_millis(number()), Timestamp(number()));
        Self { held, alive, ended, left, now, differs, recorded, wait, claimed }
    }
}

pub(super) fn node_of(lease: &str) -> Option<NodeId> {
    NodeId::parse(lease.split('.').next()?)
}

/// The nodes, as far as this one knows.
#[derive(Debug)]
pub(super) struct Nodes {
    own: NodeId,
    /// A node that is neither present nor reported as gone for this long is gone.
    patience: Duration,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    alive: HashSet<String>,
    ended: HashSet<String>,
    /// The other nodes that were alive, and when that was last seen.
    others: HashMap<NodeId, Instant>,
}

impl Nodes {
    pub(super) fn new(own: NodeId, patience: Duration) -> Self {
        Self { own, patience, known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn all(&self) -> Vec<NodeId> {
        let known = self.known();
        let all: BTreeSet<NodeId> = known.others.keys().chain([&self.own]).cloned().collect();
        all.into_iter().collect()
    }

    /// Updates the nodes from Redis' answer. Returns the nodes lost since.
    pub(super) fn learn(&self, leases: &Leases) -> Vec<NodeId> {
        let mut known = self.known();
        known.alive = leases.alive.iter().cloned().collect();
        if known.ended.len() > REMEMBERED_NODES {
            let mut survives = survivors(known.ended.len(), REMEMBERED_NODES);
            known.ended.retain(|_| survives());
        }
        known.ended.extend(leases.ended.iter().chain(&leases.left).cloned());
        // Answers may overtake each other: an older one may have reported a live node as ended.
        for lease in &leases.alive {
            known.ended.remove(lease);
        }
        let nodes = |leases: &[String]| -> HashSet<NodeId> {
            leases.iter().filter_map(|lease| node_of(lease)).collect()
        };
        let (alive, ended, left) = (nodes(&leases.alive), nodes(&leases.ended), nodes(&leases.left));

        let now = Instant::now();
        let others = alive.into_iter().filter(|node| *node != self.own);
        known.others.extend(others.map(|node| (node, now)));
        let gone = |node: &NodeId, seen: Instant| {
            seen < now && (ended.contains(node) || left.contains(node) || now - seen > self.patience)
        };
        let gone: Vec<NodeId> = known
            .others
            .iter()
            .filter(|(node, seen)| gone(node, **seen))
            .map(|(node, _)| node.clone())
            .collect();
        for node in &gone {
            known.others.remove(node);
        }
        gone.into_iter().filter(|node| !left.contains(node)).collect()
    }

    /// Whether one of `leases`, as stored at users, is held. `None` if none is known to be held and one is unknown.
    pub(super) fn any_alive<'a>(&self, mut leases: impl Iterator<Item = &'a str>) -> Option<bool> {
        let known = self.known();
        let mut unknown = false;
        let alive = leases.any(|lease| {
            unknown |= !known.alive.contains(lease) && !known.ended.contains(lease);
            known.alive.contains(lease)
        });
        if alive || !unknown { Some(alive) } else { None }
    }

    /// Forgets leases that are not among those that Redis has just reported: they ended long ago.
    pub(super) fn forget_unknown<'a>(&self, leases: impl Iterator<Item = &'a str>) {
        let mut known = self.known();
        for lease in leases {
            if !known.alive.contains(lease) {
                known.ended.insert(lease.to_owned());
            }
        }
    }

    pub(super) fn has_ended(&self, lease: &str) -> bool {
        self.known().ended.contains(lease)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leases(alive: &[&str], ended: &[&str], left: &[&str]) -> Leases {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let (alive, ended, left) = (owned(alive), owned(ended), owned(left));
        let (wait, claimed) = (Duration::ZERO, Timestamp(0));
        Leases {
            held: true,
            alive,
            ended,
            left,
            now: None,
            differs: Vec::new(),
            recorded: true,
            wait,
            claimed,
        }
    }

    fn nodes(patience: Duration) -> Nodes {
        Nodes::new(NodeId::parse("me").unwrap(), patience)
    }

    fn lost(nodes: &Nodes, leases: Leases) -> Vec<String> {
        nodes.learn(&leases).iter().map(NodeId::to_string).collect()
    }

    #[test]
    fn a_node_is_lost_once_and_one_that_left_never() {
        let nodes = nodes(Duration::from_secs(100));
        assert!(lost(&nodes, leases(&["me", "a", "b"], &[], &[])).is_empty());
        assert_eq!(nodes.all().len(), 3);
        assert_eq!(lost(&nodes, leases(&["me"], &["a"], &["b"])), ["a"]);
        assert!(lost(&nodes, leases(&["me"], &["a"], &["b"])).is_empty());
        assert_eq!(nodes.all(), [NodeId::parse("me").unwrap()]);
    }

    #[test]
    fn lease_missing_in_an_older_answer_is_alive() {
        let nodes = nodes(Duration::from_secs(100));
        lost(&nodes, leases(&["me", "new"], &[], &[]));
        lost(&nodes, leases(&["me"], &[], &[]));
        nodes.forget_unknown(["new"].into_iter());
        lost(&nodes, leases(&["me", "new"], &[], &[]));
        assert!(!nodes.has_ended("new"));
    }

    #[test]
    fn most_ended_leases_stay_known_when_there_are_too_many() {
        let nodes = nodes(Duration::from_secs(100));
        let ended: Vec<String> = (0..=REMEMBERED_NODES).map(|number| format!("a.{number}")).collect();
        let all: Vec<&str> = ended.iter().map(String::as_str).collect();
        lost(&nodes, leases(&["me"], &all, &[]));
        lost(&nodes, leases(&["me"], &[], &[]));
        let known = all.iter().filter(|lease| nodes.has_ended(lease)).count();
        assert!((REMEMBERED_NODES / 2..=REMEMBERED_NODES).contains(&known), "{known}");
    }

    #[test]
    fn a_node_with_another_lease_is_not_lost() {
        let nodes = nodes(Duration::from_secs(100));
        lost(&nodes, leases(&["me", "a"], &[], &[]));
        assert!(lost(&nodes, leases(&["me", "a.1"], &["a"], &[])).is_empty());
        assert_eq!(nodes.any_alive(["a"].into_iter()), Some(false));
        assert_eq!(nodes.any_alive(["a", "a.1"].into_iter()), Some(true));
        assert!(lost(&nodes, leases(&["me"], &["a", "a.1"], &[])) == ["a"]);
    }

    /// After a wipe no node is reported as ended.
    #[test]
    fn node_that_does_not_return_is_lost_eventually() {
        let nodes = nodes(Duration::ZERO);
        lost(&nodes, leases(&["me", "a"], &[], &[]));
        assert_eq!(lost(&nodes, leases(&["me.1"], &[], &[])), ["a"]);
    }

    #[test]
    fn unknown_lease_is_queried() {
        let nodes = nodes(Duration::from_secs(100));
        assert_eq!(nodes.any_alive(["new"].into_iter()), None);
        nodes.forget_unknown(["new"].into_iter());
        assert_eq!(nodes.any_alive(["new"].into_iter()), Some(false));
        lost(&nodes, leases(&["me", "old"], &[], &[]));
        assert_eq!(nodes.any_alive(["new", "old"].into_iter()), Some(true));
        assert_eq!(nodes.any_alive(std::iter::empty()), Some(false));
    }
}
