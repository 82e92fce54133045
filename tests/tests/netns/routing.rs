//! Several uplinks: what needs the kernel (TTL, MTU, fragments) leaves by the client's uplink too, which is not that of the default
//! route, and beside all that an admin has set.

mod ipv6;
mod upkeep;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result, ensure};
use thulium_tests::{
    lab::{CLIENT, Gateway, Isp, LAN_GATEWAY, Lab, STUN, THULIUM, prepare},
    packet::{self, Capture, Ipv4, Parsed},
    peer::{Echo, Tunnel, ask, noise},
};

use crate::{
    fragments::call,
    icmp::{NARROW, is_icmp, learns_mtu},
};

/// Clients prefer the second uplink; the kernel's default route leads by the first one.
pub(crate) const POLICY: &str = "\
version: 1
system: acme
lan: { interfaces: [lan0] }
uplinks:
  - { name: isp-b, interface: wan1 }
  - { name: isp-a, interface: wan0 }
health: { probe: off }
hosts:
  thulium: { names: [], addresses: [203.0.113.10] }
  stun: { names: [], addresses: [203.0.113.20] }
";
const MEDIA: SocketAddr = SocketAddr::new(IpAddr::V4(THULIUM), 16_000);
const SIP: SocketAddr = SocketAddr::new(IpAddr::V4(THULIUM), 15_060);
/// An MTU that is not the one of the clients' uplink.
const NARROWER: u32 = 1280;
/// Hardware address of the gateway's `wan1`.
const WAN1_MAC: [u8; 6] = [2, 0, 0, 0, 0x51, 2];
/// Of its `lan1`.
const LAN1_MAC: [u8; 6] = [2, 0, 0, 0, 0x30, 1];
/// Who is in the second LAN.
const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(192, 168, 30, 10);
/// Who is behind the VPN.
const BRANCH: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);

/// An office with two uplinks of different MTUs, a second LAN, a VPN, an admin's own rules, and strict checks of sources.
pub(crate) fn office() -> Result<Lab> {
    let lab = Lab::new()?;
    lab.add_uplink(Isp::B)?;
    set_mtu(&lab, Isp::A, NARROWER)?;
    set_mtu(&lab, Isp::B, NARROW)?;
    with_second_lan_and_vpn(&lab)?;
    with_rules_of_an_admin(&lab)?;
    be_strict(&lab)?;
    Ok(lab)
}

fn set_mtu(lab: &Lab, isp: Isp, mtu: u32) -> Result<()> {
    lab.gw.ip(&format!("link set {} mtu {mtu}", isp.interface()))?;
    lab.internet.ip(&format!("link set {} mtu {mtu}", isp.far_interface()))
}

fn with_second_lan_and_vpn(lab: &Lab) -> Result<()> {
    let (lan, internet) = (lab.lan.name(), lab.internet.name());
    let mac = LAN1_MAC.map(|byte| format!("{byte:02x}")).join(":");
    lab.gw.ip(&format!("link add lan1 address {mac} type veth peer name eth1 netns {lan}"))?;
    lab.gw.ip(&format!("link add vpn0 type veth peer name vpn netns {internet}"))?;
    for (namespace, interface, address) in [
        (&lab.gw, "lan1", "192.168.30.1/24"),
        (&lab.lan, "eth1", "192.168.30.10/24"),
        (&lab.gw, "vpn0", "10.8.0.1/24"),
        (&lab.internet, "vpn", "10.8.0.2/24"),
    ] {
        namespace.ip(&format!("address add {address} dev {interface}"))?;
        namespace.ip(&format!("link set {interface} up"))?;
    }
    prepare([(&lab.gw, "lan1"), (&lab.lan, "eth1")])?;
    prepare([(&lab.gw, "vpn0"), (&lab.internet, "vpn")])?;
    lab.gw.ip("route add 10.9.0.0/16 via 10.8.0.2")
}

/// By source, and by other bits of the mark than ours.
fn with_rules_of_an_admin(lab: &Lab) -> Result<()> {
    lab.gw.ip(&format!("route add default via {} table 100", Isp::A.next_hop()))?;
    // Who knows of the other LAN by no other table is sent away from it, and taken for spoofed there.
    lab.gw.ip("route add 192.168.20.0/24 dev lan0 table 100")?;
    lab.gw.ip("route add default via 10.8.0.2 table 110")?;
    lab.gw.ip("rule add priority 100 from 192.168.30.0/24 lookup 100")?;
    lab.gw.ip("rule add priority 110 fwmark 0x1/0xff lookup 110")?;
    // At a priority of ours.
    lab.gw.ip("rule add priority 32001 fwmark 0x2/0xff lookup 110")
}

fn be_strict(lab: &Lab) -> Result<()> {
    let interfaces = ["all", "default", "lan0", "lan1", "wan0", "wan1", "vpn0"];
    interfaces.iter().try_for_each(|name| lab.gw.sysctl(&format!("net/ipv4/conf/{name}/rp_filter"), "1"))
}

/// Nothing of a client has come by the other uplink, or untranslated.
fn ensure_silent(other: &Capture) -> Result<()> {
    let strays = other.so_far(|packet| {
        Parsed::new(packet).is_some_and(|packet| *packet.destination.ip() == THULIUM && packet.protocol == 17)
    })?;
    ensure!(strays.is_empty(), "by the other uplink came {strays:02x?}");
    Ok(())
}

#[test]
fn a_packet_whose_time_is_up_is_answered() -> Result<()> {
    let lab = office()?;
    let gateway = lab.start(POLICY)?;
    answers_time_exceeded(&lab)?;
    gateway.expect_refused(&[])
}

/// The first hop of a traceroute is the gateway.
fn answers_time_exceeded(lab: &Lab) -> Result<()> {
    let office = Capture::new(&lab.lan, "eth0")?;
    let probe = Ipv4::new(CLIENT, THULIUM).ttl(1).udp(33_000, 16_000, b"where are you?");
    lab.send_from_lan(&probe)?;
    let exceeded = office.next(is_icmp(11))?;
    ensure!(exceeded[12..16] == LAN_GATEWAY.octets(), "from another hop: {exceeded:?}");
    ensure!(exceeded[28..][12..28] == probe[12..28], "it quotes {exceeded:?}");
    Ok(())
}

#[test]
fn traceroute_goes_by_the_clients_uplink() -> Result<()> {
    let lab = office()?;
    let _far = lab.narrow(1500)?;
    let gateway = lab.start(POLICY)?;
    let office = Capture::new(&lab.lan, "eth0")?;
    answers_time_exceeded(&lab)?;
    lab.send_from_lan(&Ipv4::new(CLIENT, THULIUM).ttl(2).udp(33_001, 16_000, b"and who is next?"))?;
    let exceeded = office.next(|packet| is_icmp(11)(packet) && packet[12..16] != LAN_GATEWAY.octets())?;
    ensure!(exceeded[12..16] == Isp::B.next_hop().octets(), "from another hop: {exceeded:?}");
    gateway.expect_refused(&[])
}

#[test]
fn a_client_learns_the_mtu_of_its_own_uplink() -> Result<()> {
    let lab = office()?;
    let gateway = lab.start(POLICY)?;
    learns_of_its_uplink(&lab, 33_000)?;
    gateway.expect_refused(&[])
}

pub(crate) fn learns_of_its_uplink(lab: &Lab, port: u16) -> Result<()> {
    let _server = Echo::new(&lab.internet, &[MEDIA])?;
    let phone = lab.lan.udp((CLIENT, port))?;
    phone.connect(MEDIA)?;
    learns_mtu(&phone)?;
    let seen = ask(&phone, MEDIA, &noise(1200))?;
    ensure!(seen.ip() == Isp::B.address(), "the server saw {seen}");
    Ok(())
}

/// As PPPoE and VPNs have it: no route leads out of it, and it needs no router.
#[test]
fn a_link_with_two_ends_needs_no_next_hop() -> Result<()> {
    let lab = Lab::new()?;
    set_mtu(&lab, Isp::A, NARROWER)?;
    let _tunnel = Tunnel::new((&lab.gw, Isp::B.interface()), (&lab.internet, Isp::B.far_interface()))?;
    let (near, far) = (Isp::B.address(), Isp::B.next_hop());
    lab.gw.ip(&format!("address add {near} peer {far} dev wan1"))?;
    lab.internet.ip(&format!("address add {far} peer {near} dev eth1"))?;
    set_mtu(&lab, Isp::B, NARROW)?;
    lab.gw.ip("link set wan1 up")?;
    lab.internet.ip("link set eth1 up")?;
    let gateway = lab.start(POLICY)?;
    learns_of_its_uplink(&lab, 33_000)?;
    invites(&lab, 5060)?;
    gateway.expect_refused(&[])
}

#[test]
fn a_long_invite_is_fragmented_for_the_clients_uplink() -> Result<()> {
    let lab = office()?;
    let gateway = lab.start(POLICY)?;
    invites(&lab, 5060)?;
    gateway.expect_refused(&[])
}

/// Two calls whose messages have 4 kB, so that the second one meets what the first one left.
pub(crate) fn invites(lab: &Lab, port: u16) -> Result<()> {
    let [other, wire] = [Isp::A, Isp::B].map(|isp| Capture::new(&lab.internet, isp.far_interface()));
    let (other, wire) = (other?, wire?);
    let (phone, server) = (lab.lan.udp((CLIENT, port))?, lab.internet.udp(SIP)?);
    for _ in 0..2 {
        let mapped = call(&phone, &server, SIP)?;
        ensure!(mapped.ip() == Isp::B.address(), "the server saw {mapped}");
    }
    let ours = |packet: &Parsed| *packet.source.ip() == Isp::B.address();
    let sent = wire.so_far(|packet| Parsed::new(packet).is_some_and(|packet| ours(&packet)))?;
    ensure!(sent.len() > 6, "{} fragments", sent.len());
    ensure_fit(&sent)?;
    ensure_silent(&other)
}

/// Fragments were made for the client's link, neither for a larger nor for a smaller one.
fn ensure_fit(fragments: &[Vec<u8>]) -> Result<()> {
    let largest = fragments.iter().map(Vec::len).max().unwrap_or_default() as u32;
    ensure!((NARROWER + 1..=NARROW).contains(&largest), "the largest fragment has {largest} bytes");
    Ok(())
}

/// A datagram that nobody has fragmented before.
#[test]
fn a_datagram_is_fragmented_for_the_clients_uplink() -> Result<()> {
    let lab = office()?;
    let gateway = lab.start(POLICY)?;
    let [other, wire] = [Isp::A, Isp::B].map(|isp| Capture::new(&lab.internet, isp.far_interface()));
    let (other, wire) = (other?, wire?);
    let server = lab.internet.udp(SIP)?;
    lab.send_from_lan(&Ipv4::new(CLIENT, THULIUM).udp(5060, SIP.port(), &noise(1450)))?;
    let mut buffer = vec![0; 2000];
    let (length, mapped) = server.recv_from(&mut buffer)?;
    ensure!(buffer[..length] == noise(1450) && mapped.ip() == Isp::B.address(), "{length} bytes from {mapped}");
    ensure_fit(&wire.so_far(|packet| Parsed::new(packet).is_some_and(|packet| packet.protocol == 17))?)?;
    ensure_silent(&other)?;
    gateway.expect_refused(&[])
}

/// The same office with a LAN that is narrower than both uplinks; its phone with a session, and where the server saw it.
fn narrow_lan() -> Result<Lab> {
    let lab = office()?;
    set_mtu(&lab, Isp::A, 1500)?;
    set_mtu(&lab, Isp::B, 1500)?;
    lab.gw.ip(&format!("link set lan0 mtu {NARROW}"))?;
    Ok(lab)
}

#[test]
fn what_comes_in_larger_than_the_lan_is_fragmented() -> Result<()> {
    let lab = narrow_lan()?;
    let gateway = lab.start(POLICY)?;
    let (phone, server) = (lab.lan.udp((CLIENT, 33_000))?, lab.internet.udp(MEDIA)?);
    phone.send_to(b"hello", MEDIA)?;
    let (_, mapped) = server.recv_from(&mut [0; 16])?;
    let large = Ipv4::new(THULIUM, Isp::B.address()).udp(MEDIA.port(), mapped.port(), &noise(1400));
    packet::send(&lab.internet, Isp::B.far_interface(), WAN1_MAC, &large)?;
    let mut buffer = vec![0; 2000];
    let length = phone.recv(&mut buffer)?;
    ensure!(buffer[..length] == noise(1400), "{length} bytes");
    gateway.expect_refused(&[])
}

#[test]
fn a_server_learns_of_a_narrow_lan() -> Result<()> {
    let lab = narrow_lan()?;
    let gateway = lab.start(POLICY)?;
    let (phone, server) = (lab.lan.udp((CLIENT, 33_000))?, lab.internet.udp(MEDIA)?);
    phone.send_to(b"hello", MEDIA)?;
    let (_, mapped) = server.recv_from(&mut [0; 16])?;
    server.connect(mapped)?;
    learns_mtu(&server)?;
    server.send(&noise(1200))?;
    ensure!(phone.recv(&mut [0; 2000])? == 1200);
    gateway.expect_refused(&[])
}

#[test]
fn a_server_hears_that_the_time_was_up() -> Result<()> {
    let lab = office()?;
    let gateway = lab.start(POLICY)?;
    let (phone, server) = (lab.lan.udp((CLIENT, 33_000))?, lab.internet.udp(MEDIA)?);
    phone.send_to(b"hello", MEDIA)?;
    let (_, mapped) = server.recv_from(&mut [0; 16])?;
    let wires = [Isp::A, Isp::B].map(|isp| Capture::new(&lab.internet, isp.far_interface()));
    let late = Ipv4::new(THULIUM, Isp::B.address()).ttl(1).udp(MEDIA.port(), mapped.port(), b"late");
    packet::send(&lab.internet, Isp::B.far_interface(), WAN1_MAC, &late)?;
    let is_error = |packet: &[u8]| packet.len() >= 56 && packet[9] == 1 && packet[20] == 11;
    let mut heard = None;
    for wire in wires {
        heard = heard.or(wire?.next_within(std::time::Duration::from_secs(2), is_error)?);
    }
    let error = heard.ok_or_else(|| anyhow::anyhow!("no error came"))?;
    // The addresses and ports that the server knows, not the client's.
    ensure!(error[28..][12..28] == late[12..28], "it quotes {error:02x?}");
    gateway.expect_refused(&[])
}

/// What the kernel's own routes lead to, other than by an uplink.
#[test]
fn other_lans_and_vpns_come_first() -> Result<()> {
    let lab = office()?;
    lab.gw.ip(&format!("route add {STUN} via 10.8.0.2"))?;
    lab.gw.ip("link set vpn0 mtu 1300")?;
    let gateway = lab.start(POLICY)?;
    // From now on the client is pinned to an uplink.
    learns_of_its_uplink(&lab, 33_000)?;
    let [second_lan, vpn] = [Capture::new(&lab.lan, "eth1")?, Capture::new(&lab.internet, "vpn")?];
    for payload in [noise(100), noise(1400)] {
        for (to, by) in [(NEIGHBOUR, &second_lan), (BRANCH, &vpn), (STUN, &vpn)] {
            lab.send_from_lan(&Ipv4::new(CLIENT, to).udp(5004, 19_302, &payload))?;
            let from_client = |packet: &[u8]| {
                let packet = Parsed::new(packet);
                packet.is_some_and(|packet| *packet.source.ip() == CLIENT && *packet.destination.ip() == to)
            };
            by.next(from_client).with_context(|| format!("{} bytes to {to}", payload.len()))?;
        }
    }
    gateway.expect_refused(&[])
}

/// They are for others than governed clients.
#[test]
fn the_rules_of_an_admin_go_on_to_work() -> Result<()> {
    let lab = office()?;
    let gateway = lab.start(POLICY)?;
    by_the_admins_rules(&lab)?;
    gateway.expect_refused(&[])
}

fn by_the_admins_rules(lab: &Lab) -> Result<()> {
    let (wire, vpn) = (Capture::new(&lab.internet, Isp::A.far_interface())?, Capture::new(&lab.internet, "vpn")?);
    let is_ours = |payload: &'static [u8]| move |packet: &[u8]| packet.ends_with(payload);
    let from_neighbour = Ipv4::new(NEIGHBOUR, THULIUM).udp(5004, 9, b"by source");
    packet::send(&lab.lan, "eth1", LAN1_MAC, &from_neighbour)?;
    wire.next(is_ours(b"by source"))?;
    let marked = lab.gw.udp("0.0.0.0:0")?;
    nix::sys::socket::setsockopt(&marked, nix::sys::socket::sockopt::Mark, &1)?;
    marked.send_to(b"by mark", (THULIUM, 9))?;
    vpn.next(is_ours(b"by mark"))?;
    Ok(())
}

#[test]
fn all_of_it_works_without_the_daemon() -> Result<()> {
    let lab = office()?;
    let mut gateway = lab.start(POLICY)?;
    gateway.kill()?;
    everything(&lab, &gateway)
}

fn everything(lab: &Lab, gateway: &Gateway<'_>) -> Result<()> {
    answers_time_exceeded(lab)?;
    learns_of_its_uplink(lab, 33_001)?;
    invites(lab, 5061)?;
    by_the_admins_rules(lab)?;
    gateway.expect_refused(&[])
}
