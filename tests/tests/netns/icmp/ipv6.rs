//! The same by ICMPv6. Routers do not fragment IPv6: whoever does not hear of a narrow link gets nothing through it.

use std::{
    io::ErrorKind,
    net::{IpAddr, SocketAddr, TcpStream},
};

use anyhow::{Result, ensure};
use thulium_tests::{
    lab::{CLIENT6, Gateway, Lab, Namespace, POLICY6, THULIUM6, UNRELATED6},
    packet::{Capture, Ipv6},
    peer::{Echo, ask, noise},
};

use super::{FLOWS, NARROW, SOON, ensure_learned, error_of, exchange, learns_mtu};

const MEDIA: SocketAddr = SocketAddr::new(IpAddr::V6(THULIUM6), 16_000);

fn lab() -> Result<Lab> {
    let lab = Lab::new()?;
    lab.enable_ipv6()?;
    Ok(lab)
}

fn start(lab: &Lab) -> Result<Gateway<'_>> {
    lab.start(&format!("{POLICY6}{FLOWS}"))
}

/// A lab whose server is behind a narrow link, and the server.
fn narrow() -> Result<(Lab, Namespace)> {
    let lab = lab()?;
    let far = lab.narrow(NARROW)?;
    lab.enable_ipv6_beyond(&far)?;
    Ok((lab, far))
}

#[test]
fn udp_learns_of_a_narrow_hop_beyond_the_uplink() -> Result<()> {
    let (lab, far) = narrow()?;
    let gateway = start(&lab)?;
    let _server = Echo::new(&far, &[MEDIA])?;
    let phone = lab.lan.udp((CLIENT6, 33_000))?;
    phone.connect(MEDIA)?;
    learns_mtu(&phone)?;
    ensure!(ask(&phone, MEDIA, &noise(1200))?.ip() == CLIENT6);
    gateway.expect_refused(&[])
}

#[test]
fn tcp_learns_of_a_narrow_hop_beyond_the_uplink() -> Result<()> {
    let (lab, far) = narrow()?;
    let gateway = start(&lab)?;
    // The server's own link is narrow, too; without this its SYN-ACK would tell the client so.
    far.ip("route change default via 2001:db8:2::1 advmss 1440")?;
    exchange(&lab, &far, THULIUM6.into(), 1 << 20, 1)?;
    gateway.expect_refused(&[])
}

#[test]
fn udp_of_a_server_learns_of_a_narrow_lan() -> Result<()> {
    let lab = lab()?;
    lab.gw.ip(&format!("link set lan0 mtu {NARROW}"))?;
    let gateway = start(&lab)?;
    let server = lab.internet.udp(MEDIA)?;
    let phone = lab.lan.udp((CLIENT6, 33_000))?;
    phone.send_to(b"hello", MEDIA)?;
    let (_, client) = server.recv_from(&mut [0; 16])?;
    server.connect(client)?;
    learns_mtu(&server)?;
    server.send(&noise(1200))?;
    let length = phone.recv(&mut [0; 2000])?;
    ensure!(length == 1200);
    gateway.expect_refused(&[])
}

#[test]
fn tcp_of_a_server_learns_of_a_narrow_lan() -> Result<()> {
    let lab = lab()?;
    lab.gw.ip(&format!("link set lan0 mtu {NARROW}"))?;
    let gateway = lab.start(&format!("{POLICY6}{FLOWS}mss_clamp: off\n"))?;
    exchange(&lab, &lab.internet, THULIUM6.into(), 1, 1 << 20)?;
    ensure_learned(&lab, &format!("{CLIENT6} from {THULIUM6}"))?;
    gateway.expect_refused(&[])
}

#[test]
fn ping_where_a_flow_says_so() -> Result<()> {
    let lab = lab()?;
    let gateway = start(&lab)?;
    let office = Capture::new(&lab.lan, "eth0")?;
    let identifier = [0x80, 0xe8];
    let content = noise(56);
    let body = [&identifier, &[0, 1], content.as_slice()].concat();
    let request = |to| Ipv6::new(CLIENT6, to).icmp(128, 0, &body);
    lab.send_from_lan(&request(THULIUM6))?;
    // An echo reply to the client.
    let reply = office.next(|packet| {
        packet.len() > 48 && packet[6] == 58 && packet[24..40] == CLIENT6.octets() && packet[40] == 129
    })?;
    ensure!(reply[8..24] == THULIUM6.octets() && reply[44..] == body, "{reply:?}");
    gateway.expect_refused(&[])?;
    let flows = gateway.json("flows")?;
    let session = &flows["sessions"][0];
    ensure!(session["flow"] == "ping" && session["in"]["packets"] == 1, "{flows}");
    lab.send_from_lan(&request(UNRELATED6))?;
    gateway.expect_refused(&["address-unknown out wan0 ipv6: 1"])
}

#[test]
fn sockets_are_told_alike() -> Result<()> {
    let lab = Lab::new()?;
    lab.enable_ipv6()?;
    let gateway = lab.start(&format!("{POLICY6}{FLOWS}refuse: reject\n"))?;
    let error_from = |to: SocketAddr| -> Result<std::io::Error> {
        let socket = lab.lan.udp((CLIENT6, 0))?;
        socket.connect(to)?;
        socket.send(b"is anybody there?")?;
        error_of(&socket)
    };
    let error = error_from((THULIUM6, 16_000).into())?;
    ensure!(error.kind() == ErrorKind::ConnectionRefused, "port unreachable: {error}");
    gateway.expect_refused(&[])?;
    let error = error_from((UNRELATED6, 53).into())?;
    // RFC 4443 §3.1: what Linux makes of "administratively prohibited".
    ensure!(error.raw_os_error() == Some(libc::EACCES), "refused: {error}");
    let remote = (UNRELATED6, 443).into();
    let refused = lab.lan.run(|| TcpStream::connect_timeout(&remote, SOON))?.expect_err("no flow names it");
    ensure!(refused.kind() == ErrorKind::ConnectionRefused, "{refused}");
    gateway.expect_refused(&["no-flow out lan0 ipv6: 2"])
}
