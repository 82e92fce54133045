//! IPv6: the same policy, without translation.

use std::{
    net::{Ipv6Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use thulium_tests::{
    lab::{CLIENT, CLIENT6, LAN_GATEWAY6, Lab, NEXT_HOP, POLICY, POLICY6, THULIUM, THULIUM6, UNRELATED6, eventually},
    packet::{Capture, Ipv6},
    peer::{Dns, Echo, TlsServer, TlsVersion, ask, download, noise, upload},
};

const SIP: SocketAddr = SocketAddr::new(std::net::IpAddr::V6(THULIUM6), 15_060);
const MEDIA: SocketAddr = SocketAddr::new(std::net::IpAddr::V6(THULIUM6), 16_000);

fn lab() -> Result<Lab> {
    let lab = Lab::new()?;
    lab.enable_ipv6()?;
    Ok(lab)
}

#[test]
fn a_browser_by_tls() -> Result<()> {
    let lab = lab()?;
    let gateway = lab.start(POLICY6)?;
    let content = noise(1 << 20);
    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        ensure!(upload(&lab, THULIUM6, 443, &content, version)? == content, "TLS {version}: the upload changed");
        let server = TlsServer::new(&lab, 443)?;
        let published = server.publish("file", 1 << 20)?;
        let arrived = download(&lab, THULIUM6, 443, "file", version)?;
        ensure!(arrived == published, "TLS {version}: the download changed");
    }
    gateway.expect_refused(&[])
}

#[test]
fn phones_keep_their_own_addresses_and_are_shown() -> Result<()> {
    let lab = lab()?;
    let gateway = lab.start(POLICY6)?;
    let _server = Echo::new(&lab.internet, &[SIP, MEDIA])?;
    let phone = lab.lan.udp((CLIENT6, 5060))?;
    let own = SocketAddr::from((CLIENT6, 5060));
    for remote in [SIP, MEDIA] {
        assert_eq!(ask(&phone, remote, &noise(1000))?, own, "what {remote} saw");
    }
    let flows = gateway.json(&format!("flows --client {CLIENT6} --flow sip"))?;
    let session = &flows["sessions"][0];
    let [client, mapped, remote] = ["client", "mapped", "remote"].map(|end| session[end].as_str().unwrap_or_default());
    assert_eq!((client, mapped, remote), (&*own.to_string(), &*own.to_string(), &*SIP.to_string()), "{flows}");
    assert_eq!((&session["out"]["packets"], &session["in"]["packets"]), (&1.into(), &1.into()));
    let status = gateway.json("status")?;
    assert_eq!(status["datapath"]["sessions"]["ipv6"], 2, "{status}");
    gateway.expect_refused(&[])
}

#[test]
fn names_have_addresses_of_both_versions() -> Result<()> {
    let lab = lab()?;
    let dns = Dns::new(&lab.internet, NEXT_HOP, 60)?;
    dns.set("both.test", &[std::net::IpAddr::from(THULIUM), THULIUM6.into()]);
    dns.set("six.test", &[UNRELATED6]);
    let policy = POLICY.split("hosts:").next().context("the policy's head")?;
    let gateway = lab.start(&format!(
        "{policy}resolvers: [{NEXT_HOP}]\nflows:\n  \
         - {{ name: both, to: {{ names: [both.test] }}, ports: 16000/udp }}\n  \
         - {{ name: six, to: {{ names: [six.test] }}, ports: 53/udp }}\n"
    ))?;
    let six = SocketAddr::from((UNRELATED6, 53));
    let v4 = SocketAddr::from((THULIUM, 16_000));
    let _servers = Echo::new(&lab.internet, &[MEDIA, v4, six])?;
    let (client6, client4) = (lab.lan.udp((CLIENT6, 0))?, lab.lan.udp((CLIENT, 0))?);
    ask(&client6, MEDIA, b"by AAAA")?;
    ask(&client4, v4, b"by A")?;
    ask(&client6, six, b"by AAAA alone")?;
    let hosts = gateway.json("hosts")?.to_string();
    assert!([THULIUM.to_string(), THULIUM6.to_string()].iter().all(|address| hosts.contains(address)), "{hosts}");
    assert!(!gateway.ctl("status")?.out.contains("does not resolve"), "a name of one family alone is fine");
    gateway.expect_refused(&[])
}

#[test]
fn nothing_comes_in_that_no_client_asked_for() -> Result<()> {
    let lab = lab()?;
    let gateway = lab.start(POLICY6)?;
    let _server = Echo::new(&lab.internet, &[MEDIA])?;
    ask(&lab.lan.udp((CLIENT6, 5004))?, MEDIA, b"a session")?;
    let office = Capture::new(&lab.lan, "eth0")?;
    for packet in [
        Ipv6::new(UNRELATED6, CLIENT6).udp(16_000, 5004, b"a stranger"),
        Ipv6::new(THULIUM6, CLIENT6).udp(16_001, 5004, b"a stranger's port"),
        Ipv6::new(THULIUM6, CLIENT6).udp(16_000, 5005, b"a stranger to this port"),
    ] {
        lab.send_from_internet(&packet)?;
    }
    gateway.expect_refused(&["unsolicited in wan0 ipv6: 3"])?;
    let is_strange = |packet: &[u8]| packet.windows(10).any(|bytes| bytes == b"a stranger");
    assert!(office.so_far(is_strange)?.is_empty());
    Ok(())
}

#[test]
fn what_the_policy_does_not_name_and_false_sources_stay_in() -> Result<()> {
    let lab = lab()?;
    let gateway = lab.start(POLICY6)?;
    let world = Capture::new(&lab.internet, "eth0")?;
    let is_ours = |packet: &[u8]| packet.ends_with(b"refused");
    lab.lan.udp((CLIENT6, 0))?.send_to(b"refused", (UNRELATED6, 53))?;
    gateway.expect_refused(&["no-flow out wan0 ipv6: 1"])?;
    let elsewhere = Ipv6Addr::new(0x2001, 0xdb8, 0x99, 0, 0, 0, 0, 1);
    lab.send_from_lan(&Ipv6::new(elsewhere, THULIUM6).udp(4000, 16_000, b"refused"))?;
    gateway.expect_refused(&["no-flow out wan0 ipv6: 1", "spoofed-source out lan0 ipv6: 1"])?;
    assert!(world.so_far(is_ours)?.is_empty());
    Ok(())
}

#[test]
fn a_session_outlives_the_daemon() -> Result<()> {
    let lab = lab()?;
    let mut gateway = lab.start(POLICY6)?;
    let _server = Echo::new(&lab.internet, &[MEDIA])?;
    let phone = lab.lan.udp((CLIENT6, 5004))?;
    ask(&phone, MEDIA, b"before")?;
    gateway.kill()?;
    ask(&phone, MEDIA, b"without a daemon")?;
    ask(&lab.lan.udp((CLIENT6, 5006))?, MEDIA, b"a new one")?;
    gateway.restart(None)?;
    ask(&phone, MEDIA, b"after")?;
    gateway.expect_refused(&[])
}

#[test]
fn datagrams_larger_than_the_mtu_pass_both_ways() -> Result<()> {
    let lab = lab()?;
    let gateway = lab.start(POLICY6)?;
    let _server = Echo::new(&lab.internet, &[SIP])?;
    ask(&lab.lan.udp((CLIENT6, 5060))?, SIP, &noise(4000))?;
    gateway.expect_refused(&[])
}

#[test]
fn options_for_the_destination_pass_and_a_route_of_the_senders_own_does_not() -> Result<()> {
    let lab = lab()?;
    let gateway = lab.start(POLICY6)?;
    let world = Capture::new(&lab.internet, "eth0")?;
    // Somebody who listens: else there would be ICMP.
    let _server = lab.internet.udp(MEDIA)?;
    let ip = Ipv6::new(CLIENT6, THULIUM6);
    // Six bytes of padding (RFC 8200 §4.2).
    let padded = ip.clone().extension(60, &[0, 1, 4, 0, 0, 0, 0]);
    lab.send_from_lan(&padded.udp(5004, 16_000, b"padded"))?;
    world.next(|packet| packet.ends_with(b"padded")).context("destination options")?;
    gateway.expect_refused(&[])?;
    // A routing header that has nothing left to visit (RFC 5095).
    lab.send_from_lan(&ip.extension(43, &[0, 0, 0, 0, 0, 0, 0]).udp(5004, 16_000, b"routed"))?;
    gateway.expect_refused(&["ip-options out wan0 ipv6: 1"])?;
    assert!(world.so_far(|packet| packet.ends_with(b"routed"))?.is_empty());
    Ok(())
}

#[test]
fn neighbours_and_routers_find_each_other() -> Result<()> {
    let lab = lab()?;
    let gateway = lab.start(POLICY6)?;
    let _server = Echo::new(&lab.internet, &[MEDIA])?;
    for namespace in [&lab.lan, &lab.gw, &lab.internet] {
        namespace.ip("-6 neigh flush all")?;
    }
    ask(&lab.lan.udp((CLIENT6, 5004))?, MEDIA, b"to be resolved")?;
    let known = lab.lan.output("ip", &format!("-6 neigh show {LAN_GATEWAY6} dev eth0"))?;
    assert!(known.contains("lladdr"), "{known}");
    let solicitations = || -> Result<u64> {
        let counters = lab.gw.run(|| std::fs::read_to_string("/proc/thread-self/net/snmp6"))??;
        let line = counters.lines().find(|line| line.starts_with("Icmp6InRouterSolicits")).context("no counter")?;
        Ok(line.split_whitespace().last().unwrap_or_default().parse()?)
    };
    let before = solicitations()?;
    let (host, routers) = (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x10), Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2));
    lab.send_from_lan(&Ipv6::new(host, routers).hop_limit(255).icmp(133, 0, &[0; 4]))?;
    eventually("the router solicitation", || {
        ensure!(solicitations()? > before, "it did not come in");
        Ok(())
    })?;
    gateway.expect_refused(&[])
}

#[test]
fn the_uplink_takes_router_advertisements_while_it_forwards() -> Result<()> {
    let lab = lab()?;
    lab.gw.ip("-6 route del default")?;
    let setting = |key: &str| lab.gw.read_sysctl(&format!("net/ipv6/conf/wan0/{key}"));
    let before = ["forwarding", "accept_ra"].map(setting);
    let mut gateway = lab.start(POLICY6)?;
    assert_eq!((setting("forwarding")?.as_str(), setting("accept_ra")?.as_str()), ("1", "2"));
    let (router, all) = (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1));
    // A hop limit of 64, no flags, a router for 1800 s, no times (RFC 4861 §4.2).
    let advertisement = Ipv6::new(router, all).hop_limit(255).icmp(134, 0, &[64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0]);
    eventually("the advertised route", || {
        lab.send_from_internet(&advertisement)?;
        let routes = lab.gw.output("ip", "-6 route show default proto ra")?;
        ensure!(routes.contains("fe80::254"), "{routes:?}");
        Ok(())
    })?;
    gateway.expect_refused(&[])?;
    gateway.down()?;
    for (key, before) in ["forwarding", "accept_ra"].into_iter().zip(before) {
        assert_eq!(setting(key)?, before?, "{key} is put back");
    }
    Ok(())
}

#[test]
fn networks_that_come_and_go_are_followed() -> Result<()> {
    let lab = Lab::new()?;
    let gateway = lab.start(POLICY6)?;
    assert_eq!(lab.gw.read_sysctl("net/ipv6/conf/lan0/forwarding")?, "0", "nobody has IPv6");
    assert!(!gateway.ctl("status")?.out.contains("IPv6"), "and nobody is told of it");
    lab.enable_ipv6()?;
    let _server = Echo::new(&lab.internet, &[MEDIA])?;
    let phone = lab.lan.udp((CLIENT6, 5004))?;
    phone.set_read_timeout(Some(Duration::from_millis(200)))?;
    eventually("IPv6 clients are governed", || ask(&phone, MEDIA, b"hello").map(drop))?;
    assert_eq!(lab.gw.read_sysctl("net/ipv6/conf/lan0/forwarding")?, "1");
    Ok(())
}
