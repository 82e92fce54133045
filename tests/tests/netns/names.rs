//! Hosts by DNS name.

mod learning;

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use thulium_tests::{
    lab::{CLIENT, Gateway, Lab, NEXT_HOP, THULIUM, UNRELATED, within},
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

/// A moment of DNS: names are asked for again after 5 s at least.
const MOMENT: Duration = Duration::from_secs(40);

/// The row of an address of the first host in `hosts`.
fn row(gateway: &Gateway<'_>, address: Ipv4Addr) -> Result<Value> {
    let hosts = gateway.json("hosts")?;
    let mut rows = hosts["hosts"][0]["addresses"].as_array().context("no addresses")?.iter();
    rows.find(|row| row["address"] == address.to_string())
        .cloned()
        .with_context(|| format!("{address} is missing in {hosts}"))
}

/// Waits until the first host has this address in this state.
fn expect_state(gateway: &Gateway<'_>, address: Ipv4Addr, state: &str) -> Result<()> {
    within(MOMENT, &format!("{address} to be {state}"), || {
        let row = row(gateway, address)?;
        ensure!(row["state"] == state, "{row}");
        Ok(())
    })
}

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
    gateway.expect_refused(&["address-unknown out wan0: 1"])?;
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

#[test]
fn known_hosts_work_though_dns_is_dead_and_the_daemon_is_started_anew() -> Result<()> {
    let lab = Lab::new()?;
    let dns = Dns::new(&lab.internet, NEXT_HOP, 1)?;
    dns.set("acme.thulium.com", &[THULIUM]);
    let short = BY_NAME.replace("com'] }", "com'], keep_old: 1s }");
    let mut gateway = lab.start(&short)?;
    drop(dns);
    let _server = Echo::new(&lab.internet, &[MEDIA])?;
    gateway.terminate()?;
    ask(&lab.lan.udp((CLIENT, 0))?, MEDIA, b"without a daemon")?;
    gateway.restart(None)?;
    ask(&lab.lan.udp((CLIENT, 0))?, MEDIA, b"the last good answer holds")?;
    gateway.kill()?;
    gateway.restart(None)?;
    ask(&lab.lan.udp((CLIENT, 0))?, MEDIA, b"and holds")?;
    gateway.expect_refused(&[])?;
    let hosts = gateway.ctl("hosts")?.out;
    ensure!(hosts.contains("acme.thulium.com  DOES NOT RESOLVE, since") && hosts.contains("live"), "{hosts}");
    Ok(())
}

#[test]
fn a_resolver_that_fails_takes_nothing_away() -> Result<()> {
    let lab = Lab::new()?;
    let dns = Dns::new(&lab.internet, NEXT_HOP, 1)?;
    dns.set("acme.thulium.com", &[THULIUM]);
    let gateway = lab.start(&BY_NAME.replace("com'] }", "com'], keep_old: 0s }"))?;
    dns.fail();
    within(MOMENT, "the failure to be told", || {
        let status = gateway.ctl("status")?.out;
        ensure!(status.contains("SERVFAIL"), "{status}");
        Ok(())
    })?;
    let _server = Echo::new(&lab.internet, &[MEDIA])?;
    ask(&lab.lan.udp((CLIENT, 0))?, MEDIA, b"still")?;
    gateway.expect_refused(&[])
}

#[test]
fn what_left_dns_is_kept_then_expired_and_told_from_a_stranger_while_its_sessions_live_on() -> Result<()> {
    const NEW: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 11);
    let lab = Lab::new()?;
    let dns = Dns::new(&lab.internet, NEXT_HOP, 1)?;
    dns.set("acme.thulium.com", &[THULIUM]);
    let mut gateway = lab.start(&BY_NAME.replace("com'] }", "com'], keep_old: 3s }"))?;
    let _server = Echo::new(&lab.internet, &[MEDIA])?;
    let early = lab.lan.udp((CLIENT, 0))?;
    ask(&early, MEDIA, b"as long as DNS names it")?;
    ensure!(row(&gateway, THULIUM)?["sessions"] == 1, "{}", row(&gateway, THULIUM)?);

    dns.set("acme.thulium.com", &[NEW]);
    expect_state(&gateway, THULIUM, "kept")?;
    ask(&lab.lan.udp((CLIENT, 0))?, MEDIA, b"as long as it is kept")?;
    gateway.expect_refused(&[])?;
    expect_state(&gateway, THULIUM, "expired")?;
    expect_state(&gateway, NEW, "live")?;
    let late = lab.lan.udp((CLIENT, 0))?;
    late.send_to(b"too late", MEDIA)?;
    gateway.expect_refused(&["address-expired out wan0: 1"])?;
    late.send_to(b"nobody", (UNRELATED, MEDIA.port()))?;
    late.send_to(b"nobody's port", (UNRELATED, 9))?;
    let all = ["address-expired out wan0: 1", "address-unknown out wan0: 1", "no-flow out wan0: 1"];
    gateway.expect_refused(&all)?;
    ask(&early, MEDIA, b"a session never depends on its name")?;

    // What was expired is so after a restart, too.
    gateway.terminate()?;
    gateway.restart(None)?;
    expect_state(&gateway, THULIUM, "expired")?;
    late.send_to(b"too late", MEDIA)?;
    gateway.expect_refused(&["address-expired out wan0: 2", all[1], all[2]])?;
    ask(&early, MEDIA, b"nor on the daemon").map(drop)
}
