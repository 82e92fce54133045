//! IPv6 (RFC 8200) with its extension headers, and the transport header behind them.

use network_types::ip::Ipv6Hdr;

use super::{
    Fragment, Icmp, Packet,
    fragment::{self, LARGEST},
    protocol, transport,
};
use crate::{
    abi::{Address6, Reason},
    frame::Frame,
};

/// Extension headers that are walked before a packet is refused.
const HEADERS: usize = 4;
/// Bytes of extension headers that are walked: they lie in the part of the frame that can be read.
const BYTES: usize = 64;

/// IANA protocol numbers of extension headers.
mod extension {
    pub(super) const HOP_BY_HOP: u8 = 0;
    pub(super) const ROUTING: u8 = 43;
    pub(super) const FRAGMENT: u8 = 44;
    pub(super) const DESTINATION: u8 = 60;
}

/// Fills `packet` in, whose IP header is at [`Packet::network`].
#[inline(never)]
pub(super) fn parse<F: Frame>(frame: &F, packet: &mut Packet<Address6>) {
    // Link headers are short; the mask shows the verifier that.
    let network = usize::from(packet.network & 0x3f);
    packet.length = frame.length().saturating_sub(network) as u32;
    let Some(header) = frame.read::<Ipv6Hdr>(network) else { return };
    packet.source = Address6::new(header.src_addr);
    packet.destination = Address6::new(header.dst_addr);
    packet.ttl = header.hop_limit;
    packet.fault = network_fault(frame, network, &header, packet);
}

/// What is wrong with the IP header, else with those behind it.
#[inline(always)]
fn network_fault<F: Frame>(
    frame: &F,
    network: usize,
    header: &Ipv6Hdr,
    packet: &mut Packet<Address6>,
) -> Option<Reason> {
    let mut length = Ipv6Hdr::LEN + usize::from(u16::from_be_bytes(header.payload_len));
    let present = frame.length().saturating_sub(network);
    if length == Ipv6Hdr::LEN && present > usize::from(u16::MAX) {
        // A GSO packet above 64 kB says so (BIG TCP, kernel commit 0fe79f28bfaf).
        length = present;
    }
    if header.vcf[0] >> 4 != 6 || length > present {
        return Some(Reason::Malformed);
    }
    packet.length = length as u32;
    let walked = match walk(frame, network, header.next_hdr, packet) {
        Ok(walked) => walked,
        Err(fault) => return Some(fault),
    };
    let headers = Ipv6Hdr::LEN + walked.bytes;
    if headers > length {
        return Some(Reason::Malformed);
    }
    let misplaced = fragment::fault(packet, walked.place, length - headers, LARGEST - walked.unfragmentable);
    transport::fault(frame, packet, length - headers).or(misplaced)
}

/// What was found between the IPv6 header and the transport header.
struct Walked {
    /// Bytes of all extension headers.
    bytes: usize,
    /// Those in front of a fragment header.
    unfragmentable: usize,
    /// Where the packet begins in its datagram, bytes, and whether more of it follows.
    place: (usize, bool),
}

/// Walks the extension headers, of which the first has number `next`: fills in the protocol behind them and where it begins.
#[inline(always)]
fn walk<F: Frame>(frame: &F, network: usize, mut next: u8, packet: &mut Packet<Address6>) -> Result<Walked, Reason> {
    let mut bytes = 0;
    for _ in 0..HEADERS {
        // Hop-by-hop options come first or not at all (RFC 8200 §4.1).
        let is_in_place = next == extension::DESTINATION || (next == extension::HOP_BY_HOP && bytes == 0);
        if !is_in_place {
            break;
        }
        let Some([following, units]) = frame.read::<[u8; 2]>(network + Ipv6Hdr::LEN + bytes) else {
            return Err(Reason::Malformed);
        };
        next = following;
        bytes += 8 * (usize::from(units) + 1);
        if bytes > BYTES {
            return Err(Reason::IpOptions);
        }
    }
    let mut walked = Walked { bytes, unfragmentable: bytes, place: (0, false) };
    if next == extension::FRAGMENT {
        let Some([following, _, high, low, id @ ..]) = frame.read::<[u8; 8]>(network + Ipv6Hdr::LEN + bytes) else {
            return Err(Reason::Malformed);
        };
        // RFC 8200 §4.5: units of eight bytes stand in the upper 13 bits, as bytes if the others are taken off.
        let word = u16::from_be_bytes([high, low]);
        walked.place = (usize::from(word & 0xfff8), word & 1 != 0);
        packet.identification = u32::from_ne_bytes(id);
        next = following;
        walked.bytes += 8;
    }
    if matches!(next, extension::HOP_BY_HOP | extension::ROUTING | extension::FRAGMENT | extension::DESTINATION) {
        // Too many of them, in a wrong place, or a route of the sender's own (RFC 5095).
        return Err(Reason::IpOptions);
    }
    packet.protocol = next;
    packet.transport = (network + Ipv6Hdr::LEN + walked.bytes) as u16;
    Ok(walked)
}

impl super::Headers for Address6 {
    const ICMP: u8 = protocol::ICMPV6;

    #[inline(always)]
    fn icmp(message: u8) -> Icmp {
        match message {
            // Destination unreachable, packet too big, time exceeded, parameter problem.
            1..=4 => Icmp::Error,
            128 => Icmp::Request,
            129 => Icmp::Reply,
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
        let Some(header) = frame.read::<Ipv6Hdr>(network) else { return Some(Reason::Malformed) };
        if header.vcf[0] >> 4 != 6 {
            return Some(Reason::Malformed);
        }
        packet.source = Address6::new(header.src_addr);
        packet.destination = Address6::new(header.dst_addr);
        match walk(frame, network, header.next_hdr, packet) {
            Ok(walked) => packet.fragment = Fragment::at(walked.place.0 != 0, walked.place.1),
            Err(fault) => return Some(fault),
        }
        None
    }
}
