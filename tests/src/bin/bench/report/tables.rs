//! The tables of a report.

use super::{
    table::Table,
    text::{count, figure, spread},
};
use crate::{
    floors::{Bound, Floor, Outcome},
    results::{Readings, Results},
    sample::{Contender, Direction},
    statistics::{Case, Spread},
};

/// All of them, in the order of a report; those that have nothing to show are left out.
pub(crate) fn tables(results: &Results, floors: &[Floor]) -> Vec<Table> {
    let mut tables = Vec::new();
    tables.extend(Direction::ALL.map(|direction| costs(results, direction)));
    tables.extend(Direction::ALL.map(|direction| ratios(results, direction)));
    tables.extend([opening(results), memory(results), latency(results), throughput(results), times(results)]);
    tables.push(promises(floors));
    tables.retain(|table| !table.is_empty());
    tables
}

fn by_flows(results: &Results) -> impl Iterator<Item = String> {
    let flows = results.flows.iter().map(|flows| if *flows == 1 { "1 flow".to_owned() } else { count(*flows) });
    ["".to_owned()].into_iter().chain(flows)
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

/// What sessions take of the kernel's memory.
fn memory(results: &Results) -> Table {
    let columns = ["", "sessions", "MB, all maps", "bytes per session", "bytes that each adds"].map(str::to_owned);
    let note = "Maps as the kernel accounts for them; most are empty and have their size all the same. \
                Of nftables, only the objects of its connections are counted: what a connection has beside that, and the hash table, are not.";
    let mut table = Table::new("Kernel memory", columns, note);
    for contender in [Contender::XdpOff, Contender::XdpNative] {
        let Some(most) = results.most_memory(contender) else { continue };
        let empty = results.memory.iter().find(|memory| memory.contender == contender && memory.sessions == 0);
        let sessions = f64::from(most.sessions);
        let adds = empty.map(|empty| most.bytes.saturating_sub(empty.bytes) as f64 / sessions);
        table.row([
            contender.name().to_owned(),
            count(most.sessions),
            figure(most.bytes as f64 / 1e6, 1),
            figure(most.bytes as f64 / sessions, 0),
            adds.map_or_else(|| "–".to_owned(), |adds| figure(adds, 0)),
        ]);
    }
    if let Some(bytes) = results.conntrack {
        let none = || "–".to_owned();
        table.row([Contender::Nftables.name().to_owned(), none(), none(), none(), bytes.to_string()]);
    }
    table
}

/// How long a datagram takes there and back.
fn latency(results: &Results) -> Table {
    let columns = ["", "median, µs", "99 of 100, µs"].map(str::to_owned);
    let note = "A UDP datagram to a server and back, one at a time. Median of the rounds (quartiles); less is better.";
    let mut table = Table::new("Latency", columns, note);
    for contender in results.median_latency.contenders() {
        let [median, tail] = [&results.median_latency, &results.tail_latency].map(|of| of.spread(contender));
        table.row([contender.name().to_owned(), or_none(median, 1), or_none(tail, 1)]);
    }
    table
}

/// How much one TCP connection carries.
fn throughput(results: &Results) -> Table {
    let columns = ["", "Gbit/s"].map(str::to_owned);
    let note = "One connection, all offloads on. XDP is not compared: on a veth it cannot see a checksum that is still to be made, \
                so that `xdp: auto` leaves it off there.";
    let mut table = Table::new("TCP throughput", columns, note);
    for contender in results.throughput.contenders() {
        table.row([contender.name().to_owned(), or_none(results.throughput.spread(contender), 1)]);
    }
    table
}

/// How long what happens now and then takes.
fn times(results: &Results) -> Table {
    let columns = ["", "milliseconds"].map(str::to_owned);
    let mut table = Table::new("What happens now and then", columns, "Median of the rounds (quartiles).");
    let mut rows = |what: &str, readings: &Readings| {
        for contender in readings.contenders() {
            table.row([format!("{what}, {}", contender.name()), or_none(readings.spread(contender), 0)]);
        }
    };
    rows("start of the daemon until all programs are loaded and attached", &results.starts);
    rows("another policy, sessions going on", &results.changes);
    let sweep = &results.sweep;
    rows(&format!("sweep over {} sessions, of one CPU", count(sweep.sessions)), &sweep.time);
    for contender in sweep.disturbed.contenders() {
        let what =
            format!("a packet's cost while another CPU sweeps all the time, {}: times as much", contender.name());
        table.row([what, or_none(sweep.disturbed.ratio_to(&sweep.undisturbed, contender), 2)]);
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

fn or_none(value: Option<Spread>, digits: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| spread(value, digits))
}

const fn way(direction: Direction) -> &'static str {
    match direction {
        Direction::Out => "from clients to the internet",
        Direction::Back => "replies",
    }
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
        let mut results =
            Results::new(Machine::default(), vec![1_000], vec![Contender::Nftables, Contender::XdpNative]);
        for round in 0..3 {
            let native = sample(CASE.of(Contender::XdpNative), round, 200.0);
            results.samples.extend(vec![sample(CASE, round, 1700.0), native]);
        }
        results
    }

    fn text(table: &Table) -> String {
        table.markdown()
    }

    #[test]
    fn costs_are_medians_with_quartiles() {
        let text = text(&costs(&results(), Direction::Out));
        assert!(text.contains("|  | 1,000 |"), "{text}");
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
    fn memory_is_told_as_a_whole_and_by_what_a_session_adds() {
        let mut results = results();
        for (sessions, bytes) in [(0, 10_000_000), (100_000, 40_000_000)] {
            results.memory.push(Memory { contender: Contender::XdpNative, sessions, bytes });
        }
        let text = text(&memory(&results));
        assert!(text.contains("| thulium-ctl, xdp: native | 100,000 | 40.0 | 400 | 300 |"), "{text}");
    }

    #[test]
    fn a_sweeps_dent_is_formed_round_by_round() {
        let mut results = results();
        for (round, slow) in [(0, 1.0), (1, 4.0), (2, 1.0)] {
            results.sweep.undisturbed.push(Contender::XdpNative, round, 200.0 * slow);
            results.sweep.disturbed.push(Contender::XdpNative, round, 220.0 * slow);
        }
        let text = text(&times(&results));
        assert!(text.contains("| 1.10 (1.10–1.10) |"), "{text}");
    }

    #[test]
    fn what_was_not_measured_has_no_table() {
        let titles: Vec<String> = tables(&results(), &[]).iter().map(text).collect();
        assert_eq!(titles.len(), 3, "{titles:?}");
    }
}
