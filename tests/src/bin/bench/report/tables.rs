//! The tables of a report: those of packets, and of what is promised.

use super::{beside, table::Table};
use crate::{
    floors::{Bound, Floor, Outcome},
    results::Results,
    sample::{Contender, Direction},
    statistics::{Case, Spread},
    text::{flows, or_none, spread},
};

/// All of them, in the order of a report; those that have nothing to show are left out.
pub(crate) fn tables(results: &Results, floors: &[Floor]) -> Vec<Table> {
    let mut tables = Vec::new();
    tables.extend(Direction::ALL.map(|direction| costs(results, direction)));
    tables.extend(Direction::ALL.map(|direction| ratios(results, direction)));
    let others =
        [opening, beside::memory, beside::maps, beside::latency, beside::throughput, beside::daemon, beside::sweep];
    tables.extend(others.map(|table| table(results)));
    tables.push(promises(floors));
    tables.retain(|table| !table.is_empty());
    tables
}

fn by_flows(results: &Results) -> impl Iterator<Item = String> {
    let counts = results.flows.iter().map(|count| flows(*count));
    [String::new()].into_iter().chain(counts)
}

/// What an established session's packet costs.
fn costs(results: &Results, direction: Direction) -> Table {
    let title = format!("Gateway CPU time per packet, {}, nanoseconds", way(direction));
    let note = "64-byte UDP. Median of the rounds (quartiles); less is better.";
    let mut table = Table::new(&title, by_flows(results), note);
    for contender in &results.contenders {
        let cell = |flows: &u32| {
            let case = Case { contender: *contender, direction, flows: *flows };
            match (results.samples.cost(case), results.samples.lossy(case)) {
                (Some(cost), (0, _)) => spread(cost, 0),
                (Some(cost), (lossy, rounds)) => {
                    format!("{}, {lossy} of {rounds} rounds lost packets", spread(cost, 0))
                }
                (None, (0, _)) => "–".to_owned(),
                (None, (lossy, rounds)) => format!("refused: {lossy} of {rounds} rounds lost packets"),
            }
        };
        table.row([contender.name().to_owned()].into_iter().chain(results.flows.iter().map(cell)));
    }
    table
}

/// How many times cheaper it is than with nftables.
fn ratios(results: &Results, direction: Direction) -> Table {
    let title = format!("Times cheaper than {}, {}", Contender::Nftables.name(), way(direction));
    let note = "Ratios are formed round by round; their median (quartiles). More is better.";
    let mut table = Table::new(&title, by_flows(results), note);
    for contender in results.contenders.iter().filter(|contender| **contender != Contender::Nftables) {
        let ratio = |flows: &u32| {
            let case = Case { contender: *contender, direction, flows: *flows };
            results.samples.ratio(case.of(Contender::Nftables), case)
        };
        let ratios: Vec<Option<Spread>> = results.flows.iter().map(ratio).collect();
        if ratios.iter().any(Option::is_some) {
            table.row(
                [contender.name().to_owned()].into_iter().chain(ratios.into_iter().map(|ratio| or_none(ratio, 2))),
            );
        }
    }
    table
}

/// What a new session costs.
fn opening(results: &Results) -> Table {
    let columns = ["", "nanoseconds", "times cheaper than nftables"].map(str::to_owned);
    let note = "CPU time of the first packet of a session, out. Median of the rounds (quartiles).";
    let mut table = Table::new("A new session", columns, note);
    for contender in results.openings.contenders() {
        let ratio = results.openings.ratio(Contender::Nftables, contender);
        let ratio = ratio.filter(|_| contender != Contender::Nftables);
        table.row([contender.name().to_owned(), or_none(results.openings.spread(contender), 0), or_none(ratio, 2)]);
    }
    table
}

/// What is promised.
fn promises(floors: &[Floor]) -> Table {
    let columns = ["promise", "promised", "measured", ""].map(str::to_owned);
    let mut table = Table::new("What is promised", columns, "");
    for floor in floors {
        let (sign, bound) = match floor.bound {
            Bound::AtLeast(bound) => ("≥", bound),
            Bound::AtMost(bound) => ("≤", bound),
        };
        let outcome = match floor.outcome {
            Outcome::Held => "held",
            Outcome::NotReached => "not reached",
            Outcome::NotMeasured => "not measured",
        };
        let digits = if bound < 100.0 { 2 } else { 0 };
        table.row([floor.what.clone(), format!("{sign} {bound}"), or_none(floor.measured, digits), outcome.to_owned()]);
    }
    table
}

const fn way(direction: Direction) -> &'static str {
    match direction {
        Direction::Out => "from clients to the internet",
        Direction::Back => "replies",
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{
        machine::Machine,
        statistics::tests::{CASE, sample},
    };

    pub(crate) fn results() -> Results {
        let mut results =
            Results::new(Machine::default(), vec![1_000], vec![Contender::Nftables, Contender::XdpNative]);
        for round in 0..3 {
            let native = sample(CASE.of(Contender::XdpNative), round, 200.0);
            results.samples.extend(vec![sample(CASE, round, 1700.0), native]);
        }
        results
    }

    pub(crate) fn text(table: &Table) -> String {
        table.markdown()
    }

    #[test]
    fn costs_are_medians_with_quartiles() {
        let text = text(&costs(&results(), Direction::Out));
        assert!(text.contains("|  | 1,000 flows |"), "{text}");
        assert!(text.contains("| nftables filter + masquerade | 1,700 (1,700–1,700) |"), "{text}");
    }

    #[test]
    fn what_lost_packets_is_refused_in_words() {
        let mut results = results();
        for round in 3..9 {
            let mut lost = sample(CASE, round, 1.0);
            lost.delivered -= 1;
            results.samples.extend(vec![lost]);
        }
        let text = text(&costs(&results, Direction::Out));
        assert!(text.contains("| refused: 6 of 9 rounds lost packets |"), "{text}");
        assert!(ratios(&results, Direction::Out).is_empty());
    }

    #[test]
    fn ratios_are_to_nftables_and_leave_it_out() {
        let text = text(&ratios(&results(), Direction::Out));
        assert!(text.contains("| thulium-ctl, xdp: native | 8.50 (8.50–8.50) |"), "{text}");
        assert!(!text.contains("| nftables"), "{text}");
    }

    #[test]
    fn what_was_not_measured_has_no_table() {
        let titles: Vec<String> = tables(&results(), &[]).iter().map(text).collect();
        assert_eq!(titles.len(), 3, "{titles:?}");
    }
}
