//! One look at a frame: a small packet that all later stages work on.

mod fragment;
mod icmp;
mod ipv4;
mod ipv6;
mod quote;
mod segment;
mod transport;

pub use quote::read_quote;
pub use segment::Segment;

use crate::{
    abi::{Address, Extent, FlowKey, FragmentKey, Port, PortKey, Reason, Side},
    frame::{Frame, TransportChecksum},
};

/// IANA protocol numbers that the pipeline knows.
pub mod protocol {
    /// ICMP (RFC 792).
    pub const ICMP: u8 = 1;
    /// TCP (RFC 9293).
    pub const TCP: u8 = 6;
    /// UDP (RFC 768).
    pub const UDP: u8 = 17;
    /// ICMPv6 (RFC 4443).
    pub const ICMPV6: u8 = 58;
}

/// TCP control bits (RFC 9293 §3.1).
pub mod tcp_flags {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Synchronize sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Reset the connection.
    pub const RST: u8 = 0x04;
    /// The acknowledgment field is significant.
    pub const ACK: u8 = 0x10;
}

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Neither IPv4 nor IPv6: ARP, a tagged frame, PPPoE. Never ours.
    Other,
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Kind {
    /// What a frame holds with this type, as Ethernet numbers it; one that is not for us counts as `Other`.
    #[inline(always)]
    pub const fn of(is_for_us: bool, ether_type: u16) -> Self {
        match ether_type {
            0x0800 if is_for_us => Self::Ipv4,
            0x86dd if is_for_us => Self::Ipv6,
            _ => Self::Other,
        }
    }
}

/// Where in its datagram a packet stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragment {
    /// Not fragmented.
    Whole,
    /// The first fragment: it has the ports.
    First,
    /// A later fragment: it has none.
    Later,
}

/// What an ICMP message is to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Icmp {
    /// Not ICMP, or a later fragment, which does not tell.
    None,
    /// It reports an error, and quotes the packet that it is about.
    Error,
    /// An echo request; its identifier is the source port.
    Request,
    /// An echo reply; its identifier is the destination port.
    Reply,
    /// Anything else: nothing of a session.
    Other,
}

/// What the stages need to know of a packet; `A` is its address type.
#[derive(Clone, Copy, Debug)]
pub struct Packet<A> {
    /// Source address.
    pub source: A,
    /// Destination address.
    pub destination: A,
    /// Source port; zero where there is none.
    pub source_port: Port,
    /// Destination port; zero where there is none.
    pub destination_port: Port,
    /// IANA protocol number.
    pub protocol: u8,
    /// TCP control bits (see [`tcp_flags`]); zero for the others.
    pub tcp_flags: u8,
    /// What it is, if it is ICMP.
    pub icmp: Icmp,
    /// Hops left: the time to live of IPv4, the hop limit of IPv6.
    pub ttl: u8,
    /// Its place in its datagram.
    pub fragment: Fragment,
    /// True for the last fragment of a datagram.
    pub is_last: bool,
    /// True for a later fragment whose first one went through the kernel.
    pub needs_kernel: bool,
    /// The bytes of its datagram that it has, if it is a fragment.
    pub extent: Extent,
    /// Identification field, as it stands in the packet; 16 bits of it in IPv4.
    pub identification: u32,
    /// Offset of the IP header from the start of the frame, bytes.
    pub network: u16,
    /// Offset of the transport header from the start of the frame, bytes.
    pub transport: u16,
    /// IP bytes, header included.
    pub length: u32,
    /// Why it can be no part of a session, if it cannot.
    pub fault: Option<Reason>,
}

impl<A: Copy + Default> Packet<A> {
    /// A packet before anything of it was read: its IP header is at `network`, and it is malformed until shown otherwise.
    #[inline(always)]
    pub fn nothing(network: usize) -> Self {
        Self {
            source: A::default(),
            destination: A::default(),
            source_port: Port::default(),
            destination_port: Port::default(),
            protocol: 0,
            tcp_flags: 0,
            icmp: Icmp::None,
            ttl: 0,
            fragment: Fragment::Whole,
            is_last: false,
            needs_kernel: false,
            extent: Extent { start: 0, end: 0 },
            identification: 0,
            network: network as u16,
            transport: 0,
            length: 0,
            fault: Some(Reason::Malformed),
        }
    }
}

impl<A: Copy> Packet<A> {
    /// The key of the session that it belongs to, if it arrives on `side`.
    #[inline(always)]
    pub fn key(&self, side: Side) -> FlowKey<A> {
        FlowKey {
            source: self.source,
            destination: self.destination,
            source_port: self.source_port,
            destination_port: self.destination_port,
            protocol: self.protocol,
            side: side as u8,
            pad: 0,
        }
    }

    /// The key of the reply to it, as it arrives at the uplink.
    #[inline(always)]
    pub fn reply_key(&self) -> FlowKey<A> {
        FlowKey {
            source: self.destination,
            destination: self.source,
            source_port: self.destination_port,
            destination_port: self.source_port,
            protocol: self.protocol,
            side: Side::Uplink as u8,
            pad: 0,
        }
    }

    /// Its destination as an external endpoint.
    #[inline(always)]
    pub fn destination_port_key(&self) -> PortKey<A> {
        PortKey { address: self.destination, port: self.destination_port, protocol: self.protocol, pad: 0 }
    }

    /// The key of its datagram among those of `side`.
    #[inline(always)]
    pub fn fragment_key(&self, side: Side) -> FragmentKey<A> {
        FragmentKey {
            source: self.source,
            destination: self.destination,
            identification: self.identification,
            protocol: self.protocol,
            side: side as u8,
            pad: 0,
        }
    }

    /// The fault for which it is refused whoever it is for: with the others, it may still be the kernel's to handle.
    #[inline(always)]
    pub const fn flaw(&self) -> Option<Reason> {
        use Reason::{FragmentStale, FragmentTiny, Malformed, NoSession};
        match self.fault {
            Some(Malformed | FragmentTiny | FragmentStale | NoSession) => self.fault,
            _ => None,
        }
    }

    /// True for an ICMP error that was read without fault.
    #[inline(always)]
    pub fn is_error(&self) -> bool {
        self.icmp == Icmp::Error && self.fault.is_none()
    }

    /// True for a TCP segment that opens a connection: SYN and neither ACK, FIN nor RST.
    #[inline(always)]
    pub fn is_opening_syn(&self) -> bool {
        use tcp_flags::{ACK, FIN, RST, SYN};
        self.tcp_flags & (SYN | ACK | FIN | RST) == SYN
    }

    /// Where its transport checksum stands; none in a later fragment.
    #[inline(always)]
    pub fn transport_checksum(&self) -> Option<TransportChecksum> {
        let transport = usize::from(self.transport);
        match (self.fragment, self.protocol) {
            (Fragment::Later, _) => None,
            (_, protocol::UDP) => Some(TransportChecksum { offset: transport + 6, optional: true }),
            (_, protocol::TCP) => Some(TransportChecksum { offset: transport + 16, optional: false }),
            (_, protocol::ICMP | protocol::ICMPV6) => {
                Some(TransportChecksum { offset: transport + 2, optional: false })
            }
            _ => None,
        }
    }
}

/// An address family whose headers can be read.
pub trait Headers: Address {
    /// The IANA protocol number of its ICMP.
    const ICMP: u8;

    /// What its ICMP messages of this type are.
    fn icmp(message: u8) -> Icmp;

    /// Fills `packet` in, whose IP header is at [`Packet::network`].
    fn read<F: Frame>(frame: &F, packet: &mut Packet<Self>);

    /// Fills in what the IP header of a quoted packet says, which is at [`Packet::network`]: addresses, protocol, where its
    /// transport header is. Returns what is wrong with it. The packet behind it may be cut short.
    fn read_quoted<F: Frame>(frame: &F, packet: &mut Packet<Self>) -> Option<Reason>;
}

/// What a frame holds.
#[inline(always)]
pub fn kind<F: Frame>(frame: &F) -> Kind {
    Kind::of(frame.is_for_us(), frame.ether_type())
}

/// Reads the headers of a frame of family `A`. What contradicts itself is a packet with a [`Packet::fault`].
#[inline(always)]
pub fn parse<F: Frame, A: Headers>(frame: &F) -> Packet<A> {
    let mut packet = Packet::nothing(frame.network());
    A::read(frame, &mut packet);
    packet
}

#[cfg(test)]
pub(crate) mod tests;
