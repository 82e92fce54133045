//! What a refused client is told: nothing, unless the policy says `refuse: reject`, or there is no room for its session.

use std::net::{Ipv4Addr, Ipv6Addr};

use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};
use thulium_ebpf::abi::{Reason, Verdict};

use crate::{
    gateway::{Action, Gateway, Hook},
    maps::{SIP, WEB},
    refused::Refused,
    traffic::*,
};

/// "Communication administratively prohibited", as an IPv4 packet (RFC 1812 §5.2.7.1).
const PROHIBITED: [u8; 2] = [3, 13];

fn rejecting() -> Gateway {
    let mut gateway = Gateway::new();
    gateway.set(|settings| settings.reject = 1);
    gateway
}

/// The one's complement sum of 16-bit words.
fn sum(parts: &[&[u8]]) -> u16 {
    let words = parts
        .iter()
        .flat_map(|part| part.chunks(2))
        .map(|pair| u64::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)])));
    let mut sum: u64 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// An IPv4 packet from one end to the other with a right header; returns its protocol and what is behind the header.
fn read(packet: &[u8], from: Ipv4Addr, to: Ipv4Addr) -> (u8, Vec<u8>) {
    let (header, behind) = packet.split_at(20);
    assert_eq!((header[0], sum(&[header])), (0x45, 0xffff), "{header:?}");
    assert_eq!((&header[12..16], &header[16..20]), (&from.octets()[..], &to.octets()[..]));
    assert_eq!(usize::from(u16::from_be_bytes([header[2], header[3]])), packet.len());
    (header[9], behind.to_vec())
}

/// The answer is an error to the sender of `packet` that quotes it.
fn is_prohibited(answer: &[u8], packet: &[u8]) {
    let address = |at: usize| Ipv4Addr::new(packet[at], packet[at + 1], packet[at + 2], packet[at + 3]);
    let (protocol, message) = read(answer, address(16), address(12));
    assert_eq!((protocol, &message[..2], sum(&[&message])), (1, &PROHIBITED[..], 0xffff));
    assert_eq!(message[8..], packet[..28]);
}

/// Sends a packet that a hook has to refuse for this reason, and to answer; returns the answer.
fn answers(gateway: &mut Gateway, hook: Hook, packet: &[u8], refused: Refused) -> Vec<u8> {
    let ran = gateway.send(hook, packet);
    assert_eq!(gateway.take_refused(), [refused.counted(hook, packet)], "counted as ever");
    assert_eq!(ran.action, Action::Redirect, "answered");
    ran.packet
}

#[test]
fn a_datagram_that_no_flow_names_is_answered_with_an_error() {
    let mut gateway = rejecting();
    let ip = Ipv4::new(CLIENT, STRANGER);
    for packet in [
        ip.udp(4000, 53, b"a query of some length"),
        ip.udp(4000, 53, b""),
        ip.udp_unchecked(4000, 53, b"odd"),
        ip.icmp(8, 0, [0; 4], b"ping"),
        ip.raw(47, &[0; 60]),
        ip.udp(4000, 53, &[7; 1400]),
    ] {
        let reason = if packet[9] == 47 { Reason::UnknownProtocol } else { Reason::NoFlow };
        let answer = answers(&mut gateway, Hook::Guard, &packet, Refused::new(reason));
        is_prohibited(&answer, &packet);
    }
}

#[test]
fn a_connection_that_no_flow_names_is_answered_with_a_reset() {
    let mut gateway = rejecting();
    let connect = Ipv4::new(CLIENT, STRANGER).tcp(50000, 443, SYN);
    let answer = answers(&mut gateway, Hook::Guard, &connect, Refused::of_flow(Reason::AddressUnknown, WEB));
    is_reset(&answer, STRANGER, 0, 1001);
    // A connection that the gateway knows nothing of, any more.
    let late = Ipv4::new(CLIENT, SERVER).tcp_data(50000, 443, ACK, b"still there?");
    let answer = answers(&mut gateway, Hook::Lan, &late, Refused::of_flow(Reason::TcpNotSyn, WEB));
    is_reset(&answer, SERVER, 0, 0);
}

/// The answer is a reset of the server's with these numbers; a client's segment here has number 1000, and acknowledges 0.
fn is_reset(answer: &[u8], server: Ipv4Addr, sequence: u32, acknowledgment: u32) {
    let (protocol, segment) = read(answer, server, CLIENT);
    let pseudo = [&answer[12..20], &[0, 6, 0, 20]].concat();
    assert_eq!((protocol, segment.len(), sum(&[&pseudo, &segment])), (6, 20, 0xffff));
    assert_eq!((&segment[..4], segment[13] & RST), (&[0x01, 0xbb, 0xc3, 0x50][..], RST));
    assert_eq!((&segment[4..8], &segment[8..12]), (&sequence.to_be_bytes()[..], &acknowledgment.to_be_bytes()[..]));
}

#[test]
fn who_finds_no_room_is_told_so_whatever_the_policy_says() {
    let second = Ipv4::new(CLIENT, SERVER).udp(PHONE_PORT + 2, SIP_PORT, b"REGISTER");
    let mut gateway = Gateway::with_flow_entries(2);
    gateway.admits(Hook::Lan, &sip_out());
    let answer = answers(&mut gateway, Hook::Lan, &second, Refused::of_flow(Reason::SessionsFull, SIP));
    is_prohibited(&answer, &second);
    let answer = answers(&mut gateway, Hook::Lan, &web_out(SYN), Refused::of_flow(Reason::SessionsFull, WEB));
    is_prohibited(&answer, &web_out(SYN));
    let mut gateway = Gateway::new();
    gateway.set(|settings| settings.per_client = 1);
    gateway.admits(Hook::Lan, &sip_out());
    let answer = answers(&mut gateway, Hook::Lan, &second, Refused::of_flow(Reason::ClientSessions, SIP));
    is_prohibited(&answer, &second);
    // Others are told nothing.
    gateway.refuses(Hook::Guard, &Ipv4::new(CLIENT, STRANGER).udp(1, 2, b""), Refused::new(Reason::NoFlow));
}

#[test]
fn what_must_not_be_answered_is_not() {
    let mut gateway = rejecting();
    gateway.admits(Hook::Lan, &sip_out());
    let ip = || Ipv4::new(CLIENT, STRANGER);
    let error = ip().icmp(3, 3, [0; 4], &Ipv4::new(STRANGER, CLIENT).udp(1, 2, b""));
    let rows = [
        ("an error", Hook::Guard, error, Refused::new(Reason::IcmpUnmatched)),
        ("a reply", Hook::Guard, ip().icmp(0, 0, [0; 4], b""), Refused::new(Reason::NoFlow)),
        ("a reset", Hook::Lan, web_out(RST), Refused::of_flow(Reason::TcpRstNoSession, WEB)),
        ("a reset of no flow", Hook::Guard, ip().tcp(1, 2, RST | ACK), Refused::new(Reason::NoFlow)),
        (
            "to a group",
            Hook::Guard,
            Ipv4::new(CLIENT, Ipv4Addr::new(239, 1, 1, 1)).udp(1, 2, b""),
            Refused::new(Reason::NoFlow),
        ),
        (
            "a later fragment",
            Hook::Guard,
            ip().fragment(7, 1480, false).raw(17, &[0; 64]),
            Refused::new(Reason::FragmentNoState),
        ),
        ("IP options", Hook::Guard, ip().options(&[1; 4]).udp(1, 2, b""), Refused::new(Reason::IpOptions)),
        ("a broken header", Hook::Guard, edited(sip_out(), |packet| packet[0] = 0x44), Refused::new(Reason::Malformed)),
        (
            "from nowhere",
            Hook::Lan,
            Ipv4::new(Ipv4Addr::new(10, 9, 8, 7), SERVER).udp(1, 2, b""),
            Refused::new(Reason::SpoofedSource),
        ),
        ("from the world", Hook::Uplink, Ipv4::new(STRANGER, CLIENT).udp(1, 2, b""), Refused::new(Reason::Unsolicited)),
    ];
    for (name, hook, packet, refused) in rows {
        eprintln!("{name}");
        gateway.refuses(hook, &packet, refused);
    }
}

#[test]
fn a_flood_is_not_answered_with_one() {
    let mut gateway = rejecting();
    // Each CPU has a bucket of its own.
    let mut cpus = CpuSet::new();
    cpus.set(0).unwrap();
    sched_setaffinity(Pid::from_raw(0), &cpus).unwrap();
    let packet = Ipv4::new(CLIENT, STRANGER).udp(4000, 53, b"");
    let count = 1000;
    let answered = (0..count).filter(|_| gateway.send(Hook::Guard, &packet).action == Action::Redirect).count();
    assert!((50..count / 2).contains(&answered), "{answered} answers");
    let refused = gateway.take_refused();
    assert_eq!(refused.iter().map(|row| row.packets).sum::<u64>(), count as u64, "all are counted");
}

#[test]
fn audit_answers_nobody() {
    let mut gateway = rejecting();
    gateway.set(|settings| settings.audit = 1);
    let packet = Ipv4::new(CLIENT, STRANGER).udp(4000, 53, b"");
    let ran = gateway.send(Hook::Guard, &packet);
    assert_eq!((ran.action, ran.packet), (Action::Pass, packet.clone()));
    let refused = Refused::new(Reason::NoFlow).spared(Verdict::WouldDrop);
    assert_eq!(gateway.take_refused(), [refused.counted(Hook::Guard, &packet)]);
}

#[test]
fn ipv6_is_answered_alike() {
    let mut gateway = rejecting();
    let (client, remote) =
        (Ipv6Addr::new(0x2001, 0xdb8, 0x20, 0, 0, 0, 0, 10), Ipv6Addr::new(0x2001, 0xdb8, 0x99, 0, 0, 0, 0, 1));
    let packet = ipv6_udp(client, remote, 4000, 53, b"a query");
    let answer = answers(&mut gateway, Hook::Guard, &packet, Refused::new(Reason::Ipv6Unsupported));
    let (header, message) = answer.split_at(40);
    assert_eq!((&header[..8], message.len()), (&[0x60, 0, 0, 0, 0, 56, 58, 64][..], 56));
    assert_eq!((&header[8..24], &header[24..]), (&remote.octets()[..], &client.octets()[..]));
    // RFC 4443 §3.1: communication administratively prohibited.
    assert_eq!((&message[..2], &message[8..]), (&[1, 1][..], &packet[..48]));
    assert_eq!(sum(&[&header[8..], &[0, 56, 0, 58], message]), 0xffff);
}
