//! Crafting IPv6 packets.

use std::net::Ipv6Addr;

use super::{
    craft::{tcp_header, udp_header},
    ones_complement,
};

/// Protocol numbers.
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// An IPv6 header in the making; the last step adds the payload and returns the packet.
#[derive(Clone, Debug)]
pub struct Ipv6 {
    source: Ipv6Addr,
    destination: Ipv6Addr,
    hop_limit: u8,
    extensions: Vec<(u8, Vec<u8>)>,
}

impl Ipv6 {
    /// A header with a hop limit of 64 and no extensions.
    pub const fn new(source: Ipv6Addr, destination: Ipv6Addr) -> Self {
        Self { source, destination, hop_limit: 64, extensions: Vec::new() }
    }

    /// With this hop limit.
    pub const fn hop_limit(mut self, hop_limit: u8) -> Self {
        self.hop_limit = hop_limit;
        self
    }

    /// With a further extension header of this number, whose body behind the next header's number is `body`; together they are
    /// a multiple of eight bytes.
    pub fn extension(mut self, number: u8, body: &[u8]) -> Self {
        self.extensions.push((number, body.to_vec()));
        self
    }

    /// As a fragment of datagram `id` that begins `offset` bytes into it, a multiple of eight (RFC 8200 §4.5).
    pub fn fragment(self, id: u32, offset: u16, more: bool) -> Self {
        let [high, low] = (offset | u16::from(more)).to_be_bytes();
        let [a, b, c, d] = id.to_be_bytes();
        self.extension(44, &[0, high, low, a, b, c, d])
    }

    /// A UDP datagram with a right checksum.
    pub fn udp(&self, source_port: u16, port: u16, payload: &[u8]) -> Vec<u8> {
        let mut datagram = udp_header(source_port, port, payload);
        let sum = self.checksum(UDP, &datagram);
        // RFC 8200 §8.1: a computed zero is sent as all ones.
        datagram[6..8].copy_from_slice(&(if sum == 0 { 0xffff } else { sum }).to_be_bytes());
        self.raw(UDP, &datagram)
    }

    /// A TCP segment without payload; see [`crate::packet::tcp_flag`].
    pub fn tcp(&self, source_port: u16, port: u16, flags: u8) -> Vec<u8> {
        self.tcp_options(source_port, port, flags, &[])
    }

    /// A TCP segment without payload, with these options, a multiple of four bytes.
    pub fn tcp_options(&self, source_port: u16, port: u16, flags: u8, options: &[u8]) -> Vec<u8> {
        let mut segment = tcp_header((source_port, port), (1000, 0), flags, options);
        let sum = self.checksum(TCP, &segment);
        segment[16..18].copy_from_slice(&sum.to_be_bytes());
        self.raw(TCP, &segment)
    }

    /// An ICMPv6 message with a right checksum, given its type, code and what follows the checksum.
    pub fn icmp(&self, kind: u8, code: u8, body: &[u8]) -> Vec<u8> {
        let mut message = vec![kind, code, 0, 0];
        message.extend(body);
        let sum = self.checksum(ICMPV6, &message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        self.raw(ICMPV6, &message)
    }

    /// Any payload under any protocol number.
    pub fn raw(&self, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mut numbers: Vec<u8> = self.extensions.iter().map(|(number, _)| *number).collect();
        numbers.push(protocol);
        let length: usize = self.extensions.iter().map(|(_, body)| 1 + body.len()).sum::<usize>() + payload.len();
        let mut packet = vec![0x60, 0, 0, 0];
        packet.extend((length as u16).to_be_bytes());
        packet.extend([numbers[0], self.hop_limit]);
        packet.extend(self.source.octets());
        packet.extend(self.destination.octets());
        for ((_, body), next) in self.extensions.iter().zip(&numbers[1..]) {
            packet.push(*next);
            packet.extend(body);
        }
        packet.extend(payload);
        packet
    }

    fn checksum(&self, protocol: u8, transport: &[u8]) -> u16 {
        let addresses = [self.source.octets(), self.destination.octets()].concat();
        let start = ones_complement(&addresses, u32::from(protocol) + transport.len() as u32);
        !ones_complement(transport, u32::from(start))
    }
}
