use std::collections::VecDeque;

/// Runs of seqs in ascending order, each by its first and last one.
#[derive(Debug, Clone, Default)]
pub(super) struct Runs(VecDeque<(u64, u64)>);

impl Runs {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of seqs.
    pub(super) fn count(&self) -> u64 {
        self.0.iter().map(|(first, last)| last + 1 - first).sum()
    }

    /// Adds a seq behind the others.
    pub(super) fn push(&mut self, seq: u64) {
        self.push_run((seq, seq));
    }

    fn push_run(&mut self, (first, last): (u64, u64)) {
        match self.0.back_mut() {
            Some((_, end)) if *end + 1 == first => *end = last,
            _ => self.0.push_back((first, last)),
        }
    }

    /// Moves the runs of `later` behind these.
    pub(super) fn append(&mut self, later: &mut Self) {
        later.0.drain(..).for_each(|run| self.push_run(run));
    }

    /// Puts the runs of `older` before these.
    pub(super) fn prepend(&mut self, mut older: Self) {
        older.append(self);
        *self = older;
    }

    /// Removes the seqs up to `seq`.
    pub(super) fn forget(&mut self, seq: u64) {
        while let Some((first, last)) = self.0.front_mut() {
            if *last > seq {
                *first = (*first).max(seq + 1);
                return;
            }
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(seqs: &[u64]) -> Runs {
        let mut runs = Runs::default();
        seqs.iter().for_each(|seq| runs.push(*seq));
        runs
    }

    #[test]
    fn adjoining_seqs_are_one_run() {
        let mut all = runs(&[5, 6, 9]);
        all.append(&mut runs(&[10, 12]));
        all.prepend(runs(&[2, 4]));
        assert_eq!(all.0, [(2, 2), (4, 6), (9, 10), (12, 12)]);
        assert_eq!(all.count(), 7);
    }

    #[test]
    fn seqs_are_forgotten_from_the_front() {
        for (seq, left) in [(1, 7), (2, 6), (5, 4), (8, 3), (12, 0)] {
            let mut all = runs(&[2, 4, 5, 6, 9, 10, 12]);
            all.forget(seq);
            assert_eq!(all.count(), left, "up to {seq}");
        }
    }
}
