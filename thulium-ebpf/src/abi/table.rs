//! Interfaces and uplinks.

/// Uplinks a policy can have.
pub const UPLINK_SLOTS: usize = 8;

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
    /// Its name when it was attached, zero-padded (IFNAMSIZ = 16).
    pub name: [u8; 16],
}

/// An uplink, by slot.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uplink<A> {
    /// Interface index; 0: no such uplink.
    pub interface: u32,
    /// Raised whenever `address` changes: what was opened under the old address is absent from that moment.
    pub epoch: u32,
    /// The external address of its sessions; unspecified: none, nothing can be opened.
    pub address: A,
    /// Zero.
    pub pad: u32,
}
