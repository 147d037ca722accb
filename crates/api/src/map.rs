//! Maps shared by tasks. Their hashers are seeded as everything random is, so that a
//! simulation goes through them in the same order each time.

use std::hash::BuildHasher;

use dashmap::DashMap;
use foldhash::SharedSeed;
use foldhash::quality::{FoldHasher, SeedableRandomState};

use crate::random;

pub(crate) type Map<K, V> = DashMap<K, V, Seeded>;

/// For what stays on one task.
pub(crate) type HashMap<K, V> = std::collections::HashMap<K, V, Seeded>;

/// A hasher that nobody outside can predict.
#[derive(Clone)]
pub(crate) struct Seeded(SeedableRandomState);

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
