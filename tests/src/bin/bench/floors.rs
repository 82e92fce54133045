//! What the product promises of its speed, and whether this run says so. A promise is a ratio within one run, or bytes: other
//! machines keep it, too.

use serde::Serialize;

use crate::{
    results::Results,
    sample::{Contender, Direction},
    statistics::{Case, Spread},
    text,
};

/// How many times cheaper than nftables a packet is with `xdp: native`, by flows.
const NATIVE: [(u32, f64); 4] = [(1_000, 8.0), (10_000, 7.0), (100_000, 6.0), (1_000_000, 6.0)];
/// What part of the limit's speed it has at 1,000 flows.
const OF_LIMIT: f64 = 0.5;
/// How many times cheaper than nftables a packet is at 1,000 flows with `xdp: off`.
const OFF: f64 = 1.4;
/// How many times cheaper than nftables a new session is.
const OPENING: f64 = 2.0;
/// Bytes of kernel memory that an IPv4 session takes at most, with all maps.
const SESSION: f64 = 400.0;
/// How many times dearer a packet is at most over a million flows than over one.
const GROWTH: f64 = 3.0;
/// Sessions below which maps are mostly what they are when empty.
const MANY: u32 = 1_000_000;

/// On which side of a value the measured one has to be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Bound {
    /// This, or more.
    AtLeast(f64),
    /// This, or less.
    AtMost(f64),
}

/// Whether a promise is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Outcome {
    /// It is.
    Held,
    /// It is not.
    NotReached,
    /// This run does not tell.
    NotMeasured,
}

/// A promise.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Floor {
    /// What of.
    pub(crate) what: String,
    /// How much it is to be.
    pub(crate) bound: Bound,
    /// How much it is.
    pub(crate) measured: Option<Spread>,
    /// Whether that is enough.
    pub(crate) outcome: Outcome,
}

impl Floor {
    fn new(what: String, bound: Bound, measured: Option<Spread>) -> Self {
        let outcome = match (measured, bound) {
            (None, _) => Outcome::NotMeasured,
            (Some(spread), Bound::AtLeast(least)) if spread.median >= least => Outcome::Held,
            (Some(spread), Bound::AtMost(most)) if spread.median <= most => Outcome::Held,
            _ => Outcome::NotReached,
        };
        Self { what, bound, measured, outcome }
    }

    /// What is wrong with it, in a sentence, if it was measured and not reached.
    pub(crate) fn complaint(&self) -> Option<String> {
        let median = self.measured.filter(|_| self.outcome == Outcome::NotReached)?.median;
        Some(match self.bound {
            Bound::AtLeast(least) => format!("Not reached: {}: {median:.2}, and {least} is promised.", self.what),
            Bound::AtMost(most) => {
                format!("Not reached: {}: {median:.2}, and {most} at most are promised.", self.what)
            }
        })
    }
}

/// All promises, against what was found.
pub(crate) fn floors(results: &Results) -> Vec<Floor> {
    let mut floors = Vec::new();
    for direction in Direction::ALL {
        floors.extend(packets(results, direction));
    }
    floors.extend([Contender::XdpOff, Contender::XdpNative].map(|contender| {
        let ratio = results.openings.ratio(Contender::Nftables, contender);
        let what = format!("a new session: times cheaper than nftables, {}", contender.name());
        Floor::new(what, Bound::AtLeast(OPENING), ratio)
    }));
    floors.extend([Contender::XdpOff, Contender::XdpNative].map(|contender| {
        let memory = results.most_memory(contender).filter(|memory| memory.sessions >= MANY);
        let each = memory.map(|memory| memory.bytes() / f64::from(memory.sessions));
        let what = format!("a session: bytes of kernel memory, all maps, {}", contender.name());
        Floor::new(what, Bound::AtMost(SESSION), each.and_then(|each| Spread::of([each])))
    }));
    floors
}

/// Those of packets of established sessions in one direction.
fn packets(results: &Results, direction: Direction) -> Vec<Floor> {
    let case = |contender, flows| Case { contender, direction, flows };
    let way = direction.name();
    let mut floors = Vec::new();
    for (flows, least) in NATIVE {
        let native = case(Contender::XdpNative, flows);
        let ratio = results.samples.ratio(native.of(Contender::Nftables), native);
        let what = format!("xdp: native, {}, {way}: times cheaper than nftables", text::flows(flows));
        floors.push(Floor::new(what, Bound::AtLeast(least), ratio));
    }
    let native = case(Contender::XdpNative, 1_000);
    let speed = results.samples.ratio(native.of(Contender::BareRedirect), native);
    let what = format!("xdp: native, 1,000 flows, {way}: part of the bare redirect's speed");
    floors.push(Floor::new(what, Bound::AtLeast(OF_LIMIT), speed));
    let off = case(Contender::XdpOff, 1_000);
    let ratio = results.samples.ratio(off.of(Contender::Nftables), off);
    let what = format!("xdp: off, 1,000 flows, {way}: times cheaper than nftables");
    floors.push(Floor::new(what, Bound::AtLeast(OFF), ratio));
    for contender in [Contender::XdpOff, Contender::XdpNative] {
        let one = case(contender, 1);
        let growth = results.samples.ratio(one.over(1_000_000), one);
        let what = format!("{}, {way}: times dearer over 1,000,000 flows than over 1", contender.name());
        floors.push(Floor::new(what, Bound::AtMost(GROWTH), growth));
    }
    floors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        machine::Machine,
        results::Memory,
        statistics::tests::{CASE, sample},
    };

    fn results() -> Results {
        Results::new(Machine::default(), vec![1_000], Contender::ALL.to_vec())
    }

    fn memory(sessions: u32, bytes: u64) -> Memory {
        Memory { contender: Contender::XdpNative, sessions, maps: [("flows4".to_owned(), bytes)].into() }
    }

    fn outcome(results: &Results, what: &str) -> Outcome {
        let floor = floors(results).into_iter().find(|floor| floor.what == what);
        floor.unwrap_or_else(|| panic!("no floor {what}")).outcome
    }

    #[test]
    fn a_run_without_samples_tells_nothing() {
        let floors = floors(&results());
        assert!(floors.iter().all(|floor| floor.outcome == Outcome::NotMeasured && floor.complaint().is_none()));
        assert_eq!(floors.len(), 2 * (4 + 1 + 1 + 2) + 2 + 2);
    }

    #[test]
    fn eight_times_cheaper_is_held_and_less_is_not() {
        let what = "xdp: native, 1,000 flows, out: times cheaper than nftables";
        for (cost, expected) in [(200.0, Outcome::Held), (201.0, Outcome::NotReached)] {
            let mut results = results();
            let native = CASE.of(Contender::XdpNative);
            results.samples.extend(vec![sample(CASE, 0, 1600.0), sample(native, 0, cost)]);
            assert_eq!(outcome(&results, what), expected);
        }
    }

    #[test]
    fn half_the_limits_speed_means_at_most_twice_its_cost() {
        let what = "xdp: native, 1,000 flows, out: part of the bare redirect's speed";
        for (cost, expected) in [(240.0, Outcome::Held), (242.0, Outcome::NotReached)] {
            let mut results = results();
            let [native, bare] = [Contender::XdpNative, Contender::BareRedirect].map(|contender| CASE.of(contender));
            results.samples.extend(vec![sample(native, 0, cost), sample(bare, 0, 120.0)]);
            assert_eq!(outcome(&results, what), expected);
        }
    }

    #[test]
    fn a_session_may_take_400_bytes_and_few_sessions_do_not_tell() {
        let what = "a session: bytes of kernel memory, all maps, thulium-ctl, xdp: native";
        let mut results = results();
        results.memory.push(memory(1_000, 50_000_000));
        assert_eq!(outcome(&results, what), Outcome::NotMeasured);
        results.memory.push(memory(1_000_000, 400_000_000));
        assert_eq!(outcome(&results, what), Outcome::Held);
        results.memory.push(memory(1_000_001, 500_000_000));
        assert_eq!(outcome(&results, what), Outcome::NotReached);
    }

    #[test]
    fn a_complaint_says_what_is_missing() {
        let floor = Floor::new("a thing".to_owned(), Bound::AtLeast(8.0), Spread::of([7.123]));
        assert_eq!(floor.complaint().as_deref(), Some("Not reached: a thing: 7.12, and 8 is promised."));
        let floor = Floor::new("a thing".to_owned(), Bound::AtMost(3.0), Spread::of([3.5]));
        assert_eq!(floor.complaint().as_deref(), Some("Not reached: a thing: 3.50, and 3 at most are promised."));
    }
}
