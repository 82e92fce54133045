//! Fragmented datagrams: the later fragments have no ports, and follow the first.

use std::net::Ipv4Addr;

use thulium_ebpf::abi::Reason;

use crate::{
    gateway::{Action, GOVERNED, Gateway, Hook},
    refused::Refused,
    traffic::*,
};

/// The three fragments of a UDP datagram of 40 bytes.
fn fragments(source: (Ipv4Addr, u16), destination: (Ipv4Addr, u16), ttl: u8) -> [Vec<u8>; 3] {
    let ip = Ipv4::new(source.0, destination.0).ttl(ttl);
    let datagram = &ip.udp(source.1, destination.1, b"an INVITE with a long body, as")[20..];
    let part = |offset: usize, end: usize| {
        ip.clone().fragment(77, offset as u16, end < datagram.len()).raw(17, &datagram[offset..end])
    };
    [part(0, 16), part(16, 32), part(32, datagram.len())]
}

/// The client's port is one that is not kept, so that the first fragment alone shows the new one.
fn out() -> [Vec<u8>; 3] {
    fragments((CLIENT, 33000), (SERVER, SIP_PORT), 64)
}

#[test]
fn all_fragments_of_a_datagram_are_translated_out() {
    let mut gateway = Gateway::new();
    let first = gateway.admits(Hook::Lan, &out()[0]);
    let external = u16::from_be_bytes([first[20], first[21]]);
    let expected = fragments((UPLINK, external), (SERVER, SIP_PORT), 63);
    assert_ne!(external, 33000);
    assert_eq!(first, expected[0]);
    // They may overtake each other.
    gateway.translates(Hook::Lan, &out()[2], &expected[2]);
    gateway.translates(Hook::Lan, &out()[1], &expected[1]);
}

#[test]
fn all_fragments_of_a_reply_are_translated_in() {
    let mut gateway = Gateway::new();
    gateway.admits(Hook::Lan, &sip_out());
    let fragments_in = fragments((SERVER, SIP_PORT), (UPLINK, PHONE_PORT), 64);
    let expected = fragments((SERVER, SIP_PORT), (CLIENT, PHONE_PORT), 63);
    for (fragment, expected) in fragments_in.iter().zip(&expected) {
        gateway.passes(Hook::UplinkXdp, fragment, 0);
        gateway.translates(Hook::Uplink, fragment, expected);
    }
}

#[test]
fn a_later_fragment_that_follows_nothing_is_refused_where_it_would_leave() {
    let mut gateway = Gateway::new();
    gateway.passes(Hook::Lan, &out()[1], GOVERNED);
    let ran = gateway.send_marked(Hook::Guard, &out()[1], GOVERNED);
    assert_eq!(ran.action, Action::Drop);
    let refused = Refused::new(Reason::FragmentNoState);
    assert_eq!(gateway.take_refused(), [refused.counted(Hook::Guard, &out()[1])]);
}

#[test]
fn a_fragment_of_another_datagram_does_not_follow() {
    let mut gateway = Gateway::new();
    gateway.admits(Hook::Lan, &out()[0]);
    let other = Ipv4::new(CLIENT, SERVER).fragment(78, 16, false).raw(17, &[0; 16]);
    gateway.passes(Hook::Lan, &other, GOVERNED);
    gateway.refuses(Hook::Guard, &other, Refused::new(Reason::FragmentNoState));
}

#[test]
fn the_fragments_of_a_refused_datagram_do_not_follow_it() {
    let mut gateway = Gateway::new();
    let [first, later, _] = fragments((CLIENT, 33000), (SERVER, 53), 64);
    gateway.refuses(Hook::Guard, &first, Refused::new(Reason::NoFlow));
    gateway.refuses(Hook::Guard, &later, Refused::new(Reason::FragmentNoState));
}
