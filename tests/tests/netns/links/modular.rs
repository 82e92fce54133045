//! Links that are modules of Debian's kernels and that not every machine has: `cargo xtask test --kernel` runs these in a
//! virtual machine. Elsewhere they are left out; where the kernel has the modules, `--include-ignored` runs them, too.

use std::{
    fs::{self, File},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use thulium_tests::{
    lab::{
        CLIENT, LAN_GATEWAY, Lab, NEXT_HOP, POLICY, Process, THULIUM, UNRELATED, UPLINK, client, eventually, within,
    },
    packet::{Capture, Ipv4, Parsed},
    peer::{Echo, ask, noise},
};

use super::{MEDIA, judged};
use crate::{
    flows::{stun, udp},
    offloads::bulk,
};

#[test]
#[ignore = "needs VLAN in the kernel: cargo xtask test --kernel"]
fn a_vlan_as_lan() -> Result<()> {
    let lab = Lab::new()?;
    for (namespace, interface) in [(&lab.gw, "lan0"), (&lab.lan, "eth0")] {
        namespace.ip(&format!("link add link {interface} name office type vlan id 20"))?;
        namespace.ip("link set office up")?;
        namespace.ip(&format!("address flush dev {interface}"))?;
    }
    office(&lab, "office")?;
    let gateway = lab.start(&POLICY.replace("interfaces: [lan0]", "interfaces: [office]"))?;
    calls(&lab)?;
    gateway.expect_refused(&[])?;
    lab.lan.udp((CLIENT, 0))?.send_to(b"nobody allows it", (UNRELATED, 53))?;
    gateway.expect_refused(&["no-flow out wan0: 1"])?;
    let _server = Echo::new(&lab.internet, &[MEDIA])?;
    // Without a tag it is another network, which the policy does not name: the kernel may have it.
    let wire = Capture::new(&lab.internet, "eth0")?;
    lab.send_from_lan(&Ipv4::new(CLIENT, THULIUM).udp(5004, 16_000, b"without a tag"))?;
    ask(&lab.lan.udp((CLIENT, 0))?, MEDIA, b"with a tag")?;
    let first = wire.next(|packet| Parsed::new(packet).is_some_and(|packet| packet.destination.port() == 16_000))?;
    ensure!(Parsed::new(&first).is_some_and(|packet| packet.payload == b"with a tag"), "{first:02x?} came out");
    Ok(())
}

/// One cable is pulled while a call is up.
#[test]
#[ignore = "needs bonding in the kernel: cargo xtask test --kernel"]
fn a_bond_as_lan() -> Result<()> {
    let lab = Lab::new()?;
    lab.gw.ip(&format!("link add lan1 type veth peer name eth1 netns {}", lab.lan.name()))?;
    // The office's switch.
    lab.lan.ip("link add switch type bridge")?;
    lab.gw.ip("link add office type bond mode active-backup miimon 100")?;
    for (member, port) in [("lan0", "eth0"), ("lan1", "eth1")] {
        lab.gw.ip(&format!("address flush dev {member}"))?;
        lab.gw.ip(&format!("link set {member} down"))?;
        lab.gw.ip(&format!("link set {member} master office"))?;
        lab.lan.ip(&format!("address flush dev {port}"))?;
        lab.lan.ip(&format!("link set {port} master switch up"))?;
    }
    lab.gw.ip("link set office up")?;
    lab.lan.ip("link set switch up")?;
    lab.gw.ip(&format!("address add {LAN_GATEWAY}/24 dev office"))?;
    office_clients(&lab, "switch")?;
    let gateway = lab.start(&POLICY.replace("interfaces: [lan0]", "interfaces: [office]"))?;
    calls(&lab)?;
    let _server = Echo::new(&lab.internet, &[MEDIA])?;
    let phone = lab.lan.udp((CLIENT, 5004))?;
    let before = ask(&phone, MEDIA, b"by the first cable")?;
    lab.lan.ip("link set eth0 down")?;
    within(Duration::from_secs(10), "the bond to take the other cable", || {
        let bond = lab.gw.output("ip", "-d link show office")?;
        ensure!(bond.contains("active_slave lan1"), "{bond}");
        Ok(())
    })?;
    ensure!(ask(&phone, MEDIA, b"by the second cable")? == before);
    gateway.expect_refused(&[])
}

#[test]
#[ignore = "needs WireGuard in the kernel: cargo xtask test --kernel"]
fn wireguard_as_uplink() -> Result<()> {
    let lab = Lab::new()?;
    let ends = [(&lab.gw, "wan0", "192.0.2.1"), (&lab.internet, "eth0", "192.0.2.2")];
    let keys = [lab.gw.output("wg", "genkey")?, lab.gw.output("wg", "genkey")?];
    for (end, (namespace, carrier, own)) in ends.into_iter().enumerate() {
        namespace.ip(&format!("address flush dev {carrier}"))?;
        namespace.ip(&format!("address add {own}/24 dev {carrier}"))?;
        namespace.ip("link add tunnel type wireguard")?;
        let configuration = format!(
            "[Interface]\nPrivateKey = {}\nListenPort = 51820\n\
             [Peer]\nPublicKey = {}\nAllowedIPs = 0.0.0.0/0\nEndpoint = {}:51820\n",
            keys[end].trim(),
            public_key(&lab, &keys[1 - end])?,
            ends[1 - end].2,
        );
        let file = lab.dir().join(format!("tunnel-{end}.conf"));
        fs::write(&file, configuration)?;
        namespace.output("wg", &format!("setconf tunnel {}", file.display()))?;
    }
    point_to_point(&lab, "tunnel")?;
    let gateway = lab.start(&POLICY.replace("interface: wan0", "interface: tunnel"))?;
    larger_than_the_link(&lab)?;
    calls(&lab)?;
    gateway.expect_refused(&[])?;
    judged(&lab, &gateway, "tunnel", "tunnel")
}

/// The same at an access concentrator: PPP over Ethernet (RFC 2516).
#[test]
#[ignore = "needs PPPoE in the kernel: cargo xtask test --kernel"]
fn pppoe_as_uplink() -> Result<()> {
    let lab = Lab::new()?;
    lab.gw.ip("address flush dev wan0")?;
    lab.internet.ip("address flush dev eth0")?;
    let options = lab.dir().join("pppoe-server-options");
    fs::write(&options, "noauth\nnoccp\nmtu 1492\nmru 1492\n")?;
    let mut concentrator = lab.internet.command("pppoe-server");
    concentrator
        .args(["-F", "-I", "eth0", "-N", "1", "-L", &NEXT_HOP.to_string(), "-R", &UPLINK.to_string(), "-O"])
        .arg(&options);
    let concentrator = Process::spawn(&mut concentrator, &lab.dir().join("pppoe-server.log"))?;
    let mut dialled = lab.gw.command("pppd");
    dialled
        .args(["plugin", "rp-pppoe.so", "nic-wan0", "noauth", "noccp", "nodetach", "noipdefault", "nodefaultroute"])
        .args(["mtu", "1492", "mru", "1492"]);
    let dialled = Process::spawn(&mut dialled, &lab.dir().join("pppd.log"))?;
    // Both ends have to know their addresses: until then a packet is lost without a word.
    within(Duration::from_secs(20), "the PPP link", || {
        let own = lab.gw.output("ip", "-4 address show dev ppp0")?;
        let back = lab.internet.output("ip", &format!("route get {UPLINK}"))?;
        ensure!(own.contains(&UPLINK.to_string()) && back.contains("dev ppp"), "{own}{back}");
        lab.gw.ip("route replace default dev ppp0")
    })
    .with_context(|| format!("{}\n{}", dialled.log(), concentrator.log()))?;
    let gateway = lab.start(&POLICY.replace("interface: wan0", "interface: ppp0"))?;
    calls(&lab)?;
    gateway.expect_refused(&[])?;
    judged(&lab, &gateway, "ppp0", "ppp0")
}

/// A part of what a client may do, for an emulated machine is slow.
fn calls(lab: &Lab) -> Result<()> {
    udp(lab).context("SIP and media")?;
    stun(lab).context("STUN")?;
    bulk(lab).context("TCP")
}

/// A client sends more than the tunnel carries at once: it is told so, and what it then sends in fragments arrives.
fn larger_than_the_link(lab: &Lab) -> Result<()> {
    let _server = Echo::new(&lab.internet, &[MEDIA])?;
    let phone = lab.lan.udp((CLIENT, 0))?;
    phone.set_read_timeout(Some(Duration::from_secs(2)))?;
    eventually("an answer in spite of its size", || ask(&phone, MEDIA, &noise(1400)).map(drop))
}

/// Gives both ends of the LAN the lab's addresses on `interface`.
fn office(lab: &Lab, interface: &str) -> Result<()> {
    lab.gw.ip(&format!("address add {LAN_GATEWAY}/24 dev {interface}"))?;
    office_clients(lab, interface)
}

fn office_clients(lab: &Lab, interface: &str) -> Result<()> {
    for host in [10, 11] {
        lab.lan.ip(&format!("address add {}/24 dev {interface}", client(host)))?;
    }
    lab.lan.ip(&format!("route replace default via {LAN_GATEWAY}"))
}

/// Gives both ends of the uplink the lab's addresses on `interface`, which has no other stations.
fn point_to_point(lab: &Lab, interface: &str) -> Result<()> {
    for (namespace, own, peer) in [(&lab.gw, UPLINK, NEXT_HOP), (&lab.internet, NEXT_HOP, UPLINK)] {
        namespace.ip(&format!("address add {own} peer {peer} dev {interface}"))?;
        namespace.ip(&format!("link set {interface} up"))?;
    }
    lab.gw.ip(&format!("route replace default dev {interface}"))
}

/// The public key of a private one.
fn public_key(lab: &Lab, private: &str) -> Result<String> {
    let file = lab.dir().join("private-key");
    fs::write(&file, private)?;
    let output = lab.gw.command("wg").arg("pubkey").stdin(File::open(file)?).output().context("starting wg")?;
    ensure!(output.status.success(), "wg: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
