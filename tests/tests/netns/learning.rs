//! Hosts by name whose addresses only the clients' DNS replies tell in time: no first packet is refused, and nobody else teaches any.

mod forged;

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use thulium_tests::{
    lab::{CLIENT, Gateway, LAN_GATEWAY, Lab, THULIUM, client, eventually},
    peer::{Dns, Dnsmasq, Echo, Knot, StunServer, TlsServer, Unbound, ask, mapped_address, resolve, resolve_from},
};

/// Where names have their addresses from.
const AUTHORITY: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 53);
/// A resolver outside that clients may use, and that the policy trusts.
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 54);
/// An address of Thulium that the gateway's own questions do not bring up.
const OTHER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 77);
const NAME: &str = "acme.thulium.com";

const POLICY: &str = "\
version: 1
system: acme
lan: { interfaces: [lan0] }
uplinks: [{ interface: wan0 }]
hosts:
  thulium: { names: ['{system}.thulium.com'] }
  stun: { names: [stun.l.google.com] }
flows:
  - { name: web, to: thulium, ports: 443/tcp, tls_min: '1.2' }
  - { name: media, to: thulium, ports: 16000-20000/udp }
  - { name: stun, to: stun, ports: 19302/udp }
  - { name: dns, to: { addresses: [203.0.113.54] }, ports: 53/udp }
resolvers: [203.0.113.54]
";

fn lab() -> Result<Lab> {
    let lab = Lab::new()?;
    lab.add_servers(&[AUTHORITY, OUTSIDE, OTHER])?;
    Ok(lab)
}

fn media(address: Ipv4Addr) -> SocketAddr {
    SocketAddr::from((address, 16_000))
}

/// The port is a flow's, the address is nobody's.
fn is_unknown(gateway: &Gateway<'_>, lab: &Lab, addresses: &[Ipv4Addr]) -> Result<()> {
    let before = gateway.refused()?.of("address-unknown");
    for address in addresses {
        lab.lan.udp((CLIENT, 0))?.send_to(b"to nobody that is known", media(*address))?;
    }
    eventually("the refusals", || {
        let refused = gateway.refused()?;
        ensure!(refused.of("address-unknown") - before == addresses.len() as u64, "{refused} for {addresses:?}");
        Ok(())
    })
}

#[test]
fn a_thousand_connections_by_the_gateways_resolver() -> Result<()> {
    while_answers_rotate(LAN_GATEWAY)
}

#[test]
fn a_thousand_connections_by_a_resolver_outside() -> Result<()> {
    while_answers_rotate(OUTSIDE)
}

/// Two names with eight addresses, of which DNS gives two at a time, others every second: whatever a client is told, its first packet passes.
fn while_answers_rotate(resolver: Ipv4Addr) -> Result<()> {
    const CONNECTIONS: u32 = 1000;
    let lab = lab()?;
    lab.add_clients(100..150)?;
    let eight: Vec<_> = (0..8).map(|host| Ipv4Addr::new(203, 0, 113, 120 + host)).collect();
    lab.add_servers(&eight)?;
    let dns = Dns::new(&lab.internet, AUTHORITY, 1)?;
    for name in [NAME, "stun.l.google.com"] {
        dns.rotate(name, &eight, 2, Duration::from_secs(1));
    }
    let (_dnsmasq, _unbound) = (Dnsmasq::new(&lab, AUTHORITY)?, Unbound::new(&lab, OUTSIDE, AUTHORITY)?);
    let (_web, _stun) = (TlsServer::new(&lab, 443)?, StunServer::on(&lab, &eight, 19_302)?);
    let gateway = lab.start(POLICY)?;
    let known = gateway.json("hosts")?.to_string();
    ensure!(eight.iter().any(|address| !known.contains(&address.to_string())), "nothing is left to learn: {known}");

    let (begin, mut used) = (Instant::now(), BTreeSet::new());
    for number in 0..CONNECTIONS {
        let own = client(100 + (number % 50) as u8);
        let is_call = number % 4 == 3;
        let name = if is_call { "stun.l.google.com" } else { NAME };
        let address = resolve_from(&lab.lan, own, resolver, name)?[number as usize / 4 % 2];
        let connected = if is_call {
            mapped_address(&lab.lan.udp((own, 0))?, SocketAddrV4::new(address, 19_302)).map(drop)
        } else {
            lab.lan.connect_from(own, (address, 443)).map(drop)
        };
        connected.with_context(|| format!("connection {number}, to {address}"))?;
        used.insert(address);
        // A hundred a second, so that the answers change in between many times.
        thread::sleep((begin + number * Duration::from_millis(10)).saturating_duration_since(Instant::now()));
    }
    assert_eq!(used, BTreeSet::from_iter(eight), "clients were told all addresses");
    gateway.expect_refused(&[])
}

/// Offices whose own DNS server says something else than the world's.
#[test]
fn clients_are_told_another_address_than_the_gateway() -> Result<()> {
    let lab = lab()?;
    let zone = ["acme CNAME pool", "pool A 203.0.113.10"];
    let _knot = Knot::new(&lab, OUTSIDE, "thulium.com", &zone)?;
    let dns = Dns::new(&lab.internet, AUTHORITY, 1)?;
    dns.set(NAME, &[OTHER]);
    let _dnsmasq = Dnsmasq::new(&lab, AUTHORITY)?;
    let gateway = lab.start(POLICY)?;
    let _server = Echo::new(&lab.internet, &[media(THULIUM), media(OTHER)])?;
    is_unknown(&gateway, &lab, &[OTHER])?;
    assert_eq!(resolve(&lab.lan, LAN_GATEWAY, NAME)?, [OTHER]);
    for address in [THULIUM, OTHER] {
        ask(&lab.lan.udp((CLIENT, 0))?, media(address), b"both are Thulium's")?;
    }
    // It is Thulium's, and no resolver.
    lab.lan.udp((CLIENT, 0))?.send_to(b"another flow", (OTHER, 53))?;
    gateway.expect_refused(&["address-unknown out wan0: 1", "no-flow out wan0: 1"])?;
    eventually("hosts to show where it is from", || {
        let hosts = gateway.json("hosts")?.to_string();
        ensure!(hosts.contains("203.0.113.77") && hosts.contains("learned"), "{hosts}");
        Ok(())
    })
}

/// Fifty names of one pattern, by a server with aliases: each is unknown until a client asks for it.
#[test]
fn a_pattern_stands_for_names_of_one_label() -> Result<()> {
    let lab = lab()?;
    let addresses: Vec<_> = (0..50).map(|host| Ipv4Addr::new(203, 0, 113, 150 + host)).collect();
    lab.add_servers(&addresses)?;
    let named = addresses.iter().enumerate();
    let records = named.map(|(number, address)| format!("t{number} CNAME p{number}.pool\np{number}.pool A {address}"));
    let elsewhere = "two.labels A 203.0.113.77\n@ A 203.0.113.77".to_owned();
    let records: Vec<_> = records.chain([elsewhere]).collect();
    let records: Vec<_> = records.iter().map(String::as_str).collect();
    let _knot = Knot::new(&lab, OUTSIDE, "thulium.com", &records)?;
    let gateway = lab.start(&POLICY.replace("'{system}.thulium.com'", "'*.thulium.com'"))?;
    let servers: Vec<_> = addresses.iter().map(|address| media(*address)).collect();
    let _servers = Echo::new(&lab.internet, &servers)?;
    for (number, address) in addresses.iter().enumerate() {
        assert_eq!(resolve(&lab.lan, OUTSIDE, &format!("t{number}.thulium.com"))?, [*address]);
        ask(&lab.lan.udp((CLIENT, 0))?, media(*address), b"at once")?;
    }
    gateway.expect_refused(&[])?;
    for name in ["two.labels.thulium.com", "thulium.com"] {
        assert_eq!(resolve(&lab.lan, OUTSIDE, name)?, [OTHER]);
        is_unknown(&gateway, &lab, &[OTHER])?;
    }
    Ok(())
}

/// DNS is dead, and the daemon began anew: what clients were told before still holds.
#[test]
fn what_was_learned_outlives_dns_and_the_daemon() -> Result<()> {
    let lab = lab()?;
    let dns = Dns::new(&lab.internet, AUTHORITY, 1)?;
    dns.set(NAME, &[THULIUM]);
    let dnsmasq = Dnsmasq::new(&lab, AUTHORITY)?;
    let mut gateway = lab.start(&POLICY.replace("resolvers: [203.0.113.54]", "resolvers: [192.168.20.1]"))?;
    let _server = Echo::new(&lab.internet, &[media(THULIUM), media(OTHER)])?;
    dns.set(NAME, &[OTHER]);
    eventually("the client to be told", || {
        ensure!(resolve(&lab.lan, LAN_GATEWAY, NAME)? == [OTHER]);
        Ok(())
    })?;
    eventually("the daemon to know it, too", || {
        let hosts = gateway.json("hosts")?.to_string();
        ensure!(hosts.contains("203.0.113.77"), "{hosts}");
        Ok(())
    })?;
    drop((dns, dnsmasq));
    gateway.terminate()?;
    gateway.restart(None)?;
    for address in [THULIUM, OTHER] {
        ask(&lab.lan.udp((CLIENT, 0))?, media(address), b"without DNS")?;
    }
    gateway.expect_refused(&[])
}

/// What the office's own server says of an address inside teaches nothing, unless the policy says that it may.
#[test]
fn private_answers_need_permission() -> Result<()> {
    let private = Ipv4Addr::new(10, 9, 8, 7);
    for allowed in [false, true] {
        let lab = lab()?;
        lab.add_servers(&[private])?;
        let (world, office) = (Dns::new(&lab.internet, OUTSIDE, 60)?, Dns::new(&lab.gw, LAN_GATEWAY, 60)?);
        world.set(NAME, &[THULIUM]);
        office.set(NAME, &[private]);
        let gateway = lab.start(&POLICY.replace("com'] }", &format!("com'], private_answers: {allowed} }}")))?;
        let _server = Echo::new(&lab.internet, &[media(private)])?;
        assert_eq!(resolve(&lab.lan, LAN_GATEWAY, NAME)?, [private]);
        if allowed {
            ask(&lab.lan.udp((CLIENT, 0))?, media(private), b"wanted")?;
        } else {
            is_unknown(&gateway, &lab, &[private])?;
        }
    }
    Ok(())
}
