//! Fragments that do not pass, each with its reason, counted once.

use thulium_ebpf::abi::{Reason, Side, Verdict};

use super::{ID, PIECES, back, out};
use crate::{
    gateway::{Action, GOVERNED, Gateway, Hook},
    maps::SIP,
    refused::Refused,
    traffic::*,
};

#[test]
fn a_later_fragment_that_follows_nothing_is_refused_where_it_would_leave() {
    let mut gateway = Gateway::new();
    gateway.passes(Hook::Lan, &out(PIECES[1]), GOVERNED);
    let ran = gateway.send_marked(Hook::Guard, &out(PIECES[1]), GOVERNED);
    assert_eq!(ran.action, Action::Drop);
    let refused = Refused::new(Reason::FragmentNoState);
    assert_eq!(gateway.take_refused(), [refused.counted(Hook::Guard, &out(PIECES[1]))]);
}

#[test]
fn a_fragment_of_another_datagram_does_not_follow() {
    let mut gateway = Gateway::new();
    gateway.sends_out(PIECES[0]);
    let other = Ipv4::new(CLIENT, SERVER).fragment(ID + 1, 16, false).raw(17, &[0; 16]);
    gateway.passes(Hook::Lan, &other, GOVERNED);
    gateway.refuses(Hook::Guard, &other, Refused::new(Reason::FragmentNoState));
}

#[test]
fn the_fragments_of_a_refused_datagram_do_not_follow_it_out() {
    let mut gateway = Gateway::new();
    let [first, later, _] = PIECES.map(|bytes| super::piece((CLIENT, 33000), (SERVER, 53), 64, bytes));
    gateway.refuses(Hook::Guard, &first, Refused::new(Reason::NoFlow));
    gateway.refuses(Hook::Guard, &later, Refused::new(Reason::FragmentNoState));
    // What no flow names may be left to the kernel: then all of the datagram is.
    gateway.set(|settings| settings.pass_unmatched = 1);
    for (packet, reason) in [(&first, Reason::NoFlow), (&later, Reason::FragmentNoState)] {
        assert_eq!(gateway.send(Hook::Guard, packet).action, Action::Pass);
        let spared = Refused::new(reason).spared(Verdict::Pass);
        assert_eq!(gateway.take_refused(), [spared.counted(Hook::Guard, packet)]);
    }
}

#[test]
fn the_fragments_of_a_refused_datagram_do_not_follow_it_in() {
    for hook in [Hook::Uplink, Hook::UplinkXdp] {
        let mut gateway = Gateway::new();
        gateway.admits(Hook::Lan, &sip_out());
        let stranger = |bytes| super::piece((STRANGER, SIP_PORT), (UPLINK, PHONE_PORT), 64, bytes);
        // Without its first fragment, it may be the gateway's own.
        gateway.passes(hook, &stranger(PIECES[1]), 0);
        for bytes in PIECES {
            gateway.refuses(hook, &stranger(bytes), Refused::new(Reason::NoSession));
        }
        // The server's own is not held up by one that has its number and comes from another of its ports.
        gateway.refuses(
            hook,
            &super::piece((SERVER, 999), (UPLINK, PHONE_PORT), 64, PIECES[0]),
            Refused::new(Reason::NoSession),
        );
        gateway.admits(Hook::Uplink, &back(PIECES[0]));
        gateway.refuses(
            hook,
            &super::piece((SERVER, 999), (UPLINK, PHONE_PORT), 64, PIECES[0]),
            Refused::new(Reason::NoSession),
        );
        gateway.admits(Hook::Uplink, &back(PIECES[1]));
    }
}

#[test]
fn each_byte_passes_once_out() {
    let mut gateway = Gateway::new();
    gateway.sends_out(PIECES[0]);
    gateway.sends_out(PIECES[1]);
    let overlap = Refused::of_flow(Reason::FragmentOverlap, SIP);
    // The first and the second again, one that covers a part of both, one that adds a byte in front.
    for bytes in [PIECES[0], PIECES[1], (800, 2000), (1472, 1488), (2952, 3000)] {
        gateway.refuses(Hook::Lan, &out(bytes), overlap);
        gateway.refuses(Hook::Guard, &out(bytes), overlap);
    }
    assert_eq!(gateway.flows_of(Side::Lan)[0].1.packets, 2, "what is refused is not counted as sent");
    gateway.sends_out(PIECES[2]);
}

#[test]
fn each_byte_passes_once_in() {
    let mut gateway = Gateway::new();
    gateway.admits(Hook::Lan, &sip_out());
    gateway.admits(Hook::Uplink, &back(PIECES[0]));
    gateway.admits(Hook::Uplink, &back(PIECES[2]));
    let overlap = Refused::of_flow(Reason::FragmentOverlap, SIP);
    for bytes in [PIECES[0], PIECES[2], (1472, 1488), (2000, 3000), (3992, 4000)] {
        gateway.passes(Hook::UplinkXdp, &back(bytes), 0);
        gateway.refuses(Hook::Uplink, &back(bytes), overlap);
    }
    // Behind the end.
    let behind = Ipv4::new(SERVER, UPLINK).fragment(ID, 4000, true).raw(17, &[0; 8]);
    gateway.refuses(Hook::Uplink, &behind, overlap);
    gateway.admits(Hook::Uplink, &back(PIECES[1]));
}

#[test]
fn a_fragment_that_comes_late_is_stale() {
    let mut gateway = Gateway::new();
    gateway.sends_out(PIECES[0]);
    gateway.admits(Hook::Lan, &sip_out());
    gateway.admits(Hook::Uplink, &back(PIECES[0]));
    gateway.age_datagrams(4);
    gateway.sends_out(PIECES[1]);
    gateway.admits(Hook::Uplink, &back(PIECES[1]));
    gateway.age_datagrams(6);
    let stale = Refused::new(Reason::FragmentStale);
    for (hook, packet) in [
        (Hook::Lan, out(PIECES[2])),
        (Hook::Guard, out(PIECES[2])),
        (Hook::Uplink, back(PIECES[2])),
        (Hook::UplinkXdp, back(PIECES[2])),
    ] {
        gateway.refuses(hook, &packet, stale);
    }
    // Its number may be another datagram's: a new one's, or the gateway's own.
    gateway.sends_out(PIECES[0]);
    gateway.sends_out(PIECES[2]);
    gateway.age_datagrams(31);
    gateway.refuses(Hook::Guard, &out(PIECES[1]), Refused::new(Reason::FragmentNoState));
    gateway.passes(Hook::Uplink, &back(PIECES[2]), 0);
}

#[test]
fn a_transport_header_in_several_fragments_is_tiny() {
    let segment = &web_out(SYN)[20..];
    let pieces = |source, destination| {
        let ip = Ipv4::new(source, destination);
        [
            ip.clone().fragment(ID, 0, true).raw(6, &segment[..8]),
            ip.clone().fragment(ID, 0, true).raw(6, &segment[..16]),
            ip.clone().fragment(ID, 8, true).raw(6, &segment[8..16]),
            ip.clone().fragment(ID, 16, false).raw(6, &segment[16..]),
            ip.clone().fragment(ID, 0, true).raw(17, &segment[..4]),
        ]
    };
    let mut gateway = Gateway::new();
    for hook in [Hook::Lan, Hook::LanXdp, Hook::Guard] {
        for packet in pieces(CLIENT, SERVER) {
            gateway.refuses(hook, &packet, Refused::new(Reason::FragmentTiny));
        }
    }
    for hook in [Hook::Uplink, Hook::UplinkXdp] {
        for packet in pieces(SERVER, UPLINK) {
            gateway.refuses(hook, &packet, Refused::new(Reason::FragmentTiny));
        }
    }
    // A header in one piece is none, however small the fragment.
    gateway.admits(
        Hook::Lan,
        &Ipv4::new(CLIENT, SERVER).fragment(ID, 0, true).raw(6, &{
            let mut whole = segment.to_vec();
            whole[12] = 6 << 4; // 24 bytes with options
            whole.extend([1; 4]);
            whole
        }),
    );
}

#[test]
fn a_datagram_of_more_than_64_kb_is_malformed() {
    let mut gateway = Gateway::new();
    gateway.sends_out(PIECES[0]);
    let last = Ipv4::new(CLIENT, SERVER).fragment(ID, 65_504, false).raw(17, &[0; 32]);
    for hook in [Hook::Lan, Hook::LanXdp, Hook::Guard] {
        gateway.refuses(hook, &last, Refused::new(Reason::Malformed));
    }
}

#[test]
fn more_gaps_than_are_kept_are_refused() {
    let mut gateway = Gateway::new();
    gateway.sends_out((0, 400));
    for from in [800, 1600, 2400] {
        gateway.sends_out((from, from + 400));
    }
    gateway.refuses(Hook::Lan, &out((3200, 3600)), Refused::of_flow(Reason::FragmentDisorder, SIP));
    // Where a gap closes, there is room again.
    gateway.sends_out((400, 800));
    gateway.sends_out((3200, 3600));
}
