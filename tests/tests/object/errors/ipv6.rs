//! ICMPv6 errors: nothing in them is translated, and they belong to sessions all the same.

use std::net::Ipv6Addr;

use thulium_ebpf::abi::{Reason, Side};

use crate::{
    gateway::{Action, GOVERNED, Gateway, Hook, Ran, TRANSLATED},
    maps::{GRACE, UDP_IDLE},
    refused::Refused,
    traffic::*,
};

/// A router of the world.
const ROUTER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x51, 0, 0, 0, 0, 0x254);
/// The gateway's own address on its uplink.
const OWN: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x51, 0, 0, 0, 0, 1);
/// Another client.
const OTHER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x20, 0, 0, 0, 0, 0x11);

/// Type, code, and the word behind the checksum.
type Kind = (u8, u8, [u8; 4]);

/// "Port unreachable".
const UNREACHABLE: Kind = (1, 4, [0; 4]);
/// "Packet too big", MTU 1300.
const TOO_BIG: Kind = (2, 0, [0, 0, 0x05, 0x14]);
/// "Hop limit exceeded".
const EXCEEDED: Kind = (3, 0, [0; 4]);
/// "Unrecognized next header", at byte 40.
const PROBLEM: Kind = (4, 1, [0, 0, 0, 40]);
const KINDS: [Kind; 4] = [UNREACHABLE, TOO_BIG, EXCEEDED, PROBLEM];

/// A gateway with a session of the phone with the SIP server, and a connection of a browser.
fn with_sessions() -> Gateway {
    let mut gateway = Gateway::new();
    gateway.govern_ipv6(CLIENTS6.into(), SERVER6.into());
    gateway.admits(Hook::Lan, &sent());
    gateway.admits(Hook::Lan, &out().tcp(50000, 443, SYN));
    gateway
}

fn out() -> Ipv6 {
    Ipv6::new(CLIENT6, SERVER6)
}

/// What the phone has sent.
fn sent() -> Vec<u8> {
    out().udp(PHONE_PORT, SIP_PORT, b"REGISTER")
}

/// What it got.
fn received() -> Vec<u8> {
    Ipv6::new(SERVER6, CLIENT6).udp(SIP_PORT, PHONE_PORT, b"200 OK")
}

fn error(from: Ipv6Addr, to: Ipv6Addr, kind: Kind, quote: &[u8]) -> Vec<u8> {
    with_limit(64, from, to, kind, quote)
}

/// The same after a hop.
fn relayed(from: Ipv6Addr, to: Ipv6Addr, kind: Kind, quote: &[u8]) -> Vec<u8> {
    with_limit(63, from, to, kind, quote)
}

fn with_limit(limit: u8, from: Ipv6Addr, to: Ipv6Addr, (kind, code, rest): Kind, quote: &[u8]) -> Vec<u8> {
    Ipv6::new(from, to).hop_limit(limit).icmp(kind, code, &[&rest, quote].concat())
}

#[test]
fn an_error_from_the_world_reaches_the_client() {
    let mut gateway = with_sessions();
    let options = out().extension(60, &[0, 1, 4, 0, 0, 0, 0]).udp(PHONE_PORT, SIP_PORT, b"REGISTER");
    let quotes = [
        ("all of it", sent()),
        ("its first eight bytes", sent()[..48].to_vec()),
        ("as much as fits", out().udp(PHONE_PORT, SIP_PORT, &[7; 1184])),
        ("options", options),
        ("a first fragment", out().fragment(9, 0, true).udp(PHONE_PORT, SIP_PORT, b"REGISTER")),
        ("TCP", out().tcp(50000, 443, SYN)),
        ("eight bytes of TCP", out().tcp(50000, 443, SYN)[..48].to_vec()),
    ];
    for kind in KINDS {
        for (name, quote) in &quotes {
            for from in [SERVER6, ROUTER] {
                eprintln!("{kind:?} from {from}: {name}");
                let packet = error(from, CLIENT6, kind, quote);
                gateway.translates(Hook::Uplink, &packet, &relayed(from, CLIENT6, kind, quote));
                gateway.passes(Hook::UplinkXdp, &packet, 0);
            }
        }
    }
}

#[test]
fn an_error_of_the_lan_reaches_the_world() {
    let mut gateway = with_sessions();
    for kind in KINDS {
        for from in [CLIENT6, OTHER] {
            eprintln!("{kind:?} from {from}");
            let packet = error(from, SERVER6, kind, &received());
            gateway.translates(Hook::Lan, &packet, &relayed(from, SERVER6, kind, &received()));
            // The kernel has forwarded it, and taken its hop.
            let ran = gateway.send_marked(Hook::Guard, &packet, GOVERNED);
            assert_eq!(ran, Ran { action: Action::Pass, packet, mark: TRANSLATED });
        }
    }
    assert_eq!(gateway.take_refused(), []);
}

#[test]
fn what_no_session_has_sent_is_refused() {
    let mut gateway = with_sessions();
    let fragment = Ipv6::new(ROUTER, CLIENT6).fragment(5, 0, true);
    let body = [&TOO_BIG.2, sent().as_slice()].concat();
    let rows = [
        (
            "another remote",
            CLIENT6,
            Ipv6::new(CLIENT6, STRANGER6).udp(PHONE_PORT, SIP_PORT, b""),
            Reason::IcmpUnmatched,
        ),
        ("another port of the remote", CLIENT6, out().udp(PHONE_PORT, 9, b""), Reason::IcmpUnmatched),
        ("another port of the client", CLIENT6, out().udp(PHONE_PORT + 2, SIP_PORT, b""), Reason::IcmpUnmatched),
        ("the session's ports, but TCP", CLIENT6, out().tcp(PHONE_PORT, SIP_PORT, SYN), Reason::IcmpUnmatched),
        ("to another client", OTHER, sent(), Reason::IcmpForged),
        ("about another's packet", CLIENT6, Ipv6::new(OTHER, SERVER6).udp(1, SIP_PORT, b""), Reason::IcmpForged),
        ("seven bytes of a header", CLIENT6, sent()[..47].to_vec(), Reason::Malformed),
        ("no header at all", CLIENT6, vec![], Reason::Malformed),
        ("IPv4 in it", CLIENT6, vec![0x45; 48], Reason::Malformed),
    ];
    for (name, to, quote, reason) in rows {
        for kind in KINDS {
            eprintln!("{kind:?}: {name}");
            gateway.refuses(Hook::Uplink, &error(ROUTER, to, kind, &quote), Refused::new(reason));
        }
    }
    gateway.refuses(Hook::Uplink, &fragment.icmp(TOO_BIG.0, TOO_BIG.1, &body), Refused::new(Reason::IcmpForged));
}

#[test]
fn an_error_of_a_client_about_nothing_of_ours_is_refused_where_it_would_leave() {
    let mut gateway = with_sessions();
    for kind in KINDS {
        eprintln!("{kind:?}");
        let quote = Ipv6::new(STRANGER6, CLIENT6).udp(53, PHONE_PORT, b"");
        let stray = error(CLIENT6, STRANGER6, kind, &quote);
        gateway.passes(Hook::Lan, &stray, GOVERNED);
        gateway.refuses(Hook::Guard, &stray, Refused::new(Reason::IcmpUnmatched));
        let misled = error(CLIENT6, STRANGER6, kind, &received());
        gateway.refuses(Hook::Lan, &misled, Refused::new(Reason::IcmpForged));
        let spoofed = error(STRANGER6, SERVER6, kind, &received());
        gateway.refuses(Hook::Lan, &spoofed, Refused::new(Reason::SpoofedSource));
    }
}

#[test]
fn what_is_the_gateways_own_is_left_alone() {
    let mut gateway = with_sessions();
    for kind in KINDS {
        let about_own = Ipv6::new(OWN, SERVER6).udp(PHONE_PORT, SIP_PORT, b"");
        gateway.passes(Hook::Uplink, &error(ROUTER, OWN, kind, &about_own), 0);
        // What it could not forward to the client; there is no address to hide.
        gateway.passes(Hook::GuardOwn, &error(OWN, SERVER6, kind, &received()), 0);
    }
}

#[test]
fn an_error_changes_nothing_in_a_session() {
    let mut gateway = with_sessions();
    for side in [Side::Lan, Side::Uplink] {
        gateway.age6(side, UDP_IDLE - 5);
    }
    let before = gateway.flows6();
    for kind in KINDS {
        gateway.admits(Hook::Uplink, &error(ROUTER, CLIENT6, kind, &sent()));
        gateway.admits(Hook::Uplink, &error(ROUTER, CLIENT6, kind, &out().tcp(50000, 443, SYN)));
        gateway.admits(Hook::Lan, &error(CLIENT6, SERVER6, kind, &received()));
    }
    let after = gateway.flows6();
    assert!(after.len() == 4 && after.iter().all(|flow| before.contains(flow)), "refreshed, counted, or ended");
    for side in [Side::Lan, Side::Uplink] {
        gateway.age6(side, UDP_IDLE + GRACE);
    }
    let late = error(ROUTER, CLIENT6, TOO_BIG, &sent());
    gateway.refuses(Hook::Uplink, &late, Refused::new(Reason::IcmpUnmatched));
}
