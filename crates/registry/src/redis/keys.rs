use fred::util::redis_keyslot;
use parlance_core::{RoomId, UserId};

use super::options::RedisOptions;
use crate::NodeId;

/// Keys and channels in Redis.
///
/// | key or channel | what |
/// |---|---|
/// | `nodes` | sorted set: lease -> when it ends, in ms by the clock of Redis |
/// | `fleet{<nodes>}` | hash: what all nodes have in common, see [`super::record`]; the slot of `nodes` |
/// | `layout` | how many buckets and shards there are, for nodes of earlier versions |
/// | `sweep:<lease>` | held by the node that cleans up after that lease |
/// | `u:{<tag>}:<bucket>` | hash: user -> the leases of the nodes where they are online |
/// | `rate:<limit>:<user or address>` | when the whole burst of a rate is available again, see `lua/take.lua` |
/// | `node:<id>` | channel: messages for that node |
/// | `beats` | channel: each node's last sent numbers, every second |
/// | `room:<id>` | channel: messages for nodes that follow that room |
#[derive(Debug)]
pub(super) struct Keys {
    prefix: String,
    buckets: u32,
    /// One hash tag for each shard, such that their slots lie evenly spread.
    tags: Vec<String>,
}

impl Keys {
    pub(super) fn new(options: &RedisOptions, shards: u32) -> Self {
        let tags =
            if shards == 1 { vec!["0".into()] } else { (0..shards).map(|at| tag(at, shards)).collect() };
        Self { prefix: options.prefix.clone(), buckets: options.buckets, tags }
    }

    pub(super) fn nodes(&self) -> String {
        format!("{}nodes", self.prefix)
    }

    pub(super) fn fleet(&self) -> String {
        format!("{}fleet{{{}}}", self.prefix, self.nodes())
    }

    pub(super) fn layout(&self) -> (String, String) {
        let value = format!("v1 buckets={} shards={}", self.buckets, self.tags.len());
        (format!("{}layout", self.prefix), value)
    }

    pub(super) fn sweep(&self, lease: &str) -> String {
        format!("{}sweep:{lease}", self.prefix)
    }

    /// The bucket of a rate.
    pub(super) fn rate(&self, key: &str) -> String {
        format!("{}rate:{key}", self.prefix)
    }

    pub(super) fn node_channel(&self, node: &NodeId) -> String {
        format!("{}node:{node}", self.prefix)
    }

    pub(super) fn beats_channel(&self) -> String {
        format!("{}beats", self.prefix)
    }

    /// The room with this channel.
    pub(super) fn room_of(&self, channel: &str) -> Option<RoomId> {
        RoomId::parse(channel.strip_prefix(&self.prefix)?.strip_prefix("room:")?).ok()
    }

    pub(super) fn room_channel(&self, room: &RoomId) -> String {
        format!("{}room:{room}", self.prefix)
    }

    pub(super) fn shards(&self) -> usize {
        self.tags.len()
    }

    /// Where `user` is stored: the shard, and the key of the bucket.
    pub(super) fn user(&self, user: &UserId) -> (usize, String) {
        let bucket = (hash(user.as_str()) % u64::from(self.buckets)) as u32;
        let shard = bucket as usize % self.tags.len();
        (shard, self.bucket(bucket))
    }

    /// The buckets of one shard.
    pub(super) fn buckets_of(&self, shard: usize) -> impl Iterator<Item = String> {
        (shard as u32..self.buckets).step_by(self.tags.len()).map(|bucket| self.bucket(bucket))
    }

    fn bucket(&self, bucket: u32) -> String {
        format!("{}u:{{{}}}:{bucket:x}", self.prefix, self.tags[bucket as usize % self.tags.len()])
    }
}

/// The first number whose slot is in the `at`th of `shards` equal parts of all slots.
fn tag(at: u32, shards: u32) -> String {
    let part = |slot: u16| u32::from(slot) * shards / 16_384;
    let mut tags = (0_u32..).map(|number| number.to_string());
    tags.find(|tag| part(redis_keyslot(tag.as_bytes())) == at).unwrap_or_default()
}

/// FNV-1a, with its halves folded together. The same on every node and in every version.
fn hash(id: &str) -> u64 {
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    hash ^ (hash >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(shards: u32) -> Keys {
        Keys::new(&RedisOptions::new("redis://127.0.0.1"), shards)
    }

    /// Nodes of different versions have to use the same place.
    #[test]
    fn layout_of_users_is_stable() {
        let alice = UserId::parse("alice").unwrap();
        assert_eq!(keys(1).user(&alice), (0, "parlance:u:{0}:13bc".into()));
        assert_eq!(keys(8).user(&alice), (4, "parlance:u:{1}:13bc".into()));
    }

    #[test]
    fn leases_and_fleet_are_in_one_slot() {
        let slot = |key: String| redis_keyslot(key.as_bytes());
        assert_eq!(slot(keys(8).nodes()), slot(keys(8).fleet()));
        assert!(keys(8).fleet().starts_with("parlance:"));
    }

    #[test]
    fn shards_are_spread_over_all_slots() {
        for shards in [2, 8, 16, 100] {
            let keys = keys(shards);
            let mut slots: Vec<u16> = keys.tags.iter().map(|tag| redis_keyslot(tag.as_bytes())).collect();
            let part = 16_384 / shards as u16;
            slots.dedup();
            assert_eq!(slots.len(), shards as usize);
            assert!(slots.windows(2).all(|pair| pair[1] - pair[0] < 2 * part), "{slots:?}");
        }
    }

    #[test]
    fn users_are_spread_evenly_and_every_bucket_belongs_to_one_shard() {
        let keys = keys(8);
        let mut counts = std::collections::HashMap::new();
        for number in 0..65_536 {
            let user = UserId::parse(&format!("user-{number:015}")).unwrap();
            *counts.entry(keys.user(&user)).or_insert(0) += 1;
        }
        let fullest = counts.values().max().unwrap();
        assert!(*fullest <= 10, "one of 65,536 buckets has {fullest} of as many users");
        let mut all: Vec<String> = (0..8).flat_map(|shard| keys.buckets_of(shard)).collect();
        for (shard, bucket) in counts.keys() {
            assert!(keys.buckets_of(*shard).take(8192).any(|key| key == *bucket));
            if counts.len() > 8 {
                break;
            }
        }
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 65_536);
    }
}
