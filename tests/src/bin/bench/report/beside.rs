//! The tables of what is measured beside packets of established sessions.

use std::cmp::Reverse;

use super::table::Table;
use crate::{
    results::Results,
    sample::Contender,
    text::{count, figure, or_none},
};

/// This product's contenders.
const PRODUCTS: [Contender; 2] = [Contender::XdpOff, Contender::XdpNative];

/// What sessions take of the kernel's memory.
pub(super) fn memory(results: &Results) -> Table {
    let columns = ["", "sessions", "MB, all maps", "bytes per session", "bytes that each adds"].map(str::to_owned);
    let note = "Maps as the kernel accounts for them; most are empty and have their size all the same. \
                Of nftables, only the objects of its connections are counted: what a connection has beside that, and the hash table, are not.";
    let mut table = Table::new("Kernel memory", columns, note);
    let none = || "–".to_owned();
    for contender in PRODUCTS {
        let Some(most) = results.most_memory(contender) else { continue };
        let sessions = f64::from(most.sessions);
        let adds = results.least_memory(contender).map(|least| (most.bytes() - least.bytes()) / sessions);
        table.row([
            contender.name().to_owned(),
            count(most.sessions),
            figure(most.bytes() / 1e6, 1),
            figure(most.bytes() / sessions, 0),
            adds.map_or_else(none, |adds| figure(adds, 0)),
        ]);
    }
    if let Some(bytes) = results.conntrack {
        table.row([Contender::Nftables.name().to_owned(), none(), none(), none(), bytes.to_string()]);
    }
    table
}

/// Which maps take it.
pub(super) fn maps(results: &Results) -> Table {
    let both =
        PRODUCTS.into_iter().rev().find_map(|product| results.least_memory(product).zip(results.most_memory(product)));
    let sessions = both.map_or(0, |(_, most)| most.sessions);
    let columns = ["map".to_owned(), "MB without sessions".to_owned(), format!("MB with {}", count(sessions))];
    let mut table =
        Table::new("Kernel memory by map", columns, "Maps of less than a hundredth of the whole are left out.");
    let Some((least, most)) = both else { return table };
    let mut maps: Vec<(&String, &u64)> =
        most.maps.iter().filter(|(_, bytes)| **bytes as f64 > most.bytes() / 100.0).collect();
    maps.sort_by_key(|(_, bytes)| Reverse(**bytes));
    for (name, bytes) in maps {
        let [before, after] = [least.maps.get(name).unwrap_or(&0), bytes].map(|bytes| figure(*bytes as f64 / 1e6, 1));
        table.row([name.clone(), before, after]);
    }
    table
}

/// How long a datagram takes there and back.
pub(super) fn latency(results: &Results) -> Table {
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
pub(super) fn throughput(results: &Results) -> Table {
    let columns = ["", "Gbit/s"].map(str::to_owned);
    let note = "One connection, all offloads on. XDP is not compared: on a veth it cannot see a checksum that is still to be made, \
                so that `xdp: auto` leaves it off there.";
    let mut table = Table::new("TCP throughput", columns, note);
    for contender in results.throughput.contenders() {
        table.row([contender.name().to_owned(), or_none(results.throughput.spread(contender), 1)]);
    }
    table
}

/// How long the daemon takes.
pub(super) fn daemon(results: &Results) -> Table {
    let columns = ["", "start, ms", "another policy, ms"].map(str::to_owned);
    let note = "Until all programs are loaded, verified by the kernel, and attached, and `status` says so. A policy changes while the \
                datapath goes on. Median of the rounds (quartiles).";
    let mut table = Table::new("The daemon", columns, note);
    for contender in results.starts.contenders() {
        let [start, change] = [&results.starts, &results.changes].map(|of| of.spread(contender));
        table.row([contender.name().to_owned(), or_none(start, 0), or_none(change, 0)]);
    }
    table
}

/// What sweeping takes, and what packets notice of it.
pub(super) fn sweep(results: &Results) -> Table {
    let sweep = &results.sweep;
    let columns =
        ["", "sessions", "CPU time for all of them, ms", "a packet's cost meanwhile, times"].map(str::to_owned);
    let note = "The cost is that of packets on another CPU than the one that sweeps, and as if it did so all the time. \
                Median of the rounds (quartiles).";
    let mut table = Table::new("Sweeping", columns, note);
    for contender in sweep.time.contenders() {
        table.row([
            contender.name().to_owned(),
            count(sweep.sessions),
            or_none(sweep.time.spread(contender), 1),
            or_none(sweep.disturbed.ratio_to(&sweep.undisturbed, contender), 2),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::{
        super::tables::tests::{results, text},
        *,
    };
    use crate::results::Memory;

    #[test]
    fn memory_is_told_as_a_whole_and_by_what_a_session_adds() {
        let mut results = results();
        for (sessions, bytes) in [(0, 9_000_000), (100_000, 39_000_000)] {
            let maps = [("flows4", bytes), ("ports4", 900_000), ("lans", 100_000)];
            let maps = maps.map(|(name, bytes)| (name.to_owned(), bytes)).into();
            results.memory.push(Memory { contender: Contender::XdpNative, sessions, maps });
        }
        let by_map = text(&maps(&results));
        assert!(by_map.contains("| flows4 | 9.0 | 39.0 |") && by_map.contains("| ports4 |"), "{by_map}");
        assert!(!by_map.contains("lans"), "{by_map}");
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
        results.sweep.time.push(Contender::XdpNative, 0, 12.34);
        let text = text(&sweep(&results));
        assert!(text.contains("| 12.3 | 1.10 (1.10–1.10) |"), "{text}");
    }
}
