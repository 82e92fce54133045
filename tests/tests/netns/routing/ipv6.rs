//! The same for IPv6. A client's uplink is that of its prefix.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use anyhow::{Result, ensure};
use thulium_tests::{
    lab::{Isp, Lab, THULIUM6, eventually},
    packet::{Capture, Ipv6},
    peer::{Echo, ask, noise},
};

use super::{NARROWER, set_mtu};
use crate::{
    fragments::call,
    icmp::{NARROW, learns_mtu},
};

/// As [`super::POLICY`], with a prefix for each uplink.
const POLICY: &str = "\
version: 1
system: acme
lan: { interfaces: [lan0] }
uplinks:
  - { name: isp-b, interface: wan1, prefixes: ['2001:db8:21::/64'] }
  - { name: isp-a, interface: wan0, prefixes: ['2001:db8:20::/64'] }
health: { probe: off }
hosts:
  thulium: { names: [], addresses: [203.0.113.10, '2001:db8:7::10'] }
  stun: { names: [], addresses: [203.0.113.20] }
";
const MEDIA: SocketAddr = SocketAddr::new(IpAddr::V6(THULIUM6), 16_000);
/// A client whose prefix is that of the second uplink.
const CLIENT: Ipv6Addr = Isp::B.client6(0x10);

fn office() -> Result<Lab> {
    let lab = Lab::new()?;
    lab.enable_ipv6()?;
    lab.add_uplink(Isp::B)?;
    lab.enable_ipv6_by(Isp::B)?;
    // IPv6 needs 1280.
    set_mtu(&lab, Isp::A, NARROWER)?;
    set_mtu(&lab, Isp::B, NARROW)?;
    Ok(lab)
}

#[test]
fn a_packet_whose_time_is_up_is_answered() -> Result<()> {
    let lab = office()?;
    let gateway = lab.start(POLICY)?;
    let office = Capture::new(&lab.lan, "eth0")?;
    let probe = Ipv6::new(CLIENT, THULIUM6).hop_limit(1).udp(33_000, 16_000, b"where are you?");
    lab.send_from_lan(&probe)?;
    let exceeded =
        office.next(|packet| packet.len() >= 88 && packet[0] >> 4 == 6 && packet[6] == 58 && packet[40] == 3)?;
    ensure!(exceeded[24..40] == CLIENT.octets() && exceeded[48..][8..40] == probe[8..40], "{exceeded:02x?}");
    gateway.expect_refused(&[])
}

#[test]
fn a_client_learns_the_mtu_of_its_own_uplink() -> Result<()> {
    let lab = office()?;
    let gateway = lab.start(POLICY)?;
    let _server = Echo::new(&lab.internet, &[MEDIA])?;
    let wire = Capture::new(&lab.internet, Isp::B.far_interface())?;
    let phone = lab.lan.udp((CLIENT, 33_000))?;
    phone.connect(MEDIA)?;
    learns_mtu(&phone)?;
    ensure!(ask(&phone, MEDIA, &noise(1200))?.ip() == CLIENT);
    wire.next(|packet| packet.ends_with(&noise(1200)))?;
    gateway.expect_refused(&[])
}

#[test]
fn an_invite_of_4_kb_is_answered() -> Result<()> {
    let lab = office()?;
    let gateway = lab.start(POLICY)?;
    let sip = SocketAddr::from((THULIUM6, 15_060));
    let (phone, server) = (lab.lan.udp((CLIENT, 5060))?, lab.internet.udp(sip)?);
    let other = Capture::new(&lab.internet, Isp::A.far_interface())?;
    // The first one is lost: nobody fragments for a sender of IPv6 that does not know the size yet.
    phone.connect(sip)?;
    let _ = learns_mtu(&phone);
    server.set_nonblocking(true)?;
    while server.recv(&mut [0; 2000]).is_ok() {}
    server.set_nonblocking(false)?;
    let seen = call(&lab.lan.udp((CLIENT, 5061))?, &server, sip)?;
    ensure!(seen.ip() == CLIENT, "the server saw {seen}");
    let strays = other.so_far(|packet| packet.len() > 40 && packet[0] >> 4 == 6 && packet[8..24] == CLIENT.octets())?;
    ensure!(strays.is_empty(), "by the other uplink came {strays:02x?}");
    gateway.expect_refused(&[])
}

#[test]
fn a_server_learns_of_a_narrow_lan() -> Result<()> {
    let lab = office()?;
    set_mtu(&lab, Isp::A, 1500)?;
    set_mtu(&lab, Isp::B, 1500)?;
    lab.gw.ip(&format!("link set lan0 mtu {NARROW}"))?;
    let gateway = lab.start(POLICY)?;
    let (phone, server) = (lab.lan.udp((CLIENT, 33_000))?, lab.internet.udp(MEDIA)?);
    eventually("the way to the server", || Ok(phone.send_to(b"hello", MEDIA).map(drop)?))?;
    let (_, seen) = server.recv_from(&mut [0; 16])?;
    server.connect(seen)?;
    learns_mtu(&server)?;
    gateway.expect_refused(&[])
}
