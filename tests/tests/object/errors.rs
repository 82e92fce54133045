//! ICMP errors (RFC 5508 §4, RFC 4884, RFC 4443): those about a session's packets are translated with what they quote, others are
//! refused or left alone, and none changes a session.

mod ipv6;

use std::net::Ipv4Addr;

use thulium_ebpf::abi::{Reason, Side};

use crate::{
    gateway::{Action, GOVERNED, Gateway, Hook, Ran, SETTLED, TRANSLATED},
    maps::{GRACE, UDP_IDLE},
    refused::Refused,
    traffic::*,
};

/// A router of the world.
const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// A client's port that is not kept outside.
const CLIENT_PORT: u16 = 33000;
/// "Port unreachable".
const UNREACHABLE: (u8, u8, [u8; 4]) = (3, 3, [0; 4]);
/// "Fragmentation needed", MTU 1300 (RFC 1191 §4).
const TOO_BIG: (u8, u8, [u8; 4]) = (3, 4, [0, 0, 0x05, 0x14]);

/// A gateway with a session of a client's [`CLIENT_PORT`] with the SIP server, and its port outside.
fn with_session() -> (Gateway, u16) {
    let mut gateway = Gateway::new();
    let left = gateway.admits(Hook::Lan, &Ipv4::new(CLIENT, SERVER).udp(CLIENT_PORT, SIP_PORT, b"REGISTER"));
    (gateway, u16::from_be_bytes([left[20], left[21]]))
}

fn error(from: Ipv4Addr, to: Ipv4Addr, (kind, code, rest): (u8, u8, [u8; 4]), quote: &[u8]) -> Vec<u8> {
    Ipv4::new(from, to).icmp(kind, code, rest, quote)
}

/// The same after a hop.
fn relayed(from: Ipv4Addr, to: Ipv4Addr, (kind, code, rest): (u8, u8, [u8; 4]), quote: &[u8]) -> Vec<u8> {
    Ipv4::new(from, to).ttl(63).icmp(kind, code, rest, quote)
}

/// What of a packet is quoted: the same of what the world and the client saw.
type Quotes = (&'static str, Vec<u8>, Vec<u8>);

/// One packet of the client's session in every form in which it can be quoted, as the world saw it and as the client did.
fn quotes(outside: u16) -> Vec<Quotes> {
    let both = |ip: fn(Ipv4, (u16, u16)) -> Vec<u8>| {
        let world = ip(Ipv4::new(UPLINK, SERVER).ttl(3), (outside, SIP_PORT));
        (world, ip(Ipv4::new(CLIENT, SERVER).ttl(3), (CLIENT_PORT, SIP_PORT)))
    };
    let row = |name, (world, client): (Vec<u8>, Vec<u8>)| (name, world, client);
    let cut = |(world, client): (Vec<u8>, Vec<u8>), length| (world[..length].to_vec(), client[..length].to_vec());
    let udp = |ip: Ipv4, (from, to): (u16, u16)| ip.udp(from, to, b"a datagram of some bytes");
    let unchecked = |ip: Ipv4, (from, to): (u16, u16)| ip.udp_unchecked(from, to, b"of odd len.");
    let options = |ip: Ipv4, (from, to): (u16, u16)| ip.options(&[1; 40]).udp(from, to, b"REGISTER");
    let first = |ip: Ipv4, (from, to): (u16, u16)| ip.fragment(9, 0, true).udp(from, to, b"REGISTER");
    let extended = |ip: Ipv4, ports: (u16, u16)| {
        // RFC 4884: the quote padded to 128 bytes, then extensions.
        let mut quote = ip.udp(ports.0, ports.1, b"a datagram of some bytes");
        quote.resize(128, 0);
        [quote.as_slice(), &[0x20, 0, 0x5f, 0x31, 0, 8, 1, 1, 0, 0, 0x10, 0x01]].concat()
    };
    vec![
        row("all of it", both(udp)),
        row("its first eight bytes", cut(both(udp), 28)),
        row("no checksum", both(unchecked)),
        row("IP options", both(options)),
        row("a first fragment", both(first)),
        row("with extensions", both(extended)),
    ]
}

#[test]
fn an_error_from_the_world_reaches_the_client_with_its_own_packet_in_it() {
    let (mut gateway, outside) = with_session();
    for kind in [UNREACHABLE, TOO_BIG, (11, 0, [0; 4]), (12, 0, [20, 0, 0, 0])] {
        for (name, world, client) in quotes(outside) {
            for from in [SERVER, ROUTER] {
                eprintln!("{kind:?} from {from}: {name}");
                let expected = relayed(from, CLIENT, kind, &client);
                gateway.translates(Hook::Uplink, &error(from, UPLINK, kind, &world), &expected);
                gateway.passes(Hook::UplinkXdp, &error(from, UPLINK, kind, &world), 0);
            }
        }
    }
}

#[test]
fn an_error_about_tcp_is_translated_with_and_without_the_checksum_in_it() {
    let mut gateway = Gateway::new();
    let left = gateway.admits(Hook::Lan, &Ipv4::new(CLIENT, SERVER).tcp(CLIENT_PORT, 443, SYN));
    let outside = u16::from_be_bytes([left[20], left[21]]);
    for length in [28, 36, 38, 40] {
        let world = &Ipv4::new(UPLINK, SERVER).tcp(outside, 443, SYN)[..length];
        let client = &Ipv4::new(CLIENT, SERVER).tcp(CLIENT_PORT, 443, SYN)[..length];
        let expected = relayed(ROUTER, CLIENT, TOO_BIG, client);
        gateway.translates(Hook::Uplink, &error(ROUTER, UPLINK, TOO_BIG, world), &expected);
    }
}

#[test]
fn a_long_error_is_translated_too() {
    let (mut gateway, outside) = with_session();
    let padding = |length: usize| (0..length).map(|byte| byte as u8).collect::<Vec<_>>();
    for length in [511, 512, 513, 1400] {
        let world = Ipv4::new(UPLINK, SERVER).udp(outside, SIP_PORT, &padding(length));
        let client = Ipv4::new(CLIENT, SERVER).udp(CLIENT_PORT, SIP_PORT, &padding(length));
        let expected = relayed(ROUTER, CLIENT, UNREACHABLE, &client);
        gateway.translates(Hook::Uplink, &error(ROUTER, UPLINK, UNREACHABLE, &world), &expected);
    }
}

/// A packet of the server to the client, as the client and the world saw it, and the world's address for the client.
fn inbound(outside: u16) -> (Vec<u8>, Vec<u8>) {
    let client = Ipv4::new(SERVER, CLIENT).ttl(7).udp(SIP_PORT, CLIENT_PORT, b"200 OK");
    (client, Ipv4::new(SERVER, UPLINK).ttl(7).udp(SIP_PORT, outside, b"200 OK"))
}

#[test]
fn an_error_of_the_lan_shows_the_world_what_it_knows() {
    let (mut gateway, outside) = with_session();
    let (client, world) = inbound(outside);
    for from in [CLIENT, CLIENT_2, PRINTER] {
        let expected = relayed(UPLINK, SERVER, UNREACHABLE, &world);
        gateway.translates(Hook::Lan, &error(from, SERVER, UNREACHABLE, &client), &expected);
    }
    // The kernel has forwarded it, and taken its hop.
    let ran = gateway.send_marked(Hook::Guard, &error(CLIENT, SERVER, UNREACHABLE, &client), GOVERNED);
    let expected = error(UPLINK, SERVER, UNREACHABLE, &world);
    assert_eq!(ran, Ran { action: Action::Pass, packet: expected, mark: TRANSLATED });
}

#[test]
fn an_error_of_the_gateway_itself_hides_the_client() {
    let (mut gateway, outside) = with_session();
    let (client, world) = inbound(outside);
    let ran = gateway.send(Hook::GuardOwn, &error(UPLINK, SERVER, TOO_BIG, &client));
    let expected = error(UPLINK, SERVER, TOO_BIG, &world);
    assert_eq!(ran, Ran { action: Action::Pass, packet: expected, mark: TRANSLATED });
    let about_its_own = Ipv4::new(SERVER, UPLINK).udp(53, 40001, b"late");
    gateway.passes(Hook::GuardOwn, &error(UPLINK, SERVER, UNREACHABLE, &about_its_own), 0);
    gateway.passes(Hook::GuardOwn, &Ipv4::new(UPLINK, SERVER).icmp(8, 0, [0; 4], b"ping"), 0);
    gateway.passes(Hook::GuardOwn, &error(UPLINK, SERVER, TOO_BIG, b"short"), 0);
}

#[test]
fn what_no_session_has_sent_is_refused() {
    let (mut gateway, outside) = with_session();
    let about = |ip: Ipv4, port| ip.udp(port, SIP_PORT, b"REGISTER");
    let mapped = about(Ipv4::new(UPLINK, SERVER), outside);
    let mut damaged = error(ROUTER, UPLINK, UNREACHABLE, &mapped);
    *damaged.last_mut().unwrap() ^= 1;
    let rows = [
        (
            "another remote",
            error(ROUTER, UPLINK, UNREACHABLE, &about(Ipv4::new(UPLINK, STRANGER), outside)),
            Reason::IcmpUnmatched,
        ),
        (
            "another port of the remote",
            error(ROUTER, UPLINK, UNREACHABLE, &Ipv4::new(UPLINK, SERVER).udp(outside, 9, b"")),
            Reason::IcmpUnmatched,
        ),
        (
            "straight to a client",
            error(ROUTER, CLIENT, UNREACHABLE, &about(Ipv4::new(CLIENT, STRANGER), CLIENT_PORT)),
            Reason::IcmpUnmatched,
        ),
        ("to the client, about what the uplink sent", error(ROUTER, CLIENT, UNREACHABLE, &mapped), Reason::IcmpForged),
        (
            "about what another has sent",
            error(ROUTER, UPLINK, UNREACHABLE, &about(Ipv4::new(STRANGER, SERVER), outside)),
            Reason::IcmpForged,
        ),
        ("damaged", damaged, Reason::IcmpForged),
        (
            "a fragment of one",
            edited(error(ROUTER, UPLINK, UNREACHABLE, &[mapped.as_slice(), &[0; 4]].concat()), |packet| {
                packet[6] = 0x20
            }),
            Reason::IcmpForged,
        ),
        ("seven bytes of a header", error(ROUTER, UPLINK, UNREACHABLE, &mapped[..27]), Reason::Malformed),
        ("no header at all", error(ROUTER, UPLINK, UNREACHABLE, &[]), Reason::Malformed),
        ("IPv6 in it", error(ROUTER, UPLINK, UNREACHABLE, &[0x60; 48]), Reason::Malformed),
    ];
    for (name, packet, reason) in rows {
        eprintln!("{name}");
        gateway.refuses(Hook::Uplink, &packet, Refused::new(reason));
    }
}

#[test]
fn what_is_about_the_gateways_own_packets_is_left_alone() {
    let (mut gateway, outside) = with_session();
    let rows = [
        ("a port without a mapping", Ipv4::new(UPLINK, SERVER).udp(40001, SIP_PORT, b"")),
        ("the mapped port's number, but TCP", Ipv4::new(UPLINK, SERVER).tcp(outside, 443, SYN)),
        ("a tunnel", Ipv4::new(UPLINK, SERVER).raw(47, &[0; 8])),
        ("a ping", Ipv4::new(UPLINK, SERVER).icmp(8, 0, [0x12, 0x34, 0, 1], b"")),
    ];
    for (name, quote) in rows {
        eprintln!("{name}");
        gateway.passes(Hook::Uplink, &error(ROUTER, UPLINK, UNREACHABLE, &quote), 0);
    }
    // A printer's query, masqueraded by the kernel to the same port.
    let query = Ipv4::new(UPLINK, STRANGER).udp(outside, 53, b"");
    assert_eq!(gateway.send_marked(Hook::Guard, &query, SETTLED).action, Action::Pass);
    gateway.passes(Hook::Uplink, &error(ROUTER, UPLINK, UNREACHABLE, &query), 0);
}

#[test]
fn an_error_of_a_client_about_nothing_of_ours_is_refused_where_it_would_leave() {
    let (mut gateway, outside) = with_session();
    let stray = error(CLIENT, STRANGER, UNREACHABLE, &Ipv4::new(STRANGER, CLIENT).udp(53, CLIENT_PORT, b""));
    gateway.passes(Hook::Lan, &stray, GOVERNED);
    gateway.refuses(Hook::Guard, &stray, Refused::new(Reason::IcmpUnmatched));
    let (client, _) = inbound(outside);
    gateway.refuses(
        Hook::Lan,
        &error(Ipv4Addr::new(10, 9, 8, 7), SERVER, UNREACHABLE, &client),
        Refused::new(Reason::SpoofedSource),
    );
    let mut damaged = error(CLIENT, SERVER, UNREACHABLE, &client);
    *damaged.last_mut().unwrap() ^= 1;
    for forged in [error(CLIENT, STRANGER, UNREACHABLE, &client), damaged] {
        for hook in [Hook::Lan, Hook::Guard] {
            gateway.refuses(hook, &forged, Refused::new(Reason::IcmpForged));
        }
    }
}

#[test]
fn an_error_changes_nothing_in_a_session() {
    let (mut gateway, outside) = with_session();
    for side in [Side::Lan, Side::Uplink] {
        gateway.age(side, UDP_IDLE - 5);
    }
    let before = gateway.flows();
    let (client, _) = inbound(outside);
    let from_world = error(ROUTER, UPLINK, UNREACHABLE, &Ipv4::new(UPLINK, SERVER).udp(outside, SIP_PORT, b""));
    for _ in 0..3 {
        gateway.admits(Hook::Uplink, &from_world);
        gateway.admits(Hook::Lan, &error(CLIENT, SERVER, UNREACHABLE, &client));
    }
    assert_eq!(gateway.flows().len(), 2);
    assert!(gateway.flows().iter().all(|flow| before.contains(flow)), "refreshed, counted, or ended");
    for side in [Side::Lan, Side::Uplink] {
        gateway.age(side, UDP_IDLE + GRACE);
    }
    gateway.refuses(Hook::Uplink, &from_world, Refused::new(Reason::IcmpUnmatched));
}

#[test]
fn an_error_about_tcp_does_not_end_the_connection() {
    let mut gateway = Gateway::new();
    for (hook, packet) in [(Hook::Lan, web_out(SYN)), (Hook::Uplink, web_in(SYN | ACK)), (Hook::Lan, web_out(ACK))] {
        gateway.admits(hook, &packet);
    }
    let quote = Ipv4::new(UPLINK, SERVER).tcp(50000, 443, ACK);
    gateway.admits(Hook::Uplink, &error(SERVER, UPLINK, UNREACHABLE, &quote));
    gateway.admits(Hook::Lan, &web_out(ACK));
    gateway.admits(Hook::Uplink, &web_in(ACK));
}
