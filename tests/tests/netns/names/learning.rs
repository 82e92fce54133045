//! Addresses that clients' own DNS replies teach.

use std::net::{IpAddr, SocketAddr};

use thulium_tests::peer::resolve;

use super::*;

/// Clients may ask a resolver in the internet; two hosts, one by a wildcard.
const LEARNED: &str = "\
version: 1
system: acme
lan: { interfaces: [lan0] }
uplinks: [{ interface: wan0 }]
hosts:
  thulium: { names: ['*.thulium.com'] }
  stun: { names: [stun.test] }
  resolver: { addresses: [198.51.100.254, 203.0.113.99] }
flows:
  - { name: media, to: thulium, ports: 16000-20000/udp }
  - { name: stun, to: stun, ports: 19302/udp }
  - { name: dns, to: resolver, ports: 53/udp }
resolvers: [198.51.100.254]
";

#[test]
fn a_reply_to_a_client_admits_its_first_packet_by_a_wildcard_and_over_a_restart() -> Result<()> {
    let lab = Lab::new()?;
    let dns = Dns::new(&lab.internet, NEXT_HOP, 60)?;
    dns.set("acme.thulium.com", &[THULIUM]);
    let mut gateway = lab.start(LEARNED)?;
    let _server = Echo::new(&lab.internet, &[MEDIA])?;
    ensure!(resolve(&lab.lan, NEXT_HOP, "acme.thulium.com")? == [THULIUM]);
    let client = lab.lan.udp((CLIENT, 0))?;
    ask(&client, MEDIA, b"my first packet")?;
    gateway.expect_refused(&[])?;
    expect_state(&gateway, THULIUM, "live")?;
    let row = row(&gateway, THULIUM)?;
    ensure!(row["source"] == "learned" && row["sessions"] == 1, "{row}");
    ensure!(row["names"][0] == "acme.thulium.com", "{row}");
    let ttl = row["ttl"].as_u64().context("no TTL")?;
    ensure!((1..=60).contains(&ttl), "{row}");
    let text = gateway.ctl("hosts")?.out;
    ensure!(text.contains("*.thulium.com  learned from replies to clients: 1 name"), "{text}");

    // Other ports of the address, and other names, are nobody's.
    client.send_to(b"another host's port", (THULIUM, 443))?;
    gateway.expect_refused(&["no-flow out wan0: 1"])?;
    // While there is no daemon, the datapath learns on, and `hosts` says what is known without one.
    gateway.terminate()?;
    const OTHER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 12);
    dns.set("other.thulium.com", &[OTHER]);
    ensure!(resolve(&lab.lan, NEXT_HOP, "other.thulium.com")? == [OTHER]);
    let hosts = gateway.ctl("hosts --json")?;
    ensure!(hosts.code == 3 && hosts.err.contains("no daemon runs"), "{hosts:?}");
    let thulium = hosts.json()?["hosts"][0].take();
    ensure!(thulium["name"] == "thulium" && thulium["names"][0]["name"] == "*.thulium.com", "{thulium}");
    let known = |address: Ipv4Addr| {
        let rows = thulium["addresses"].as_array().into_iter().flatten();
        rows.filter(|row| row["address"] == address.to_string())
            .map(|row| (row["source"].clone(), row["sessions"].clone()))
            .collect::<Vec<_>>()
    };
    ensure!(
        known(THULIUM) == [("learned".into(), 1.into())] && known(OTHER) == [("learned".into(), 0.into())],
        "{thulium}"
    );
    drop(dns);
    gateway.restart(None)?;
    expect_state(&gateway, THULIUM, "live")?;
    ask(&lab.lan.udp((CLIENT, 0))?, MEDIA, b"it is remembered")?;
    gateway.expect_refused(&["no-flow out wan0: 1"])
}

#[test]
fn private_answers_teach_only_hosts_that_may_have_them() -> Result<()> {
    // An address of the LAN's own kind, that the gateway routes to the uplink.
    const PRIVATE: Ipv4Addr = Ipv4Addr::new(10, 1, 2, 3);
    let lab = Lab::new()?;
    lab.internet.ip(&format!("address add {PRIVATE}/32 dev lo"))?;
    let dns = Dns::new(&lab.internet, NEXT_HOP, 60)?;
    dns.set("evil.thulium.com", &[PRIVATE]);
    let mut gateway = lab.start(LEARNED)?;
    let media = SocketAddr::new(IpAddr::V4(PRIVATE), MEDIA.port());
    let _server = Echo::new(&lab.internet, &[media])?;
    resolve(&lab.lan, NEXT_HOP, "evil.thulium.com")?;
    let client = lab.lan.udp((CLIENT, 0))?;
    client.send_to(b"rebound", media)?;
    gateway.expect_refused(&["address-unknown out wan0: 1"])?;
    within(MOMENT, "the refusal to be shown", || {
        let hosts = gateway.json("hosts")?["hosts"][0].clone();
        ensure!(hosts["addresses"] == serde_json::json!([]), "{hosts}");
        let refused = &hosts["names"][0]["refused"][0];
        ensure!(refused["address"] == PRIVATE.to_string() && refused["name"] == "evil.thulium.com", "{hosts}");
        Ok(())
    })?;
    let text = gateway.ctl("hosts")?.out;
    ensure!(text.contains(&format!("refused the private answer {PRIVATE} for evil.thulium.com")), "{text}");

    gateway.terminate()?;
    gateway.restart(Some(&LEARNED.replace("com'] }", "com'], private_answers: true }")))?;
    resolve(&lab.lan, NEXT_HOP, "evil.thulium.com")?;
    ask(&client, media, b"as the policy says")?;
    expect_state(&gateway, PRIVATE, "live")
}

#[test]
fn only_trusted_resolvers_teach_and_they_are_taken_up_when_they_change() -> Result<()> {
    let lab = Lab::new()?;
    // One that the policy lets clients ask, and does not trust.
    let stranger = Dns::new(&lab.internet, UNRELATED, 60)?;
    stranger.set("acme.thulium.com", &[THULIUM]);
    let gateway = lab.start(LEARNED)?;
    let _server = Echo::new(&lab.internet, &[MEDIA])?;
    resolve(&lab.lan, UNRELATED, "acme.thulium.com")?;
    let client = lab.lan.udp((CLIENT, 0))?;
    client.send_to(b"led astray", MEDIA)?;
    gateway.expect_refused(&["address-unknown out wan0: 1"])?;

    // A resolver on the gateway itself, at an address that it got after the start.
    const LATER: Ipv4Addr = Ipv4Addr::new(192, 168, 20, 2);
    lab.gw.ip(&format!("address add {LATER}/24 dev lan0"))?;
    let own = Dns::new(&lab.gw, LATER, 60)?;
    own.set("acme.thulium.com", &[THULIUM]);
    within(MOMENT, "the new address to be trusted", || {
        resolve(&lab.lan, LATER, "acme.thulium.com")?;
        let hosts = gateway.json("hosts")?.to_string();
        ensure!(hosts.contains(&THULIUM.to_string()), "{hosts}");
        Ok(())
    })?;
    ask(&client, MEDIA, b"found").map(drop)
}

/// One reply teaches both hosts, and the datapath notes one time for them; each ends by its own.
#[test]
fn hosts_that_share_a_name_keep_its_addresses_each_for_its_own_time() -> Result<()> {
    let lab = Lab::new()?;
    let dns = Dns::new(&lab.internet, NEXT_HOP, 1)?;
    dns.set("acme.thulium.com", &[THULIUM]);
    let short = LEARNED.replace("com'] }", "com'], keep_old: 0s }");
    let policy = short.replace("stun: { names: [stun.test] }", "stun: { names: ['*.thulium.com'], keep_old: 1h }");
    let gateway = lab.start(&policy.replace("16000-20000", "16000-18000"))?;
    let stun = SocketAddr::new(MEDIA.ip(), 19_302);
    let _server = Echo::new(&lab.internet, &[MEDIA, stun])?;
    resolve(&lab.lan, NEXT_HOP, "acme.thulium.com")?;
    for server in [MEDIA, stun] {
        ask(&lab.lan.udp((CLIENT, 0))?, server, b"both have it")?;
    }
    // A reply counts for 30 s at least.
    within(Duration::from_secs(50), "the first host to lose it", || {
        let row = row(&gateway, THULIUM)?;
        ensure!(row["state"] == "expired", "{row}");
        Ok(())
    })?;
    lab.lan.udp((CLIENT, 0))?.send_to(b"too late", MEDIA)?;
    gateway.expect_refused(&["no-flow out wan0: 1"])?;
    ask(&lab.lan.udp((CLIENT, 0))?, stun, b"kept for an hour").map(drop)
}
