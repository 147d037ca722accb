//! Eviction from a full cache.

/// For `retain` on a cache of `len` entries with the given `limit`: drops a quarter of `limit` plus the excess,
/// spread over the iteration order, and nothing if the cache is not over its limit. Most entries in use survive, and
/// the cost of the iteration is amortised over as many insertions.
pub fn survivors(len: usize, limit: usize) -> impl FnMut() -> bool {
    let kept = if len > limit { limit - (limit / 4).max(1).min(limit) } else { len };
    let mut due = 0;
    move || {
        due += kept;
        if due >= len {
            due -= len;
            return true;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_full_cache_keeps_most_of_its_limit(len in 0usize..200, limit in 1usize..20) {
            let mut survives = survivors(len, limit);
            let kept = (0..len).filter(|_| survives()).count();
            let expected = if len <= limit { len } else { limit - (limit / 4).max(1) };
            prop_assert_eq!(kept, expected);
        }
    }

    #[test]
    fn evictions_are_spread() {
        let mut survives = survivors(8, 7);
        let kept: Vec<usize> = (0..8).filter(|_| survives()).collect();
        assert_eq!(kept, [1, 2, 3, 5, 6, 7]);
    }
}
