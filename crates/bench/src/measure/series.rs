use std::fmt;

/// The results of several rounds.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Series(Vec<f64>);

impl Series {
    pub(super) fn push(&mut self, result: f64) {
        self.0.push(result);
        self.0.sort_by(f64::total_cmp);
    }

    /// In ascending order.
    pub(super) fn values(&self) -> &[f64] {
        &self.0
    }

    /// The median; for an even number of values, the mean of the middle two.
    pub(super) fn median(&self) -> f64 {
        match self.0.len() {
            0 => f64::NAN,
            len if len % 2 == 1 => self.0[len / 2],
            len => f64::midpoint(self.0[len / 2 - 1], self.0[len / 2]),
        }
    }
}

impl FromIterator<f64> for Series {
    fn from_iter<I: IntoIterator<Item = f64>>(results: I) -> Self {
        let mut series = Self::default();
        results.into_iter().for_each(|result| series.push(result));
        series
    }
}

/// `median [lowest-highest]`, or a single value.
impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let median = number(self.median());
        match self.0.as_slice() {
            [] => f.pad("-"),
            [_] => f.pad(&median),
            [lowest, .., highest] => f.pad(&format!("{median} [{}-{}]", number(*lowest), number(*highest))),
        }
    }
}

/// Three significant digits, or all digits before the point.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        0.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// The value below which a `share` of `sorted` lies.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = ((sorted.len() as f64 - 1.0) * share).round();
    sorted.get(at as usize).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_and_the_spread_are_shown() {
        assert_eq!(Series::default().to_string(), "-");
        assert_eq!(Series::from_iter([30.0]).to_string(), "30.0");
        let mut series = Series::from_iter([300.0, 10.0, 20.0]);
        assert_eq!(series.to_string(), "20.0 [10.0-300]");
        series.push(40.0);
        assert_eq!(series.median(), 30.0);
    }

    #[test]
    fn quantiles_are_values_that_occurred() {
        let sorted = [1.0, 2.0, 3.0, 4.0, 5.0];
        assert_eq!([0.0, 0.5, 0.99].map(|share| quantile(&sorted, share)), [1.0, 3.0, 5.0]);
        assert!(quantile(&[], 0.5).is_nan());
    }
}
