//! The office's own DNS and DHCP on the gateway: clients reach them as if nothing were attached.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};
use thulium_tests::{
    lab::{LAN_GATEWAY, Lab, POLICY, Process, eventually},
    packet::{Capture, Ipv4, Parsed},
    peer::resolve,
};

/// Hardware address of a client that has no IP address yet.
const NEWCOMER: [u8; 6] = [2, 0, 0, 0, 0x20, 0x77];

/// Kinds of a DHCP message (RFC 2132 §9.6).
mod kind {
    pub(super) const DISCOVER: u8 = 1;
    pub(super) const OFFER: u8 = 2;
    pub(super) const REQUEST: u8 = 3;
    pub(super) const ACK: u8 = 5;
}

fn dnsmasq(lab: &Lab) -> Result<Process> {
    let mut dnsmasq = lab.gw.command("dnsmasq");
    dnsmasq
        .args(["--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--pid-file=", "--no-ping"])
        .args(["--no-resolv", "--no-hosts", "--interface=lan0", "--bind-interfaces"])
        .args(["--address=/printer.test/192.168.20.9", "--dhcp-range=192.168.20.150,192.168.20.159,1h"])
        .arg(format!("--dhcp-leasefile={}", lab.dir().join("leases").display()));
    let mut process = Process::spawn(&mut dnsmasq, &lab.dir().join("dnsmasq.log"))?;
    process.wait_listening("udp", 67)?;
    Ok(process)
}

/// A message of the newcomer, broadcast as by a host without an address (RFC 2131 §2).
fn message(kind: u8, options: &[u8]) -> Vec<u8> {
    let mut message = vec![1, 1, 6, 0, 0x54, 0x68, 0x75, 0x6c, 0, 0, 0x80, 0];
    message.extend([0; 16]); // addresses
    message.extend(NEWCOMER);
    message.extend([0; 10 + 64 + 128]); // the rest of the hardware address, the server's name, a file
    message.extend([99, 130, 83, 99, 53, 1, kind]);
    message.extend(options);
    message.push(255);
    Ipv4::new(Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST).udp(68, 67, &message)
}

/// The address that an answer of this kind gives the newcomer.
fn given(packet: &[u8], wanted: u8) -> Option<Ipv4Addr> {
    let packet = Parsed::new(packet).filter(|packet| packet.destination.port() == 68)?;
    let is_wanted = packet.payload.get(28..34)? == NEWCOMER && packet.payload.get(240..243)? == [53, 1, wanted];
    let address: [u8; 4] = packet.payload.get(16..20)?.try_into().ok()?;
    is_wanted.then(|| address.into())
}

#[test]
fn clients_resolve_names_and_get_leases() -> Result<()> {
    let lab = Lab::new()?;
    let dnsmasq = dnsmasq(&lab)?;
    let gateway = lab.start(POLICY)?;
    assert_eq!(resolve(&lab.lan, LAN_GATEWAY, "printer.test")?, [Ipv4Addr::new(192, 168, 20, 9)]);

    let office = Capture::new(&lab.lan, "eth0")?;
    lab.send_from_lan(&message(kind::DISCOVER, &[]))?;
    let offer = office.next(|packet| given(packet, kind::OFFER).is_some()).with_context(|| dnsmasq.log())?;
    let address = given(&offer, kind::OFFER).context("the offered address")?;
    let [a, b, c, d] = address.octets();
    let [e, f, g, h] = LAN_GATEWAY.octets();
    lab.send_from_lan(&message(kind::REQUEST, &[50, 4, a, b, c, d, 54, 4, e, f, g, h]))?;
    office.next(|packet| given(packet, kind::ACK) == Some(address)).with_context(|| dnsmasq.log())?;
    eventually("the lease", || {
        let leases = std::fs::read_to_string(lab.dir().join("leases"))?;
        ensure!(leases.contains(&address.to_string()), "{leases:?}");
        Ok(())
    })?;
    gateway.expect_refused(&[])
}
