//! IPv4 (RFC 791) and the transport header behind it.

use network_types::{ip::Ipv4Hdr, tcp::TcpHdr, udp::UdpHdr};

use super::{Fragment, Packet, protocol, tcp_flags};
use crate::{
    abi::{Address4, Port, Reason},
    checksum,
    frame::Frame,
};

/// Fills `packet` in, whose IP header is at [`Packet::network`].
#[inline(never)]
pub(super) fn parse<F: Frame>(frame: &F, packet: &mut Packet<Address4>) {
    // Link headers are short; the mask shows the verifier that.
    let network = usize::from(packet.network & 0x3f);
    packet.length = frame.length().saturating_sub(network) as u32;
    let Some(header) = frame.read::<Ipv4Hdr>(network) else { return };
    packet.source = Address4::new(header.src_addr);
    packet.destination = Address4::new(header.dst_addr);
    packet.protocol = header.proto;
    packet.ttl = header.ttl;
    packet.identification = u16::from_ne_bytes(header.id);
    packet.fault = network_fault(frame, network, &header, packet);
}

/// What is wrong with the IP header, else with the transport header.
#[inline(always)]
fn network_fault<F: Frame>(
    frame: &F,
    network: usize,
    header: &Ipv4Hdr,
    packet: &mut Packet<Address4>,
) -> Option<Reason> {
    let header_length = usize::from(header.ihl());
    let mut length = usize::from(u16::from_be_bytes(header.tot_len));
    let present = frame.length().saturating_sub(network);
    if length == 0 && present > usize::from(u16::MAX) {
        // A GSO packet above 64 kB says so (BIG TCP, kernel commit b1a78b9b9886).
        length = present;
    }
    if header.version() != 4 || header_length < Ipv4Hdr::LEN || length < header_length || length > present {
        return Some(Reason::Malformed);
    }
    packet.length = length as u32;
    packet.transport = (network + header_length) as u16;
    if header_length == Ipv4Hdr::LEN
        && !frame.read::<[u16; 10]>(network).is_some_and(|words| checksum::is_valid_header(&words))
    {
        return Some(Reason::Malformed);
    }

    let fragment = u16::from_be_bytes(header.frags);
    packet.fragment = match (fragment & 0x1fff != 0, fragment & 0x2000 != 0) {
        (true, _) => Fragment::Later,
        (false, true) => Fragment::First,
        (false, false) => Fragment::Whole,
    };
    let fault = transport_fault(frame, packet, length - header_length);
    if header_length > Ipv4Hdr::LEN { Some(Reason::IpOptions) } else { fault }
}

/// Takes the ports and control bits over; what is wrong with the transport header of `available` bytes and data.
#[inline(always)]
fn transport_fault<F: Frame>(frame: &F, packet: &mut Packet<Address4>, available: usize) -> Option<Reason> {
    if !matches!(packet.protocol, protocol::TCP | protocol::UDP | protocol::ICMP) {
        return Some(Reason::UnknownProtocol);
    }
    if packet.fragment == Fragment::Later || packet.protocol == protocol::ICMP {
        return None;
    }
    // The header's length is bounded by 60 bytes; the mask shows the verifier that.
    let transport = usize::from(packet.transport & 0x7f);
    if packet.protocol == protocol::UDP {
        let Some(udp) = frame.read::<UdpHdr>(transport) else { return Some(Reason::Malformed) };
        packet.source_port = Port::from_be16(u16::from_ne_bytes(udp.src));
        packet.destination_port = Port::from_be16(u16::from_ne_bytes(udp.dst));
        let length = usize::from(u16::from_be_bytes(udp.len));
        let fits = length <= available || packet.fragment == Fragment::First;
        if available < UdpHdr::LEN || length < UdpHdr::LEN || !fits {
            return Some(Reason::Malformed);
        }
    } else {
        let Some(tcp) = frame.read::<TcpHdr>(transport) else { return Some(Reason::Malformed) };
        packet.source_port = Port::from_be16(u16::from_ne_bytes(tcp.source));
        packet.destination_port = Port::from_be16(u16::from_ne_bytes(tcp.dest));
        packet.tcp_flags = control_bits(&tcp);
        let header = usize::from(tcp.doff()) * 4;
        if header < TcpHdr::LEN || header > available {
            return Some(Reason::Malformed);
        }
    }
    if packet.source_port.number() == 0 || packet.destination_port.number() == 0 {
        return Some(Reason::Malformed);
    }
    None
}

/// The control bits that the session's state depends on, as in [`tcp_flags`].
#[inline(always)]
fn control_bits(tcp: &TcpHdr) -> u8 {
    let bit = |set: u16, flag: u8| if set != 0 { flag } else { 0 };
    bit(tcp.fin(), tcp_flags::FIN)
        | bit(tcp.syn(), tcp_flags::SYN)
        | bit(tcp.rst(), tcp_flags::RST)
        | bit(tcp.ack(), tcp_flags::ACK)
}
