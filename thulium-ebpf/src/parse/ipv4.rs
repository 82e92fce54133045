//! IPv4 (RFC 791) and the transport header behind it.

use network_types::ip::Ipv4Hdr;

use super::{
    Fragment, Icmp, Packet,
    fragment::{self, LARGEST},
    protocol, transport,
};
use crate::{
    abi::{Address4, Reason},
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
    packet.identification = u32::from(u16::from_ne_bytes(header.id));
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

    let place = u16::from_be_bytes(header.frags);
    let place = (usize::from(place & 0x1fff) * 8, place & 0x2000 != 0);
    let available = length - header_length;
    let misplaced = fragment::fault(packet, place, available, LARGEST - header_length);
    let fault = transport::fault(frame, packet, available).or(misplaced);
    if header_length > Ipv4Hdr::LEN { Some(Reason::IpOptions) } else { fault }
}

impl super::Headers for Address4 {
    const ICMP: u8 = protocol::ICMP;

    #[inline(always)]
    fn icmp(message: u8) -> Icmp {
        match message {
            // Destination unreachable, time exceeded, parameter problem.
            3 | 11 | 12 => Icmp::Error,
            8 => Icmp::Request,
            0 => Icmp::Reply,
            _ => Icmp::Other,
        }
    }

    #[inline(always)]
    fn read<F: Frame>(frame: &F, packet: &mut Packet<Self>) {
        parse(frame, packet);
    }

    #[inline(always)]
    fn read_quoted<F: Frame>(frame: &F, packet: &mut Packet<Self>) -> Option<Reason> {
        // All headers together are short; the mask shows the verifier that.
        let network = usize::from(packet.network & 0xff);
        let Some(header) = frame.read::<Ipv4Hdr>(network) else { return Some(Reason::Malformed) };
        let header_length = usize::from(header.ihl());
        if header.version() != 4 || header_length < Ipv4Hdr::LEN {
            return Some(Reason::Malformed);
        }
        packet.source = Address4::new(header.src_addr);
        packet.destination = Address4::new(header.dst_addr);
        packet.protocol = header.proto;
        packet.transport = (network + header_length) as u16;
        let fragment = u16::from_be_bytes(header.frags);
        packet.fragment = Fragment::at(fragment & 0x1fff != 0, fragment & 0x2000 != 0);
        None
    }
}
