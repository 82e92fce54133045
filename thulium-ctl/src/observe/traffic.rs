//! What sessions have carried, summed up as an admin wants to see it; and by which path through the gateway.

use std::{fmt, ops::Add as _};

use serde::Serialize;
use thulium_ebpf::abi::{Counter, LAN_SLOTS, PATHS, Path, Traffic, UPLINK_SLOTS};

use super::{drops::Sum, quantity::count, status::Role};

/// Packets of sessions that came in by an interface, by the path that they took from there, since the maps were made. Every packet of a
/// session comes in by one interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct InterfacePaths {
    /// The interface's name.
    pub interface: String,
    /// Sent on by XDP.
    pub xdp: Share,
    /// Sent on by TC.
    pub tc: Share,
    /// Through the kernel.
    pub kernel: Share,
}

/// What has taken a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Share {
    /// Packets.
    pub packets: u64,
    /// IP bytes.
    pub bytes: u64,
    /// Of 1,000 packets, rounded down.
    pub share: u64,
}

/// What came in by the interface of this slot, among those of its `role`.
pub fn paths_of(traffic: &[Traffic], interface: &str, role: Role, slot: u8) -> InterfacePaths {
    let mut by_path = match role {
        Role::Lan => of_lan(traffic, slot).out,
        Role::Uplink => of_uplink(traffic, slot).back,
    };
    let all = sum(&by_path).packets;
    let mut share = |path: Path| {
        let Counter { packets, bytes } = std::mem::take(&mut by_path[path as usize]);
        Share { packets, bytes, share: permille(packets, all) }
    };
    InterfacePaths {
        interface: interface.to_owned(),
        xdp: share(Path::Xdp),
        tc: share(Path::Tc),
        kernel: share(Path::Kernel),
    }
}

const fn permille(part: u64, all: u64) -> u64 {
    // A product of counters may be larger than a word.
    if all == 0 { 0 } else { (part as u128 * 1000 / all as u128) as u64 }
}

impl InterfacePaths {
    /// The paths with their names, the shortest first.
    const fn named(&self) -> [(&'static str, Share); PATHS] {
        [("XDP", self.xdp), ("TC", self.tc), ("kernel", self.kernel)]
    }
}

impl fmt::Display for InterfacePaths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let taken = self.named().into_iter().filter(|(_, share)| share.packets > 0);
        let taken: Vec<String> = taken.map(|(name, share)| format!("{name} {share}")).collect();
        if taken.is_empty() {
            return write!(f, "{}: no packet of a session yet", self.interface);
        }
        write!(f, "{}: {}", self.interface, taken.join(", "))
    }
}

/// Never 0 % of some packets, nor 100 % where others took another path: that is what an admin looks for.
impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.share {
            0 => write!(f, "<0.1 %")?,
            1000 => write!(f, "100 %")?,
            share => write!(f, "{}.{} %", share / 10, share % 10)?,
        }
        write!(f, " ({})", count(self.packets, "packet"))
    }
}

/// What an uplink has carried, of all that is counted by [`Traffic::place`].
pub(super) fn of_uplink(traffic: &[Traffic], uplink: u8) -> Traffic {
    total(traffic, (0..LAN_SLOTS as u8).map(|lan| Traffic::place(lan, uplink)))
}

/// What a LAN interface has carried.
fn of_lan(traffic: &[Traffic], lan: u8) -> Traffic {
    total(traffic, (0..UPLINK_SLOTS as u8).map(|uplink| Traffic::place(lan, uplink)))
}

/// The sum over all paths.
pub(super) fn sum(by_path: &[Counter; PATHS]) -> Sum {
    let Counter { packets, bytes } = by_path.iter().copied().fold(Counter::default(), Counter::add);
    Sum { packets, bytes }
}

fn total(traffic: &[Traffic], places: impl Iterator<Item = u32>) -> Traffic {
    places.filter_map(|place| traffic.get(place as usize).copied()).fold(Traffic::default(), Traffic::add)
}

#[cfg(test)]
mod tests;
