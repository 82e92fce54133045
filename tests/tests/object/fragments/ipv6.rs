//! The same by IPv6, where a fragment header tells the place.

use std::net::Ipv6Addr;

use thulium_ebpf::abi::Reason;

use super::PIECES;
use crate::{
    gateway::{GOVERNED, Gateway, Hook},
    maps::SIP,
    refused::Refused,
    traffic::*,
};

const NETWORK: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x20, 0, 0, 0, 0, 0);
const CLIENT: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x20, 0, 0, 0, 0, 10);
const SERVER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xff, 0, 0, 0, 0, 7);

/// The bytes `from` to `to` of a UDP datagram of 4 kB, as a fragment.
fn piece(
    (source, source_port): (Ipv6Addr, u16),
    (destination, port): (Ipv6Addr, u16),
    hops: u8,
    (from, to): (usize, usize),
) -> Vec<u8> {
    let whole = ipv6_udp(source, destination, source_port, port, &[7; 4000 - 8]);
    let (header, datagram) = whole.split_at(40);
    let mut packet = header.to_vec();
    packet[4..6].copy_from_slice(&((8 + to - from) as u16).to_be_bytes());
    (packet[6], packet[7]) = (44, hops);
    let place = from as u16 | u16::from(to < datagram.len());
    packet.extend([17, 0]);
    packet.extend(place.to_be_bytes());
    packet.extend([0, 0, 0, 77]);
    packet.extend(&datagram[from..to]);
    packet
}

fn out(hops: u8, bytes: (usize, usize)) -> Vec<u8> {
    piece((CLIENT, PHONE_PORT), (SERVER, SIP_PORT), hops, bytes)
}

fn back(hops: u8, bytes: (usize, usize)) -> Vec<u8> {
    piece((SERVER, SIP_PORT), (CLIENT, PHONE_PORT), hops, bytes)
}

fn gateway() -> Gateway {
    let mut gateway = Gateway::new();
    gateway.govern_ipv6(NETWORK.into(), SERVER.into());
    gateway
}

/// A fragment header more than by IPv4.
const FIRST: (usize, usize) = (0, 1448);

#[test]
fn all_fragments_of_a_datagram_pass_both_ways() {
    let mut gateway = gateway();
    let pieces = [FIRST, (2896, 4000), (1448, 2896)];
    for bytes in pieces {
        gateway.translates(Hook::Lan, &out(64, bytes), &out(63, bytes));
    }
    for bytes in pieces {
        gateway.passes(Hook::UplinkXdp, &back(64, bytes), 0);
        gateway.translates(Hook::Uplink, &back(64, bytes), &back(63, bytes));
    }
    // All of it has passed.
    gateway.passes(Hook::Lan, &out(64, PIECES[1]), GOVERNED);
    gateway.refuses(Hook::Guard, &out(64, PIECES[1]), Refused::new(Reason::FragmentNoState));
    gateway.refuses(Hook::Uplink, &back(64, PIECES[1]), Refused::new(Reason::FragmentNoState));
}

#[test]
fn each_byte_passes_once() {
    let mut gateway = gateway();
    gateway.admits(Hook::Lan, &out(64, FIRST));
    gateway.admits(Hook::Uplink, &back(64, FIRST));
    let overlap = Refused::of_flow(Reason::FragmentOverlap, SIP);
    for bytes in [FIRST, (1440, 1456), (8, 16)] {
        gateway.refuses(Hook::Lan, &out(64, bytes), overlap);
        gateway.refuses(Hook::Uplink, &back(64, bytes), overlap);
    }
}

#[test]
fn a_first_fragment_without_the_whole_header_chain_is_tiny() {
    let mut gateway = gateway();
    let tiny = out(64, (0, 4));
    for hook in [Hook::Lan, Hook::LanXdp, Hook::Guard] {
        gateway.refuses(hook, &tiny, Refused::new(Reason::FragmentTiny));
    }
    for hook in [Hook::Uplink, Hook::UplinkXdp] {
        gateway.refuses(hook, &back(64, (0, 4)), Refused::new(Reason::FragmentTiny));
    }
}
