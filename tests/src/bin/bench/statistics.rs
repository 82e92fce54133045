//! Medians with their spread, and ratios that are formed round by round.
//!
//! A machine's speed drifts; what two contenders did in the same round had the same machine. So a ratio is the median of the
//! rounds' ratios, and not the ratio of two medians.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::sample::{Contender, Direction, Sample};

/// A median, and between which values the middle half of all lies.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    /// Half of the values are below.
    pub(crate) median: f64,
    /// The lower quartile.
    pub(crate) low: f64,
    /// The upper quartile.
    pub(crate) high: f64,
    /// How many values there were.
    pub(crate) count: usize,
}

impl Spread {
    /// That of these values; of none there is none.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let at = |part| quantile(&values, part);
        Some(Self { median: at(0.5)?, low: at(0.25)?, high: at(0.75)?, count: values.len() })
    }
}

/// The value below which this part of the sorted ones lies, between two of them where it has to.
fn quantile(sorted: &[f64], part: f64) -> Option<f64> {
    let place = part * sorted.len().checked_sub(1)? as f64;
    let (below, above) = (sorted.get(place.floor() as usize)?, sorted.get(place.ceil() as usize)?);
    Some(below + (above - below) * place.fract())
}

/// What one contender's packets cost in one direction over so many flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Case {
    pub(crate) contender: Contender,
    pub(crate) direction: Direction,
    pub(crate) flows: u32,
}

impl Case {
    /// The same of another contender.
    pub(crate) const fn of(self, contender: Contender) -> Self {
        Self { contender, ..self }
    }

    /// The same over another count of flows.
    pub(crate) const fn over(self, flows: u32) -> Self {
        Self { flows, ..self }
    }

    fn has(self, sample: &Sample) -> bool {
        (sample.contender, sample.direction, sample.flows) == (self.contender, self.direction, self.flows)
    }
}

/// Samples, and what may be said of them.
#[derive(Default)]
pub(crate) struct Samples(Vec<Sample>);

impl Samples {
    /// Adds those of a round.
    pub(crate) fn extend(&mut self, samples: Vec<Sample>) {
        self.0.extend(samples);
    }

    /// All of them, in the order of their measuring.
    pub(crate) fn all(&self) -> &[Sample] {
        &self.0
    }

    /// Rounds of a case in which packets were lost, and all of its rounds.
    pub(crate) fn lossy(&self, case: Case) -> (usize, usize) {
        let rounds = || self.0.iter().filter(|sample| case.has(sample));
        (rounds().filter(|sample| !sample.is_sound()).count(), rounds().count())
    }

    /// CPU time per packet by round, nanoseconds. Rounds that lost packets have none; if half of them did, all are refused: a
    /// gateway that is given less to do may look cheaper, or dearer.
    fn costs(&self, case: Case) -> BTreeMap<u32, f64> {
        let (lossy, rounds) = self.lossy(case);
        if lossy * 2 >= rounds {
            return BTreeMap::new();
        }
        let sound = self.0.iter().filter(|sample| case.has(sample) && sample.is_sound());
        sound.map(|sample| (sample.round, sample.cost())).collect()
    }

    /// A case's CPU time per packet, nanoseconds; none if it was not measured, or refused for its losses.
    pub(crate) fn cost(&self, case: Case) -> Option<Spread> {
        Spread::of(self.costs(case).into_values())
    }

    /// How many times dearer `case` is than `base`, round by round.
    pub(crate) fn ratio(&self, case: Case, base: Case) -> Option<Spread> {
        ratio(&self.costs(case), &self.costs(base))
    }
}

/// The ratios of the rounds that both have.
pub(crate) fn ratio(dividends: &BTreeMap<u32, f64>, divisors: &BTreeMap<u32, f64>) -> Option<Spread> {
    let both = dividends.iter().filter_map(|(round, dividend)| Some((dividend, divisors.get(round)?)));
    // A cost is a difference, and may come out as nothing where a machine is restless.
    Spread::of(both.filter(|(_, divisor)| **divisor > 0.0).map(|(dividend, divisor)| dividend / divisor))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const CASE: Case = Case { contender: Contender::Nftables, direction: Direction::Out, flows: 1000 };

    pub(crate) fn sample(case: Case, round: u32, cost: f64) -> Sample {
        let Case { contender, direction, flows } = case;
        Sample {
            contender,
            direction,
            flows,
            round,
            sent: 10,
            delivered: 10,
            wire_lost: 0,
            whole: cost + 80.0,
            wire: 80.0,
        }
    }

    fn lost(case: Case, round: u32, cost: f64) -> Sample {
        Sample { delivered: 9, ..sample(case, round, cost) }
    }

    fn close(value: f64, expected: f64) -> bool {
        (value - expected).abs() < 1e-9
    }

    #[test]
    fn a_spread_is_median_and_quartiles_whatever_the_order() {
        let spread = Spread::of([5.0, 1.0, 3.0, 2.0, 4.0]).unwrap();
        assert_eq!((spread.low, spread.median, spread.high, spread.count), (2.0, 3.0, 4.0, 5));
        let between = Spread::of([1.0, 2.0]).unwrap();
        assert_eq!((between.low, between.median, between.high), (1.25, 1.5, 1.75));
        let one = Spread::of([7.0]).unwrap();
        assert_eq!((one.low, one.median, one.high), (7.0, 7.0, 7.0));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn an_outlier_moves_neither_median_nor_quartiles() {
        let spread = Spread::of([100.0, 101.0, 102.0, 103.0, 1e9]).unwrap();
        assert_eq!((spread.low, spread.median, spread.high), (101.0, 102.0, 103.0));
    }

    #[test]
    fn ratios_are_formed_round_by_round() {
        let native = CASE.of(Contender::XdpNative);
        let mut samples = Samples::default();
        // The machine is three times slower in the second round, for both.
        for (round, slow) in [(0, 1.0), (1, 3.0), (2, 1.0)] {
            samples.extend(vec![sample(CASE, round, 1600.0 * slow), sample(native, round, 200.0 * slow)]);
        }
        let ratio = samples.ratio(CASE, native).unwrap();
        assert!(close(ratio.median, 8.0) && close(ratio.low, 8.0) && close(ratio.high, 8.0), "{ratio:?}");
    }

    #[test]
    fn a_round_that_lost_packets_is_not_compared() {
        let native = CASE.of(Contender::XdpNative);
        let mut samples = Samples::default();
        for round in 0..3 {
            samples.extend(vec![sample(CASE, round, 1600.0), sample(native, round, 200.0)]);
        }
        samples.extend(vec![sample(CASE, 3, 1600.0), lost(native, 3, 2.0)]);
        assert_eq!(samples.ratio(CASE, native).unwrap().count, 3);
        assert!(close(samples.cost(native).unwrap().median, 200.0));
        assert_eq!((samples.lossy(native), samples.lossy(CASE)), ((1, 4), (0, 4)));
    }

    #[test]
    fn a_round_that_lost_packets_without_a_gateway_is_not_compared() {
        let mut samples = Samples::default();
        let doubtful = Sample { wire_lost: 1, ..sample(CASE, 2, 1.0) };
        samples.extend(vec![sample(CASE, 0, 1600.0), sample(CASE, 1, 1600.0), doubtful]);
        assert_eq!((samples.lossy(CASE), samples.cost(CASE).unwrap().count), ((1, 3), 2));
    }

    #[test]
    fn who_loses_packets_in_half_of_the_rounds_is_not_compared_at_all() {
        let mut samples = Samples::default();
        samples.extend(vec![sample(CASE, 0, 1600.0), lost(CASE, 1, 1600.0)]);
        assert_eq!(samples.cost(CASE), None);
        assert_eq!(samples.ratio(CASE, CASE), None);
    }

    #[test]
    fn only_the_rounds_of_the_case_count() {
        let mut samples = Samples::default();
        samples.extend(vec![sample(CASE, 0, 1.0), sample(CASE.over(1), 0, 5.0)]);
        let back = Case { direction: Direction::Back, ..CASE };
        samples.extend(vec![sample(back, 0, 9.0)]);
        assert!(close(samples.cost(CASE).unwrap().median, 1.0));
        assert_eq!(samples.cost(CASE.of(Contender::XdpOff)), None);
    }

    #[test]
    fn nothing_is_divided_by_a_cost_that_came_out_as_nothing() {
        let costs = |values: [f64; 2]| (0..).zip(values).collect::<BTreeMap<u32, f64>>();
        assert_eq!(ratio(&costs([10.0, 30.0]), &costs([-1.0, 10.0])).unwrap().median, 3.0);
        assert_eq!(ratio(&costs([10.0, 30.0]), &BTreeMap::new()), None);
    }
}
