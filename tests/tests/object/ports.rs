//! Which external port a client's endpoint gets.

use std::{
    collections::HashSet,
    net::{Ipv4Addr, UdpSocket},
};

use crate::{
    gateway::{Gateway, Hook},
    maps::{FLOWS, Flow, SERVER_HOST},
    traffic::*,
};

/// Sends from `source` to the SIP server and returns the port that the server sees.
pub(crate) fn external(gateway: &mut Gateway, source: (Ipv4Addr, u16)) -> u16 {
    let packet = gateway.admits(Hook::Lan, &Ipv4::new(source.0, SERVER).udp(source.1, SIP_PORT, b""));
    u16::from_be_bytes([packet[20], packet[21]])
}

#[test]
fn a_port_is_kept_where_that_is_allowed() {
    let mut gateway = Gateway::new();
    for port in [1024, PHONE_PORT, 32767, 40000, 65535] {
        assert_eq!(external(&mut gateway, (CLIENT, port)), port);
    }
}

#[test]
fn any_other_port_comes_from_the_range_with_its_parity() {
    let mut gateway = Gateway::new();
    // Well-known ports, and those that the host gives to its own sockets.
    for port in [1, 80, 1023, 32768, 33001, 39999] {
        let external = external(&mut gateway, (CLIENT, port));
        assert!(external >= 40000, "{port} became {external}");
        assert_eq!(external & 1, port & 1, "{port} became {external}");
    }
}

#[test]
fn two_clients_with_the_same_port_get_different_ones() {
    let mut gateway = Gateway::new();
    assert_eq!(external(&mut gateway, (CLIENT, PHONE_PORT)), PHONE_PORT);
    let second = external(&mut gateway, (CLIENT_2, PHONE_PORT));
    assert!(second >= 40000 && second & 1 == 0, "{second}");
    // Each gets its own replies.
    for (client, port) in [(CLIENT, PHONE_PORT), (CLIENT_2, second)] {
        gateway.translates(
            Hook::Uplink,
            &Ipv4::new(SERVER, UPLINK).udp(SIP_PORT, port, b"200 OK"),
            &Ipv4::new(SERVER, client).ttl(63).udp(SIP_PORT, PHONE_PORT, b"200 OK"),
        );
    }
}

#[test]
fn a_mapping_is_the_same_for_every_remote() {
    // RFC 4787 REQ-1: what the STUN server sees is what the media server sees.
    let mut gateway = Gateway::new();
    let stun = gateway.admits(Hook::Lan, &Ipv4::new(CLIENT, STUN_SERVER).udp(33000, 19302, b"STUN"));
    let seen = u16::from_be_bytes([stun[20], stun[21]]);
    gateway.translates(
        Hook::Lan,
        &Ipv4::new(CLIENT, SERVER).udp(33000, 16000, b"RTP"),
        &Ipv4::new(UPLINK, SERVER).ttl(63).udp(seen, 16000, b"RTP"),
    );
    assert_eq!(external(&mut gateway, (CLIENT, 33000)), seen);
    assert_eq!(gateway.holders(seen), Some(3));
    assert_eq!(gateway.sizes(), [6, 1, 1, 1]);
}

#[test]
fn a_tcp_mapping_is_the_same_for_every_remote() {
    // RFC 5382 REQ-1: other servers and other ports of a server see the client at the same port.
    let mut gateway = Gateway::new();
    let other_port: Flow = (41, SERVER_HOST, 6, 8443, 16);
    gateway.publish(2, &[FLOWS.as_slice(), &[other_port]].concat());
    gateway.set_remote(STRANGER.into(), 1 << SERVER_HOST, u64::MAX);
    let first = gateway.admits(Hook::Lan, &Ipv4::new(CLIENT, SERVER).tcp(33000, 443, SYN));
    let seen = u16::from_be_bytes([first[20], first[21]]);
    for (server, port) in [(SERVER, 8443), (STRANGER, 443), (STRANGER, 8443)] {
        eprintln!("{server}:{port}");
        gateway.translates(
            Hook::Lan,
            &Ipv4::new(CLIENT, server).tcp(33000, port, SYN),
            &Ipv4::new(UPLINK, server).ttl(63).tcp(seen, port, SYN),
        );
        gateway.translates(
            Hook::Uplink,
            &Ipv4::new(server, UPLINK).tcp(port, seen, SYN | ACK),
            &Ipv4::new(server, CLIENT).ttl(63).tcp(port, 33000, SYN | ACK),
        );
    }
    assert_eq!(gateway.sizes(), [8, 1, 1, 1]);
}

#[test]
fn every_client_and_port_has_the_one_address_of_the_uplink() {
    // RFC 4787 REQ-2. Ports that are kept, that are another's already, and that may not be kept.
    let mut gateway = Gateway::new();
    for client in (10..14).map(|last| Ipv4Addr::new(192, 168, 20, last)) {
        for port in [80, PHONE_PORT, 33000, 50000] {
            let (server, stun) = (Ipv4::new(client, SERVER), Ipv4::new(client, STUN_SERVER));
            for packet in [server.udp(port, SIP_PORT, b""), server.tcp(port, 443, SYN), stun.udp(port, 19302, b"")] {
                let left = gateway.admits(Hook::Lan, &packet);
                assert_eq!(left[12..16], UPLINK.octets(), "{client}:{port}");
            }
        }
    }
    assert_eq!(gateway.sizes(), [96, 32, 32, 4]);
}

/// How many ports a test of chance looks at.
const DRAWN: u16 = 16;

#[test]
fn a_port_that_is_not_kept_cannot_be_foretold() {
    // RFC 7857 §9, RFC 6056 §3.3: neither from the one before, nor from another gateway with the same clients.
    let drawn = || {
        let mut gateway = Gateway::new();
        (0..DRAWN).map(|at| external(&mut gateway, (CLIENT, 33000 + 2 * at))).collect::<Vec<_>>()
    };
    let (ports, others) = (drawn(), drawn());
    let steps: Vec<i32> = ports.windows(2).map(|pair| i32::from(pair[1]) - i32::from(pair[0])).collect();
    let different: HashSet<_> = steps.iter().collect();
    assert!(different.len() > 10, "the steps repeat themselves: {ports:?}");
    let up = steps.iter().filter(|step| **step > 0).count();
    assert!((1..steps.len()).contains(&up), "they go one way: {ports:?}");
    let (low, high) = (ports.iter().min().unwrap(), ports.iter().max().unwrap());
    assert!(high - low > 25536 / 4, "they are close together: {ports:?}");
    let equal = ports.iter().zip(&others).filter(|(one, other)| one == other).count();
    assert!(equal < 3, "two gateways draw the same: {ports:?}, {others:?}");
}

#[test]
fn tcp_and_udp_ports_are_not_in_each_others_way() {
    let mut gateway = Gateway::new();
    assert_eq!(external(&mut gateway, (CLIENT, 50000)), 50000);
    let syn = gateway.admits(Hook::Lan, &Ipv4::new(CLIENT_2, SERVER).tcp(50000, 443, SYN));
    assert_eq!(syn[20..22], 50000_u16.to_be_bytes());
}

#[test]
fn a_port_that_the_host_listens_on_is_not_taken() {
    let mut gateway = Gateway::new();
    let _socket = UdpSocket::bind((UPLINK, PHONE_PORT)).unwrap();
    let other = external(&mut gateway, (CLIENT, PHONE_PORT));
    assert!(other >= 40000, "{other}");
    assert_eq!(gateway.holders(PHONE_PORT), None, "the claim was not given back");
}

#[test]
fn many_clients_with_one_port_all_get_distinct_ones() {
    let mut gateway = Gateway::new();
    let clients = (10..40).map(|last| Ipv4Addr::new(192, 168, 20, last));
    let ports: HashSet<u16> = clients.map(|client| external(&mut gateway, (client, PHONE_PORT))).collect();
    assert_eq!(ports.len(), 30);
}

#[test]
fn a_row_of_taken_ports_is_in_nobodys_way() {
    let mut gateway = Gateway::with_flow_entries(256);
    gateway.set(|settings| (settings.first_port, settings.last_port) = (40000, 40255));
    for port in (40000..40100).step_by(2) {
        assert_eq!(external(&mut gateway, (CLIENT, port)), port);
    }
    for port in (33000..33040).step_by(2) {
        assert!(external(&mut gateway, (CLIENT_2, port)) >= 40100);
    }
}
