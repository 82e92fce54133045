//! Sessions, port mappings and clients: the truth about live traffic. None of these maps ever evicts.

use super::{Address, Address4, Address6, Port};

/// The side a packet arrives on.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// From a client.
    Lan = 0,
    /// From the world.
    Uplink = 1,
}

/// An address and a port. Here and below, `A` is the [`Address`] of a family.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Endpoint<A> {
    /// Network byte order.
    pub address: A,
    /// Network byte order.
    pub port: Port,
    /// Zero.
    pub pad: u16,
}

impl<A> Endpoint<A> {
    /// The endpoint `address`:`port`.
    pub const fn new(address: A, port: Port) -> Self {
        Self { address, port, pad: 0 }
    }
}

/// One direction of a session: the five-tuple as it arrives at its side.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowKey<A> {
    /// Source address as it arrives.
    pub source: A,
    /// Destination address as it arrives.
    pub destination: A,
    /// Source port as it arrives.
    pub source_port: Port,
    /// Destination port as it arrives.
    pub destination_port: Port,
    /// IANA protocol number.
    pub protocol: u8,
    /// A [`Side`] as a number.
    pub side: u8,
    /// Zero.
    pub pad: u16,
}

impl<A: Copy> FlowKey<A> {
    /// The key of the other direction, given what this direction rewrites (see [`FlowEntry::rewrite`]).
    pub fn pair(&self, rewrite: &Endpoint<A>) -> Self {
        if self.side == Side::Lan as u8 {
            // client → server becomes server → external endpoint
            Self {
                source: self.destination,
                source_port: self.destination_port,
                destination: rewrite.address,
                destination_port: rewrite.port,
                protocol: self.protocol,
                side: Side::Uplink as u8,
                pad: 0,
            }
        } else {
            // server → external endpoint becomes client → server
            Self {
                source: rewrite.address,
                source_port: rewrite.port,
                destination: self.source,
                destination_port: self.source_port,
                protocol: self.protocol,
                side: Side::Lan as u8,
                pad: 0,
            }
        }
    }
}

/// State of a TCP session (RFC 5382 §2, RFC 7857 §2). UDP sessions stay in [`TcpState::None`].
#[repr(u8)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TcpState {
    /// Not TCP.
    #[default]
    None = 0,
    /// The client's SYN was seen.
    SynSent = 1,
    /// SYNs of both sides were seen.
    SynReceived = 2,
    /// The handshake is complete.
    Established = 3,
    /// The client's FIN was seen.
    FinClient = 4,
    /// The server's FIN was seen.
    FinServer = 5,
    /// FINs of both sides were seen.
    Closing = 6,
    /// A RST was seen; any later packet that is not a RST leads back to `Established`.
    Reset = 7,
}

impl TcpState {
    /// The state numbered `number`; numbers that are none count as `Reset`, the shortest-lived.
    pub const fn from_number(number: u8) -> Self {
        match number {
            0 => Self::None,
            1 => Self::SynSent,
            2 => Self::SynReceived,
            3 => Self::Established,
            4 => Self::FinClient,
            5 => Self::FinServer,
            6 => Self::Closing,
            _ => Self::Reset,
        }
    }
}

/// Which way packets take through the gateway.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Path {
    /// Through the kernel: it handles the packet itself, and the programs translate it on its way in or out.
    Kernel = 0,
    /// From TC straight out of the other interface.
    Tc = 1,
    /// From XDP straight out of the other interface, before the kernel has made a packet of it.
    Xdp = 2,
}

impl Path {
    /// All of them.
    pub const ALL: [Self; PATHS] = [Self::Kernel, Self::Tc, Self::Xdp];

    /// The path numbered `number`; numbers that are none count as `Kernel`.
    #[inline(always)]
    pub const fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Tc,
            2 => Self::Xdp,
            _ => Self::Kernel,
        }
    }
}

/// How many paths there are.
pub const PATHS: usize = 3;

/// One direction of a session: what is done to its packets, and what is known of it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowEntry<A: Address> {
    /// `CLOCK_MONOTONIC` of the session's opening, nanoseconds.
    pub opened: u64,
    /// Packets of this direction; a GSO packet counts as its segments.
    pub packets: u64,
    /// IP bytes of this direction.
    pub bytes: u64,
    /// Slots of the hosts that the remote address belonged to when the session was opened, a bit each.
    pub hosts: u64,
    /// From the LAN: the new source. From the uplink: the new destination. The client's own endpoint in both, where the
    /// uplink does not translate.
    pub rewrite: Endpoint<A>,
    /// This direction's last packet, [`ticks`](super::ticks) of `CLOCK_MONOTONIC`. Written anew when it is [`REFRESH`](super::REFRESH) old:
    /// the last packet may be that much later.
    pub last_seen: u32,
    /// Generation of the policy that last admitted the session.
    pub generation: u32,
    /// The uplink's epoch at opening ([`Uplink::session_epoch`](super::Uplink::session_epoch)); another one there means that the external
    /// address is lost. Zero for IPv6.
    pub epoch: u16,
    /// Slot of the LAN interface that the client was last seen at, the same in both directions.
    pub lan: u8,
    /// Slot of the flow that admits the session.
    pub flow: u8,
    /// Slot of the uplink.
    pub uplink: u8,
    /// A [`TcpState`] as a number, the same in both directions.
    pub state: u8,
    /// 1 while hellos of TLS are awaited (see [`crate::tls`]), the same in both directions; 0 for any other session.
    pub watched: u8,
    /// The [`Path`] that this direction's last packet took, as a number.
    pub path: u8,
    /// Zero.
    pub fill: A::Pad,
}

/// One direction of an IPv4 session in its table (see [`directory`](crate::directory)).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowRecord {
    /// Its key; without a protocol, the record is nobody's.
    pub key: FlowKey<Address4>,
    /// What is known of it.
    pub entry: FlowEntry<Address4>,
}

impl FlowRecord {
    /// True if it is a session's. One that another CPU adds or removes at this moment may be told as either.
    pub const fn is_used(&self) -> bool {
        self.key.protocol != 0
    }
}

/// A session that is to be looked at for staleness. There is room for one of each session that there can be, hence so few bits.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SweepItem<A> {
    /// The client's address.
    pub source: A,
    /// The remote's address.
    pub destination: A,
    /// The client's port.
    pub source_port: Port,
    /// The remote's port.
    pub destination_port: Port,
    /// When it was opened, the low bits of [`FlowEntry::opened`]: another session of this key has an item of its own.
    pub opened: u32,
    /// When it was put into the queue: `CLOCK_MONOTONIC` in units of [`SweepItem::UNIT`], the low bits.
    pub queued: u16,
    /// IANA protocol number.
    pub protocol: u8,
    /// Zero.
    pub pad: u8,
}

impl<A: Copy> SweepItem<A> {
    /// What [`SweepItem::queued`] counts, nanoseconds: 2^24, about 17 ms.
    pub const UNIT: u64 = 1 << 24;

    /// The item of the session with this LAN-side key that was `opened`, put into the queue at `now` (both nanoseconds of
    /// `CLOCK_MONOTONIC`).
    #[inline(always)]
    pub const fn new(key: &FlowKey<A>, opened: u64, now: u64) -> Self {
        Self {
            source: key.source,
            destination: key.destination,
            source_port: key.source_port,
            destination_port: key.destination_port,
            opened: opened as u32,
            queued: (now / Self::UNIT) as u16,
            protocol: key.protocol,
            pad: 0,
        }
    }

    /// Makes it one that is put into the queue at `now` (`CLOCK_MONOTONIC`, nanoseconds).
    #[inline(always)]
    pub const fn requeue(&mut self, now: u64) {
        self.queued = (now / Self::UNIT) as u16;
    }

    /// The session's LAN-side key.
    #[inline(always)]
    pub const fn key(&self) -> FlowKey<A> {
        FlowKey {
            source: self.source,
            destination: self.destination,
            source_port: self.source_port,
            destination_port: self.destination_port,
            protocol: self.protocol,
            side: Side::Lan as u8,
            pad: 0,
        }
    }

    /// True if it has been in the queue for `age` nanoseconds. Where it has been there for more than 18 minutes, it may seem younger
    /// for a while, and is looked at that much later.
    #[inline(always)]
    pub const fn has_waited(&self, age: u64, now: u64) -> bool {
        let waited = ((now / Self::UNIT) as u16).wrapping_sub(self.queued);
        waited as u64 >= age / Self::UNIT
    }
}

/// A client's endpoint on an uplink. Its value, an [`Endpoint`], is the external endpoint: the same for all its sessions,
/// whatever their remote (RFC 4787 REQ-1, RFC 5382 REQ-1).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MappingKey<A> {
    /// The client's endpoint.
    pub client: Endpoint<A>,
    /// Epoch of the uplink, as in [`FlowEntry::epoch`]: a mapping of a lost address is absent at once.
    pub epoch: u16,
    /// IANA protocol number.
    pub protocol: u8,
    /// Slot of the uplink.
    pub uplink: u8,
}

/// An external endpoint. Inserting it with NOEXIST is the claim of the port.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PortKey<A> {
    /// The external address.
    pub address: A,
    /// The external port.
    pub port: Port,
    /// IANA protocol number.
    pub protocol: u8,
    /// Zero.
    pub pad: u8,
}

/// Who owns an external endpoint, and how many sessions hold it. At none it rests, and is free afterwards.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortOwner<A> {
    /// The client's endpoint.
    pub client: Endpoint<A>,
    /// Sessions that use this port.
    pub sessions: u64,
    /// `CLOCK_MONOTONIC` of the end of the last of them, nanoseconds; 0 while there are any. Whoever changes it from a moment
    /// to 0 alone may remove the port or give it to its client again.
    pub freed: u64,
}

/// A port that was freed, in the order in which ports come to the end of their rest.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestingPort {
    /// [`PortOwner::freed`] at that time: another value there means that the port is in use again, or rests anew.
    pub freed: u64,
    /// The port.
    pub key: PortKey<Address4>,
}

/// A governed client, by address.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientKey<A> {
    /// The client's address.
    pub address: A,
}

/// What is known of a client with live sessions or ports.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// Live sessions.
    pub sessions: u64,
    /// External ports that its sessions hold or held, until they have rested.
    pub ports: u64,
    /// `CLOCK_MONOTONIC` of its first session since it had neither sessions nor ports, nanoseconds.
    pub since: u64,
    /// `CLOCK_MONOTONIC` up to which the token bucket has been spent, nanoseconds (see `session::admit_rate`).
    pub spent_until: u64,
    /// Packets that were refused since then as `client-sessions`.
    pub refused_sessions: u64,
    /// Packets that were refused since then as `client-ports`.
    pub refused_ports: u64,
    /// Packets that were refused since then as `client-rate`.
    pub refused_rate: u64,
    /// `CLOCK_MONOTONIC` since which it is pinned to `uplink`, nanoseconds.
    pub pinned: u64,
    /// `CLOCK_MONOTONIC` of the end of its last session, nanoseconds; only of meaning while it has none.
    pub idle: u64,
    /// Slot of the uplink it is pinned to. An IPv6 client's is the one that its prefix belongs to.
    pub uplink: u32,
    /// Why it was pinned to this uplink: a [`PinCause`] as a number.
    pub cause: u32,
}

/// Why a client is pinned to its uplink.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinCause {
    /// It was pinned to none: its first packet, or the first one after `release_after_idle`, or after an admin's release.
    First = 0,
    /// It moved there, since the uplink that it was pinned to was lost.
    Moved = 1,
    /// It went back there without a session, since the uplink that it had moved away from is up again.
    Returned = 2,
    /// It was pinned to none, and the uplink that it would have taken was not usable.
    Substitute = 3,
}

const _: () = assert!(size_of::<FlowKey<Address4>>() == 16);
const _: () = assert!(size_of::<FlowEntry<Address4>>() == 56);
const _: () = assert!(size_of::<FlowRecord>() == 72);
const _: () = assert!(size_of::<FlowKey<Address6>>() == 40);
const _: () = assert!(size_of::<FlowEntry<Address6>>() == 72);
const _: () = assert!(size_of::<SweepItem<Address4>>() == 20);
const _: () = assert!(size_of::<SweepItem<Address6>>() == 44);

#[cfg(test)]
mod tests;
