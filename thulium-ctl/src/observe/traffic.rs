//! What sessions have carried, summed up as an admin wants to see it.

use std::ops::Add as _;

use thulium_ebpf::abi::{Counter, LAN_SLOTS, PATHS, Traffic, UPLINK_SLOTS};

use super::drops::Sum;

/// What an uplink has carried, of all that is counted by [`Traffic::place`].
pub(super) fn of_uplink(traffic: &[Traffic], uplink: u8) -> Traffic {
    total(traffic, (0..LAN_SLOTS as u8).map(|lan| Traffic::place(lan, uplink)))
}

/// What a LAN interface has carried.
pub(super) fn of_lan(traffic: &[Traffic], lan: u8) -> Traffic {
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
