//! The links of real offices: not everything is plain Ethernet.

mod modular;

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use thulium_tests::{
    lab::{CLIENT, Gateway, LAN_GATEWAY, Lab, POLICY, THULIUM, UNRELATED, UPLINK, eventually},
    packet::{Capture, Ipv4, Parsed},
    peer::{Echo, Tunnel, ask},
};

use crate::{
    flows::everything,
    offloads::{bulk, offload},
};

const MEDIA: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(THULIUM), 16_000);

/// Puts a link without link headers in place of the uplink, as PPPoE makes one. The gateway has one address, and no network.
pub(crate) fn with_tun(lab: &Lab) -> Result<Tunnel> {
    lab.gw.ip("link del wan0")?;
    let tunnel = Tunnel::new((&lab.gw, "wan0"), (&lab.internet, "eth0"))?;
    for (namespace, interface, own, peer) in
        [(&lab.gw, "wan0", "198.51.100.1", "198.51.100.254"), (&lab.internet, "eth0", "198.51.100.254", "198.51.100.1")]
    {
        namespace.ip(&format!("address add {own} peer {peer} dev {interface}"))?;
        namespace.ip(&format!("link set {interface} mtu 1492 up"))?;
    }
    lab.gw.ip("route add default dev wan0")?;
    Ok(tunnel)
}

#[test]
fn an_uplink_without_link_headers() -> Result<()> {
    let lab = Lab::new()?;
    let _tunnel = with_tun(&lab)?;
    let gateway = lab.start(POLICY)?;
    everything(&lab)?;
    bulk(&lab)?;
    gateway.expect_refused(&[])?;
    judged(&lab, &gateway, "wan0", "eth0")
}

/// The world's packets are judged there as elsewhere, and so is what the kernel forwards. `uplink` and `far` are the link's ends.
fn judged(lab: &Lab, gateway: &Gateway<'_>, uplink: &str, far: &str) -> Result<()> {
    let _server = Echo::new(&lab.internet, &[MEDIA])?;
    let phone = lab.lan.udp((CLIENT, 5004))?;
    ensure!(ask(&phone, MEDIA, b"from the phone")? == SocketAddr::from((UPLINK, 5004)));
    let stranger = lab.internet.udp((UNRELATED, 7))?;
    stranger.send_to(b"unsolicited", (UPLINK, 5004))?;
    lab.internet.ip(&format!("route add 192.168.20.0/24 dev {far}"))?;
    stranger.send_to(b"straight to a client", (CLIENT, 5004))?;
    phone.send_to(b"nobody allows it", (UNRELATED, 7))?;
    let counters = ["no-session in", "unsolicited in", "no-flow out"].map(|counter| format!("{counter} {uplink}: 1"));
    gateway.expect_refused(&counters.each_ref().map(String::as_str))
}

#[test]
fn a_client_behind_a_link_without_link_headers() -> Result<()> {
    let lab = Lab::new()?;
    lab.gw.ip("link del lan0")?;
    let _tunnel = Tunnel::new((&lab.gw, "lan0"), (&lab.lan, "eth0"))?;
    lab.gw.ip(&format!("address add {LAN_GATEWAY}/24 dev lan0"))?;
    lab.lan.ip(&format!("address add {CLIENT}/24 dev eth0"))?;
    lab.gw.ip("link set lan0 up")?;
    lab.lan.ip("link set eth0 up")?;
    lab.lan.ip("route add default dev eth0")?;
    let gateway = lab.start(POLICY)?;
    everything(&lab)?;
    gateway.expect_refused(&[])
}

#[test]
fn a_bridge_as_lan() -> Result<()> {
    let lab = Lab::new()?;
    lab.gw.ip("link add br0 type bridge")?;
    lab.gw.ip("link set lan0 master br0")?;
    lab.gw.ip(&format!("address del {LAN_GATEWAY}/24 dev lan0"))?;
    lab.gw.ip(&format!("address add {LAN_GATEWAY}/24 dev br0"))?;
    lab.gw.ip("link set br0 up")?;
    let gateway = lab.start(&POLICY.replace("interfaces: [lan0]", "interfaces: [br0]"))?;
    everything(&lab)?;
    bulk(&lab)?;
    gateway.expect_refused(&[])?;
    lab.lan.udp((CLIENT, 0))?.send_to(b"nobody allows it", (UNRELATED, 53))?;
    gateway.expect_refused(&["no-flow out wan0: 1"])
}

/// As providers do that give an address of its own to each customer: the gateway is on no network of the uplink.
#[test]
fn a_single_address_and_a_next_hop_off_the_link() -> Result<()> {
    let lab = Lab::new()?;
    lab.gw.ip(&format!("address del {UPLINK}/24 dev wan0"))?;
    lab.gw.ip(&format!("address add {UPLINK}/32 dev wan0"))?;
    lab.gw.ip("route replace default via 198.51.100.254 dev wan0 onlink")?;
    let gateway = lab.start(POLICY)?;
    everything(&lab)?;
    gateway.expect_refused(&[])
}

/// Some providers' equipment tags what it sends with a priority, in VLAN 0: that is no VLAN.
#[test]
fn frames_with_a_priority_tag() -> Result<()> {
    let lab = Lab::new()?;
    let gateway = lab.start(POLICY)?;
    let _server = Echo::new(&lab.internet, &[MEDIA])?;
    let phone = lab.lan.udp((CLIENT, 5004))?;
    ask(&phone, MEDIA, b"opened")?;
    let heard = Capture::new(&lab.lan, "eth0")?;
    let reply = Ipv4::new(THULIUM, UPLINK).udp(16_000, 5004, b"with a tag");
    lab.send_tagged_from_internet(0, &reply)?;
    let packet = heard.next(|packet| Parsed::new(packet).is_some_and(|packet| packet.payload == b"with a tag"))?;
    ensure!(packet == Ipv4::new(THULIUM, CLIENT).ttl(63).udp(16_000, 5004, b"with a tag"), "it arrived changed");
    // Another VLAN is another link, which the policy does not name.
    lab.send_tagged_from_internet(7, &reply)?;
    gateway.expect_refused(&[])
}

/// `mss_clamp: auto`: both ends are told what the smaller link can carry.
#[test]
fn segments_are_clamped_to_the_path() -> Result<()> {
    let lab = Lab::new()?;
    for (namespace, interface) in [(&lab.gw, "wan0"), (&lab.internet, "eth0")] {
        namespace.ip(&format!("link set {interface} mtu 1492"))?;
    }
    // So that the kernel finishes there what the senders left open.
    for interface in ["lan0", "wan0"] {
        offload(&lab.gw, interface, "tx off tso off gso off")?;
    }
    // The server is told nothing by its own link.
    lab.internet.ip("link set eth0 mtu 1500")?;
    let _gateway = lab.start(POLICY)?;
    let (out, back) = (Capture::new(&lab.internet, "eth0")?, Capture::new(&lab.lan, "eth0")?);
    bulk(&lab)?;
    for (way, capture) in [("out", out), ("back", back)] {
        let syn = capture.next(is_syn).with_context(|| format!("no SYN {way}"))?;
        ensure!(mss(&syn) == Some(1452), "{way}: {:?} instead of 1492 - 40", mss(&syn));
        ensure!(Parsed::new(&syn).is_some_and(|packet| packet.intact), "{way}: a wrong checksum");
    }
    Ok(())
}

#[test]
fn segments_that_fit_are_left_alone() -> Result<()> {
    let lab = Lab::new()?;
    let _gateway = lab.start(POLICY)?;
    let out = Capture::new(&lab.internet, "eth0")?;
    bulk(&lab)?;
    ensure!(mss(&out.next(is_syn)?) == Some(1460));
    Ok(())
}

/// A DHCP server gives another address while a call is up: the phone's next packet gets a mapping of the new one.
#[test]
fn another_lease_while_it_runs() -> Result<()> {
    let lab = Lab::new()?;
    let gateway = lab.start(POLICY)?;
    let _server = Echo::new(&lab.internet, &[MEDIA])?;
    let phone = lab.lan.udp((CLIENT, 5004))?;
    ask(&phone, MEDIA, b"before")?;
    // As DHCP clients do: the new one beside the old one, then the old one goes.
    lab.gw.sysctl("net/ipv4/conf/wan0/promote_secondaries", "1")?;
    lab.gw.ip("address add 198.51.100.9/24 dev wan0")?;
    lab.gw.ip(&format!("address del {UPLINK}/24 dev wan0"))?;
    lab.gw.ip("route replace default via 198.51.100.254")?;
    eventually("the phone is heard from the new address", || {
        let seen = ask(&phone, MEDIA, b"after")?;
        ensure!(seen == SocketAddr::from(([198, 51, 100, 9], 5004)), "seen as {seen}");
        Ok(())
    })?;
    gateway.expect_refused(&[])
}

fn is_syn(packet: &[u8]) -> bool {
    Parsed::new(packet).is_some_and(|parsed| parsed.protocol == 6) && packet[33] & 2 != 0
}

/// The value of the MSS option of a SYN, which Linux puts first.
fn mss(packet: &[u8]) -> Option<u16> {
    (packet[40..42] == [2, 4]).then(|| u16::from_be_bytes([packet[42], packet[43]]))
}
