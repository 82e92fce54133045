//! Reading a captured IPv4 packet.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::ones_complement;

/// The parts of an IPv4 packet with TCP or UDP inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// Source address and port; port 0 for other protocols and later fragments.
    pub source: SocketAddrV4,
    /// Destination address and port; port 0 for other protocols and later fragments.
    pub destination: SocketAddrV4,
    /// Protocol number.
    pub protocol: u8,
    /// Time to live.
    pub ttl: u8,
    /// What follows the transport header.
    pub payload: Vec<u8>,
    /// The checksum field of TCP or UDP.
    pub checksum: u16,
    /// Whether the checksums of the IPv4 header and of TCP or UDP are right; a zero checksum of UDP is.
    pub intact: bool,
}

impl Parsed {
    /// The parts of `packet`, or `None` if it is not IPv4 or cut short.
    pub fn new(packet: &[u8]) -> Option<Self> {
        let [first, ..] = *packet else { return None };
        let header = usize::from(first & 0xf) * 4;
        let total = usize::from(u16_at(packet, 2)?);
        if first >> 4 != 4 || header < 20 {
            return None;
        }
        let (ip, transport) = packet.get(..total)?.split_at_checked(header)?;
        let protocol = ip[9];
        let address = |at: usize| Ipv4Addr::new(ip[at], ip[at + 1], ip[at + 2], ip[at + 3]);
        let first_fragment = u16_at(ip, 6)? & 0x1fff == 0;
        let (checksum_at, length) = match protocol {
            6 if first_fragment => (Some(16), usize::from(transport.get(12)? >> 4) * 4),
            17 if first_fragment => (Some(6), 8),
            _ => (None, 0),
        };
        let port = |at| if checksum_at.is_some() { u16_at(transport, at) } else { Some(0) };
        let checksum = checksum_at.map_or(Some(0), |at| u16_at(transport, at))?;
        let start = ones_complement(&ip[12..20], u32::from(protocol) + transport.len() as u32);
        let transport_intact = checksum_at.is_none()
            || (protocol == 17 && checksum == 0)
            || ones_complement(transport, u32::from(start)) == 0xffff;
        Some(Self {
            source: SocketAddrV4::new(address(12), port(0)?),
            destination: SocketAddrV4::new(address(16), port(2)?),
            protocol,
            ttl: ip[8],
            payload: transport.get(length..)?.to_vec(),
            checksum,
            intact: ones_complement(ip, 0) == 0xffff && transport_intact,
        })
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{Ipv4, tcp_flag};

    const A: Ipv4Addr = Ipv4Addr::new(192, 168, 20, 10);
    const B: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);

    #[test]
    fn reads_what_was_crafted() {
        let parsed = Parsed::new(&Ipv4::new(A, B).ttl(9).udp(4000, 15060, b"odd")).unwrap();
        assert_eq!(parsed.source, SocketAddrV4::new(A, 4000));
        assert_eq!(parsed.destination, SocketAddrV4::new(B, 15060));
        assert_eq!((parsed.protocol, parsed.ttl, parsed.payload.as_slice(), parsed.intact), (17, 9, &b"odd"[..], true));
        assert!(Parsed::new(&Ipv4::new(A, B).tcp(4000, 443, tcp_flag::SYN)).unwrap().intact);
    }

    #[test]
    fn sees_a_changed_byte() {
        let mut packet = Ipv4::new(A, B).udp(4000, 15060, b"payload");
        *packet.last_mut().unwrap() ^= 1;
        assert!(!Parsed::new(&packet).unwrap().intact);
    }
}
