//! Packets as hosts send them.

use std::net::{IpAddr, SocketAddr};

use super::{
    Chance,
    extension::{chain, fragment},
    message::{any_tcp, icmp, udp},
};
use crate::packet::Ipv4;

/// Who sends what to whom; both are of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Talk {
    /// The sender.
    pub source: SocketAddr,
    /// The receiver.
    pub destination: SocketAddr,
    /// IANA protocol number: TCP or UDP.
    pub protocol: u8,
}

impl Talk {
    /// The other direction.
    pub fn reversed(&self) -> Self {
        Self { source: self.destination, destination: self.source, ..*self }
    }
}

/// The field that limits how far a packet gets.
const HOPS: u8 = 64;

/// A whole TCP segment or UDP datagram without anything special. It begins with its IP header, as all packets here do.
pub fn plain(chance: &mut Chance, talk: &Talk) -> Vec<u8> {
    let message = transport(chance, talk);
    packet(talk, talk.protocol, message)
}

/// What a host might send in a conversation: a plain packet, ICMP, the fragments of a datagram, options, another protocol.
pub fn packets(chance: &mut Chance, talk: &Talk) -> Vec<Vec<u8>> {
    let icmp_number = if talk.source.is_ipv4() { 1 } else { 58 };
    match chance.below(20) {
        0..=10 => vec![plain(chance, talk)],
        11..=13 => vec![packet(talk, icmp_number, icmp(chance, talk))],
        14..=15 => fragments(chance, talk),
        16 => vec![large(chance, talk)],
        17..=18 => vec![with_options(chance, talk)],
        _ => {
            let (protocol, length) = (chance.pick(&[0, 2, 4, 41, 47, 50, 59, 89, 132, 136, 255]), chance.below(60));
            vec![packet(talk, protocol, chance.bytes(length))]
        }
    }
}

/// A message of the conversation's protocol.
fn transport(chance: &mut Chance, talk: &Talk) -> Vec<u8> {
    if talk.protocol == 6 {
        return any_tcp(chance, talk);
    }
    let length = chance.pick(&[0, 1, 4, 12, 40, 172]);
    let mut datagram = udp(talk, &chance.bytes(length));
    if talk.source.is_ipv4() && chance.once_in(8) {
        // RFC 768: none was computed.
        datagram[6..8].fill(0);
    }
    datagram
}

/// A packet around a message, with a right header.
fn packet(talk: &Talk, protocol: u8, message: Vec<u8>) -> Vec<u8> {
    match (talk.source.ip(), talk.destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            Ipv4::new(source, destination).ttl(HOPS).raw(protocol, &message)
        }
        (source, destination) => {
            let mut packet = vec![0x60, 0, 0, 0];
            packet.extend((message.len() as u16).to_be_bytes());
            packet.extend([protocol, HOPS]);
            packet.extend(octets(source));
            packet.extend(octets(destination));
            packet.extend(message);
            packet
        }
    }
}

/// A datagram about as long as a link's MTU of 1500 bytes allows.
fn large(chance: &mut Chance, talk: &Talk) -> Vec<u8> {
    let headers = if talk.source.is_ipv4() { 28 } else { 48 };
    let length = 1498 + chance.below(5) - headers;
    packet(talk, 17, udp(talk, &chance.bytes(length)))
}

/// The fragments of a datagram in their order or another, overlapping or not, now and then not all of them.
fn fragments(chance: &mut Chance, talk: &Talk) -> Vec<Vec<u8>> {
    let size = chance.pick(&[8, 16, 24, 64]);
    let id = chance.below(200) as u16;
    let length = chance.below(150);
    let datagram = udp(talk, &chance.bytes(length));
    let mut parts: Vec<_> = (0..datagram.len()).step_by(size).collect();
    if chance.once_in(2) {
        let (one, other) = (chance.below(parts.len()), chance.below(parts.len()));
        parts.swap(one, other);
    }
    parts.truncate(1 + chance.below(parts.len() + 2));
    let overlap = if chance.once_in(8) { 8 } else { 0 };
    let cut = |offset: usize| {
        let end = (offset + size + overlap).min(datagram.len());
        piece(talk, id, offset as u16, end < datagram.len(), &datagram[offset..end])
    };
    parts.into_iter().map(cut).collect()
}

/// A fragment of a UDP datagram.
fn piece(talk: &Talk, id: u16, offset: u16, more: bool, bytes: &[u8]) -> Vec<u8> {
    match (talk.source.ip(), talk.destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            Ipv4::new(source, destination).fragment(id, offset, more).raw(17, bytes)
        }
        _ => packet(talk, 44, [fragment(17, offset, more, u32::from(id)), bytes.to_vec()].concat()),
    }
}

/// With IPv4 options, or IPv6 extension headers.
fn with_options(chance: &mut Chance, talk: &Talk) -> Vec<u8> {
    let message = transport(chance, talk);
    match (talk.source.ip(), talk.destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let options = chance.pick(&[
                [1, 1, 1, 0].as_slice(),
                &[7, 7, 4, 0, 0, 0, 0, 0],
                &[131, 7, 4, 10, 0, 0, 1, 0],
                &[1; 40],
            ]);
            Ipv4::new(source, destination).options(options).raw(talk.protocol, &message)
        }
        _ => {
            let (next, behind) = chain(chance, talk.protocol, message);
            packet(talk, next, behind)
        }
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
