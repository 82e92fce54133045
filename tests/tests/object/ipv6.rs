//! IPv6: the same sessions and verdicts, and nothing is translated.

use std::net::Ipv6Addr;

use thulium_ebpf::abi::{Reason, Side};

use crate::{
    gateway::{Action, GOVERNED, Gateway, Hook},
    maps::{FLOWS, GRACE, SIP, UDP_IDLE, WEB},
    refused::Refused,
    traffic::*,
};

/// A gateway that governs IPv6 clients, too.
fn gateway() -> Gateway {
    governing(Gateway::new())
}

fn governing(mut gateway: Gateway) -> Gateway {
    gateway.govern_ipv6(CLIENTS6.into(), SERVER6.into());
    gateway
}

fn out() -> Ipv6 {
    Ipv6::new(CLIENT6, SERVER6)
}

fn sip6_out() -> Vec<u8> {
    out().udp(PHONE_PORT, SIP_PORT, b"REGISTER")
}

fn sip6_in() -> Vec<u8> {
    Ipv6::new(SERVER6, CLIENT6).udp(SIP_PORT, PHONE_PORT, b"200 OK")
}

/// One hop further.
fn hopped(mut packet: Vec<u8>) -> Vec<u8> {
    packet[7] -= 1;
    packet
}

#[test]
fn a_session_passes_both_ways_with_nothing_changed_but_the_hop_limit() {
    let mut gateway = gateway();
    for (there, back) in
        [(sip6_out(), sip6_in()), (out().tcp(50000, 443, SYN), Ipv6::new(SERVER6, CLIENT6).tcp(443, 50000, SYN | ACK))]
    {
        gateway.translates(Hook::Lan, &there, &hopped(there.clone()));
        gateway.translates(Hook::Uplink, &back, &hopped(back.clone()));
        gateway.translates(Hook::Lan, &there, &hopped(there.clone()));
    }
    let sizes = (gateway.flows6().len(), gateway.clients6(), gateway.sizes());
    assert_eq!(sizes, (4, 1, [0; 4]), "IPv4 knows nothing of it, and no port is mapped");
}

#[test]
fn what_no_session_awaits_is_unsolicited() {
    let mut gateway = gateway();
    gateway.admits(Hook::Lan, &sip6_out());
    let unsolicited = Refused::new(Reason::Unsolicited);
    for packet in [
        Ipv6::new(STRANGER6, CLIENT6).udp(SIP_PORT, PHONE_PORT, b""),
        Ipv6::new(SERVER6, CLIENT6).udp(SIP_PORT + 1, PHONE_PORT, b""),
        Ipv6::new(SERVER6, CLIENT6).udp(SIP_PORT, PHONE_PORT + 1, b""),
        Ipv6::new(SERVER6, CLIENT6).tcp(443, 50000, SYN),
    ] {
        for hook in [Hook::Uplink, Hook::UplinkXdp] {
            gateway.refuses(hook, &packet, unsolicited);
        }
    }
}

#[test]
fn what_is_not_the_policys_goes_up_to_the_guard_and_no_further() {
    let mut gateway = gateway();
    let ip = Ipv6::new(CLIENT6, STRANGER6);
    let to_nobody = ip.udp(PHONE_PORT, SIP_PORT, b"");
    gateway.passes(Hook::Lan, &to_nobody, GOVERNED);
    gateway.refuses(Hook::Guard, &to_nobody, Refused::of_flow(Reason::AddressUnknown, SIP));
    for (packet, reason) in [
        (ip.udp(PHONE_PORT, 53, b""), Reason::NoFlow),
        (out().udp(PHONE_PORT, 53, b""), Reason::NoFlow),
        (out().raw(47, &[0; 8]), Reason::UnknownProtocol),
        (out().extension(43, &[0; 7]).udp(PHONE_PORT, SIP_PORT, b""), Reason::IpOptions),
        // 72 bytes of options for the destination.
        (out().extension(60, &[&[8, 1, 68][..], &[0; 68]].concat()).udp(PHONE_PORT, SIP_PORT, b""), Reason::IpOptions),
    ] {
        gateway.passes(Hook::Lan, &packet, GOVERNED);
        gateway.refuses(Hook::Guard, &packet, Refused::new(reason));
    }
}

#[test]
fn options_for_the_destination_are_stepped_over() {
    let mut gateway = gateway();
    let padded = out().extension(60, &[0, 1, 4, 0, 0, 0, 0]).udp(PHONE_PORT, SIP_PORT, b"REGISTER");
    gateway.translates(Hook::Lan, &padded, &hopped(padded.clone()));
    assert_eq!(gateway.flows6()[0].0.protocol, 17);
}

#[test]
fn false_sources_and_broken_headers_are_refused_at_the_lan() {
    let mut gateway = gateway();
    let spoofed = Ipv6::new(STRANGER6, SERVER6).udp(PHONE_PORT, SIP_PORT, b"");
    gateway.refuses(Hook::Lan, &spoofed, Refused::new(Reason::SpoofedSource));
    let mut cut = sip6_out();
    // A payload beyond the packet's end.
    cut[5] += 1;
    for hook in [Hook::Lan, Hook::LanXdp] {
        gateway.refuses(hook, &cut, Refused::new(Reason::Malformed));
    }
    gateway.refuses(Hook::Lan, &out().tcp(50000, 443, ACK), Refused::of_flow(Reason::TcpNotSyn, WEB));
}

#[test]
fn what_the_kernel_forwarded_is_admitted_by_the_guard() {
    let mut gateway = gateway();
    let ran = gateway.send_marked(Hook::Guard, &sip6_out(), GOVERNED);
    assert_eq!((ran.action, ran.packet), (Action::Pass, sip6_out()), "the kernel has counted the hop");
    assert_eq!(gateway.take_refused(), []);
    gateway.admits(Hook::Uplink, &sip6_in());
}

#[test]
fn neighbours_and_routers_talk_undisturbed() {
    let mut gateway = gateway();
    let host = |last| Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, last);
    let group = |last| Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, last);
    let message = |from, to, kind| Ipv6::new(from, to).hop_limit(255).icmp(kind, 0, &[0; 20]);
    let gateway_itself = Ipv6Addr::new(0x2001, 0xdb8, 0x20, 0, 0, 0, 0, 1);
    for packet in [
        message(host(0x10), Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2), 133),
        message(host(1), Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1), 134),
        message(Ipv6Addr::UNSPECIFIED, group(0x10), 135),
        message(CLIENT6, group(1), 135),
        message(host(0x10), host(1), 136),
    ] {
        for hook in [Hook::Lan, Hook::LanXdp, Hook::Uplink, Hook::UplinkXdp] {
            gateway.passes(hook, &packet, 0);
        }
    }
    // By its global address the kernel answers, too.
    gateway.passes(Hook::Lan, &message(CLIENT6, gateway_itself, 135), GOVERNED);
}

#[test]
fn a_stale_session_is_swept_with_its_client() {
    let mut gateway = gateway();
    gateway.admits(Hook::Lan, &sip6_out());
    gateway.age6(Side::Lan, UDP_IDLE + GRACE);
    gateway.sweep();
    assert_eq!(gateway.flows6().len(), 2, "the other direction is live");
    gateway.age6(Side::Uplink, UDP_IDLE + GRACE);
    // It was looked at, and comes to it again.
    gateway.sweep();
    assert_eq!((gateway.flows6().len(), gateway.clients6()), (0, 0));
    gateway.refuses(Hook::Uplink, &sip6_in(), Refused::new(Reason::Unsolicited));
}

#[test]
fn a_full_table_refuses_and_leaves_the_other_family_its_own() {
    let mut gateway = governing(Gateway::with_flow_entries(2));
    gateway.admits(Hook::Lan, &sip6_out());
    let second = out().udp(PHONE_PORT + 2, SIP_PORT, b"REGISTER");
    gateway.refuses(Hook::Lan, &second, Refused::of_flow(Reason::SessionsFull, SIP));
    gateway.admits(Hook::Uplink, &sip6_in());
    gateway.admits(Hook::Lan, &sip_out());
}

#[test]
fn a_client_has_its_share() {
    let mut gateway = gateway();
    gateway.set(|settings| settings.per_client = 1);
    gateway.admits(Hook::Lan, &sip6_out());
    let second = out().udp(PHONE_PORT + 2, SIP_PORT, b"REGISTER");
    gateway.refuses(Hook::Lan, &second, Refused::of_flow(Reason::ClientSessions, SIP));
}

#[test]
fn a_new_policy_judges_sessions_again() {
    let mut gateway = gateway();
    gateway.admits(Hook::Lan, &sip6_out());
    gateway.publish(2, &FLOWS);
    gateway.govern_ipv6(CLIENTS6.into(), SERVER6.into());
    gateway.admits(Hook::Uplink, &sip6_in());
    gateway.publish(3, &[FLOWS[0], FLOWS[2], FLOWS[3]]);
    gateway.govern_ipv6(CLIENTS6.into(), SERVER6.into());
    for (hook, packet) in [(Hook::Lan, sip6_out()), (Hook::Uplink, sip6_in())] {
        gateway.refuses(hook, &packet, Refused::of_flow(Reason::PolicyChanged, SIP));
    }
}

#[test]
fn ipv6_that_is_not_governed_does_not_leave() {
    let mut gateway = Gateway::new();
    gateway.refuses(Hook::Guard, &sip6_out(), Refused::new(Reason::Ipv6Unsupported));
    gateway.refuses(Hook::Uplink, &sip6_in(), Refused::new(Reason::Ipv6Unsupported));
}
