//! The compiled policy: what a generation of it looks like in the maps.
//!
//! A packet's flow is the lowest bit of the AND of three 64-bit vectors, one per field: client, remote host, (protocol, port).
//! Keys carry the generation, so that the next one is complete before `GENERATION` is flipped to it.

use super::Address;

/// Flows a policy can have: one bit each.
pub const FLOW_SLOTS: usize = 64;
/// Hosts a policy can have: one bit each.
pub const HOST_SLOTS: usize = 64;
/// Generations that have room in the maps at once. Index = generation % GENERATIONS.
pub const GENERATIONS: u32 = 4;
/// No flow, no host, no uplink.
pub const NO_SLOT: u8 = u8::MAX;

/// Data of an LPM key: clients → vector of the flows they may open.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientPrefix<A: Address> {
    /// Always matched whole: 32 bits of the prefix length.
    pub generation: u32,
    /// The client's address.
    pub address: A,
    /// Zero, never matched: it keeps the value aligned.
    pub fill: A::Pad,
}

impl<A: Address> ClientPrefix<A> {
    /// The client at `address`, or a prefix of clients.
    pub fn new(generation: u32, address: A) -> Self {
        Self { generation, address, fill: A::Pad::default() }
    }
}

/// Data of an LPM key: (protocol, remote port) → vector of flows. A range of ports is a few prefixes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PortPrefix {
    /// Always matched whole: 32 bits of the prefix length.
    pub generation: u32,
    /// IANA protocol number, always matched whole: 8 bits of the prefix length.
    pub protocol: u8,
    /// The remote port, high byte first: 0 to 16 bits of the prefix length.
    pub port: [u8; 2],
    /// Zero, never matched.
    pub pad: u8,
}

/// Data of an LPM key: remote address or prefix → [`RemoteAddress`]. Independent of generations.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RemotePrefix<A: Address> {
    /// Zero, always matched whole (32 bits): it keeps the value aligned.
    pub pad: u32,
    /// The remote address.
    pub address: A,
    /// Zero, never matched: it keeps the value aligned, too.
    pub fill: A::Pad,
}

impl<A: Address> RemotePrefix<A> {
    /// The remote at `address`, or a prefix of remotes.
    pub fn new(address: A) -> Self {
        Self { pad: 0, address, fill: A::Pad::default() }
    }
}

/// The hosts that named a remote address or prefix.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RemoteAddress {
    /// Slots of the hosts, a bit each.
    pub hosts: u64,
    /// `CLOCK_MONOTONIC` until which it admits new sessions, nanoseconds; `u64::MAX` while DNS still names it.
    pub until: u64,
}

/// What a generation says of its flows. Bits of all vectors are the flows' positions in the policy, so that the lowest
/// bit is the first match; slots are what counters and sessions know a flow by.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowTable {
    /// Host slot → vector of the flows to that host.
    pub hosts: [u64; HOST_SLOTS],
    /// Position in the policy → slot of the flow.
    pub slots: [u8; FLOW_SLOTS],
    /// Slot of a flow → the lowest TLS version that it carries, as the minor version that hellos write: 3 for TLS 1.2, 4 for
    /// TLS 1.3; 0: anything.
    pub tls_min: [u8; FLOW_SLOTS],
}

/// What a generation sets beside the vectors.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Lifetime of a UDP session, nanoseconds.
    pub udp_idle: u64,
    /// Lifetime of an established TCP session, nanoseconds.
    pub tcp_idle: u64,
    /// Sessions that a client may have at once.
    pub per_client: u64,
    /// Mapped ports that a client may hold at once.
    pub ports_per_client: u64,
    /// How long a client without sessions stays pinned to its uplink, nanoseconds.
    pub release_after_idle: u64,
    /// Nanoseconds that a new session takes out of a client's token bucket: 1 s / `new_per_client`.
    pub session_cost: u64,
    /// 1: packets that no flow names are left to the kernel; 0: refused.
    pub pass_unmatched: u32,
    /// First port of the range that is reserved for mappings.
    pub first_port: u16,
    /// Last port of that range.
    pub last_port: u16,
    /// First port of the host's own ephemeral range: no port in it is claimed outside the reserved range.
    pub first_ephemeral: u16,
    /// Last port of the host's own ephemeral range.
    pub last_ephemeral: u16,
    /// 1: `mode: audit`, what would be refused is counted as *would drop* and left to the kernel; 0: `mode: enforce`.
    pub audit: u32,
    /// 1: the policy governs IPv6 clients; 0: it names none, and IPv6 from the LAN is refused at the uplink.
    pub governs_ipv6: u32,
    /// 1: a refused client gets an answer (`refuse: reject`); 0: silence.
    pub reject: u32,
    /// What `mss_clamp` says: [`MSS_AUTO`], [`MSS_OFF`], or the largest TCP segment, bytes.
    pub mss_clamp: u32,
    /// Zero.
    pub pad: u32,
}

/// `mss_clamp: auto`: what the smaller MTU of the two ways has room for.
pub const MSS_AUTO: u32 = 0;
/// `mss_clamp: off`.
pub const MSS_OFF: u32 = u32::MAX;

/// A flow's or host's name in its slot: UTF-8, zero-padded. All zero: free.
/// Names keep their slot across generations, so that counters and sessions keep their meaning.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotName {
    /// UTF-8, zero-padded.
    pub name: [u8; 64],
}

impl SlotName {
    /// A slot that was never used.
    pub const FREE: Self = Self { name: [0; 64] };

    /// A slot's name; of one longer than 64 bytes the beginning.
    pub fn new(name: &str) -> Self {
        let mut slot = Self::FREE;
        slot.name.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
        slot
    }

    /// The name; empty if the slot is free or holds no text.
    pub fn as_str(&self) -> &str {
        let length = self.name.iter().position(|byte| *byte == 0).unwrap_or(self.name.len());
        core::str::from_utf8(&self.name[..length]).unwrap_or_default()
    }
}
