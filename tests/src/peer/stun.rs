//! STUN (RFC 5389): coturn as the server, and a client that reads its mapped address.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};

use anyhow::{Context, Result, ensure};

use crate::lab::{Lab, Process};

const COOKIE: u32 = 0x2112_a442;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;

/// A coturn that answers binding requests only.
pub struct StunServer {
    _process: Process,
}

impl StunServer {
    /// Starts it on `address` in the internet, and waits until it listens.
    ///
    /// # Errors
    /// When `turnserver` is not installed or does not start.
    pub fn new(lab: &Lab, address: Ipv4Addr, port: u16) -> Result<Self> {
        Self::on(lab, &[address], port)
    }

    /// The same on several addresses.
    ///
    /// # Errors
    /// As for [`StunServer::new`].
    pub fn on(lab: &Lab, addresses: &[Ipv4Addr], port: u16) -> Result<Self> {
        let mut command = lab.internet.command("turnserver");
        command
            .args(["-n", "--stun-only", "--no-auth", "--no-tls", "--no-dtls", "--no-cli", "--log-file=stdout"])
            .args(addresses.iter().map(|address| format!("--listening-ip={address}")))
            .args(["--listening-port", &port.to_string()])
            .arg(format!("--pidfile={}", lab.dir().join("turnserver.pid").display()))
            .arg(format!("--userdb={}", lab.dir().join("turnserver.db").display()))
            .current_dir(lab.dir());
        let mut process = Process::spawn(&mut command, &lab.dir().join("turnserver.log"))?;
        process.wait_listening("udp", port)?;
        Ok(Self { _process: process })
    }
}

/// Asks a STUN server which address `client` has outside.
///
/// # Errors
/// When no answer comes, or one without an IPv4 XOR-MAPPED-ADDRESS.
pub fn mapped_address(client: &UdpSocket, server: SocketAddrV4) -> Result<SocketAddrV4> {
    let transaction = *b"thuliumtests";
    let mut request = vec![0, 1, 0, 0]; // binding request without attributes
    request.extend(COOKIE.to_be_bytes());
    request.extend(transaction);
    client.send_to(&request, server)?;
    let mut buffer = [0; 1500];
    let (length, from) =
        client.recv_from(&mut buffer).with_context(|| format!("no answer from STUN server {server}"))?;
    ensure!(from == SocketAddr::V4(server), "an answer from {from} instead of {server}");
    let response = &buffer[..length];
    ensure!(response.get(..2) == Some(&[1, 1]), "not a binding success response");
    ensure!(response.get(8..20) == Some(&transaction[..]), "the answer to another request");
    xor_mapped_address(&response[20..]).context("no XOR-MAPPED-ADDRESS in the answer")
}

fn xor_mapped_address(mut attributes: &[u8]) -> Option<SocketAddrV4> {
    loop {
        let (head, rest) = attributes.split_at_checked(4)?;
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        if u16::from_be_bytes([head[0], head[1]]) == XOR_MAPPED_ADDRESS {
            let &[_, 1, p0, p1, a, b, c, d] = rest.get(..8)? else { return None };
            let port = u16::from_be_bytes([p0, p1]) ^ (COOKIE >> 16) as u16;
            let address = u32::from_be_bytes([a, b, c, d]) ^ COOKIE;
            return Some(SocketAddrV4::new(address.into(), port));
        }
        attributes = rest.get(length.next_multiple_of(4)..)?;
    }
}
