//! Interfaces and uplinks.

use super::{Address4, Address6, Port};

/// Uplinks a policy can have.
pub const UPLINK_SLOTS: usize = 8;

/// LAN interfaces a policy can have.
pub const LAN_SLOTS: usize = 32;

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
    /// Its slot: among the uplinks if it is one, else among the LAN interfaces. An interface that is made anew has the one it had.
    pub slot: u32,
    /// Bytes of the link header in front of its IP packets: 14 (Ethernet) or 0 (tun, PPP, WireGuard).
    pub link_header: u32,
    /// Its name when it was attached, zero-padded (IFNAMSIZ = 16).
    pub name: [u8; 16],
}

/// Places in the table of [`Station`]s.
pub const STATION_PLACES: usize = 256;

/// What XDP knows of an interface by which a frame comes in, or by which it is to leave: at [`Station::place`] of its index.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Station {
    /// Index of the interface; another one than looked for: nothing is known of that.
    pub interface: u32,
    /// Its own hardware address: frames for another one are not the gateway's.
    pub address: [u8; 6],
    /// 1: XDP may take frames that come in by it, and may send frames out of it.
    pub forwards: u8,
    /// Zero.
    pub pad: u8,
}

impl Station {
    /// The place of an interface among the stations.
    #[inline(always)]
    pub const fn place(interface: u32) -> u32 {
        interface % STATION_PLACES as u32
    }
}

/// What an uplink can do for clients at present.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UplinkState {
    /// Not one of the policy's, or not known yet. Clients that are pinned to it take another.
    Unused = 0,
    /// It carries traffic, as far as is known.
    Up = 1,
    /// Gone, and its clients move: its epoch was raised, so that the sessions there are absent.
    Lost = 2,
    /// Gone, and its clients wait for it, since the policy says so (`on_uplink_down: hold`) or no other is left: their sessions and pins
    /// stay.
    Held = 3,
}

impl UplinkState {
    /// The state numbered `number`; numbers that are none count as `Unused`.
    #[inline(always)]
    pub const fn from_number(number: u32) -> Self {
        match number {
            1 => Self::Up,
            2 => Self::Lost,
            3 => Self::Held,
            _ => Self::Unused,
        }
    }
}

/// An uplink, by slot.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uplink {
    /// Interface index; 0: no such uplink.
    pub interface: u32,
    /// Raised whenever `address` or `translates` changes, or the uplink is lost: what was opened before is absent from that moment.
    pub epoch: u32,
    /// The external address of its IPv4 sessions; unspecified: none, nothing can be opened.
    pub address: Address4,
    /// 1: the source of IPv4 packets becomes `address`; 0: it stays (`source_nat: none`), as IPv6's always does.
    pub translates: u32,
    /// An [`UplinkState`] as a number.
    pub state: u32,
    /// The IPv4 router behind it; unspecified: what the kernel's own routes out of this interface say.
    pub next_hop4: Address4,
    /// The IPv6 router behind it; unspecified: as above.
    pub next_hop6: Address6,
    /// Local port of the daemon's probe that is under way, whose replies come by this uplink; 0: none.
    pub probe: Port,
    /// Zero.
    pub pad: u16,
}

impl Uplink {
    /// The epoch that its IPv4 sessions carry: the low bits. A session of the same number 65,536 epochs ago has long been stale.
    #[inline(always)]
    pub const fn session_epoch(&self) -> u16 {
        self.epoch as u16
    }
}

/// Places in [`Choices`]: what an uplink's weight is a share of.
pub const CHOICES: usize = 64;

/// Which uplink a client takes that is pinned to none: the place is chosen by a hash of its address, so that a client that
/// was forgotten takes the same one again.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choices {
    /// Slots of uplinks; [`super::NO_SLOT`]: there is none.
    pub slots: [u8; CHOICES],
    /// The places, a bit each, that another uplink would have if it was usable: who is pinned by one of them goes there later.
    pub substitutes: u64,
}

const _: () = assert!(CHOICES == u64::BITS as usize);

/// What was lost with an uplink since the maps were made.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UplinkLosses {
    /// Sessions that ended because the uplink or its address was lost.
    pub lost_sessions: u64,
    /// Clients that were pinned here and moved to another uplink.
    pub moved_clients: u64,
}
