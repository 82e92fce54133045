//! Hosts by DNS name.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Result, ensure};
use thulium_tests::{
    lab::{CLIENT, Lab, NEXT_HOP, THULIUM, within},
    peer::{Dns, Echo, ask},
};

const MEDIA: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(THULIUM), 16_000);

/// The smallest useful policy, with a DNS server in the internet.
const BY_NAME: &str = "\
version: 1
system: acme
lan: { interfaces: [lan0] }
uplinks: [{ interface: wan0 }]
hosts:
  thulium: { names: ['{system}.thulium.com'] }
flows:
  - { name: media, to: thulium, ports: 16000-20000/udp }
resolvers: [198.51.100.254]
";

#[test]
fn a_name_is_known_before_the_first_packet() -> Result<()> {
    let lab = Lab::new()?;
    let dns = Dns::new(&lab.internet, NEXT_HOP, 60)?;
    dns.set("acme.thulium.com", &[THULIUM]);
    let gateway = lab.start(BY_NAME)?;
    let _server = Echo::new(&lab.internet, &[MEDIA])?;
    ask(&lab.lan.udp((CLIENT, 0))?, MEDIA, b"hello")?;
    gateway.expect_refused(&[])?;
    let hosts = gateway.json("hosts")?.to_string();
    assert!(hosts.contains("acme.thulium.com") && hosts.contains(&THULIUM.to_string()), "{hosts}");
    Ok(())
}

#[test]
fn a_name_that_does_not_resolve_fails_closed_and_heals() -> Result<()> {
    let lab = Lab::new()?;
    let gateway = lab.start(BY_NAME)?;
    let _server = Echo::new(&lab.internet, &[MEDIA])?;
    let client = lab.lan.udp((CLIENT, 0))?;
    client.send_to(b"too early", MEDIA)?;
    gateway.expect_refused(&["no-flow out wan0: 1"])?;
    for verb in ["status", "hosts"] {
        let said = gateway.ctl(verb)?.out;
        assert!(said.contains("acme.thulium.com"), "{verb} names what does not resolve: {said}");
    }

    let dns = Dns::new(&lab.internet, NEXT_HOP, 60)?;
    dns.set("acme.thulium.com", &[THULIUM]);
    within(Duration::from_secs(40), "the name to resolve", || {
        let hosts = gateway.json("hosts")?.to_string();
        ensure!(hosts.contains(&THULIUM.to_string()), "{hosts}");
        Ok(())
    })?;
    ask(&client, MEDIA, b"now").map(drop)
}

#[test]
fn an_address_that_left_dns_still_admits() -> Result<()> {
    let lab = Lab::new()?;
    let dns = Dns::new(&lab.internet, NEXT_HOP, 1)?;
    dns.set("acme.thulium.com", &[THULIUM]);
    let gateway = lab.start(BY_NAME)?;
    dns.set("acme.thulium.com", &[Ipv4Addr::new(203, 0, 113, 11)]);
    within(Duration::from_secs(40), "the new address", || {
        ensure!(gateway.json("hosts")?.to_string().contains("203.0.113.11"));
        Ok(())
    })?;
    let _server = Echo::new(&lab.internet, &[MEDIA])?;
    ask(&lab.lan.udp((CLIENT, 0))?, MEDIA, b"to the old address")?;
    gateway.expect_refused(&[])
}
