//! Crafting packets, wrong ones too.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::ones_complement;

/// Protocol numbers of IPv4.
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// Flags of a TCP header.
pub mod tcp_flag {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Opens a connection.
    pub const SYN: u8 = 0x02;
    /// Resets a connection.
    pub const RST: u8 = 0x04;
    /// Hands the data over at once.
    pub const PSH: u8 = 0x08;
    /// The acknowledgement number counts.
    pub const ACK: u8 = 0x10;
    /// The urgent pointer counts.
    pub const URG: u8 = 0x20;
}

/// An IPv4 header in the making; the last step adds the payload and returns the packet.
#[derive(Clone, Debug)]
pub struct Ipv4 {
    source: Ipv4Addr,
    destination: Ipv4Addr,
    id: u16,
    ttl: u8,
    options: Vec<u8>,
    offset: u16,
    more: bool,
    sequence: u32,
    acknowledgment: u32,
}

impl Ipv4 {
    /// A header without anything special: TTL 64, no options, no fragment.
    pub fn new(source: Ipv4Addr, destination: Ipv4Addr) -> Self {
        Self {
            source,
            destination,
            id: 0x5468,
            ttl: 64,
            options: Vec::new(),
            offset: 0,
            more: false,
            sequence: 1000,
            acknowledgment: 0,
        }
    }

    /// With this TTL.
    pub fn ttl(mut self, ttl: u8) -> Self {
        self.ttl = ttl;
        self
    }

    /// Of a TCP segment: with this sequence and acknowledgment number.
    pub fn numbers(mut self, sequence: u32, acknowledgment: u32) -> Self {
        (self.sequence, self.acknowledgment) = (sequence, acknowledgment);
        self
    }

    /// With these options, a multiple of four bytes.
    pub fn options(mut self, options: &[u8]) -> Self {
        self.options = options.to_vec();
        self
    }

    /// As a fragment of datagram `id` that begins `offset` bytes into it, a multiple of eight.
    pub fn fragment(mut self, id: u16, offset: u16, more: bool) -> Self {
        (self.id, self.offset, self.more) = (id, offset, more);
        self
    }

    /// A UDP datagram with a right checksum.
    pub fn udp(&self, source_port: u16, port: u16, payload: &[u8]) -> Vec<u8> {
        let mut datagram = udp_header(source_port, port, payload);
        let sum = self.checksum(UDP, &datagram);
        // RFC 768: a computed zero is sent as all ones.
        datagram[6..8].copy_from_slice(&(if sum == 0 { 0xffff } else { sum }).to_be_bytes());
        self.raw(UDP, &datagram)
    }

    /// A UDP datagram without a checksum.
    pub fn udp_unchecked(&self, source_port: u16, port: u16, payload: &[u8]) -> Vec<u8> {
        self.raw(UDP, &udp_header(source_port, port, payload))
    }

    /// A UDP datagram whose header says `length` bytes, whatever it has.
    pub fn udp_of_length(&self, source_port: u16, port: u16, payload: &[u8], length: u16) -> Vec<u8> {
        let mut datagram = udp_header(source_port, port, payload);
        datagram[4..6].copy_from_slice(&length.to_be_bytes());
        self.raw(UDP, &datagram)
    }

    /// A TCP segment without payload; see [`tcp_flag`].
    pub fn tcp(&self, source_port: u16, port: u16, flags: u8) -> Vec<u8> {
        self.tcp_data(source_port, port, flags, &[])
    }

    /// A TCP segment with a payload.
    pub fn tcp_data(&self, source_port: u16, port: u16, flags: u8, payload: &[u8]) -> Vec<u8> {
        let header = tcp_header((source_port, port), (self.sequence, self.acknowledgment), flags, &[]);
        self.segment([header.as_slice(), payload].concat())
    }

    /// A TCP segment without payload, with these options, a multiple of four bytes.
    pub fn tcp_options(&self, source_port: u16, port: u16, flags: u8, options: &[u8]) -> Vec<u8> {
        self.segment(tcp_header((source_port, port), (self.sequence, self.acknowledgment), flags, options))
    }

    /// A TCP segment whose checksum is still zero, with a right one.
    fn segment(&self, mut segment: Vec<u8>) -> Vec<u8> {
        let sum = self.checksum(TCP, &segment);
        segment[16..18].copy_from_slice(&sum.to_be_bytes());
        self.raw(TCP, &segment)
    }

    /// An ICMP message of a type and code with a right checksum: the four bytes behind that, and what follows them.
    pub fn icmp(&self, kind: u8, code: u8, rest: [u8; 4], data: &[u8]) -> Vec<u8> {
        let mut message = icmp_message(kind, code, rest, data);
        let sum = !ones_complement(&message, 0);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        self.raw(ICMP, &message)
    }

    /// Any payload under any protocol number.
    pub fn raw(&self, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let header = 20 + self.options.len();
        let total = (header + payload.len()) as u16;
        let mut packet = vec![0x40 | (header / 4) as u8, 0];
        packet.extend(total.to_be_bytes());
        packet.extend(self.id.to_be_bytes());
        packet.extend(((u16::from(self.more) << 13) | (self.offset / 8)).to_be_bytes());
        packet.extend([self.ttl, protocol, 0, 0]);
        packet.extend(self.source.octets());
        packet.extend(self.destination.octets());
        packet.extend(&self.options);
        let sum = !ones_complement(&packet, 0);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet.extend(payload);
        packet
    }

    fn checksum(&self, protocol: u8, transport: &[u8]) -> u16 {
        let pseudo = [self.source.octets(), self.destination.octets()].concat();
        let length = transport.len() as u32;
        let start = u32::from(ones_complement(&pseudo, u32::from(protocol) + length));
        !ones_complement(transport, start)
    }
}

/// A UDP datagram over IPv6.
pub fn ipv6_udp(source: Ipv6Addr, destination: Ipv6Addr, source_port: u16, port: u16, payload: &[u8]) -> Vec<u8> {
    let mut datagram = udp_header(source_port, port, payload);
    let addresses = [source.octets(), destination.octets()].concat();
    let start = ones_complement(&addresses, u32::from(UDP) + datagram.len() as u32);
    let sum = !ones_complement(&datagram, u32::from(start));
    datagram[6..8].copy_from_slice(&sum.to_be_bytes());
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((datagram.len() as u16).to_be_bytes());
    packet.extend([UDP, 64]);
    packet.extend(addresses);
    packet.extend(datagram);
    packet
}

/// An ICMP message with a zero checksum.
fn icmp_message(kind: u8, code: u8, rest: [u8; 4], data: &[u8]) -> Vec<u8> {
    [&[kind, code, 0, 0], rest.as_slice(), data].concat()
}

/// A TCP header with a zero checksum: ports, sequence and acknowledgment number, flags, and options.
pub(super) fn tcp_header(
    (source_port, port): (u16, u16),
    (sequence, acknowledgment): (u32, u32),
    flags: u8,
    options: &[u8],
) -> Vec<u8> {
    let mut header = Vec::with_capacity(20 + options.len());
    header.extend(source_port.to_be_bytes());
    header.extend(port.to_be_bytes());
    header.extend(sequence.to_be_bytes());
    header.extend(acknowledgment.to_be_bytes());
    header.extend([(5 + options.len() as u8 / 4) << 4, flags]);
    header.extend(8192_u16.to_be_bytes()); // window
    header.extend([0; 4]); // checksum, urgent pointer
    header.extend(options);
    header
}

/// A UDP header with a zero checksum, and the payload.
pub(super) fn udp_header(source_port: u16, port: u16, payload: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::with_capacity(8 + payload.len());
    datagram.extend(source_port.to_be_bytes());
    datagram.extend(port.to_be_bytes());
    datagram.extend((8 + payload.len() as u16).to_be_bytes());
    datagram.extend([0; 2]);
    datagram.extend(payload);
    datagram
}
