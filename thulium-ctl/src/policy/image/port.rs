//! Ranges of ports → prefixes, such that the longest match gives all flows that contain the port.

use thulium_ebpf::abi::PortPrefix;

use super::PrefixEntry;
use crate::policy::{Flow, PortRange, Protocol};

/// The prefixes of all flows; a flow's bit is its rank.
pub(super) fn prefixes(flows: &[Flow], generation: u32) -> Vec<PrefixEntry<PortPrefix>> {
    let protocols = [Protocol::Tcp, Protocol::Udp, Protocol::Icmp].into_iter();
    protocols.flat_map(|protocol| of_protocol(flows, protocol, generation)).collect()
}

fn of_protocol(flows: &[Flow], protocol: Protocol, generation: u32) -> Vec<PrefixEntry<PortPrefix>> {
    let ranges = flows.iter().enumerate().flat_map(|(rank, flow)| flow.ports.iter().map(move |range| (rank, *range)));
    let ranges = ranges.filter(|(_, range)| range.protocol == protocol).collect::<Vec<_>>();
    let mut entries = Vec::new();
    for (first, last, vector) in intervals(&ranges) {
        for (port, length) in split(first, last) {
            let data = |number| PortPrefix { generation, protocol: number, port: port.to_be_bytes(), pad: 0 };
            let prefix_len = u32::BITS + u8::BITS + length;
            entries.extend(protocol.numbers().iter().map(|number| PrefixEntry {
                prefix_len,
                data: data(*number),
                vector,
            }));
        }
    }
    entries
}

/// Disjoint intervals in ascending order, each with the vector of the ranges that contain it. Ends are included.
fn intervals(ranges: &[(usize, PortRange)]) -> Vec<(u32, u32, u64)> {
    let mut starts =
        ranges.iter().flat_map(|(_, range)| [u32::from(range.first), u32::from(range.last) + 1]).collect::<Vec<_>>();
    starts.sort_unstable();
    starts.dedup();
    let mut intervals: Vec<(u32, u32, u64)> = Vec::new();
    for pair in starts.windows(2) {
        let (first, last) = (pair[0], pair[1] - 1);
        let within = |range: &PortRange| u32::from(range.first) <= first && last <= u32::from(range.last);
        let vector = ranges.iter().filter(|(_, range)| within(range)).fold(0, |vector, (rank, _)| vector | 1 << rank);
        match intervals.last_mut() {
            // A flow's neighbouring ranges are one interval.
            Some((_, end, same)) if *same == vector && *end + 1 == first => *end = last,
            _ if vector == 0 => {}
            _ => intervals.push((first, last, vector)),
        }
    }
    intervals
}

/// The fewest prefixes (port, bits) that make up an interval.
fn split(mut first: u32, last: u32) -> Vec<(u16, u32)> {
    let mut prefixes = Vec::new();
    while first <= last {
        // The largest block that begins here and ends in time.
        let mut bits = first.trailing_zeros().min(u16::BITS);
        while first + (1 << bits) - 1 > last {
            bits -= 1;
        }
        prefixes.push((first as u16, u16::BITS - bits));
        first += 1 << bits;
    }
    prefixes
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn a_range_becomes_the_fewest_prefixes() {
        assert_eq!(split(443, 443), [(443, 16)]);
        assert_eq!(split(16000, 16383), [(16000, 9), (16128, 8)]);
        assert_eq!(split(1, 65535).len(), 16);
        assert_eq!(split(0, 65535), [(0, 0)]);
    }
}
