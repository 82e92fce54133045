//! The lab itself, with the kernel's own NAT in place of ours: when these fail, the gateway is not to blame.

use std::net::SocketAddrV4;

use anyhow::Result;
use thulium_tests::{
    lab::{CLIENT, LAN_GATEWAY, Lab, MASQUERADE, STUN, THULIUM, UPLINK},
    packet::{Capture, Ipv4, Parsed},
    peer::{
        Dns, Echo, RTP_PORT, SipCall, SipServer, StunServer, TlsServer, TlsVersion, ask, download, mapped_address,
        noise, resolve, upload,
    },
};

#[test]
fn udp_peers_see_the_uplink_address() -> Result<()> {
    let lab = Lab::new()?;
    lab.nft(MASQUERADE)?;
    let _media = Echo::new(&lab.internet, &[(THULIUM, 16001).into()])?;
    let _stun = StunServer::new(&lab, STUN, 19302)?;
    let client = lab.lan.udp((CLIENT, 4000))?;
    assert_eq!(ask(&client, (THULIUM, 16001).into(), b"hello")?.ip(), UPLINK);
    assert_eq!(*mapped_address(&client, SocketAddrV4::new(STUN, 19302))?.ip(), UPLINK);
    Ok(())
}

#[test]
fn tls_carries_both_ways() -> Result<()> {
    let lab = Lab::new()?;
    lab.nft(MASQUERADE)?;
    let server = TlsServer::new(&lab, 443)?;
    let content = server.publish("file", 3 << 20)?;
    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        assert!(download(&lab, THULIUM, 443, "file", version)? == content);
    }
    let content = noise(2 << 20);
    assert!(upload(&lab, THULIUM, 4433, &content, TlsVersion::V1_3)? == content);
    Ok(())
}

#[test]
fn a_call_has_rtp_both_ways() -> Result<()> {
    let lab = Lab::new()?;
    lab.nft(MASQUERADE)?;
    let server = SocketAddrV4::new(THULIUM, 15060);
    let _server = SipServer::new(&lab, server)?;
    let heard = Capture::new(&lab.lan, "eth0")?;
    SipCall::new(&lab, CLIENT, server, 1)?.finish()?;
    let rtp = heard.so_far(|packet| Parsed::new(packet).is_some_and(|packet| packet.source.port() == RTP_PORT))?;
    assert!(rtp.len() > 50, "{} RTP packets came back", rtp.len());
    Ok(())
}

#[test]
fn crafted_packets_arrive_and_names_resolve() -> Result<()> {
    let lab = Lab::new()?;
    let wire = Capture::new(&lab.internet, "eth0")?;
    lab.send_from_lan(&Ipv4::new(CLIENT, THULIUM).udp_unchecked(4001, 16002, b"crafted"))?;
    wire.next(|packet| Parsed::new(packet).is_some_and(|packet| packet.payload == b"crafted" && packet.checksum == 0))?;
    let dns = Dns::new(&lab.gw, LAN_GATEWAY, 5)?;
    dns.set("acme.thulium.com", &[THULIUM]);
    assert_eq!(resolve(&lab.lan, LAN_GATEWAY, "acme.thulium.com")?, [THULIUM]);
    Ok(())
}
