//! T2: a flow with `tls_min` carries TLS of that version at least, or its client is told at once.

use std::{
    io::{Read as _, Write as _},
    net::IpAddr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use thulium_tests::{
    lab::{Gateway, LAN_GATEWAY, Lab, POLICY, POLICY6, THULIUM, THULIUM6},
    peer::{TlsServer, shake_hands},
};

use crate::offloads::offload;

const HTTP: &[u8] = b"GET / HTTP/1.1\r\nHost: acme.thulium.com\r\n\r\n";
/// Options of OpenSSL with which it still speaks what is out of date.
const OLD: [&str; 4] = ["-cipher", "DEFAULT@SECLEVEL=0", "-tls1_1", "-no_ticket"];
/// How soon a client has to know: well before the first retransmission is given up.
const SOON: Duration = Duration::from_secs(3);

/// A policy with one flow to the server, of this TLS version or above; none: anything.
fn policy(tls_min: Option<&str>) -> String {
    let floor = tls_min.map(|version| format!(", tls_min: \"{version}\"")).unwrap_or_default();
    format!("{POLICY}flows: [{{ name: web, to: thulium, ports: 443/tcp{floor} }}]\n")
}

/// A policy whose clients leave checksums to the hardware: on such links `auto` keeps XDP off, whatever mode other tests are run in.
fn of_unfinished_checksums(policy: &str) -> String {
    format!("{policy}datapath: {{ xdp: auto }}\n")
}

/// A handshake that is reset, soon.
fn is_reset(lab: &Lab, options: &[&str]) -> Result<()> {
    let started = Instant::now();
    let Err(error) = shake_hands(lab, THULIUM, 443, options) else { bail!("the handshake with {options:?} succeeds") };
    let said = format!("{error:#}");
    ensure!(said.contains("errno=104") || said.contains("reset by peer"), "no reset: {said}");
    ensure!(started.elapsed() < SOON, "it took {:?}", started.elapsed());
    Ok(())
}

/// Sends plain HTTP to a server that answers it; the error is the client's.
fn http(lab: &Lab, server: IpAddr) -> Result<Vec<u8>> {
    let listener = lab.internet.listen((server, 443))?;
    let serving = thread::spawn(move || {
        let (mut stream, _) = listener.accept()?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        let mut request = [0; HTTP.len()];
        stream.read_exact(&mut request)?;
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
    });
    let mut client = lab.lan.connect((server, 443))?;
    client.write_all(HTTP)?;
    let mut answer = Vec::new();
    let read = client.read_to_end(&mut answer);
    drop(client);
    // Where its client is cut off, the server fails, too.
    let _ = serving.join();
    read?;
    Ok(answer)
}

/// One of the counters is this. Nobody tells the server that its client is gone: what it still sends has a counter of its own.
fn is_counted(gateway: &Gateway<'_>, counter: &str) -> Result<()> {
    let refused = gateway.refused()?;
    ensure!(refused.lines().contains(&counter.to_owned()), "expected {counter}, seen {refused}");
    Ok(())
}

/// Plain HTTP to this server is reset, soon.
fn http_is_reset(lab: &Lab, server: IpAddr) -> Result<()> {
    let started = Instant::now();
    let error = http(lab, server).err().context("plain HTTP is answered")?;
    let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    ensure!(kind == Some(std::io::ErrorKind::ConnectionReset), "no reset: {error:#}");
    ensure!(started.elapsed() < SOON, "it took {:?}", started.elapsed());
    Ok(())
}

#[test]
fn plain_http_is_reset_and_counted() -> Result<()> {
    let lab = Lab::new()?;
    let gateway = lab.start(&of_unfinished_checksums(POLICY))?;
    for (round, offloading) in ["on", "off"].into_iter().enumerate() {
        // With checksums left to the hardware, and finished ones.
        offload(&lab.lan, "eth0", &format!("tx {offloading}"))?;
        http_is_reset(&lab, THULIUM.into())?;
        is_counted(&gateway, &format!("tls-not-tls out lan0: {}", round + 1))?;
    }
    ensure!(gateway.refused()?.of_flow("tls-not-tls", "web") == 2, "counted under its flow");
    ensure!(gateway.json("flows")?["sessions"].as_array().is_some_and(Vec::is_empty), "the session has ended");
    Ok(())
}

#[test]
fn plain_http_over_ipv6_is_reset_and_counted() -> Result<()> {
    let lab = Lab::new()?;
    lab.enable_ipv6()?;
    let gateway = lab.start(&of_unfinished_checksums(POLICY6))?;
    for offloading in ["on", "off"] {
        offload(&lab.lan, "eth0", &format!("tx {offloading}"))?;
        http_is_reset(&lab, THULIUM6.into())?;
    }
    ensure!(gateway.refused()?.of_flow("tls-not-tls", "web") == 2, "counted under its flow");
    Ok(())
}

/// A request that is too large for the uplink, and may be fragmented: the kernel does so, and the guard judges what it forwards.
#[test]
fn what_the_kernel_fragments_is_reset_too() -> Result<()> {
    let lab = Lab::new()?;
    lab.gw.ip("link set wan0 mtu 1000")?;
    lab.lan.sysctl("net/ipv4/ip_no_pmtu_disc", "1")?;
    let gateway = lab.start(&format!("{POLICY}mss_clamp: off\n"))?;
    let _server = lab.internet.listen((THULIUM, 443))?;
    let mut client = lab.lan.connect((THULIUM, 443))?;
    let started = Instant::now();
    client.write_all(&[HTTP, &[b' '; 1300]].concat())?;
    let read = client.read(&mut [0; 1]).map_err(|error| error.kind());
    ensure!(read == Err(std::io::ErrorKind::ConnectionReset), "no reset: {read:?}");
    ensure!(started.elapsed() < SOON, "it took {:?}", started.elapsed());
    is_counted(&gateway, "tls-not-tls out wan0: 1")
}

#[test]
fn tls_1_1_is_too_old() -> Result<()> {
    let lab = Lab::new()?;
    let mut gateway = lab.start(&policy(None))?;
    let server = TlsServer::with(&lab, 443, &["-cipher", "DEFAULT@SECLEVEL=0"])?;
    shake_hands(&lab, THULIUM, 443, &OLD).context("without a floor the peers agree on TLS 1.1")?;
    gateway.down()?;
    drop(gateway);
    let gateway = lab.start(&policy(Some("1.2")))?;
    is_reset(&lab, &OLD)?;
    is_counted(&gateway, "tls-too-old out lan0: 1")?;
    let said = gateway.ctl("drops")?.out;
    ensure!(said.contains("tls-too-old") && said.contains("TLS 1.1 at most"), "the admin is told: {said}");
    // OpenSSL's server has one connection at a time, and nobody told it that the client is gone.
    drop(server);
    let _server = TlsServer::with(&lab, 443, &[])?;
    shake_hands(&lab, THULIUM, 443, &["-tls1_2"]).context("TLS 1.2 is good enough")?;
    shake_hands(&lab, THULIUM, 443, &["-tls1_3"]).context("TLS 1.3 is good enough").map(drop)
}

#[test]
fn a_server_that_settles_below_the_floor_is_cut_off() -> Result<()> {
    let lab = Lab::new()?;
    let gateway = lab.start(&policy(Some("1.3")))?;
    let server = TlsServer::with(&lab, 443, &["-tls1_2"])?;
    is_reset(&lab, &[])?;
    is_counted(&gateway, "tls-downgraded in wan0: 1")?;
    drop(server);
    let _server = TlsServer::with(&lab, 443, &[])?;
    let said = shake_hands(&lab, THULIUM, 443, &[])?;
    ensure!(said.contains("TLSv1.3"), "{said}");
    // A key share that the server has to ask for: its first hello is a request for another.
    let said = shake_hands(&lab, THULIUM, 443, &["-curves", "X448:P-384"])?;
    ensure!(said.contains("TLSv1.3"), "{said}");
    is_counted(&gateway, "tls-downgraded in wan0: 1")
}

#[test]
fn a_hello_in_many_segments_passes() -> Result<()> {
    let lab = Lab::new()?;
    let gateway = lab.start(&policy(Some("1.3")))?;
    let _server = TlsServer::with(&lab, 443, &[])?;
    // As large as a post-quantum one, and larger than any segment of this LAN.
    let protocols: Vec<_> = (0..300).map(|number| format!("protocol-{number}")).collect();
    for mtu in [1500, 576, 100] {
        lab.lan.ip(&format!("link set eth0 mtu {mtu}"))?;
        // Linux asks for segments of 256 bytes at least, even where its link would not take them.
        lab.lan.ip(&format!("route replace default via {LAN_GATEWAY} advmss {}", mtu - 40))?;
        let said = shake_hands(&lab, THULIUM, 443, &["-alpn", &protocols.join(",")])?;
        ensure!(said.contains("TLSv1.3"), "MTU {mtu}: {said}");
    }
    gateway.expect_refused(&[])
}

#[test]
fn audit_counts_it_and_lets_it_pass() -> Result<()> {
    let lab = Lab::new()?;
    let gateway = lab.start(&format!("{POLICY}mode: audit\n"))?;
    ensure!(http(&lab, THULIUM.into())?.starts_with(b"HTTP/1.1 204"), "plain HTTP passes");
    gateway.expect_refused(&["tls-not-tls out lan0 would-drop: 1"])
}
