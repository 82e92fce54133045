//! What stands behind the IP headers: TCP, UDP and ICMP of a conversation, with right lengths and checksums.

use std::net::IpAddr;

use super::{Chance, Talk, shape::plain};
use crate::packet::{
    ones_complement,
    tcp_flag::{ACK, FIN, RST, SYN},
};

/// Sets the checksum at `at`, which covers the message and the addresses.
fn seal(talk: &Talk, protocol: u8, message: &mut [u8], at: usize) {
    let mut pseudo = Vec::with_capacity(32);
    for address in [talk.source.ip(), talk.destination.ip()] {
        match address {
            IpAddr::V4(address) => pseudo.extend(address.octets()),
            IpAddr::V6(address) => pseudo.extend(address.octets()),
        }
    }
    let start = ones_complement(&pseudo, u32::from(protocol) + message.len() as u32);
    let sum = !ones_complement(message, u32::from(start));
    // RFC 768: a computed zero is sent as all ones; for the others both mean the same.
    message[at..at + 2].copy_from_slice(&(if sum == 0 { 0xffff } else { sum }).to_be_bytes());
}

/// A UDP datagram.
pub(super) fn udp(talk: &Talk, payload: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::with_capacity(8 + payload.len());
    datagram.extend(talk.source.port().to_be_bytes());
    datagram.extend(talk.destination.port().to_be_bytes());
    datagram.extend((8 + payload.len() as u16).to_be_bytes());
    datagram.extend([0; 2]);
    datagram.extend(payload);
    seal(talk, 17, &mut datagram, 6);
    datagram
}

/// A TCP segment with these control bits, options (padded here) and payload.
pub(super) fn tcp(chance: &mut Chance, talk: &Talk, flags: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut segment = Vec::with_capacity(60 + payload.len());
    segment.extend(talk.source.port().to_be_bytes());
    segment.extend(talk.destination.port().to_be_bytes());
    // Sequence and acknowledgement number. Most connections begin with the same, so that their segments follow each other.
    let follows = u32::from(flags & SYN == 0);
    let number = chance.pick(&[1000, 1000, 1000, 1300, u32::MAX]).wrapping_add(follows);
    segment.extend(number.to_be_bytes());
    segment.extend(1001_u32.to_be_bytes());
    let header = (20 + options.len()).next_multiple_of(4);
    segment.extend([(header as u8 / 4) << 4, flags, 0xff, 0xff, 0, 0, 0, 0]);
    segment.extend(options);
    segment.resize(header, 0);
    segment.extend(payload);
    seal(talk, 6, &mut segment, 16);
    segment
}

/// Control bits and options as connections have them, most of the time.
pub(super) fn any_tcp(chance: &mut Chance, talk: &Talk) -> Vec<u8> {
    const OPTIONS: [&[u8]; 6] = [
        &[],
        &[2, 4, 5, 180],
        &[2, 4, 0xff, 0xff, 1, 3, 3, 7, 4, 2],
        &[1, 2, 4, 35, 40, 1, 1],
        &[8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 2, 4, 5, 181],
        &[2, 3, 5, 0, 7, 0, 2, 4],
    ];
    let flags = chance.pick(&[SYN, SYN, SYN, SYN | ACK, ACK, ACK, ACK, ACK | FIN, RST, RST | ACK, SYN | FIN, 0, 0xff]);
    let options = chance.pick(&OPTIONS);
    let payload = if flags & SYN == 0 { hello(chance) } else { Vec::new() };
    tcp(chance, talk, flags, options, &payload)
}

/// The beginning of a TLS ClientHello, cut somewhere; or other bytes.
fn hello(chance: &mut Chance) -> Vec<u8> {
    let mut payload = vec![22, 3, chance.pick(&[0, 1, 3]), 2, 0, 1, 0, 1, 252, 3, chance.pick(&[1, 2, 3, 4])];
    let more = chance.below(300);
    payload.extend(chance.bytes(more));
    payload.truncate(chance.below(payload.len() + 1));
    if chance.once_in(4) {
        let length = payload.len();
        payload = chance.bytes(length);
    }
    payload
}

/// An ICMP error about a packet that went the other way, or an echo: of version 4 or 6 as the addresses are.
pub(super) fn icmp(chance: &mut Chance, talk: &Talk) -> Vec<u8> {
    let is_v4 = talk.source.is_ipv4();
    let echo = chance.once_in(4);
    let kind = match (is_v4, echo) {
        (true, true) => chance.pick(&[8, 0, 13]),
        (true, false) => chance.pick(&[3, 3, 11, 12, 4, 5]),
        (false, true) => chance.pick(&[128, 129, 135, 136, 137]),
        (false, false) => chance.pick(&[1, 2, 3, 4, 100]),
    };
    let mut message = vec![kind, chance.pick(&[0, 1, 3, 4, 13]), 0, 0];
    message.extend(chance.pick(&[[0, 0, 5, 20], [0, 0, 0, 0], [0xff; 4]]));
    if echo {
        message.extend(chance.bytes(40));
    } else {
        message.extend(quote(chance, talk));
    }
    if is_v4 {
        let sum = !ones_complement(&message, 0);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
    } else {
        seal(talk, 58, &mut message, 2);
    }
    message
}

/// What an error quotes: the headers, with eight bytes behind them or more.
fn quote(chance: &mut Chance, talk: &Talk) -> Vec<u8> {
    let mut quoted = plain(chance, &talk.reversed());
    let headers = if talk.source.is_ipv4() { 20 } else { 40 };
    let length = headers + chance.pick(&[8, 8, 20, 64, 500, 4]);
    quoted.truncate(length);
    quoted
}
