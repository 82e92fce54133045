//! T1–T6: what clients may do works, by real peers.

use std::{
    collections::HashSet,
    net::{SocketAddr, SocketAddrV4},
};

use anyhow::{Context, Result, ensure};
use thulium_tests::{
    lab::{CLIENT, Lab, POLICY, STUN, THULIUM, UPLINK, client},
    packet::{Capture, Parsed},
    peer::{
        Echo, RTP_PORT, SipCall, SipServer, StunServer, TlsServer, TlsVersion, ask, download, mapped_address, noise,
        upload,
    },
};

const MEDIA: SocketAddr = SocketAddr::V4(SocketAddrV4::new(THULIUM, 16_000));
const SIP: SocketAddr = SocketAddr::V4(SocketAddrV4::new(THULIUM, 15_060));

#[test]
fn https_by_tls_1_2_and_1_3() -> Result<()> {
    let lab = Lab::new()?;
    let gateway = lab.start(POLICY)?;
    https(&lab, 3 << 20)?;
    gateway.expect_refused(&[])
}

/// Downloads and uploads by both versions of TLS.
pub(crate) fn https(lab: &Lab, bytes: usize) -> Result<()> {
    let content = noise(bytes);
    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let arrived = upload(lab, THULIUM, 443, &content, version)?;
        ensure!(arrived == content, "TLS {version}: the upload arrived changed");
        let server = TlsServer::new(lab, 443)?;
        let published = server.publish("file", bytes)?;
        let arrived = download(lab, THULIUM, 443, "file", version)?;
        ensure!(arrived == published, "TLS {version}: the download arrived changed");
    }
    Ok(())
}

#[test]
fn sip_and_media_both_ways() -> Result<()> {
    let lab = Lab::new()?;
    let gateway = lab.start(POLICY)?;
    udp(&lab)?;
    gateway.expect_refused(&[])
}

/// Datagrams to the SIP port and to both ends of the media range, each answered.
pub(crate) fn udp(lab: &Lab) -> Result<()> {
    let last = SocketAddr::from((THULIUM, 20_000));
    let _server = Echo::new(&lab.internet, &[SIP, MEDIA, last])?;
    let phone = lab.lan.udp((CLIENT, 0))?;
    for (remote, length) in [(SIP, 1), (MEDIA, 172), (last, 1400)] {
        let seen = ask(&phone, remote, &noise(length))?;
        ensure!(seen.ip() == UPLINK, "{remote} saw {seen}");
    }
    Ok(())
}

#[test]
fn stun_shows_the_endpoint_that_media_comes_from() -> Result<()> {
    let lab = Lab::new()?;
    let _gateway = lab.start(POLICY)?;
    stun(&lab)
}

/// RFC 4787 REQ-1: one socket has one outside endpoint, whomever it talks to.
pub(crate) fn stun(lab: &Lab) -> Result<()> {
    let _stun = StunServer::new(lab, STUN, 19_302)?;
    let _media = Echo::new(&lab.internet, &[MEDIA, SIP])?;
    let browser = lab.lan.udp((CLIENT, 0))?;
    let mapped = SocketAddr::V4(mapped_address(&browser, SocketAddrV4::new(STUN, 19_302))?);
    ensure!(mapped.ip() == UPLINK, "mapped to {mapped} instead of the uplink's address");
    for remote in [MEDIA, SIP] {
        let seen = ask(&browser, remote, b"from the same socket")?;
        ensure!(seen == mapped, "STUN says {mapped}, {remote} saw {seen}");
    }
    Ok(())
}

#[test]
fn a_free_port_is_kept() -> Result<()> {
    let lab = Lab::new()?;
    let _gateway = lab.start(POLICY)?;
    let _server = Echo::new(&lab.internet, &[SIP])?;
    let seen = ask(&lab.lan.udp((CLIENT, 5060))?, SIP, b"REGISTER")?;
    assert_eq!(seen, SocketAddr::from((UPLINK, 5060)));
    Ok(())
}

#[test]
fn two_clients_use_the_same_port() -> Result<()> {
    let lab = Lab::new()?;
    let _gateway = lab.start(POLICY)?;
    let _server = Echo::new(&lab.internet, &[SIP])?;
    let first = lab.lan.udp((client(10), 5060))?;
    let second = lab.lan.udp((client(11), 5060))?;
    let mapped = [ask(&first, SIP, b"first")?, ask(&second, SIP, b"second")?];
    assert_ne!(mapped[0], mapped[1]);
    // Both stay as they are.
    assert_eq!(mapped, [ask(&first, SIP, b"again")?, ask(&second, SIP, b"again")?]);
    Ok(())
}

#[test]
fn three_hundred_flows_at_once() -> Result<()> {
    let lab = Lab::new()?;
    let gateway = lab.start(POLICY)?;
    let _server = Echo::new(&lab.internet, &[MEDIA])?;
    let socket = |index: u32| lab.lan.udp((client(10 + (index % 3) as u8), 0));
    let sockets = (0..300).map(socket).collect::<Result<Vec<_>>>()?;
    for socket in &sockets {
        socket.send_to(b"hello", MEDIA)?;
    }
    let mut mapped = HashSet::new();
    for (index, socket) in sockets.iter().enumerate() {
        let mut answer = [0; 64];
        socket.recv(&mut answer).with_context(|| format!("flow {index} got no answer"))?;
        mapped.insert(String::from_utf8_lossy(&answer[..24]).trim_end().to_owned());
    }
    assert_eq!(mapped.len(), 300, "mappings are distinct");
    assert_eq!(gateway.json("flows")?["sessions"].as_array().map(Vec::len), Some(300));
    gateway.expect_refused(&[])
}

#[test]
fn calls_by_sipp_have_speech_both_ways() -> Result<()> {
    let lab = Lab::new()?;
    let gateway = lab.start(POLICY)?;
    let server = SocketAddrV4::new(THULIUM, 15_060);
    let _server = SipServer::new(&lab, server)?;
    let (heard, said) = (Capture::new(&lab.lan, "eth0")?, Capture::new(&lab.internet, "eth0")?);
    SipCall::new(&lab, CLIENT, server, 2)?.finish()?;
    let is_rtp =
        |port: fn(&Parsed) -> u16| move |packet: &[u8]| Parsed::new(packet).is_some_and(|p| port(&p) == RTP_PORT);
    let said = said.so_far(is_rtp(|packet| packet.destination.port()))?.len();
    let heard = heard.so_far(is_rtp(|packet| packet.source.port()))?.len();
    // Two calls of two seconds; sipp sends about thirty packets a second.
    assert!(said > 80 && heard > 80, "{said} RTP packets out, {heard} back");
    assert!(said.abs_diff(heard) <= 2, "{said} RTP packets out, {heard} back");
    gateway.expect_refused(&[])
}

#[test]
fn flows_shows_the_session() -> Result<()> {
    let lab = Lab::new()?;
    let gateway = lab.start(POLICY)?;
    let _server = Echo::new(&lab.internet, &[SIP])?;
    let mapped = ask(&lab.lan.udp((CLIENT, 5060))?, SIP, b"REGISTER")?;
    let flows = gateway.json("flows")?;
    let session = &flows["sessions"][0];
    assert_eq!(session["client"], SocketAddr::from((CLIENT, 5060)).to_string());
    assert_eq!(session["mapped"], mapped.to_string());
    assert_eq!(session["remote"], SIP.to_string());
    assert_eq!(session["flow"], "sip");
    assert_eq!((&session["out"]["packets"], &session["in"]["packets"]), (&1.into(), &1.into()));
    Ok(())
}

/// Everything that a client may do.
pub(crate) fn everything(lab: &Lab) -> Result<()> {
    https(lab, 1 << 20).context("HTTPS")?;
    udp(lab).context("SIP and media")?;
    stun(lab).context("STUN")
}
