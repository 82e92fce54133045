//! One client floods; another one talks, opens new flows and notices nothing (RFC 6888 REQ-4).

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use thulium_tests::{
    lab::{CLIENT, Gateway, Lab, POLICY, THULIUM, client},
    packet::{Ipv4, tcp_flag},
    peer::{Echo, ask},
};

/// The client that floods.
const FLOODER: std::net::Ipv4Addr = client(11);

/// Flows whose content nobody looks at.
const FLOWS: &str = "
flows:
  - { name: web,   to: thulium, ports: 443/tcp }
  - { name: sip,   to: thulium, ports: 15060/udp }
  - { name: media, to: thulium, ports: 16000-20000/udp }
";

/// A client with a call and a connection, and their servers.
struct Worker<'lab> {
    lab: &'lab Lab,
    _server: Echo,
    listener: TcpListener,
    phone: UdpSocket,
    connection: (TcpStream, TcpStream),
}

impl<'lab> Worker<'lab> {
    fn new(lab: &'lab Lab) -> Result<Self> {
        let server = Echo::new(&lab.internet, &[(THULIUM, 15_060).into(), (THULIUM, 16_000).into()])?;
        let listener = lab.internet.listen((THULIUM, 443))?;
        let connection = connect(lab, &listener)?;
        let worker = Self { lab, _server: server, listener, phone: lab.lan.udp((CLIENT, 5060))?, connection };
        worker.talks().context("before the flood")?;
        Ok(worker)
    }

    /// What is established goes on.
    fn talks(&self) -> Result<()> {
        ask(&self.phone, (THULIUM, 15_060).into(), b"speech").context("the call")?;
        let (client, server) = &self.connection;
        exchange(client, server).context("the connection")
    }

    /// New flows can be opened.
    fn opens(&self) -> Result<()> {
        ask(&self.lab.lan.udp((CLIENT, 0))?, (THULIUM, 16_000).into(), b"another call").context("a new call")?;
        let (client, server) = connect(self.lab, &self.listener).context("a new connection")?;
        exchange(&client, &server)
    }
}

fn connect(lab: &Lab, listener: &TcpListener) -> Result<(TcpStream, TcpStream)> {
    let client = lab.lan.connect((THULIUM, 443))?;
    Ok((client, listener.accept()?.0))
}

fn exchange(mut client: &TcpStream, mut server: &TcpStream) -> Result<()> {
    let mut buffer = [0; 5];
    client.write_all(b"hello")?;
    server.read_exact(&mut buffer)?;
    server.write_all(&buffer)?;
    client.read_exact(&mut buffer)?;
    Ok(())
}

/// Sends the flooder's packets; after each fifty the worker talks and opens new flows.
fn flood(lab: &Lab, worker: &Worker<'_>, packets: impl Iterator<Item = Vec<u8>>) -> Result<()> {
    for (index, packet) in packets.enumerate() {
        lab.send_from_lan(&packet)?;
        if index % 50 == 49 {
            worker.talks().and_then(|()| worker.opens()).with_context(|| format!("after {} packets", index + 1))?;
        }
    }
    Ok(())
}

/// What `clients` says of the flooder, who has to come first.
fn flooder(gateway: &Gateway<'_>) -> Result<Value> {
    let clients = gateway.json("clients")?;
    let first = clients["clients"][0].clone();
    ensure!(first["client"] == FLOODER.to_string(), "the flooder is not the first: {clients}");
    Ok(first)
}

#[test]
fn a_syn_flood() -> Result<()> {
    let lab = Lab::new()?;
    let gateway = lab.start(&format!("{POLICY}{FLOWS}sessions: {{ per_client: 60, new_per_client: 1000 }}\n"))?;
    let worker = Worker::new(&lab)?;
    let syn = |port| Ipv4::new(FLOODER, THULIUM).tcp(port, 443, tcp_flag::SYN);
    flood(&lab, &worker, (20_000..20_300).map(syn))?;
    ensure!(gateway.refused()?.of_flow("client-sessions", "web") == 240, "{}", gateway.refused()?);
    let flooder = flooder(&gateway)?;
    assert_eq!((&flooder["sessions"]["used"], &flooder["sessions"]["limit"]), (&60.into(), &60.into()));
    assert_eq!(flooder["refused"]["sessions"], 240);
    assert_eq!(flooder["uplink"], "wan0");
    Ok(())
}

#[test]
fn a_udp_scan_of_many_remote_ports() -> Result<()> {
    let lab = Lab::new()?;
    let gateway = lab.start(&format!("{POLICY}{FLOWS}sessions: {{ new_per_client: 10 }}\n"))?;
    let worker = Worker::new(&lab)?;
    let datagram = |port| Ipv4::new(FLOODER, THULIUM).udp(20_000, port, b"x");
    for port in 16_000..16_200 {
        lab.send_from_lan(&datagram(port))?;
    }
    worker.talks()?;
    worker.opens()?;
    let flooder = flooder(&gateway)?;
    let refused = flooder["refused"]["rate"].as_u64().unwrap_or_default();
    // Forty at once, and ten a second while the packets were sent.
    ensure!(refused > 50 && flooder["ports"]["used"] == 1, "{flooder}");
    ensure!(flooder["sessions"]["used"].as_u64() == Some(200 - refused), "{flooder}");
    assert_eq!(gateway.refused()?.of_flow("client-rate", "media"), refused);
    Ok(())
}

#[test]
fn exhaustion_of_ports() -> Result<()> {
    let lab = Lab::new()?;
    // With the default share of ports, from ports that cannot be kept: they come out of the range that all clients share.
    let gateway = lab.start(&format!("{POLICY}{FLOWS}sessions: {{ new_per_client: 10000 }}\n"))?;
    let worker = Worker::new(&lab)?;
    let datagram = |port| Ipv4::new(FLOODER, THULIUM).udp(port, 16_000, b"x");
    flood(&lab, &worker, (33_000..34_200).map(datagram))?;
    ensure!(gateway.refused()?.of_flow("client-ports", "media") == 176, "{}", gateway.refused()?);
    let flooder = flooder(&gateway)?;
    assert_eq!(flooder["ports"]["used"], 1024);
    assert_eq!(flooder["refused"]["ports"], 176);
    let text = gateway.ctl("clients")?.out;
    ensure!(text.contains("1024 of 1024") && text.contains("176 client-ports"), "{text}");
    Ok(())
}
