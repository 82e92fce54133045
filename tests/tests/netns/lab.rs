//! The lab itself, with the kernel's own NAT in place of ours: when these fail, the gateway is not to blame.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use nix::sys::socket::{setsockopt, sockopt};
use thulium_tests::{
    lab::{CLIENT, Isp, LAN_GATEWAY, Lab, MASQUERADE, Namespace, STUN, THULIUM, THULIUM6, UPLINK, eventually},
    packet::{Capture, Ipv4, Parsed},
    peer::{
        Dns, Dnsmasq, Echo, Kind, Knot, Office, RTP_PORT, Seen, SipCall, SipServer, StunServer, TlsServer, TlsVersion,
        Unbound, ask, download, mapped_address, noise, resolve, upload,
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

#[test]
fn an_office_is_seen_and_answered() -> Result<()> {
    let lab = Lab::new()?;
    lab.nft(MASQUERADE)?;
    let office = Office::new(&lab, THULIUM, [10, 11, 12])?;
    office.wait_by(UPLINK, Instant::now(), Duration::from_secs(5))?;
    for host in [10, 11, 12] {
        for kind in [Kind::Sip, Kind::Media, Kind::Web] {
            eventually("something new", || {
                let expected = Seen { host, kind, address: UPLINK };
                ensure!(office.take_seen().contains(&expected), "no {expected:?}");
                Ok(())
            })?;
        }
    }
    Ok(())
}

/// Two addresses at a time, and soon others, by every server on the way.
#[test]
fn a_name_rotates_and_resolvers_do_not_keep_it_longer() -> Result<()> {
    let lab = Lab::new()?;
    let [authority, outside] = [53, 54].map(|host| Ipv4Addr::new(203, 0, 113, host));
    lab.add_servers(&[authority, outside])?;
    lab.nft(MASQUERADE)?;
    let dns = Dns::new(&lab.internet, authority, 1)?;
    let (_dnsmasq, _unbound) = (Dnsmasq::new(&lab, authority)?, Unbound::new(&lab, outside, authority)?);
    let eight: Vec<_> = (1..=8).map(|host| Ipv4Addr::new(203, 0, 113, 100 + host)).collect();
    dns.rotate("acme.thulium.com", &eight, 2, Duration::from_millis(300));
    for resolver in [LAN_GATEWAY, outside] {
        let mut seen = BTreeSet::new();
        eventually("other addresses", || {
            let answer = resolve(&lab.lan, resolver, "acme.thulium.com")?;
            assert!(answer.len() == 2 && answer.iter().all(|address| eight.contains(address)), "{answer:?}");
            seen.extend(answer);
            ensure!(seen.len() > 2, "{resolver} gives {seen:?}");
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn a_server_has_aliases_and_wildcards() -> Result<()> {
    let lab = Lab::new()?;
    lab.nft(MASQUERADE)?;
    let server = Ipv4Addr::new(203, 0, 113, 55);
    lab.add_servers(&[server])?;
    let records = ["acme CNAME pool.eu", "pool.eu CNAME a.eu", "a.eu A 203.0.113.10", "* A 203.0.113.20"];
    let _knot = Knot::new(&lab, server, "thulium.com", &records)?;
    assert_eq!(resolve(&lab.lan, server, "acme.thulium.com")?, [THULIUM]);
    assert_eq!(resolve(&lab.lan, server, "any.thulium.com")?, [STUN]);
    Ok(())
}

/// The gateway itself reaches the servers by either uplink, and they answer by the same one.
#[test]
fn each_uplink_can_be_cut_and_black_holed_and_restored() -> Result<()> {
    let lab = Lab::new()?;
    lab.add_uplink(Isp::B)?;
    lab.add_uplink(Isp::C)?;
    let server = SocketAddr::from((THULIUM, 16_001));
    let _server = Echo::new(&lab.internet, &[server])?;
    let isps = [Isp::A, Isp::B, Isp::C];
    let reaches = |isp: Isp| -> Result<bool> {
        let socket = bound(&lab.gw, isp)?;
        Ok(ask(&socket, server, b"hello").is_ok_and(|seen| seen.ip() == isp.address()))
    };
    let reached = || isps.map(reaches).into_iter().collect::<Result<Vec<_>>>();
    assert_eq!(reached()?, [true; 3]);
    lab.cut(Isp::A)?;
    assert!(!has_carrier(&lab, Isp::A)?);
    assert_eq!(reached()?, [false, true, true]);
    lab.black_hole(Isp::B)?;
    assert!(has_carrier(&lab, Isp::B)?);
    assert_eq!(reached()?, [false, false, true]);
    for isp in isps {
        lab.restore(isp)?;
    }
    eventually("all to be there again", || {
        let reached = reached()?;
        ensure!(reached == [true; 3], "{reached:?}");
        Ok(())
    })
}

#[test]
fn each_uplink_has_a_prefix_of_ipv6() -> Result<()> {
    let lab = Lab::new()?;
    lab.enable_ipv6()?;
    lab.add_uplink(Isp::B)?;
    lab.enable_ipv6_by(Isp::B)?;
    let server = SocketAddr::from((THULIUM6, 16_001));
    let _server = Echo::new(&lab.internet, &[server])?;
    lab.gw.sysctl("net/ipv6/conf/all/forwarding", "1")?;
    // What a kernel needs to do it alone: a table for each source.
    lab.gw.ip(&format!("-6 rule add from {}/64 lookup 7", Isp::B.client6(0)))?;
    lab.gw.ip(&format!("route add default via {} table 7", Isp::B.next_hop6()))?;
    for isp in [Isp::A, Isp::B] {
        let own = SocketAddr::from((isp.client6(0x10), 4000));
        assert_eq!(ask(&lab.lan.udp(own)?, server, b"hello")?, own);
        let wire = Capture::new(&lab.internet, isp.far_interface())?;
        ask(&lab.lan.udp(own)?, server, b"on this wire")?;
        wire.next(|packet| packet.ends_with(b"on this wire"))?;
        lab.cut(isp)?;
        lab.restore(isp)?;
        eventually("the link to work again", || ask(&lab.lan.udp(own)?, server, b"hello"))?;
    }
    Ok(())
}

#[test]
fn an_address_is_waited_for_while_a_program_that_starts_holds_it() -> Result<()> {
    let lab = Lab::new()?;
    let own = SocketAddr::from((CLIENT, 4000));
    let held = lab.lan.udp(own)?.try_clone()?;
    thread::scope(|scope| {
        scope.spawn(move || {
            thread::sleep(Duration::from_millis(100));
            drop(held);
        });
        lab.lan.udp(own).map(drop)
    })
}

/// A socket of the gateway that goes by the uplink of `isp`, and does not wait long.
fn bound(gateway: &Namespace, isp: Isp) -> Result<UdpSocket> {
    let socket = gateway.udp((Ipv4Addr::UNSPECIFIED, 0))?;
    setsockopt(&socket, sockopt::BindToDevice, &isp.interface().into())?;
    socket.set_read_timeout(Some(Duration::from_millis(500)))?;
    Ok(socket)
}

fn has_carrier(lab: &Lab, isp: Isp) -> Result<bool> {
    Ok(!lab.gw.output("ip", &format!("link show {}", isp.interface()))?.contains("NO-CARRIER"))
}
