//! IPv6 (RFC 8200) with its extension headers, and the transport header behind them.

use network_types::ip::Ipv6Hdr;

use super::{
    Packet,
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
    let mut next = header.next_hdr;
    let mut walked = 0;
    for _ in 0..HEADERS {
        // Hop-by-hop options come first or not at all (RFC 8200 §4.1).
        let is_in_place = next == extension::DESTINATION || (next == extension::HOP_BY_HOP && walked == 0);
        if !is_in_place {
            break;
        }
        let Some([following, units]) = frame.read::<[u8; 2]>(network + Ipv6Hdr::LEN + walked) else {
            return Some(Reason::Malformed);
        };
        next = following;
        walked += 8 * (usize::from(units) + 1);
        if walked > BYTES {
            return Some(Reason::IpOptions);
        }
    }
    let mut place = (0, false);
    let most = LARGEST - walked;
    if next == extension::FRAGMENT {
        let Some([following, _, high, low, id @ ..]) = frame.read::<[u8; 8]>(network + Ipv6Hdr::LEN + walked) else {
            return Some(Reason::Malformed);
        };
        // RFC 8200 §4.5: units of eight bytes stand in the upper 13 bits, as bytes if the others are taken off.
        let word = u16::from_be_bytes([high, low]);
        place = (usize::from(word & 0xfff8), word & 1 != 0);
        packet.identification = u32::from_ne_bytes(id);
        next = following;
        walked += 8;
    }
    if matches!(next, extension::HOP_BY_HOP | extension::ROUTING | extension::FRAGMENT | extension::DESTINATION) {
        // Too many of them, in a wrong place, or a route of the sender's own (RFC 5095).
        return Some(Reason::IpOptions);
    }
    let headers = Ipv6Hdr::LEN + walked;
    if headers > length {
        return Some(Reason::Malformed);
    }
    packet.protocol = next;
    packet.transport = (network + headers) as u16;
    let misplaced = fragment::fault(packet, place, length - headers, most);
    transport::fault(frame, packet, length - headers).or(misplaced)
}

impl super::Headers for Address6 {
    const ICMP: u8 = protocol::ICMPV6;

    #[inline(always)]
    fn read<F: Frame>(frame: &F, packet: &mut Packet<Self>) {
        parse(frame, packet);
    }
}
