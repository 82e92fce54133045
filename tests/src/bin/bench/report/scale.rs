//! A logarithmic scale of the plot.

/// From values to places on the drawing.
pub(super) struct Scale {
    /// The values at its ends.
    first: f64,
    last: f64,
    /// The places of its ends.
    from: f64,
    to: f64,
}

impl Scale {
    /// One on which all values from `least` to `most` have their place, between these two of the drawing. Both are above zero.
    pub(super) fn over(least: f64, most: f64, from: f64, to: f64) -> Self {
        // Ends on even values; a single value gets a scale around it.
        let first = steps().rev().find(|step| *step <= least).unwrap_or(least);
        let last = steps().find(|step| *step >= most && *step > first).unwrap_or(most);
        Self { first, last, from, to }
    }

    /// A value's place.
    pub(super) fn at(&self, value: f64) -> f64 {
        let part = (value / self.first).ln() / (self.last / self.first).ln();
        self.from + part * (self.to - self.from)
    }

    /// Round values to mark.
    pub(super) fn ticks(&self) -> impl Iterator<Item = f64> {
        steps().filter(|step| *step >= self.first && *step <= self.last)
    }

    /// Powers of ten to mark.
    pub(super) fn decades(&self) -> impl Iterator<Item = f64> {
        self.ticks().filter(|tick| tick.log10().fract() == 0.0)
    }
}

/// 1, 2, 5, 10, 20, … up to 500 million.
fn steps() -> impl DoubleEndedIterator<Item = f64> {
    (0..9).flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(power)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_begins_and_ends_on_round_values_around_all() {
        let scale = Scale::over(117.0, 2900.0, 0.0, 100.0);
        assert_eq!(scale.ticks().collect::<Vec<_>>(), [100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0]);
        assert_eq!((scale.at(100.0), scale.at(5000.0).round()), (0.0, 100.0));
    }

    #[test]
    fn equal_ratios_are_equal_distances() {
        let scale = Scale::over(1.0, 1e6, 0.0, 600.0);
        assert!((scale.at(1_000.0) - 300.0).abs() < 1e-6);
        assert_eq!(scale.decades().count(), 7);
    }

    #[test]
    fn a_single_value_has_a_place() {
        let scale = Scale::over(1_000.0, 1_000.0, 10.0, 20.0);
        assert!((10.0..=20.0).contains(&scale.at(1_000.0)));
    }
}
