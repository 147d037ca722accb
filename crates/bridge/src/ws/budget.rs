use tokio::time::Instant;

use crate::limits::{BAD_FRAME_FORGIVEN, BAD_FRAMES};

/// How many malformed frames a connection may still send: a burst of [`BAD_FRAMES`], refilled by one per
/// [`BAD_FRAME_FORGIVEN`].
#[derive(Debug)]
pub(super) struct Budget {
    left: u32,
    /// The time up to which frames were added.
    counted: Instant,
}

impl Budget {
    pub(super) fn new(now: Instant) -> Self {
        Self { left: BAD_FRAMES, counted: now }
    }

    /// Takes one; returns false if none is left.
    pub(super) fn spend(&mut self, now: Instant) -> bool {
        let forgiven = now.duration_since(self.counted).as_nanos() / BAD_FRAME_FORGIVEN.as_nanos();
        let forgiven = u32::try_from(forgiven).unwrap_or(u32::MAX);
        self.left = self.left.saturating_add(forgiven).min(BAD_FRAMES);
        self.counted += BAD_FRAME_FORGIVEN.saturating_mul(forgiven);
        let Some(left) = self.left.checked_sub(1) else { return false };
        self.left = left;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn spend_all(budget: &mut Budget, now: Instant) -> usize {
        std::iter::from_fn(|| budget.spend(now).then_some(())).count()
    }

    #[test]
    fn time_forgives_up_to_the_budget() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs_f64(seconds);
        let mut budget = Budget::new(start);
        assert_eq!(spend_all(&mut budget, start), 20);
        assert_eq!(spend_all(&mut budget, after(0.9)), 0);
        assert_eq!(spend_all(&mut budget, after(3.5)), 3);
        assert_eq!(spend_all(&mut budget, after(4.0)), 1);
        assert_eq!(spend_all(&mut budget, after(1e6)), 20);
    }
}
