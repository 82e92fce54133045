//! Fragmented datagrams: the later fragments have no ports, and follow the first.

mod ipv6;
mod refused;

use std::net::Ipv4Addr;

use thulium_ebpf::abi::{Reason, Side};

use crate::{
    gateway::{Action, GOVERNED, Gateway, Hook, TRANSLATED},
    refused::Refused,
    traffic::*,
};

/// The number of the datagrams of these tests.
const ID: u16 = 77;

/// The bytes `from` to `to` of the UDP datagram of 4 kB between two endpoints, as a fragment.
fn piece(source: (Ipv4Addr, u16), destination: (Ipv4Addr, u16), ttl: u8, (from, to): (usize, usize)) -> Vec<u8> {
    let ip = Ipv4::new(source.0, destination.0).ttl(ttl);
    let payload: Vec<u8> = (0..4000 - 8).map(|at| (at / 8) as u8).collect();
    let datagram = &ip.udp(source.1, destination.1, &payload)[20..];
    ip.fragment(ID, from as u16, to < datagram.len()).raw(17, &datagram[from..to])
}

/// A piece of the client's datagram. Its port is one that is not kept, so that the first fragment alone shows the new one.
fn out(bytes: (usize, usize)) -> Vec<u8> {
    piece((CLIENT, 33000), (SERVER, SIP_PORT), 64, bytes)
}

/// A piece of the server's datagram to the phone.
fn back(bytes: (usize, usize)) -> Vec<u8> {
    piece((SERVER, SIP_PORT), (UPLINK, PHONE_PORT), 64, bytes)
}

/// The pieces of a datagram of 4 kB on a link of 1500 bytes.
const PIECES: [(usize, usize); 3] = [(0, 1480), (1480, 2960), (2960, 4000)];

impl Gateway {
    /// Sends a piece of the client's datagram that has to pass, and returns its source port outside if it has one.
    fn sends_out(&mut self, bytes: (usize, usize)) -> u16 {
        let sent = self.admits(Hook::Lan, &out(bytes));
        u16::from_be_bytes([sent[20], sent[21]])
    }
}

#[test]
fn all_fragments_of_a_datagram_are_translated_out() {
    let mut gateway = Gateway::new();
    let first = gateway.admits(Hook::Lan, &out(PIECES[0]));
    let external = u16::from_be_bytes([first[20], first[21]]);
    assert_ne!(external, 33000);
    let expected = |bytes| piece((UPLINK, external), (SERVER, SIP_PORT), 63, bytes);
    assert_eq!(first, expected(PIECES[0]));
    // They may overtake each other.
    for bytes in [PIECES[2], PIECES[1]] {
        gateway.translates(Hook::Lan, &out(bytes), &expected(bytes));
    }
    assert_eq!(gateway.flows_of(Side::Lan)[0].1.packets, 3);
}

#[test]
fn all_fragments_of_a_reply_are_translated_in() {
    let mut gateway = Gateway::new();
    gateway.admits(Hook::Lan, &sip_out());
    for bytes in PIECES {
        gateway.passes(Hook::UplinkXdp, &back(bytes), 0);
        let expected = piece((SERVER, SIP_PORT), (CLIENT, PHONE_PORT), 63, bytes);
        gateway.translates(Hook::Uplink, &back(bytes), &expected);
    }
}

#[test]
fn a_complete_datagram_is_forgotten() {
    let mut gateway = Gateway::new();
    for bytes in [PIECES[0], PIECES[2]] {
        gateway.sends_out(bytes);
    }
    assert_eq!(gateway.datagrams().len(), 1);
    gateway.sends_out(PIECES[1]);
    assert_eq!(gateway.datagrams(), []);
    // Its number may be another one's at once.
    for bytes in PIECES {
        gateway.sends_out(bytes);
    }
    gateway.refuses(Hook::Guard, &out(PIECES[2]), Refused::new(Reason::FragmentNoState));
}

#[test]
fn what_is_known_of_datagrams_is_bounded() {
    let mut gateway = Gateway::new();
    let ip = Ipv4::new(CLIENT, SERVER);
    for id in 0..6000 {
        let first = ip.clone().fragment(id, 0, true).udp(PHONE_PORT, SIP_PORT, b"an INVITE of 24B");
        assert_eq!(gateway.send(Hook::Lan, &first).action, Action::Redirect);
    }
    assert!(gateway.datagrams().len() <= 4096);
    gateway.admits(Hook::Lan, &ip.fragment(5999, 24, false).raw(17, &[0; 8]));
}

/// The first fragment is larger than the uplink's MTU: the kernel fragments it further, and may need the others for that.
#[test]
fn all_fragments_follow_the_first_one_through_the_kernel_out() {
    let mut gateway = Gateway::new();
    let first = out((0, 1504));
    gateway.passes(Hook::Lan, &first, GOVERNED);
    assert_eq!(gateway.datagrams(), [], "what is not sent leaves no trace");
    // Until the guard has seen the first, nothing is known of the second.
    gateway.passes(Hook::Lan, &out((1504, 3008)), GOVERNED);
    let mut external = None;
    for bytes in [(0, 1480), (1480, 1504), (1504, 2984), (2984, 3008)] {
        let ran = gateway.send_marked(Hook::Guard, &out(bytes), GOVERNED);
        let port = *external.get_or_insert_with(|| u16::from_be_bytes([ran.packet[20], ran.packet[21]]));
        let expected = piece((UPLINK, port), (SERVER, SIP_PORT), 64, bytes);
        assert_eq!((ran.action, ran.packet, ran.mark), (Action::Pass, expected, TRANSLATED));
    }
    // The last one would fit.
    gateway.passes(Hook::Lan, &out((3008, 4000)), GOVERNED);
    let ran = gateway.send_marked(Hook::Guard, &out((3008, 4000)), GOVERNED);
    assert_eq!((ran.action, ran.mark), (Action::Pass, TRANSLATED));
    assert_eq!((gateway.datagrams(), gateway.take_refused()), (vec![], vec![]));
}

#[test]
fn all_fragments_follow_the_first_one_through_the_kernel_in() {
    let mut gateway = Gateway::new();
    gateway.admits(Hook::Lan, &sip_out());
    for bytes in [(0, 1504), (1504, 3008), (3008, 4000)] {
        let ran = gateway.send(Hook::Uplink, &back(bytes));
        let expected = piece((SERVER, SIP_PORT), (CLIENT, PHONE_PORT), 64, bytes);
        assert_eq!((ran.action, ran.packet), (Action::Pass, expected), "{bytes:?}");
    }
    assert_eq!((gateway.datagrams(), gateway.take_refused()), (vec![], vec![]));
}
