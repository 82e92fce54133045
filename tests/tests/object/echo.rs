//! Ping (RFC 5508 §3): a flow of the policy may admit it; identifiers are mapped as ports are.

mod ipv6;

use thulium_ebpf::abi::{Reason, Side};

use crate::{
    gateway::{GOVERNED, Gateway, Hook},
    maps::{FLOWS, Flow, GRACE, SERVER_HOST},
    refused::Refused,
    traffic::*,
};

/// Slot of the flow that admits ping to the server.
const PING: u8 = 40;
const PING_FLOW: Flow = (PING, SERVER_HOST, 1, 0, 16);

/// Seconds that a mapping lives (RFC 5508 REQ-2).
const LIFETIME: u64 = 60;

fn with_ping() -> Gateway {
    let mut gateway = Gateway::new();
    let flows: Vec<Flow> = FLOWS.into_iter().chain([PING_FLOW]).collect();
    gateway.publish(2, &flows);
    gateway
}

fn echo(ip: &Ipv4, kind: u8, identifier: u16) -> Vec<u8> {
    let [high, low] = identifier.to_be_bytes();
    ip.icmp(kind, 0, [high, low, 0, 1], b"are you there?")
}

fn request(identifier: u16) -> Vec<u8> {
    echo(&Ipv4::new(CLIENT, SERVER), 8, identifier)
}

fn identifier(packet: &[u8]) -> u16 {
    u16::from_be_bytes([packet[24], packet[25]])
}

#[test]
fn a_ping_and_its_reply_are_translated() {
    let mut gateway = with_ping();
    for own in [4660, 33000, 7, 0] {
        let left = gateway.admits(Hook::Lan, &request(own));
        let outside = identifier(&left);
        assert_eq!(left, echo(&Ipv4::new(UPLINK, SERVER).ttl(63), 8, outside));
        assert_eq!(outside == own, own == 4660, "kept where a port would be");
        gateway.translates(
            Hook::Uplink,
            &echo(&Ipv4::new(SERVER, UPLINK), 0, outside),
            &echo(&Ipv4::new(SERVER, CLIENT).ttl(63), 0, own),
        );
        gateway.passes(Hook::UplinkXdp, &echo(&Ipv4::new(SERVER, UPLINK), 0, outside), 0);
    }
}

#[test]
fn an_identifier_belongs_to_one_client_and_looks_the_same_to_every_remote() {
    let mut gateway = with_ping();
    gateway.set_remote(STRANGER.into(), 1 << SERVER_HOST, u64::MAX);
    let first = identifier(&gateway.admits(Hook::Lan, &request(33000)));
    let other = identifier(&gateway.admits(Hook::Lan, &echo(&Ipv4::new(CLIENT_2, SERVER), 8, 33000)));
    assert_ne!(first, other);
    let elsewhere = identifier(&gateway.admits(Hook::Lan, &echo(&Ipv4::new(CLIENT, STRANGER), 8, 33000)));
    assert_eq!(elsewhere, first);
}

#[test]
fn an_error_about_a_ping_reaches_the_client() {
    let mut gateway = with_ping();
    let outside = identifier(&gateway.admits(Hook::Lan, &request(33000)));
    let exceeded = |to, ttl, quote: &[u8]| Ipv4::new(STRANGER, to).ttl(ttl).icmp(11, 0, [0; 4], quote);
    let (world, client) = (Ipv4::new(UPLINK, SERVER).ttl(1), Ipv4::new(CLIENT, SERVER).ttl(1));
    gateway.translates(
        Hook::Uplink,
        &exceeded(UPLINK, 64, &echo(&world, 8, outside)),
        &exceeded(CLIENT, 63, &echo(&client, 8, 33000)),
    );
}

#[test]
fn a_mapping_lives_for_a_minute() {
    let mut gateway = with_ping();
    gateway.set(|settings| settings.udp_idle = 300_000_000_000);
    gateway.admits(Hook::Lan, &request(4660));
    let reply = echo(&Ipv4::new(SERVER, UPLINK), 0, 4660);
    let age = |gateway: &mut Gateway, seconds| [Side::Lan, Side::Uplink].map(|side| gateway.age(side, seconds));
    age(&mut gateway, LIFETIME - 5);
    gateway.admits(Hook::Uplink, &reply);
    age(&mut gateway, LIFETIME + GRACE);
    // To nobody in the LAN: the gateway itself may be the one who pings.
    gateway.passes(Hook::Uplink, &reply, 0);
}

#[test]
fn nothing_but_a_clients_echo_request_opens_anything() {
    let mut gateway = with_ping();
    let rows = [
        ("a reply", echo(&Ipv4::new(CLIENT, SERVER), 0, 0), Refused::new(Reason::NoFlow)),
        ("a timestamp request", echo(&Ipv4::new(CLIENT, SERVER), 13, 0), Refused::new(Reason::NoFlow)),
        ("a redirect", echo(&Ipv4::new(CLIENT, SERVER), 5, 0), Refused::new(Reason::NoFlow)),
        (
            "a ping to another host",
            echo(&Ipv4::new(CLIENT, STRANGER), 8, 4660),
            Refused::of_flow(Reason::AddressUnknown, PING),
        ),
    ];
    for (name, packet, refused) in rows {
        eprintln!("{name}");
        gateway.passes(Hook::Lan, &packet, GOVERNED);
        gateway.refuses(Hook::Guard, &packet, refused);
    }
    assert_eq!(gateway.sizes(), [0; 4]);
}

#[test]
fn the_worlds_pings_are_the_gateways_own() {
    let mut gateway = with_ping();
    gateway.admits(Hook::Lan, &request(4660));
    for hook in [Hook::Uplink, Hook::UplinkXdp] {
        gateway.passes(hook, &echo(&Ipv4::new(SERVER, UPLINK), 8, 4660), 0);
        gateway.passes(hook, &echo(&Ipv4::new(STRANGER, UPLINK), 0, 4660), 0);
        let straight = echo(&Ipv4::new(SERVER, CLIENT), 8, 0);
        gateway.refuses(hook, &straight, Refused::new(Reason::Unsolicited));
    }
}

#[test]
fn a_large_ping_is_translated_in_fragments() {
    let mut gateway = with_ping();
    let whole = echo(&Ipv4::new(CLIENT, SERVER), 8, 33000);
    let part = |ip: &Ipv4, message: &[u8], from: usize, to: usize| {
        ip.clone().fragment(5, from as u16, to < message.len()).raw(1, &message[from..to])
    };
    let client = Ipv4::new(CLIENT, SERVER);
    let first = gateway.admits(Hook::Lan, &part(&client, &whole[20..], 0, 16));
    let world = Ipv4::new(UPLINK, SERVER).ttl(63);
    let expected = echo(&world, 8, identifier(&first));
    assert_eq!(first, part(&world, &expected[20..], 0, 16));
    let last = whole.len() - 20;
    gateway.translates(Hook::Lan, &part(&client, &whole[20..], 16, last), &part(&world, &expected[20..], 16, last));
}
