//! The rewrite, byte by byte. What is expected is crafted anew with whole checksums, so nothing of it comes from the
//! object's own incremental updates.

use thulium_ebpf::abi::{Address4, Path, Port, Reason, Side};

use crate::{
    gateway::{Action, GOVERNED, Gateway, Hook, TRANSLATED},
    maps::SIP,
    refused::Refused,
    traffic::*,
};

#[test]
fn udp_out_and_in() {
    let mut gateway = Gateway::new();
    gateway.translates(
        Hook::Lan,
        &Ipv4::new(CLIENT, SERVER).udp(PHONE_PORT, SIP_PORT, b"INVITE"),
        &Ipv4::new(UPLINK, SERVER).ttl(63).udp(PHONE_PORT, SIP_PORT, b"INVITE"),
    );
    gateway.translates(
        Hook::Uplink,
        &Ipv4::new(SERVER, UPLINK).udp(SIP_PORT, PHONE_PORT, b"ringing, odd!"),
        &Ipv4::new(SERVER, CLIENT).ttl(63).udp(SIP_PORT, PHONE_PORT, b"ringing, odd!"),
    );
}

#[test]
fn tcp_out_and_in() {
    let mut gateway = Gateway::new();
    let (inside, outside) = (Ipv4::new(CLIENT, SERVER), Ipv4::new(UPLINK, SERVER).ttl(63));
    gateway.translates(Hook::Lan, &inside.tcp(50001, 443, SYN), &outside.tcp(50001, 443, SYN));
    gateway.translates(
        Hook::Uplink,
        &Ipv4::new(SERVER, UPLINK).tcp(443, 50001, SYN | ACK),
        &Ipv4::new(SERVER, CLIENT).ttl(63).tcp(443, 50001, SYN | ACK),
    );
    let hello = b"\x16\x03\x01 client hello";
    gateway.translates(Hook::Lan, &inside.tcp_data(50001, 443, ACK, hello), &outside.tcp_data(50001, 443, ACK, hello));
}

#[test]
fn what_is_no_endpoint_and_no_hop_stays_as_it_is() {
    let mut gateway = Gateway::new();
    let payload: Vec<u8> = (0..=255).cycle().take(1400).collect();
    // Phones mark speech as "expedited forwarding" (RFC 3246); the other words are ID, flags and offset.
    let marked = |packet| {
        edited(packet, |packet| {
            packet[1] = 0xb8;
            packet[4..8].copy_from_slice(&[0x12, 0x34, 0, 0]);
        })
    };
    let udp = |ip: Ipv4, from, to| marked(ip.udp(from, to, &payload));
    let tcp = |ip: Ipv4, from, to| marked(ip.tcp_data(from, to, ACK, &payload));
    let (inside, outside) = (Ipv4::new(CLIENT, SERVER), Ipv4::new(UPLINK, SERVER).ttl(63));
    let (back, answer) = (Ipv4::new(SERVER, UPLINK), Ipv4::new(SERVER, CLIENT).ttl(63));
    gateway.translates(Hook::Lan, &udp(inside.clone(), 5004, 16000), &udp(outside.clone(), 5004, 16000));
    gateway.translates(Hook::Uplink, &udp(back.clone(), 16000, 5004), &udp(answer.clone(), 16000, 5004));
    gateway.admits(Hook::Lan, &inside.tcp(50001, 443, SYN));
    gateway.translates(Hook::Lan, &tcp(inside, 50001, 443), &tcp(outside, 50001, 443));
    gateway.translates(Hook::Uplink, &tcp(back, 443, 50001), &tcp(answer, 443, 50001));
}

#[test]
fn another_port_is_written_into_header_and_checksum() {
    // 33000 is the host's own to give away, so the client gets another one.
    let mut gateway = Gateway::new();
    let external = external_port(&gateway.admits(Hook::Lan, &Ipv4::new(CLIENT, SERVER).udp(33000, SIP_PORT, b"out")));
    assert_ne!(external, 33000);
    gateway.translates(
        Hook::Lan,
        &Ipv4::new(CLIENT, SERVER).udp(33000, SIP_PORT, b"again"),
        &Ipv4::new(UPLINK, SERVER).ttl(63).udp(external, SIP_PORT, b"again"),
    );
    gateway.translates(
        Hook::Uplink,
        &Ipv4::new(SERVER, UPLINK).udp(SIP_PORT, external, b"in"),
        &Ipv4::new(SERVER, CLIENT).ttl(63).udp(SIP_PORT, 33000, b"in"),
    );
    let syn = gateway.admits(Hook::Lan, &Ipv4::new(CLIENT, SERVER).tcp(33000, 443, SYN));
    assert_eq!(syn, Ipv4::new(UPLINK, SERVER).ttl(63).tcp(external_port(&syn), 443, SYN));
}

#[test]
fn no_udp_checksum_stays_none() {
    let mut gateway = Gateway::new();
    gateway.translates(
        Hook::Lan,
        &Ipv4::new(CLIENT, SERVER).udp_unchecked(PHONE_PORT, SIP_PORT, b"INVITE"),
        &Ipv4::new(UPLINK, SERVER).ttl(63).udp_unchecked(PHONE_PORT, SIP_PORT, b"INVITE"),
    );
    gateway.translates(
        Hook::Uplink,
        &Ipv4::new(SERVER, UPLINK).udp_unchecked(SIP_PORT, PHONE_PORT, b"ringing"),
        &Ipv4::new(SERVER, CLIENT).ttl(63).udp_unchecked(SIP_PORT, PHONE_PORT, b"ringing"),
    );
}

#[test]
fn a_udp_checksum_of_zero_is_sent_as_all_ones() {
    // The payload with which the translated datagram's sum is zero (RFC 768).
    let outside = Ipv4::new(UPLINK, SERVER).ttl(63);
    let sent = |word: &u16| outside.udp(PHONE_PORT, SIP_PORT, &word.to_be_bytes());
    let payload = (0..=u16::MAX).find(|word| sent(word)[26..28] == [0xff, 0xff]).unwrap();
    let mut gateway = Gateway::new();
    let packet = Ipv4::new(CLIENT, SERVER).udp(PHONE_PORT, SIP_PORT, &payload.to_be_bytes());
    gateway.translates(Hook::Lan, &packet, &sent(&payload));
}

#[test]
fn padding_of_a_short_frame_is_no_part_of_the_packet() {
    // Ethernet's shortest frame holds 46 bytes; these are 30.
    let padded = |mut packet: Vec<u8>| {
        packet.resize(46, 0xee);
        packet
    };
    let mut gateway = Gateway::new();
    gateway.translates(
        Hook::Lan,
        &padded(Ipv4::new(CLIENT, SERVER).udp(PHONE_PORT, SIP_PORT, b"\r\n")),
        &padded(Ipv4::new(UPLINK, SERVER).ttl(63).udp(PHONE_PORT, SIP_PORT, b"\r\n")),
    );
    assert_eq!(gateway.flows_of(Side::Lan)[0].1.bytes, 30);
}

#[test]
fn a_packet_of_several_segments_counts_as_several() {
    let mut gateway = Gateway::new();
    assert_eq!(gateway.send_segments(Hook::Lan, &sip_out(), 3).action, Action::Redirect);
    assert_eq!(gateway.flows_of(Side::Lan)[0].1.packets, 3);
    let stranger = Ipv4::new(STRANGER, UPLINK).udp(SIP_PORT, PHONE_PORT, b"200 OK");
    gateway.send_segments(Hook::Uplink, &stranger, 5);
    assert_eq!(gateway.take_refused()[0].packets, 5);
}

#[test]
fn a_session_knows_its_flow_and_counts_both_ways() {
    let mut gateway = Gateway::new();
    gateway.admits(Hook::Lan, &sip_out());
    gateway.admits(Hook::Lan, &sip_out());
    gateway.admits(Hook::Uplink, &sip_in());
    let (out, sent) = gateway.flows_of(Side::Lan)[0];
    assert_eq!((sent.flow, sent.packets, sent.bytes), (SIP, 2, 2 * sip_out().len() as u64));
    assert_eq!((out.source, out.destination_port), (Address4::from(CLIENT), Port::new(SIP_PORT)));
    let (_, received) = gateway.flows_of(Side::Uplink)[0];
    let expected = (SIP, 0, 1, sip_in().len() as u64);
    assert_eq!((received.flow, received.lan, received.packets, received.bytes), expected);
    assert_eq!(gateway.sizes(), [2, 1, 1, 1]);
}

#[test]
fn the_last_hop_is_the_kernels_to_refuse() {
    let mut gateway = Gateway::new();
    let last_hop = Ipv4::new(CLIENT, SERVER).ttl(1).udp(PHONE_PORT, SIP_PORT, b"traceroute");
    gateway.passes(Hook::Lan, &last_hop, GOVERNED);
    assert_eq!(gateway.sizes(), [0; 4], "it opened a session");
    gateway.admits(Hook::Lan, &sip_out());
    gateway.passes(Hook::Lan, &last_hop, GOVERNED);
    // From the world the kernel has to see for whom it is: translated, but not a hop less.
    let ran = gateway.send(Hook::Uplink, &Ipv4::new(SERVER, UPLINK).ttl(1).udp(SIP_PORT, PHONE_PORT, b""));
    let expected = Ipv4::new(SERVER, CLIENT).ttl(1).udp(SIP_PORT, PHONE_PORT, b"");
    assert_eq!((ran.action, ran.packet), (Action::Pass, expected));
}

#[test]
fn what_is_larger_than_the_links_mtu_is_the_kernels_to_fragment() {
    let mut gateway = Gateway::new();
    gateway.admits(Hook::Lan, &sip_out());
    let fits = Ipv4::new(CLIENT, SERVER).udp(PHONE_PORT, SIP_PORT, &[7; 1500 - 28]);
    gateway.admits(Hook::Lan, &fits);
    let larger = Ipv4::new(CLIENT, SERVER).udp(PHONE_PORT, SIP_PORT, &[7; 1501 - 28]);
    gateway.passes(Hook::Lan, &larger, GOVERNED);
    // The guard translates it then, and counts it once.
    let ran = gateway.send_marked(Hook::Guard, &larger, GOVERNED);
    let expected = Ipv4::new(UPLINK, SERVER).udp(PHONE_PORT, SIP_PORT, &[7; 1501 - 28]);
    assert_eq!((ran.action, ran.packet, ran.mark), (Action::Pass, expected, TRANSLATED));
    assert_eq!(gateway.flows_of(Side::Lan)[0].1.packets, 3);
}

#[test]
fn what_is_for_the_gateway_itself_opens_nothing() {
    let mut gateway = Gateway::new();
    gateway.passes(Hook::Lan, &Ipv4::new(CLIENT, UPLINK).udp(PHONE_PORT, SIP_PORT, b""), GOVERNED);
    assert_eq!(gateway.sizes(), [0; 4]);
}

#[test]
fn an_admitted_packet_is_marked_for_the_guard() {
    let gateway = Gateway::new();
    // What the mark's two bits were before says nothing; the others are not ours.
    let ran = gateway.send_marked(Hook::Lan, &sip_out(), GOVERNED | 0x42);
    assert_eq!((ran.action, ran.mark), (Action::Redirect, 0x42 | TRANSLATED));
}

#[test]
fn another_remote_gets_no_answer_through_the_mapping() {
    let mut gateway = Gateway::new();
    gateway.admits(Hook::Lan, &sip_out());
    let stranger = Ipv4::new(STRANGER, UPLINK).udp(SIP_PORT, PHONE_PORT, b"200 OK");
    gateway.refuses(Hook::Uplink, &stranger, Refused::new(Reason::NoSession));
}

/// The source port of a packet that was let out.
fn external_port(packet: &[u8]) -> u16 {
    u16::from_be_bytes([packet[20], packet[21]])
}

#[test]
fn each_direction_knows_the_path_of_its_last_packet() {
    let mut gateway = Gateway::new();
    let path = |gateway: &mut Gateway, side| gateway.flows_of(side)[0].1.path;
    gateway.admits(Hook::Lan, &sip_out());
    gateway.admits(Hook::Uplink, &sip_in());
    assert_eq!([Side::Lan, Side::Uplink].map(|side| path(&mut gateway, side)), [Path::Tc as u8; 2]);
    gateway.send(Hook::Guard, &sip_out());
    assert_eq!([Side::Lan, Side::Uplink].map(|side| path(&mut gateway, side)), [Path::Kernel as u8, Path::Tc as u8]);
}

#[test]
fn a_session_goes_on_by_a_lan_interface_that_was_made_anew() {
    let mut gateway = Gateway::new();
    gateway.admits(Hook::Lan, &sip_out());
    gateway.array("lans").set(0, 0_u32, 0).unwrap();
    assert_eq!(gateway.send(Hook::Uplink, &sip_in()).action, Action::Pass, "there is no way to the client");
    let lan = gateway.lan;
    gateway.array("lans").set(0, lan, 0).unwrap();
    gateway.admits(Hook::Uplink, &sip_in());
}
