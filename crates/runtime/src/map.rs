//! Maps shared by tasks. Their hashers are seeded, and their number of shards is the same on every machine, so that a
//! simulation iterates them in the same order each time.

use std::hash::{BuildHasher, Hash};
use std::ops::Deref;

use dashmap::DashMap;
use foldhash::SharedSeed;
use foldhash::quality::{FoldHasher, SeedableRandomState};
use parlance_core::evict::survivors;

use crate::random;

/// Enough that tasks on many processors rarely contend. Not derived from the number of processors, on which the
/// iteration order would then depend.
const SHARDS: usize = 64; // format

/// A map shared by tasks.
pub struct Map<K, V>(DashMap<K, V, Seeded>);

impl<K: Eq + Hash, V> Default for Map<K, V> {
    fn default() -> Self {
        Self(DashMap::with_hasher_and_shard_amount(Seeded::default(), SHARDS))
    }
}

impl<K: Eq + Hash, V> Map<K, V> {
    /// Drops a part of the entries if there are more than `limit`, see [`survivors`].
    pub fn evict(&self, limit: usize) {
        let len = self.len();
        if len > limit {
            let mut survives = survivors(len, limit);
            self.retain(|_, _| survives());
        }
    }
}

impl<K, V> Deref for Map<K, V> {
    type Target = DashMap<K, V, Seeded>;

    #[inline]
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// A map for a single task.
pub type HashMap<K, V> = std::collections::HashMap<K, V, Seeded>;

/// A hasher with an unpredictable seed.
#[derive(Clone)]
pub struct Seeded(SeedableRandomState);

static SHARED: SharedSeed = SharedSeed::from_u64(0x1d8e_4e27_c47d_124f);

impl Default for Seeded {
    fn default() -> Self {
        Self(SeedableRandomState::with_seed(random::bits(), &SHARED))
    }
}

impl BuildHasher for Seeded {
    type Hasher = FoldHasher<'static>;

    fn build_hasher(&self) -> FoldHasher<'static> {
        self.0.build_hasher()
    }
}
