use std::fmt;

/// The results of several rounds.
#[derive(Debug, Clone, Default)]
pub(super) struct Series(Vec<f64>);

impl Series {
    pub(super) fn push(&mut self, result: f64) {
        self.0.push(result);
        self.0.sort_by(f64::total_cmp);
    }

    /// The middle one; of an even number, the mean of the middle two.
    pub(super) fn median(&self) -> f64 {
        match self.0.len() {
            0 => f64::NAN,
            len if len % 2 == 1 => self.0[len / 2],
            len => f64::midpoint(self.0[len / 2 - 1], self.0[len / 2]),
        }
    }

    /// How this compares to another, by medians.
    pub(super) fn ratio(&self, other: &Self) -> String {
        format!("{:.2}", self.median() / other.median())
    }
}

/// `median [lowest-highest]`.
impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(lowest), Some(highest)) = (self.0.first(), self.0.last()) else { return f.pad("-") };
        f.pad(&format!("{:.0} [{lowest:.0}-{highest:.0}]", self.median()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_and_the_spread_are_shown() {
        let mut series = Series::default();
        assert_eq!(series.to_string(), "-");
        for result in [30.0, 10.0, 20.0] {
            series.push(result);
        }
        assert_eq!(series.to_string(), "20 [10-30]");
        series.push(40.0);
        assert_eq!(series.to_string(), "25 [10-40]");
    }
}
