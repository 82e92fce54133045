//! One look at a frame: a small packet that all later stages work on.

mod ipv4;

use network_types::eth::EthHdr;

use crate::{
    abi::{Address4, FlowKey, FragmentKey, Port, PortKey, Reason, Side},
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
    /// Hops left.
    pub ttl: u8,
    /// Its place in its datagram.
    pub fragment: Fragment,
    /// Identification field, as it stands in the packet.
    pub identification: u16,
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
    fn nothing(network: usize) -> Self {
        Self {
            source: A::default(),
            destination: A::default(),
            source_port: Port::default(),
            destination_port: Port::default(),
            protocol: 0,
            tcp_flags: 0,
            ttl: 0,
            fragment: Fragment::Whole,
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
        }
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
            _ => None,
        }
    }
}

/// What a frame holds, by its link header; one that is not for us counts as `Other`.
#[inline(always)]
pub fn kind<F: Frame>(frame: &F) -> Kind {
    if !frame.is_for_us() {
        return Kind::Other;
    }
    match frame.read::<EthHdr>(0) {
        Some(ethernet) => match u16::from_be(ethernet.ether_type) {
            0x0800 => Kind::Ipv4,
            0x86dd => Kind::Ipv6,
            _ => Kind::Other,
        },
        None => Kind::Other,
    }
}

/// Reads the headers of an IPv4 frame. What contradicts itself is a packet with a [`Packet::fault`].
#[inline(always)]
pub fn parse<F: Frame>(frame: &F) -> Packet<Address4> {
    let mut packet = Packet::nothing(EthHdr::LEN);
    ipv4::parse(frame, &mut packet);
    packet
}

#[cfg(test)]
pub(crate) mod tests;
