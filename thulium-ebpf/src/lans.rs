//! The interfaces of the LAN by slot. Sessions know the slot alone: it stays when the interface is made anew.

use crate::maps::LANS;

/// Index of the LAN interface of a slot; 0: it is gone.
#[inline(always)]
pub fn interface_of(slot: u8) -> u32 {
    LANS.get(u32::from(slot)).map_or(0, |interface| *interface)
}
