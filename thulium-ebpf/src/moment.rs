//! The point in time and the generation of the policy that a packet sees.

use aya_ebpf::helpers::generated::bpf_ktime_get_ns;

use crate::{
    abi::{GENERATIONS, Settings, ticks},
    maps::{GENERATION, ROOM_OF_ORDERS, ROOM_OF_PACKETS, SETTINGS},
};

/// What holds while a packet is on its way: it sees one generation of the policy and one point in time.
#[derive(Clone, Copy)]
pub struct Moment {
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub now: u64,
    /// The generation in force.
    pub generation: u32,
    /// Which of this CPU's rooms what ends sessions works in: packets' or orders' ([`crate::maps::ROOM_OF_ORDERS`]).
    pub room: u32,
    /// Its settings.
    pub settings: &'static Settings,
}

impl Moment {
    /// Now. None cannot happen: both maps are arrays.
    #[inline(always)]
    pub fn read() -> Option<Self> {
        let generation = *GENERATION.get(0)?;
        let settings = SETTINGS.get(generation % GENERATIONS)?;
        // SAFETY: no arguments, no failure.
        Some(Self { now: unsafe { bpf_ktime_get_ns() }, generation, room: ROOM_OF_PACKETS, settings })
    }

    /// Now, in a program that user space runs.
    #[inline(always)]
    pub fn of_order() -> Option<Self> {
        Some(Self { room: ROOM_OF_ORDERS, ..Self::read()? })
    }

    /// [`Moment::now`] by the clock of sessions.
    #[inline(always)]
    pub const fn ticks(&self) -> u32 {
        ticks(self.now)
    }
}
