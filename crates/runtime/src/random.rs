//! Randomness: from the operating system, or in a simulation from its seed.

use std::cell::Cell;

use parlance_core::Nonce;
use ring::rand::{SecureRandom, SystemRandom};

thread_local! {
    static SIMULATED: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Makes all randomness on this thread derive from `seed`. Only for simulations, which run on one thread: tokens and
/// ids become predictable.
pub fn simulate(seed: u64) {
    SIMULATED.set(Some(seed));
}

/// `N` random bytes.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if let Some(state) = SIMULATED.get() {
        let mut state = state;
        for chunk in bytes.chunks_mut(8) {
            // SplitMix64: its state is a counter.
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = state;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes()[..chunk.len()]);
        }
        SIMULATED.set(Some(state));
    } else if SystemRandom::new().fill(&mut bytes).is_err() {
        unreachable!("the operating system has random bytes");
    }
    bytes
}

/// 64 random bits.
pub fn bits() -> u64 {
    u64::from_le_bytes(bytes())
}

/// A nonce that identifies one append.
pub fn nonce() -> Nonce {
    bytes()
}
