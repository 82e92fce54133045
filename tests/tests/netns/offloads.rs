//! Checksums and bytes stay right whatever the interfaces leave to "hardware".

use std::{
    io::{Read, Write},
    net::Ipv4Addr,
    thread,
};

use anyhow::{Result, ensure};
use thulium_tests::{
    lab::{CLIENT, Lab, Namespace, POLICY, THULIUM, UPLINK},
    packet::{Capture, Ipv4, Parsed},
    peer::{CLIENT_HELLO, SERVER_HELLO, noise},
};

/// Frames with unfinished checksums are what `auto` leaves XDP off for, whatever mode other tests are run in.
fn policy() -> String {
    format!("{POLICY}datapath: {{ xdp: auto }}\n")
}

#[test]
fn bulk_tcp_with_offloads() -> Result<()> {
    let lab = Lab::new()?;
    let gateway = lab.start(&policy())?;
    bulk(&lab)?;
    gateway.expect_refused(&[])
}

#[test]
fn bulk_tcp_without_offloads() -> Result<()> {
    let lab = Lab::new()?;
    let ends = [(&lab.lan, "eth0"), (&lab.gw, "lan0"), (&lab.gw, "wan0"), (&lab.internet, "eth0")];
    for (namespace, interface) in ends {
        offload(namespace, interface, "tx off rx off tso off gso off gro off")?;
    }
    let gateway = lab.start(&policy())?;
    bulk(&lab)?;
    gateway.expect_refused(&[])
}

/// The gateway's own transmit offloads are off, so that the kernel finishes there what the sender left open.
#[test]
fn segments_and_checksums_are_finished_right() -> Result<()> {
    let lab = Lab::new()?;
    for interface in ["lan0", "wan0"] {
        offload(&lab.gw, interface, "tx off tso off gso off")?;
    }
    let gateway = lab.start(&policy())?;
    let (out, back) = (Capture::new(&lab.internet, "eth0")?, Capture::new(&lab.lan, "eth0")?);
    bulk(&lab)?;
    let server = lab.internet.udp((THULIUM, 16_000))?;
    let client = lab.lan.udp((CLIENT, 0))?;
    client.send_to(&noise(1001), (THULIUM, 16_000))?;
    let (_, mapped) = server.recv_from(&mut [0; 2048])?;
    server.send_to(&noise(1001), mapped)?;
    client.recv(&mut [0; 2048])?;
    for (name, capture, address) in [("out", out, UPLINK), ("back", back, THULIUM)] {
        let packets = capture.so_far(|packet| Parsed::new(packet).is_some_and(|p| *p.source.ip() == address))?;
        ensure!(packets.len() > 20, "{} packets {name}", packets.len());
        for packet in packets.iter().filter_map(|packet| Parsed::new(packet)) {
            ensure!(packet.intact, "{name}: a wrong checksum from {} to {}", packet.source, packet.destination);
        }
    }
    gateway.expect_refused(&[])
}

#[test]
fn only_the_endpoint_and_the_hop_count_change() -> Result<()> {
    let lab = Lab::new()?;
    let _gateway = lab.start(&policy())?;
    let (out, back) = (Capture::new(&lab.internet, "eth0")?, Capture::new(&lab.lan, "eth0")?);
    let payload = noise(1400);
    let sent = Ipv4::new(CLIENT, THULIUM).ttl(64);
    lab.send_from_lan(&sent.udp(5004, 16_000, &payload))?;
    same(&out.next(is_udp)?, &Ipv4::new(UPLINK, THULIUM).ttl(63).udp(5004, 16_000, &payload))?;
    let answered = |to: Ipv4Addr, ttl| Ipv4::new(THULIUM, to).ttl(ttl).udp(16_000, 5004, &payload);
    lab.send_from_internet(&answered(UPLINK, 50))?;
    same(&back.next(is_udp)?, &answered(CLIENT, 49))?;
    Ok(())
}

#[test]
fn no_checksum_stays_no_checksum() -> Result<()> {
    let lab = Lab::new()?;
    let _gateway = lab.start(&policy())?;
    let (out, back) = (Capture::new(&lab.internet, "eth0")?, Capture::new(&lab.lan, "eth0")?);
    lab.send_from_lan(&Ipv4::new(CLIENT, THULIUM).udp_unchecked(5004, 16_000, b"x"))?;
    same(&out.next(is_udp)?, &Ipv4::new(UPLINK, THULIUM).ttl(63).udp_unchecked(5004, 16_000, b"x"))?;
    lab.send_from_internet(&Ipv4::new(THULIUM, UPLINK).udp_unchecked(16_000, 5004, b"x"))?;
    same(&back.next(is_udp)?, &Ipv4::new(THULIUM, CLIENT).ttl(63).udp_unchecked(16_000, 5004, b"x"))?;
    Ok(())
}

#[test]
fn a_datagram_larger_than_the_link_arrives() -> Result<()> {
    let lab = Lab::new()?;
    let gateway = lab.start(&policy())?;
    let server = lab.internet.udp((THULIUM, 15_060))?;
    let client = lab.lan.udp((CLIENT, 5060))?;
    let invite = noise(4000);
    client.send_to(&invite, (THULIUM, 15_060))?;
    let mut buffer = vec![0; 8000];
    let (length, mapped) = server.recv_from(&mut buffer)?;
    ensure!(buffer[..length] == invite, "the request arrived changed");
    server.send_to(&invite, mapped)?;
    let length = client.recv(&mut buffer)?;
    ensure!(buffer[..length] == invite, "the answer arrived changed");
    gateway.expect_refused(&[])
}

/// Some MB both ways at once over one connection.
pub(crate) fn bulk(lab: &Lab) -> Result<()> {
    const BYTES: usize = 8 << 20;
    let listener = lab.internet.listen((THULIUM, 443))?;
    let server = thread::spawn(move || {
        let mut stream = listener.accept()?.0;
        exchange(&mut stream, &SERVER_HELLO, BYTES)
    });
    let mut client = lab.lan.connect((THULIUM, 443))?;
    exchange(&mut client, &CLIENT_HELLO, BYTES)?;
    server.join().map_err(|_| anyhow::anyhow!("the server panicked"))?
}

/// Sends as many bytes as it gets. The port's flow carries TLS: each end begins with a hello.
fn exchange(stream: &mut std::net::TcpStream, hello: &[u8], bytes: usize) -> Result<()> {
    let noise = noise(bytes);
    let content = [hello, &noise].concat();
    let mut arrived = vec![0; content.len()];
    thread::scope(|scope| {
        let mut sending = stream.try_clone()?;
        let sent = scope.spawn({
            let content = &content;
            move || sending.write_all(content)
        });
        stream.read_exact(&mut arrived)?;
        sent.join().map_err(|_| anyhow::anyhow!("sending panicked"))??;
        ensure!(arrived[hello.len()..] == noise, "bytes arrived changed");
        Ok(())
    })
}

pub(crate) fn offload(namespace: &Namespace, interface: &str, settings: &str) -> Result<()> {
    namespace.output("ethtool", &format!("-K {interface} {settings}")).map(drop)
}

fn same(seen: &[u8], expected: &[u8]) -> Result<()> {
    let difference = seen.iter().zip(expected).position(|(seen, expected)| seen != expected);
    ensure!(difference.is_none(), "byte {difference:?} of the packet differs");
    ensure!(seen.len() == expected.len(), "{} bytes instead of {}", seen.len(), expected.len());
    Ok(())
}

fn is_udp(packet: &[u8]) -> bool {
    Parsed::new(packet).is_some_and(|packet| packet.protocol == 17)
}
