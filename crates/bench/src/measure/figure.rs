//! A figure compared with its goal.

use super::series::Series;

/// The goal of a figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// No goal; reported for information.
    Reported,
}

impl Goal {
    pub(super) fn is_met(self, value: f64) -> Option<bool> {
        match self {
            Self::AtLeast(goal) => Some(value >= goal),
            Self::AtMost(goal) => Some(value <= goal),
            Self::Reported => None,
        }
    }

    pub(super) fn bound(self) -> Option<f64> {
        match self {
            Self::AtLeast(goal) | Self::AtMost(goal) => Some(goal),
            Self::Reported => None,
        }
    }

    pub(super) fn sign(self) -> &'static str {
        match self {
            Self::AtLeast(_) => ">=",
            Self::AtMost(_) => "<=",
            Self::Reported => "",
        }
    }
}

/// One figure.
#[derive(Debug, Clone)]
pub(super) struct Measured {
    /// The number of its measure.
    pub(super) id: u8,
    pub(super) measure: String,
    pub(super) goal: Goal,
    /// The value of each round.
    pub(super) rounds: Series,
}

impl Measured {
    pub(super) fn value(&self) -> f64 {
        self.rounds.median()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_have_a_direction() {
        assert_eq!(Goal::AtLeast(2.0).is_met(2.0), Some(true));
        assert_eq!(Goal::AtLeast(2.0).is_met(1.9), Some(false));
        assert_eq!(Goal::AtMost(2.0).is_met(2.1), Some(false));
        assert_eq!(Goal::Reported.is_met(2.1), None);
    }
}
