//! Counters: of the packets of sessions, and of refused ones.

use core::{array, ops::Add};

use super::{LAN_SLOTS, PATHS, Path, Side, UPLINK_SLOTS};

/// Which way a packet was going.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the LAN to the world.
    Out = 0,
    /// From the world to the LAN.
    In = 1,
}

/// Its address family.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4.
    Ipv4 = 4,
    /// IPv6.
    Ipv6 = 6,
}

/// What became of a packet that the policy refuses.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Refused.
    Drop = 0,
    /// Audit mode: enforce would have refused it.
    WouldDrop = 1,
    /// No flow names it, and the policy says `unmatched: pass`: left to the kernel's own rules.
    Pass = 2,
}

/// What a refused packet is counted under. Every refused packet is counted exactly once.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DropKey {
    /// Index of the interface where it was refused.
    pub interface: u32,
    /// A [`super::Reason`] as a number.
    pub reason: u8,
    /// A [`Direction`] as a number.
    pub direction: u8,
    /// A [`Family`] as a number.
    pub family: u8,
    /// A [`Verdict`] as a number.
    pub verdict: u8,
    /// Slot of the flow concerned, or [`super::NO_SLOT`].
    pub flow: u8,
    /// Zero.
    pub pad: [u8; 3],
}

/// Packets and bytes. A GSO packet counts as its segments; bytes are IP bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    /// Packets.
    pub packets: u64,
    /// IP bytes.
    pub bytes: u64,
}

/// What sessions have carried between a LAN interface and an uplink since the maps were made. Every packet of a session is counted
/// here exactly once; what an interface, an uplink or a path has carried are sums of it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// From clients to the world, by [`Path`].
    pub out: [Counter; PATHS],
    /// From the world to clients, by [`Path`].
    pub back: [Counter; PATHS],
}

impl Add for Counter {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { packets: self.packets + other.packets, bytes: self.bytes + other.bytes }
    }
}

impl Add for Traffic {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let sum = |one: [Counter; PATHS], other: [Counter; PATHS]| array::from_fn(|path| one[path] + other[path]);
        Self { out: sum(self.out, other.out), back: sum(self.back, other.back) }
    }
}

/// How many [`Traffic`]s there are.
pub const TRAFFIC_SLOTS: usize = LAN_SLOTS * UPLINK_SLOTS;

impl Traffic {
    /// Where the traffic between a LAN interface and an uplink is counted, by their slots. Not below [`TRAFFIC_SLOTS`] if there is none.
    #[inline(always)]
    pub const fn place(lan: u8, uplink: u8) -> u32 {
        lan as u32 * UPLINK_SLOTS as u32 + uplink as u32
    }

    /// The counter of packets that arrive on this side and take this path.
    #[inline(always)]
    pub const fn counter(&mut self, side: Side, path: Path) -> &mut Counter {
        let by_path = match side {
            Side::Lan => &mut self.out,
            Side::Uplink => &mut self.back,
        };
        // A constant for each: the verifier does not see the bounds of an index.
        match path {
            Path::Kernel => &mut by_path[0],
            Path::Tc => &mut by_path[1],
            Path::Xdp => &mut by_path[2],
        }
    }
}
