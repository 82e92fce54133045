//! How large the tables of sessions are, and what memory they take, for the `capacity` of a policy.

use crate::{
    abi::{
        Address4, Address6, Endpoint, FlowEntry, FlowKey, FlowRecord, MappingKey, PortKey, PortOwner, RESTING_PORTS,
        SweepItem,
    },
    directory::{Line, Shape},
};

/// Ports that can be mapped at once, those that rest included: all of an external address by three protocols.
pub const PORTS: u32 = 3 * 65_536;
/// Those of them that are others than their clients' own: more than the reserved ranges of two external addresses have.
pub const MAPPINGS: u32 = 131_072;
/// What else is in the sweepers' queues beside one item of each session: a key may stand there twice for a while.
const SWEEP_SLACK: u32 = 4096;

/// What the maps take whose size does not depend on the capacity, bytes (measured, on two CPUs).
const OTHERS: u64 = 22 << 20;
/// Kernel: `struct htab_elem`, in front of key and value; and the place of an element in a free list.
const ELEMENT_HEADER: u64 = 48;
const FREE_LIST: u64 = 8;
/// Kernel: `struct bucket`.
const BUCKET: u64 = 16;

/// IPv6 sessions that there is room for beside `capacity` IPv4 sessions: a quarter as many.
pub const fn ipv6_sessions(capacity: u32) -> u32 {
    capacity.div_ceil(4)
}

/// The `capacity` for which `flows4` was made with so many entries.
pub const fn sessions(flows4: u32) -> u32 {
    flows4 / 2
}

/// Entries of a map whose size depends on the policy's `capacity`; `None`: its size is fixed in the programs.
pub fn entries(map: &str, capacity: u32) -> Option<u32> {
    let of_ipv6 = ipv6_sessions(capacity);
    match map {
        // Two directions a session.
        "flows4" => Some(2 * capacity),
        "lines4" => Some(Shape::of(capacity).lines()),
        // Two of them.
        "flows6" => Some(2 * of_ipv6),
        "sweep4" => Some(capacity + SWEEP_SLACK),
        "sweep6" => Some(of_ipv6 + SWEEP_SLACK),
        // Those that rest need room beside those in use.
        "ports4" => Some(PORTS.min(capacity + RESTING_PORTS as u32)),
        "mappings4" => Some(MAPPINGS.min(capacity)),
        // Hellos are awaited for moments. Where that many are, more sessions of a flow with a TLS floor are refused.
        "hellos4" => Some(capacity.div_ceil(4)),
        "hellos6" => Some(of_ipv6.div_ceil(4)),
        _ => None,
    }
}

/// Memory that all maps of an instance take, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// From the start: IPv4 sessions have theirs, whether there are any or not.
    pub empty: u64,
    /// When both families have as many sessions as there can be.
    pub full: u64,
}

/// Memory that all maps take with this `capacity`.
pub fn memory(capacity: u32) -> Memory {
    let size = |map: &str| u64::from(entries(map, capacity).unwrap_or(0));
    let prepared = |map: &str, key: usize, value: usize| buckets(size(map)) + size(map) * element(key, value);
    let empty = OTHERS
        + size("flows4") * size_of::<FlowRecord>() as u64
        + size("lines4") * size_of::<Line>() as u64
        + prepared("ports4", size_of::<PortKey<Address4>>(), size_of::<PortOwner<Address4>>())
        + buckets(size("flows6"))
        + buckets(size("mappings4"))
        + buckets(size("hellos4"))
        + buckets(size("hellos6"))
        + size("sweep4") * size_of::<SweepItem<Address4>>() as u64
        + size("sweep6") * size_of::<SweepItem<Address6>>() as u64;
    let flow6 = allocated(size_of::<FlowKey<Address6>>(), size_of::<FlowEntry<Address6>>());
    let mapping = allocated(size_of::<MappingKey<Address4>>(), size_of::<Endpoint<Address4>>());
    Memory { empty, full: empty + size("flows6") * flow6 + size("mappings4") * mapping }
}

/// Kernel: `htab_map_alloc`.
const fn buckets(entries: u64) -> u64 {
    entries.next_power_of_two() * BUCKET
}

const fn element(key: usize, value: usize) -> u64 {
    ELEMENT_HEADER + (key.next_multiple_of(8) + value.next_multiple_of(8)) as u64
}

/// What the kernel's allocator makes of an element that is made when it comes (kernel: `kmalloc`'s sizes).
fn allocated(key: usize, value: usize) -> u64 {
    let asked = element(key, value) + FREE_LIST;
    [64, 96, 128, 192, 256].into_iter().find(|size| *size >= asked).unwrap_or(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_ipv4_sessions_take_300_bytes_each_at_most() {
        let capacity = 1 << 20;
        let memory = memory(capacity);
        // Of a million, and not of the power of two.
        assert!(memory.empty / 1_000_000 <= 300, "{memory:?}");
    }

    #[test]
    fn the_default_fits_a_small_gateway() {
        // A tenth of 1 GiB from the start, and a seventh when all is full.
        let memory = memory(262_144);
        assert!(memory.empty < (1 << 30) / 10, "{memory:?}");
        assert!(memory.full < (1 << 30) / 7, "{memory:?}");
    }

    #[test]
    fn what_a_session_needs_is_there_for_every_session() {
        for capacity in [1, 64, 262_144, 4_194_304] {
            assert_eq!(entries("flows4", capacity).map(sessions), Some(capacity));
            assert!(entries("sweep4", capacity) >= Some(capacity));
            assert!(entries("flows6", capacity) >= Some(capacity / 2));
            for map in ["ports4", "mappings4", "hellos4", "hellos6"] {
                assert!(entries(map, capacity) > Some(0), "{map}");
            }
        }
        assert_eq!(entries("uplinks", 64), None);
    }
}
