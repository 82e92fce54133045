//! Counters of refused packets.

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
