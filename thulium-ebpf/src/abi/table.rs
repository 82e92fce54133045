//! Interfaces and uplinks.

use super::Address4;

/// Uplinks a policy can have.
pub const UPLINK_SLOTS: usize = 8;

/// Ports that can rest at once; one that finds no room is free immediately. Room for all ports of an address by both protocols.
pub const RESTING_PORTS: usize = 131_072;

/// What an interface is to the gateway.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Clients are behind it.
    Lan = 1,
    /// The world is behind it.
    Uplink = 2,
}

/// An interface of the policy, by index.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interface {
    /// A [`Role`] as a number.
    pub role: u32,
    /// Its slot among the uplinks, if it is one.
    pub uplink: u32,
    /// Bytes of the link header in front of its IP packets: 14 (Ethernet) or 0 (tun, PPP, WireGuard).
    pub link_header: u32,
    /// Its name when it was attached, zero-padded (IFNAMSIZ = 16).
    pub name: [u8; 16],
}

/// An uplink, by slot.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uplink {
    /// Interface index; 0: no such uplink.
    pub interface: u32,
    /// Raised whenever `address` or `translates` changes: what was opened before is absent from that moment.
    pub epoch: u32,
    /// The external address of its IPv4 sessions; unspecified: none, nothing can be opened.
    pub address: Address4,
    /// 1: the source of IPv4 packets becomes `address`; 0: it stays (`source_nat: none`), as IPv6's always does.
    pub translates: u32,
}
