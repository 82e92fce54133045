//! What clients, and the world, must not do.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use anyhow::{Context, Result};
use thulium_tests::{
    lab::{CLIENT, Gateway, Lab, THULIUM, UNRELATED, UPLINK, client, eventually},
    packet::{Capture, Ipv4, Parsed, tcp_flag},
    peer::{Echo, ask},
};

use crate::tried::Tried;

const GRE: u8 = 47;
const SIP_MEDIA: (Ipv4Addr, u16) = (THULIUM, 16_200);

/// Tries a good many forbidden packets, and adds up.
pub(crate) fn all(lab: &Lab, gateway: &Gateway<'_>, tried: &mut Tried) -> Result<()> {
    println!("What must not be:");
    let _server = Echo::new(&lab.internet, &[SIP_MEDIA.into()])?;
    let phone = lab.lan.udp((CLIENT, 5062))?;
    let mapped = ask(&phone, SIP_MEDIA.into(), b"a live session").context("opening a session")?;
    let before = gateway.refused()?.total();
    let mut sent = 0;
    // From here on no packet of theirs is to come out on either side.
    let (wire, office) = (Capture::new(&lab.internet, "eth0")?, Capture::new(&lab.lan, "eth0")?);
    for (what, packet, reason) in from_clients() {
        sent += 1;
        tried.step(what, reason, || attempt(gateway, &wire, || lab.send_from_lan(&packet)));
    }
    for (what, packet, reason) in from_the_world(mapped.port()) {
        sent += 1;
        tried.step(what, reason, || attempt(gateway, &office, || lab.send_from_internet(&packet)));
    }
    tried.step("all counters together", &format!("{sent} sent, {sent} counted, 0 delivered"), || {
        let counted = gateway.refused()?.total() - before;
        let delivered = [&wire, &office].map(|capture| capture.so_far(is_delivered).map_or(0, |packets| packets.len()));
        Ok(format!("{sent} sent, {counted} counted, {} delivered", delivered[0] + delivered[1]))
    });
    Ok(())
}

/// What is tried, the packet, and the reason that its refusal is to be counted under.
type Case = (&'static str, Vec<u8>, &'static str);

fn from_clients() -> Vec<Case> {
    let thulium = Ipv4::new(CLIENT, THULIUM);
    let spoofed = Ipv4::new(Ipv4Addr::new(10, 9, 8, 7), THULIUM);
    vec![
        (
            "HTTPS to an unrelated host",
            Ipv4::new(CLIENT, UNRELATED).tcp(PORT, 443, tcp_flag::SYN),
            "refused: address-unknown",
        ),
        (
            "UDP to an unrelated host",
            Ipv4::new(CLIENT, UNRELATED).udp(PORT, 16_000, FORBIDDEN),
            "refused: address-unknown",
        ),
        ("SSH to the server", thulium.tcp(PORT, 22, tcp_flag::SYN), "refused: no-flow"),
        ("UDP beyond the media ports", thulium.udp(PORT, 20_001, FORBIDDEN), "refused: no-flow"),
        ("TCP in the middle of nothing", thulium.tcp(PORT, 443, tcp_flag::ACK), "refused: tcp-not-syn"),
        ("a spoofed source", spoofed.udp(PORT, 16_000, FORBIDDEN), "refused: spoofed-source"),
        ("IP options", thulium.clone().options(&[1, 1, 1, 0]).udp(PORT, 16_000, FORBIDDEN), "refused: ip-options"),
        ("a GRE tunnel", thulium.raw(GRE, FORBIDDEN), "refused: unknown-protocol"),
        ("a UDP length that lies", thulium.udp_of_length(PORT, 16_000, FORBIDDEN, 500), "refused: malformed"),
    ]
}

fn from_the_world(mapped: u16) -> Vec<Case> {
    let port = SIP_MEDIA.1;
    vec![
        (
            "a stranger to a phone's open port",
            Ipv4::new(UNRELATED, UPLINK).udp(port, mapped, FORBIDDEN),
            "refused: no-session",
        ),
        (
            "the server from another port",
            Ipv4::new(THULIUM, UPLINK).udp(port + 1, mapped, FORBIDDEN),
            "refused: no-session",
        ),
        (
            "a stranger straight to a client",
            Ipv4::new(UNRELATED, client(11)).udp(53, 5060, FORBIDDEN),
            "refused: unsolicited",
        ),
    ]
}

/// Where the clients' packets come from.
const PORT: u16 = 40_000;
/// What the packets carry that carry anything.
const FORBIDDEN: &[u8] = b"forbidden";

/// Sends a packet, and says what the counters and the far side make of it.
fn attempt(gateway: &Gateway<'_>, far: &Capture, send: impl FnOnce() -> Result<()>) -> Result<String> {
    let before = gateway.refused()?;
    send()?;
    let after = eventually("a counter to grow", || {
        let after = gateway.refused()?;
        anyhow::ensure!(after.total() > before.total(), "no counter has");
        Ok(after)
    });
    if far.next_within(Duration::from_millis(50), is_delivered)?.is_some() {
        return Ok("delivered".to_owned());
    }
    let grown: Vec<_> = after?.reasons_since(&before);
    Ok(format!("refused: {}", grown.join(", ")))
}

/// Any IPv4 packet but those by which the gateway tries its uplinks: connections of its own to the web server.
fn is_delivered(packet: &[u8]) -> bool {
    let probes = |packet: &Parsed| {
        let (server, gateway) = match (packet.source, packet.destination) {
            (source, destination) if *source.ip() == UPLINK => (destination, source),
            (source, destination) => (source, destination),
        };
        server == SocketAddrV4::new(THULIUM, 443) && *gateway.ip() == UPLINK && gateway.port() != PORT
    };
    Parsed::new(packet).is_some_and(|packet| !probes(&packet))
}
