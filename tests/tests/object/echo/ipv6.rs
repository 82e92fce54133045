//! Ping by IPv6: the same mappings and lifetimes, with the client's own identifier.

use std::net::Ipv6Addr;

use thulium_ebpf::abi::{Reason, Side};

use super::{LIFETIME, PING};
use crate::{
    gateway::{GOVERNED, Gateway, Hook},
    maps::{FLOWS, Flow, GRACE, SERVER_HOST},
    refused::Refused,
    traffic::*,
};

const PING_FLOW: Flow = (PING, SERVER_HOST, 58, 0, 16);
/// Another client.
const OTHER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x20, 0, 0, 0, 0, 0x11);

const REQUEST: u8 = 128;
const REPLY: u8 = 129;
/// "Node information query" (RFC 4620).
const QUERY: u8 = 139;

fn with_ping() -> Gateway {
    let mut gateway = Gateway::new();
    gateway.publish(2, &[FLOWS.as_slice(), &[PING_FLOW]].concat());
    gateway.govern_ipv6(CLIENTS6.into(), SERVER6.into());
    gateway
}

fn echo(ip: &Ipv6, kind: u8, identifier: u16) -> Vec<u8> {
    let [high, low] = identifier.to_be_bytes();
    ip.icmp(kind, 0, &[&[high, low, 0, 1], b"are you there?".as_slice()].concat())
}

fn request(identifier: u16) -> Vec<u8> {
    echo(&Ipv6::new(CLIENT6, SERVER6), REQUEST, identifier)
}

fn reply(identifier: u16) -> Vec<u8> {
    echo(&Ipv6::new(SERVER6, CLIENT6), REPLY, identifier)
}

#[test]
fn a_ping_and_its_reply_pass_with_the_clients_own_identifier() {
    let mut gateway = with_ping();
    for own in [4660, 33000, 7, 0] {
        gateway.translates(Hook::Lan, &request(own), &echo(&Ipv6::new(CLIENT6, SERVER6).hop_limit(63), REQUEST, own));
        let expected = echo(&Ipv6::new(SERVER6, CLIENT6).hop_limit(63), REPLY, own);
        gateway.translates(Hook::Uplink, &reply(own), &expected);
        gateway.passes(Hook::UplinkXdp, &reply(own), 0);
    }
    assert_eq!(gateway.flows6().len(), 8);
}

#[test]
fn only_the_reply_to_a_clients_own_request_comes_in() {
    let mut gateway = with_ping();
    gateway.admits(Hook::Lan, &request(4660));
    let rows = [
        ("another identifier", reply(4661)),
        ("to another client", echo(&Ipv6::new(SERVER6, OTHER), REPLY, 4660)),
        ("from a stranger", echo(&Ipv6::new(STRANGER6, CLIENT6), REPLY, 4660)),
        ("the server's own request", echo(&Ipv6::new(SERVER6, CLIENT6), REQUEST, 4660)),
    ];
    for (name, packet) in rows {
        eprintln!("{name}");
        for hook in [Hook::Uplink, Hook::UplinkXdp] {
            gateway.refuses(hook, &packet, Refused::new(Reason::Unsolicited));
        }
    }
    // What another client asks with the same identifier is answered to it.
    gateway.admits(Hook::Lan, &echo(&Ipv6::new(OTHER, SERVER6), REQUEST, 4660));
    gateway.admits(Hook::Uplink, &echo(&Ipv6::new(SERVER6, OTHER), REPLY, 4660));
}

#[test]
fn a_mapping_lives_for_a_minute() {
    let mut gateway = with_ping();
    gateway.set(|settings| settings.udp_idle = 300_000_000_000);
    gateway.admits(Hook::Lan, &request(4660));
    let age = |gateway: &mut Gateway, seconds| [Side::Lan, Side::Uplink].map(|side| gateway.age6(side, seconds));
    age(&mut gateway, LIFETIME - 5);
    gateway.admits(Hook::Uplink, &reply(4660));
    age(&mut gateway, LIFETIME + GRACE);
    gateway.refuses(Hook::Uplink, &reply(4660), Refused::new(Reason::Unsolicited));
}

#[test]
fn nothing_but_a_clients_echo_request_opens_anything() {
    let mut gateway = with_ping();
    let rows = [
        ("a reply", echo(&Ipv6::new(CLIENT6, SERVER6), REPLY, 0), Refused::new(Reason::NoFlow)),
        ("another query", echo(&Ipv6::new(CLIENT6, SERVER6), QUERY, 0), Refused::new(Reason::NoFlow)),
        (
            "a ping to another host",
            echo(&Ipv6::new(CLIENT6, STRANGER6), REQUEST, 4660),
            Refused::of_flow(Reason::AddressUnknown, PING),
        ),
    ];
    for (name, packet, refused) in rows {
        eprintln!("{name}");
        gateway.passes(Hook::Lan, &packet, GOVERNED);
        gateway.refuses(Hook::Guard, &packet, refused);
    }
    assert_eq!(gateway.flows6(), []);
}

#[test]
fn an_error_about_a_ping_reaches_the_client() {
    let mut gateway = with_ping();
    gateway.admits(Hook::Lan, &request(33000));
    let quote = [&[0; 4], echo(&Ipv6::new(CLIENT6, SERVER6).hop_limit(1), REQUEST, 33000).as_slice()].concat();
    let exceeded = |limit| Ipv6::new(STRANGER6, CLIENT6).hop_limit(limit).icmp(3, 0, &quote);
    gateway.translates(Hook::Uplink, &exceeded(64), &exceeded(63));
}
