//! What takes the short way. What is expected is crafted anew with whole checksums.

use thulium_ebpf::abi::{Side, Uplink};

use super::*;

/// Sends a packet the short way, and checks the frame that leaves.
fn forwards_as(gateway: &Gateway, hook: Hook, packet: &[u8], expected: &[u8]) {
    let after = gateway.forwards(hook, packet);
    let next = if hook == Hook::LanXdp { ROUTER } else { PHONE };
    assert_eq!((&after[..6], &after[6..12]), (&next[..], &HARDWARE[..]), "{hook:?}: hardware addresses");
    let ether_type: [u8; 2] = if packet[0] >> 4 == 6 { [0x86, 0xdd] } else { [8, 0] };
    assert_eq!((&after[12..14], &after[14..]), (&ether_type[..], expected), "{hook:?}");
}

#[test]
fn udp_leaves_as_crafted_with_whole_checksums() {
    let gateway = with_session();
    let (inside, outside) = (Ipv4::new(CLIENT, SERVER), Ipv4::new(UPLINK, SERVER).ttl(63));
    let (back, delivered) = (Ipv4::new(SERVER, UPLINK), Ipv4::new(SERVER, CLIENT).ttl(63));
    let long: Vec<u8> = (0..=255).cycle().take(1472).collect();
    for payload in [b"".as_slice(), b"a", b"REGISTER", b"odd in length", &long] {
        forwards_as(
            &gateway,
            Hook::LanXdp,
            &inside.udp(PHONE_PORT, SIP_PORT, payload),
            &outside.udp(PHONE_PORT, SIP_PORT, payload),
        );
        forwards_as(
            &gateway,
            Hook::UplinkXdp,
            &back.udp(SIP_PORT, PHONE_PORT, payload),
            &delivered.udp(SIP_PORT, PHONE_PORT, payload),
        );
    }
}

#[test]
fn every_checksum_that_udp_can_have_comes_out_right() {
    let gateway = with_session();
    let (inside, outside) = (Ipv4::new(CLIENT, SERVER), Ipv4::new(UPLINK, SERVER).ttl(63));
    for word in (0..=u16::MAX).step_by(13).chain(0..=40).chain(0xffd0..=0xffff) {
        let payload = word.to_be_bytes();
        let expected = outside.udp(PHONE_PORT, SIP_PORT, &payload);
        let after = gateway.forwards(Hook::LanXdp, &inside.udp(PHONE_PORT, SIP_PORT, &payload));
        assert_eq!(after[14..], expected, "{word:#06x}");
    }
}

#[test]
fn udp_without_a_checksum_keeps_none() {
    let gateway = with_session();
    forwards_as(
        &gateway,
        Hook::LanXdp,
        &Ipv4::new(CLIENT, SERVER).udp_unchecked(PHONE_PORT, SIP_PORT, b"speech"),
        &Ipv4::new(UPLINK, SERVER).ttl(63).udp_unchecked(PHONE_PORT, SIP_PORT, b"speech"),
    );
}

#[test]
fn tcp_leaves_as_crafted_with_whole_checksums() {
    let gateway = with_connection();
    let (inside, outside) = (Ipv4::new(CLIENT, SERVER), Ipv4::new(UPLINK, SERVER).ttl(63));
    let (back, delivered) = (Ipv4::new(SERVER, UPLINK), Ipv4::new(SERVER, CLIENT).ttl(63));
    // "No operation" and timestamps (RFC 7323).
    let options = [1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8];
    forwards_as(
        &gateway,
        Hook::LanXdp,
        &inside.tcp_options(50000, 443, ACK, &options),
        &outside.tcp_options(50000, 443, ACK, &options),
    );
    let push = ACK | 0x08;
    forwards_as(
        &gateway,
        Hook::UplinkXdp,
        &back.tcp_data(443, 50000, push, b"200 OK"),
        &delivered.tcp_data(443, 50000, push, b"200 OK"),
    );
}

#[test]
fn what_a_short_frame_is_padded_with_stays() {
    let gateway = with_session();
    let mut frame = framed(&Ipv4::new(CLIENT, SERVER).udp(PHONE_PORT, SIP_PORT, b""));
    frame.resize(60, 0);
    let mut expected = Ipv4::new(UPLINK, SERVER).ttl(63).udp(PHONE_PORT, SIP_PORT, b"");
    expected.resize(46, 0);
    let after = (0..8).find_map(|_| match gateway.hand(Hook::LanXdp, &frame) {
        (Action::Redirect, after) => Some(after),
        _ => None,
    });
    assert_eq!(after.expect("it has to be sent on")[14..], expected);
}

#[test]
fn each_packet_is_counted_once_in_its_direction() {
    let mut gateway = with_session();
    let before = [Side::Lan, Side::Uplink].map(|side| gateway.flows_of(side)[0].1);
    let (out, back) = (sip_out(), sip_in());
    for _ in 0..3 {
        gateway.forwards(Hook::LanXdp, &out);
    }
    gateway.forwards(Hook::UplinkXdp, &back);
    let after = [Side::Lan, Side::Uplink].map(|side| gateway.flows_of(side)[0].1);
    let counted = |at: usize| (after[at].packets - before[at].packets, after[at].bytes - before[at].bytes);
    assert_eq!(counted(0), (3, 3 * out.len() as u64));
    assert_eq!(counted(1), (1, back.len() as u64));
    assert_eq!(gateway.take_refused(), []);
}

#[test]
fn a_packet_refreshes_its_session() {
    for (hook, side, packet) in [(Hook::LanXdp, Side::Lan, sip_out()), (Hook::UplinkXdp, Side::Uplink, sip_in())] {
        let mut gateway = with_session();
        gateway.age(Side::Lan, 30);
        gateway.age(Side::Uplink, 30);
        let before = gateway.flows_of(side)[0].1.last_seen;
        gateway.forwards(hook, &packet);
        assert!(gateway.flows_of(side)[0].1.last_seen > before, "{hook:?}");
    }
}

#[test]
fn ipv6_loses_a_hop_and_nothing_else() {
    let mut gateway = gateway();
    gateway.govern_ipv6(CLIENTS6.into(), SERVER6.into());
    let (out, back) = (Ipv6::new(CLIENT6, SERVER6), Ipv6::new(SERVER6, CLIENT6));
    gateway.admits(Hook::Lan, &out.udp(PHONE_PORT, SIP_PORT, b"REGISTER"));
    gateway.admits(Hook::Uplink, &back.udp(SIP_PORT, PHONE_PORT, b"200 OK"));
    for (hook, packet) in [
        (Hook::LanXdp, out.udp(PHONE_PORT, SIP_PORT, b"INVITE")),
        (Hook::UplinkXdp, back.udp(SIP_PORT, PHONE_PORT, b"ringing")),
    ] {
        let mut expected = packet.clone();
        expected[7] -= 1;
        forwards_as(&gateway, hook, &packet, &expected);
    }
}

#[test]
fn an_uplink_that_does_not_translate() {
    let mut gateway = gateway();
    let mut uplinks = gateway.array::<Uplink>("uplinks");
    let uplink = uplinks.get(&0, 0).unwrap();
    uplinks.set(0, Uplink { translates: 0, ..uplink }, 0).unwrap();
    let (out, back) = (Ipv4::new(CLIENT, SERVER), Ipv4::new(SERVER, CLIENT));
    let (first, reply) = (out.udp(PHONE_PORT, SIP_PORT, b"INVITE"), back.udp(SIP_PORT, PHONE_PORT, b"ringing"));
    gateway.admits(Hook::Lan, &first);
    gateway.admits(Hook::Uplink, &reply);
    forwards_as(&gateway, Hook::LanXdp, &first, &out.ttl(63).udp(PHONE_PORT, SIP_PORT, b"INVITE"));
    forwards_as(&gateway, Hook::UplinkXdp, &reply, &back.ttl(63).udp(SIP_PORT, PHONE_PORT, b"ringing"));
}
