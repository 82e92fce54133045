//! `source_nat: none`: the world knows the way to the clients, and still only replies come in.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use thulium_tests::{
    lab::{CLIENT, Lab, POLICY, THULIUM, UNRELATED, UPLINK},
    packet::{Capture, Ipv4},
    peer::{Echo, TlsVersion, ask, noise, upload},
};

const SIP: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(THULIUM), 15_060);

fn routed() -> String {
    POLICY.replace("interface: wan0 }", "interface: wan0, source_nat: none }")
}

fn lab() -> Result<Lab> {
    let lab = Lab::new()?;
    lab.internet.ip(&format!("route add 192.168.20.0/24 via {UPLINK}"))?;
    Ok(lab)
}

#[test]
fn the_server_sees_the_clients_own_address() -> Result<()> {
    let lab = lab()?;
    let gateway = lab.start(&routed())?;
    let _server = Echo::new(&lab.internet, &[SIP])?;
    // A port that masquerade would not keep.
    let own = SocketAddr::from((CLIENT, 33_000));
    assert_eq!(ask(&lab.lan.udp(own)?, SIP, &noise(4000))?, own);
    let flows = gateway.json("flows")?;
    assert_eq!(flows["sessions"][0]["mapped"], own.to_string(), "{flows}");
    let status = gateway.ctl("status")?.out;
    ensure!(status.contains("clients keep their own addresses") && !status.contains("no address"), "{status}");
    let content = noise(1 << 20);
    ensure!(upload(&lab, THULIUM, 443, &content, TlsVersion::V1_3)? == content, "the upload changed");
    gateway.expect_refused(&[])
}

#[test]
fn nobody_comes_in_without_a_session() -> Result<()> {
    let lab = lab()?;
    let gateway = lab.start(&routed())?;
    let _server = Echo::new(&lab.internet, &[SIP])?;
    ask(&lab.lan.udp((CLIENT, 5060))?, SIP, b"a session")?;
    let office = Capture::new(&lab.lan, "eth0")?;
    lab.send_from_internet(&Ipv4::new(UNRELATED, CLIENT).udp(15_060, 5060, b"a stranger"))?;
    lab.send_from_internet(&Ipv4::new(THULIUM, CLIENT).udp(15_060, 5061, b"a stranger"))?;
    gateway.expect_refused(&["unsolicited in wan0: 2"])?;
    assert!(office.so_far(|packet| packet.ends_with(b"a stranger"))?.is_empty());
    Ok(())
}

#[test]
fn sessions_end_when_translation_does() -> Result<()> {
    let lab = lab()?;
    let mut gateway = lab.start(POLICY)?;
    let _server = Echo::new(&lab.internet, &[SIP])?;
    let phone = lab.lan.udp((CLIENT, 5060))?;
    assert_eq!(ask(&phone, SIP, b"translated")?, SocketAddr::from((UPLINK, 5060)));
    gateway.terminate()?;
    gateway.restart(Some(&routed()))?;
    assert_eq!(ask(&phone, SIP, b"routed")?, SocketAddr::from((CLIENT, 5060)));
    gateway.terminate()?;
    gateway.restart(Some(POLICY))?;
    assert_eq!(ask(&phone, SIP, b"translated again")?, SocketAddr::from((UPLINK, 5060)));
    let flows = gateway.json("flows")?;
    assert_eq!(flows["sessions"].as_array().map(Vec::len), Some(1), "only the newest lives: {flows}");
    Ok(())
}
