//! The places of rooms that are worked on at the same time.

/// What a room that is worked on counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Place {
    /// It is not worked on.
    #[default]
    None,
    /// Its next event has not failed.
    Healthy,
    /// It has failed.
    Failed,
    /// It has failed while others were accepted.
    FailsAlone,
}

/// How many rooms are worked on.
#[derive(Debug, Default)]
pub(super) struct Places {
    all: usize,
    failed: usize,
    alone: usize,
}

impl Places {
    /// Work on a room begins.
    pub(super) fn take(&mut self, has_failed: bool, fails_alone: bool) -> Place {
        let place = match (has_failed, fails_alone) {
            (_, true) => Place::FailsAlone,
            (true, false) => Place::Failed,
            (false, false) => Place::Healthy,
        };
        self.all += 1;
        self.failed += usize::from(place != Place::Healthy);
        self.alone += usize::from(place == Place::FailsAlone);
        place
    }

    /// Work on a room has ended.
    pub(super) fn free(&mut self, place: Place) {
        let less = |count: &mut usize, is_so: bool| *count = count.saturating_sub(usize::from(is_so));
        less(&mut self.all, place != Place::None);
        less(&mut self.failed, matches!(place, Place::Failed | Place::FailsAlone));
        less(&mut self.alone, place == Place::FailsAlone);
    }

    /// Whether rooms that have failed take their part of `most` places: an attempt may take until its timeout each time,
    /// and others must not wait for them.
    pub(super) fn are_failed_full(&self, most: usize) -> bool {
        self.failed >= most.div_ceil(4)
    }

    /// All rooms that are worked on.
    pub(super) fn all(&self) -> usize {
        self.all
    }

    /// Those of them of which it is not known that they fail while others are accepted.
    pub(super) fn not_alone(&self) -> usize {
        self.all - self.alone
    }
}
