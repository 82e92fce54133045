//! What no flow of the policy allows goes nowhere, and is counted exactly once under its reason.

use std::{net::Ipv4Addr, time::Duration};

use anyhow::{Context, Result, ensure};
use thulium_tests::{
    lab::{
        CLIENT, CLIENT6, Gateway, LAN_GATEWAY, Lab, MASQUERADE, NEXT_HOP6, POLICY, THULIUM, UNRELATED, UPLINK, client,
    },
    packet::{Capture, Ipv4, Parsed, ipv6_udp, tcp_flag},
    peer::{Echo, ask},
};

const GRE: u8 = 47;
/// No-operation three times, and the end of options (RFC 791).
const NO_OPTIONS: [u8; 4] = [1, 1, 1, 0];

/// A packet with its name and the counter that it belongs to.
type Case = (&'static str, Vec<u8>, &'static str);

fn from_clients() -> Vec<Case> {
    let unrelated = Ipv4::new(CLIENT, UNRELATED);
    let thulium = Ipv4::new(CLIENT, THULIUM);
    let spoofed = Ipv4::new(Ipv4Addr::new(10, 9, 8, 7), THULIUM);
    vec![
        ("an unrelated host", unrelated.udp(4000, 16_000, b"x"), "address-unknown out wan0"),
        ("an unrelated host by TCP", unrelated.tcp(4000, 443, tcp_flag::SYN), "address-unknown out wan0"),
        ("a port of no flow", thulium.udp(4000, 15_061, b"x"), "no-flow out wan0"),
        ("the port below the media range", thulium.udp(4000, 15_999, b"x"), "no-flow out wan0"),
        ("the port above the media range", thulium.udp(4000, 20_001, b"x"), "no-flow out wan0"),
        ("a flow's port by the other protocol", thulium.udp(4000, 443, b"x"), "no-flow out wan0"),
        ("ICMP", thulium.raw(1, &[8, 0, 0xf7, 0xff, 0, 0, 0, 0]), "no-flow out wan0"),
        ("TCP without SYN", thulium.tcp(4001, 443, tcp_flag::ACK), "tcp-not-syn out lan0"),
        ("a reset without a session", thulium.tcp(4001, 443, tcp_flag::RST), "tcp-rst-no-session out lan0"),
        ("SYN with FIN", thulium.tcp(4001, 443, tcp_flag::SYN | tcp_flag::FIN), "tcp-flags out wan0"),
        ("no control bit", thulium.tcp(4001, 443, 0), "tcp-flags out wan0"),
        ("a source of nowhere in the LAN", spoofed.udp(4000, 16_000, b"x"), "spoofed-source out lan0"),
        ("IP options", thulium.clone().options(&NO_OPTIONS).udp(4000, 16_000, b"x"), "ip-options out wan0"),
        (
            "a later fragment alone",
            thulium.clone().fragment(7, 1480, false).raw(17, b"x"),
            "fragment-no-state out wan0",
        ),
        ("GRE", thulium.raw(GRE, b"tunnel"), "unknown-protocol out wan0"),
        ("a UDP length beyond the packet", thulium.udp_of_length(4000, 16_000, b"x", 500), "malformed out lan0"),
        ("a UDP length below its header", thulium.udp_of_length(4000, 16_000, b"x", 7), "malformed out lan0"),
        ("a cut UDP header", thulium.raw(17, &[15, 160, 62]), "malformed out lan0"),
        ("a cut TCP header", thulium.raw(6, &[0; 12]), "malformed out lan0"),
    ]
}

/// What the world may try against a client whose port 5060 is mapped, talking to the server's port 15060.
fn from_the_world(mapped: u16) -> Vec<Case> {
    let server = Ipv4::new(THULIUM, UPLINK);
    let stranger = Ipv4::new(UNRELATED, UPLINK);
    let straight = Ipv4::new(UNRELATED, CLIENT);
    vec![
        ("a stranger to a live mapping", stranger.udp(15_060, mapped, b"x"), "no-session in wan0"),
        ("the server from another port", server.udp(15_061, mapped, b"x"), "no-session in wan0"),
        ("a stranger to a client's address", straight.udp(15_060, 5060, b"x"), "unsolicited in wan0"),
        ("TCP to a client's address", straight.tcp(443, 4000, tcp_flag::SYN), "unsolicited in wan0"),
        ("ICMP to a client's address", straight.raw(1, &[8, 0, 0xf7, 0xff, 0, 0, 0, 0]), "unsolicited in wan0"),
        ("GRE to a client's address", straight.raw(GRE, b"tunnel"), "unknown-protocol in wan0"),
        ("options to a client's address", straight.clone().options(&NO_OPTIONS).udp(1, 2, b"x"), "ip-options in wan0"),
        (
            "a fragment to a client",
            straight.clone().fragment(7, 1480, false).raw(17, b"x"),
            "fragment-no-state in wan0",
        ),
        ("a malformed packet to a mapping", server.udp_of_length(15_060, mapped, b"x", 500), "malformed in wan0"),
    ]
}

/// Sends each packet and checks after each that its counter, and nothing else, grew by one.
fn try_each(gateway: &Gateway<'_>, cases: &[Case], send: impl Fn(&[u8]) -> Result<()>) -> Result<()> {
    let mut expected: Vec<(&str, u64)> = Vec::new();
    for (name, packet, counter) in cases {
        send(packet).with_context(|| format!("sending {name}"))?;
        match expected.iter_mut().find(|(known, _)| known == counter) {
            Some((_, packets)) => *packets += 1,
            None => expected.push((counter, 1)),
        }
        let lines: Vec<_> = expected.iter().map(|(counter, packets)| format!("{counter}: {packets}")).collect();
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        gateway.expect_refused(&lines).with_context(|| format!("after {name}"))?;
    }
    ensure!(gateway.refused()?.total() == cases.len() as u64);
    Ok(())
}

fn is_ipv4(packet: &[u8]) -> bool {
    Parsed::new(packet).is_some()
}

#[test]
fn of_clients() -> Result<()> {
    let lab = Lab::new()?;
    let gateway = lab.start(POLICY)?;
    let wire = Capture::new(&lab.internet, "eth0")?;
    clients_are_refused(&lab, &gateway, &wire)
}

/// Tries everything that clients must not do. Only the one admitted packet at the end comes out.
pub(crate) fn clients_are_refused(lab: &Lab, gateway: &Gateway<'_>, wire: &Capture) -> Result<()> {
    try_each(gateway, &from_clients(), |packet| lab.send_from_lan(packet))?;
    lab.send_from_lan(&Ipv4::new(CLIENT, THULIUM).udp(4000, 16_000, b"admitted"))?;
    let first = wire.next(is_ipv4)?;
    ensure!(Parsed::new(&first).is_some_and(|packet| packet.payload == b"admitted"), "{first:02x?} came out");
    Ok(())
}

#[test]
fn of_the_world() -> Result<()> {
    let lab = Lab::new()?;
    let gateway = lab.start(POLICY)?;
    world_is_refused(&lab, &gateway)
}

/// Opens a session, then tries everything that the world must not do to its client.
pub(crate) fn world_is_refused(lab: &Lab, gateway: &Gateway<'_>) -> Result<()> {
    let _server = Echo::new(&lab.internet, &[(THULIUM, 15_060).into()])?;
    let phone = lab.lan.udp((CLIENT, 5060))?;
    let mapped = ask(&phone, (THULIUM, 15_060).into(), b"REGISTER")?;
    let office = Capture::new(&lab.lan, "eth0")?;
    try_each(gateway, &from_the_world(mapped.port()), |packet| lab.send_from_internet(packet))?;
    ask(&phone, (THULIUM, 15_060).into(), b"still there")?;
    let came = office.so_far(is_ipv4)?;
    ensure!(came.len() == 1, "{} packets came to the office instead of one answer", came.len());
    Ok(())
}

#[test]
fn a_mix_adds_up() -> Result<()> {
    let lab = Lab::new()?;
    let gateway = lab.start(POLICY)?;
    let wire = Capture::new(&lab.internet, "eth0")?;
    let mut sent = 0;
    for round in 0..50 {
        for host in [10, 11, 12] {
            let from = client(host);
            lab.send_from_lan(&Ipv4::new(from, THULIUM).udp(4000 + round, 16_000 + round, b"media"))?;
            lab.send_from_lan(&Ipv4::new(from, UNRELATED).udp(4000 + round, 16_000 + round, b"stray"))?;
            lab.send_from_lan(&Ipv4::new(from, THULIUM).tcp(4000 + round, 443, tcp_flag::ACK))?;
            lab.send_from_lan(&Ipv4::new(from, THULIUM).tcp(4000 + round, 443, tcp_flag::SYN))?;
            sent += 4;
        }
    }
    let mut delivered = 0;
    while wire.next_within(Duration::from_millis(200), is_ipv4)?.is_some() {
        delivered += 1;
    }
    assert_eq!(gateway.refused()?.total(), sent - delivered);
    assert_eq!(gateway.refused()?.of_flow("tcp-not-syn", "web"), 150, "the flow concerned is known");
    gateway.expect_refused(&["address-unknown out wan0: 150", "tcp-not-syn out lan0: 150"])
}

#[test]
fn ipv6_where_no_client_has_it() -> Result<()> {
    let lab = Lab::new()?;
    lab.enable_ipv6()?;
    lab.gw.sysctl("net/ipv6/conf/all/forwarding", "1")?;
    let gateway = lab.start(&POLICY.replace("interfaces: [lan0]", "interfaces: [lan0], clients: [192.168.20.0/24]"))?;
    let (inside, outside) = (CLIENT6, NEXT_HOP6);
    let is_ours = |packet: &[u8]| packet.ends_with(b"over IPv6");
    let (wire, office) = (Capture::new(&lab.internet, "eth0")?, Capture::new(&lab.lan, "eth0")?);
    lab.send_from_lan(&ipv6_udp(inside, outside, 4000, 16_000, b"over IPv6"))?;
    gateway.expect_refused(&["ipv6-unsupported out wan0 ipv6: 1"])?;
    lab.send_from_internet(&ipv6_udp(outside, inside, 16_000, 4000, b"over IPv6"))?;
    gateway.expect_refused(&["ipv6-unsupported out wan0 ipv6: 1", "ipv6-unsupported in wan0 ipv6: 1"])?;
    assert!(wire.so_far(is_ours)?.is_empty() && office.so_far(is_ours)?.is_empty());
    Ok(())
}

#[test]
fn a_host_that_is_no_client_is_left_to_the_kernel() -> Result<()> {
    let lab = Lab::new()?;
    lab.nft(MASQUERADE)?;
    let policy = POLICY.replace("interfaces: [lan0]", "interfaces: [lan0], clients: [192.168.20.0/25]");
    let gateway = lab.start(&policy)?;
    let _server = Echo::new(&lab.internet, &[(UNRELATED, 53).into()])?;
    ask(&lab.lan.udp((client(200), 0))?, (UNRELATED, 53).into(), b"hello")?;
    gateway.expect_refused(&[])
}

#[test]
fn the_gateways_own_traffic_passes() -> Result<()> {
    let lab = Lab::new()?;
    let gateway = lab.start(POLICY)?;
    let _world = Echo::new(&lab.internet, &[(UNRELATED, 123).into()])?;
    let _own = Echo::new(&lab.gw, &[(UPLINK, 1194).into(), (LAN_GATEWAY, 53).into()])?;
    ask(&lab.gw.udp((UPLINK, 0))?, (UNRELATED, 123).into(), b"from the gateway")?;
    ask(&lab.internet.udp((UNRELATED, 0))?, (UPLINK, 1194).into(), b"to the gateway")?;
    ask(&lab.lan.udp((CLIENT, 0))?, (LAN_GATEWAY, 53).into(), b"from a client to the gateway")?;
    gateway.expect_refused(&[])
}
