//! What the counters say of refused packets.

use aya::maps::PerCpuHashMap;
use thulium_ebpf::abi::{Counter, Direction, DropKey, Family, NO_SLOT, Reason, Verdict};

use crate::gateway::{Gateway, Hook};

/// What a test expects of a refused packet beside what follows from the packet itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) reason: Reason,
    pub(crate) flow: Option<u8>,
    pub(crate) verdict: Verdict,
}

/// One row of the counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) refused: Refused,
    pub(crate) direction: &'static str,
    pub(crate) interface: &'static str,
    pub(crate) family: &'static str,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

impl Refused {
    /// Refused for this reason, under no flow.
    pub(crate) const fn new(reason: Reason) -> Self {
        Self { reason, flow: None, verdict: Verdict::Drop }
    }

    /// Refused although this flow names it.
    pub(crate) const fn of_flow(reason: Reason, flow: u8) -> Self {
        Self { reason, flow: Some(flow), verdict: Verdict::Drop }
    }

    /// The same, but spared with this verdict.
    pub(crate) const fn spared(self, verdict: Verdict) -> Self {
        Self { verdict, ..self }
    }

    /// The row that `packet` leaves in the counters when a hook refuses it.
    pub(crate) fn counted(self, hook: Hook, packet: &[u8]) -> Row {
        let (direction, interface) = hook.place();
        let family = if packet[0] >> 4 == 6 { "ipv6" } else { "ipv4" };
        Row { refused: self, direction, interface, family, packets: 1, bytes: packet.len() as u64 }
    }
}

impl Gateway {
    /// Everything counted since the last call.
    pub(crate) fn take_refused(&mut self) -> Vec<Row> {
        let (lan, wan, wan1) = (self.lan, self.wan, self.wan1);
        let mut drops: PerCpuHashMap<_, DropKey, Counter> = self.object().map_mut("drops").unwrap().try_into().unwrap();
        let counted: Vec<_> = drops.iter().map(Result::unwrap).collect();
        let row = |key: DropKey, packets, bytes| Row {
            refused: Refused {
                reason: Reason::from_number(key.reason).expect("a reason that is none"),
                flow: (key.flow != NO_SLOT).then_some(key.flow),
                verdict: [Verdict::Drop, Verdict::WouldDrop, Verdict::Pass][usize::from(key.verdict)],
            },
            direction: if key.direction == Direction::Out as u8 { "out" } else { "in" },
            interface: match key.interface {
                index if index == lan => "lan0",
                index if index == wan => "wan0",
                index if index == wan1 => "wan1",
                _ => "another",
            },
            family: if key.family == Family::Ipv6 as u8 { "ipv6" } else { "ipv4" },
            packets,
            bytes,
        };
        let mut rows = Vec::new();
        for (key, counters) in counted {
            drops.remove(&key).unwrap();
            let sum = |field: fn(&Counter) -> u64| counters.iter().map(field).sum();
            rows.push(row(key, sum(|counter| counter.packets), sum(|counter| counter.bytes)));
        }
        rows
    }
}
