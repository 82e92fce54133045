//! Datagrams larger than the link's MTU: a SIP INVITE with many candidates has 4 kB.

use std::net::{SocketAddr, UdpSocket};

use anyhow::{Context, Result, ensure};
use thulium_tests::{
    lab::{CLIENT, CLIENT6, Lab, POLICY, POLICY6, THULIUM, THULIUM6, UPLINK},
    packet::{Capture, Ipv4, Parsed},
};

const SIP: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(THULIUM), 15_060);

/// nftables rules of a gateway that masquerades everything but Thulium's clients. Its connection tracking puts fragments
/// together before it routes them.
const TRACKING: &str = "
table ip nat {
    chain postrouting {
        type nat hook postrouting priority srcnat
        oifname wan0 meta mark & 0x30000000 != 0 return
        oifname wan0 masquerade
    }
}
";

/// A SIP message of 4 kB that begins with `first`.
fn message(first: &str) -> Vec<u8> {
    let mut body =
        String::from("v=0\r\no=- 1 1 IN IP4 192.168.20.10\r\ns=-\r\nt=0 0\r\nm=audio 16384 RTP/SAVPF 111 0 8\r\n");
    for candidate in 1..=60 {
        body += &format!("a=candidate:{candidate} 1 udp 2113937151 192.168.20.10 {} typ host\r\n", 16_384 + candidate);
    }
    let head = format!(
        "{first}\r\nVia: SIP/2.0/UDP 192.168.20.10:5060;rport;branch=z9hG4bK776asdhds\r\nMax-Forwards: 70\r\n\
         To: <sip:200@acme.thulium.com>\r\nFrom: <sip:100@acme.thulium.com>;tag=1928301774\r\nCall-ID: a84b4c76e66710\r\n\
         CSeq: 314159 INVITE\r\nContact: <sip:100@192.168.20.10:5060>\r\nContent-Type: application/sdp\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    (head + &body).into_bytes()
}

/// The phone invites, the server answers: both messages arrive whole and unmodified.
pub(crate) fn call(phone: &UdpSocket, server: &UdpSocket, to: SocketAddr) -> Result<SocketAddr> {
    let (invite, answer) = (message("INVITE sip:200@acme.thulium.com SIP/2.0"), message("SIP/2.0 200 OK"));
    ensure!(invite.len() > 4000, "an INVITE of {} bytes", invite.len());
    let mut buffer = vec![0; 8192];
    phone.send_to(&invite, to)?;
    let (length, mapped) = server.recv_from(&mut buffer).context("the INVITE did not arrive")?;
    ensure!(buffer[..length] == invite, "the INVITE arrived changed");
    server.send_to(&answer, mapped)?;
    let (length, from) = phone.recv_from(&mut buffer).context("the answer did not arrive")?;
    ensure!(buffer[..length] == answer, "the answer arrived changed");
    ensure!(from == to, "the answer is from {from}");
    Ok(mapped)
}

/// Two calls, so that the second one meets what the first one left. Returns the packets that the server's link saw.
fn calls(lab: &Lab) -> Result<Vec<Vec<u8>>> {
    let wire = Capture::new(&lab.internet, "eth0")?;
    let (phone, server) = (lab.lan.udp((CLIENT, 5060))?, lab.internet.udp(SIP)?);
    for _ in 0..2 {
        let mapped = call(&phone, &server, SIP)?;
        ensure!(mapped.ip() == UPLINK, "the server saw {mapped}");
    }
    wire.so_far(|packet| Parsed::new(packet).is_some_and(|packet| *packet.source.ip() == UPLINK))
}

/// Sets the MTU of both ends of the uplink.
fn narrow_uplink(lab: &Lab, mtu: u16) -> Result<()> {
    lab.gw.ip(&format!("link set wan0 mtu {mtu}"))?;
    lab.internet.ip(&format!("link set eth0 mtu {mtu}"))
}

#[test]
fn an_invite_of_4_kb_is_answered() -> Result<()> {
    let lab = Lab::new()?;
    let gateway = lab.start(POLICY)?;
    let packets = calls(&lab)?;
    ensure!(packets.len() == 6, "{} fragments", packets.len());
    gateway.expect_refused(&[])
}

#[test]
fn with_xdp() -> Result<()> {
    let lab = Lab::new()?;
    let gateway = lab.start(&format!("{POLICY}datapath: {{ xdp: native }}\n"))?;
    calls(&lab)?;
    gateway.expect_refused(&[])
}

/// PPPoE: the kernel fragments the client's fragments further, and the guard translates them.
#[test]
fn over_an_uplink_of_1492_bytes() -> Result<()> {
    let lab = Lab::new()?;
    narrow_uplink(&lab, 1492)?;
    let gateway = lab.start(POLICY)?;
    let packets = calls(&lab)?;
    ensure!(packets.len() == 10, "{} fragments", packets.len());
    ensure!(packets.iter().all(|packet| packet.len() <= 1492), "one is larger than the link");
    gateway.expect_refused(&[])
}

/// The kernel puts together what it is handed: it has to get all fragments or none.
#[test]
fn over_an_uplink_of_1492_bytes_with_connection_tracking() -> Result<()> {
    let lab = Lab::new()?;
    narrow_uplink(&lab, 1492)?;
    lab.nft(TRACKING)?;
    let gateway = lab.start(POLICY)?;
    calls(&lab)?;
    gateway.expect_refused(&[])
}

#[test]
fn into_a_lan_of_1400_bytes_with_connection_tracking() -> Result<()> {
    let lab = Lab::new()?;
    lab.gw.ip("link set lan0 mtu 1400")?;
    lab.lan.ip("link set eth0 mtu 1400")?;
    lab.nft(TRACKING)?;
    let gateway = lab.start(POLICY)?;
    calls(&lab)?;
    gateway.expect_refused(&[])
}

#[test]
fn by_ipv6() -> Result<()> {
    let lab = Lab::new()?;
    lab.enable_ipv6()?;
    let gateway = lab.start(POLICY6)?;
    let (own, sip) = (SocketAddr::from((CLIENT6, 5060)), SocketAddr::from((THULIUM6, 15_060)));
    let (phone, server) = (lab.lan.udp(own)?, lab.internet.udp(sip)?);
    for _ in 0..2 {
        let seen = call(&phone, &server, sip)?;
        ensure!(seen == own, "the server saw {seen}");
    }
    gateway.expect_refused(&[])
}

/// Every fragment that is not sent on is counted once, where it was refused; the others pass as they are.
#[test]
fn what_is_no_part_of_a_datagram_is_refused() -> Result<()> {
    let lab = Lab::new()?;
    let gateway = lab.start(POLICY)?;
    let (wire, office) = (Capture::new(&lab.internet, "eth0")?, Capture::new(&lab.lan, "eth0")?);
    let out = |id, offset, more, bytes: &[u8]| Ipv4::new(CLIENT, THULIUM).fragment(id, offset, more).raw(17, bytes);
    let back = |id, offset, more, bytes: &[u8]| Ipv4::new(THULIUM, UPLINK).fragment(id, offset, more).raw(17, bytes);
    let datagram = |from: u16, to: u16| {
        let ports = [from.to_be_bytes(), to.to_be_bytes(), 32_u16.to_be_bytes(), [0; 2]].concat();
        [ports, b"first...".to_vec()].concat()
    };

    lab.send_from_lan(&out(1, 24, false, b"overtook"))?;
    lab.send_from_lan(&out(1, 0, true, &datagram(5060, 15_060)))?;
    lab.send_from_lan(&out(1, 8, true, b"forged.."))?;
    lab.send_from_lan(&out(1, 16, true, b"second.."))?;
    lab.send_from_lan(&out(1, 16, true, b"forged.."))?;
    lab.send_from_lan(&out(1, 24, false, b"third.."))?;
    lab.send_from_lan(&Ipv4::new(CLIENT, THULIUM).fragment(2, 0, true).raw(6, &[0; 16]))?;
    let expected = ["fragment-no-state out wan0: 1", "fragment-overlap out lan0: 2", "fragment-tiny out lan0: 1"];
    gateway.expect_refused(&expected)?;

    lab.send_from_internet(&back(1, 0, true, &datagram(15_060, 5060)))?;
    lab.send_from_internet(&back(1, 8, false, b"forged.."))?;
    lab.send_from_internet(&back(1, 16, true, b"second.."))?;
    lab.send_from_internet(&back(1, 24, false, b"third.."))?;
    lab.send_from_internet(&back(2, 0, true, &datagram(15_061, 5060)))?;
    lab.send_from_internet(&back(2, 16, false, b"forged.."))?;
    let expected = [&expected[..], &["fragment-overlap in wan0: 1", "no-session in wan0: 2"]].concat();
    gateway.expect_refused(&expected)?;

    for (capture, from) in [(wire, UPLINK), (office, THULIUM)] {
        let came = capture.so_far(|packet| Parsed::new(packet).is_some_and(|packet| *packet.source.ip() == from))?;
        let payloads: Vec<_> = came.iter().map(|packet| packet[packet.len().min(28)..].to_vec()).collect();
        let [first, second, third] = came.as_slice() else {
            anyhow::bail!("{} packets came: {payloads:02x?}", came.len())
        };
        ensure!(first.ends_with(b"first...") && second.ends_with(b"second..") && third.ends_with(b"third.."));
    }
    Ok(())
}
