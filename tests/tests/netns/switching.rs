//! XDP is switched off, to native, and on by `auto` in the middle of traffic: nothing is lost, nothing comes twice, and the counters say
//! what they said before.

use std::{
    collections::BTreeMap,
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use thulium_tests::{
    lab::{CLIENT, Gateway, Lab, POLICY, THULIUM, UPLINK, eventually, patience},
    packet::{Capture, Parsed},
    peer::noise,
};

use crate::stations::forwards;

const MEDIA: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(THULIUM), 16_000);
/// Between two datagrams one way.
const PACE: Duration = Duration::from_micros(500);
/// Without a TLS floor: the stream is none.
const FLOWS: &str = "\
flows:
  - { name: media, to: thulium, ports: 16000-20000/udp }
  - { name: web, to: thulium, ports: 443/tcp }
";

fn policy(xdp: &str) -> String {
    format!("{POLICY}{FLOWS}datapath: {{ xdp: {xdp} }}\n")
}

#[test]
fn nothing_is_lost_and_nothing_is_counted_twice() -> Result<()> {
    let lab = Lab::new()?;
    lab.ready_for_xdp()?;
    let mut gateway = lab.start(&policy("off"))?;
    let ends = Ends::new(&lab)?;
    let listener = lab.internet.listen((THULIUM, 443))?;
    let mut client = lab.lan.connect((THULIUM, 443))?;
    let mut server = listener.accept()?.0;
    server.set_read_timeout(Some(patience(Duration::from_secs(5))))?;
    let (is_over, progress) = (AtomicBool::new(false), [AtomicU64::new(0), AtomicU64::new(0)]);
    let (sent, streamed) = thread::scope(|scope| {
        let (is_over, progress) = (&is_over, &progress);
        let [out, back] = [(&ends.client, MEDIA, &progress[0]), (&ends.server, ends.mapped, &progress[1])]
            .map(|(from, to, sent)| scope.spawn(move || send_numbered(from, to, (sent, is_over))));
        let [arrived_out, arrived_back] =
            [&ends.server, &ends.client].map(|at| scope.spawn(move || receive_numbered(at, is_over)));
        let serving = scope.spawn(move || serve(&mut server));
        let streaming = scope.spawn(move || stream(&mut client, is_over));
        let switched = switch(&lab, &mut gateway, progress);
        is_over.store(true, Ordering::Relaxed);
        switched?;
        let sent = [joined(out)?, joined(back)?];
        let arrived = [joined(arrived_out)?, joined(arrived_back)?];
        for (way, sent, arrived) in [("out", sent[0], &arrived[0]), ("back", sent[1], &arrived[1])] {
            complete(arrived, sent).with_context(|| format!("{way}, {sent} sent"))?;
        }
        let streamed = joined(streaming)?;
        joined(serving)?;
        anyhow::Ok((sent, streamed))
    })?;
    ensure!(streamed > 1 << 20, "{streamed} bytes by TCP");
    gateway.expect_refused(&[])?;
    // The first datagram of each way opened the session.
    counted(&gateway, sent.map(|sent| sent + 1))
}

/// Runs the daemon with one mode after the other.
fn switch(lab: &Lab, gateway: &mut Gateway<'_>, progress: &[AtomicU64; 2]) -> Result<()> {
    for (xdp, is_fast) in
        [("native", true), ("off", false), ("native", true), ("native", true), ("auto", false), ("native", true)]
    {
        gateway.terminate()?;
        gateway.restart(Some(&policy(xdp)))?;
        let seen = [forwards(gateway, "lan0")?, forwards(gateway, "wan0")?];
        ensure!(seen == [is_fast; 2], "with `xdp: {xdp}` XDP forwards: {seen:?}");
        for (interface, sent) in ["lan0", "wan0"].into_iter().zip(progress) {
            eventually(&format!("{interface} to carry them by XDP: {is_fast}"), || {
                ensure!(bypasses_sockets(lab, interface, sent)? == is_fast);
                Ok(())
            })?;
        }
    }
    Ok(())
}

/// Whether most of what comes in by an interface never becomes a packet of the kernel's network stack.
fn bypasses_sockets(lab: &Lab, interface: &str, sent: &AtomicU64) -> Result<bool> {
    const SAMPLE: u64 = 200;
    let stack = Capture::new(&lab.gw, interface)?;
    let start = sent.load(Ordering::Relaxed);
    eventually("some datagrams", || {
        ensure!(sent.load(Ordering::Relaxed) >= start + SAMPLE);
        Ok(())
    })?;
    let is_datagram = |packet: &[u8]| Parsed::new(packet).is_some_and(|packet| packet.protocol == 17);
    Ok((stack.so_far(is_datagram)?.len() as u64) < SAMPLE / 2)
}

/// Both ends of a session that is open.
struct Ends {
    client: UdpSocket,
    server: UdpSocket,
    /// What the server sees as the client.
    mapped: SocketAddr,
}

impl Ends {
    fn new(lab: &Lab) -> Result<Self> {
        let (client, server) = (lab.lan.udp((CLIENT, 0))?, lab.internet.udp(MEDIA)?);
        client.send_to(b"open", MEDIA)?;
        let mut buffer = [0; 16];
        let (_, mapped) = server.recv_from(&mut buffer)?;
        ensure!(mapped.ip() == UPLINK, "the server saw {mapped}");
        server.send_to(b"open", mapped)?;
        client.recv(&mut buffer)?;
        Ok(Self { client, server, mapped })
    }
}

/// Sends datagrams with the numbers from 0 on, until it is over. Returns how many.
fn send_numbered(from: &UdpSocket, to: SocketAddr, (sent, is_over): (&AtomicU64, &AtomicBool)) -> Result<u64> {
    while !is_over.load(Ordering::Relaxed) {
        let number = sent.load(Ordering::Relaxed);
        from.send_to(&number.to_be_bytes(), to)?;
        sent.store(number + 1, Ordering::Relaxed);
        thread::sleep(PACE);
    }
    Ok(sent.load(Ordering::Relaxed))
}

/// How often each number arrived, until it is over and nothing more comes.
fn receive_numbered(at: &UdpSocket, is_over: &AtomicBool) -> Result<BTreeMap<u64, u32>> {
    at.set_read_timeout(Some(Duration::from_millis(500)))?;
    let mut arrived = BTreeMap::new();
    let mut number = [0; 8];
    loop {
        match at.recv(&mut number) {
            Ok(_) => *arrived.entry(u64::from_be_bytes(number)).or_default() += 1,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if is_over.load(Ordering::Relaxed) {
                    return Ok(arrived);
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Every number arrived once.
fn complete(arrived: &BTreeMap<u64, u32>, sent: u64) -> Result<()> {
    let lost: Vec<u64> = (0..sent).filter(|number| !arrived.contains_key(number)).collect();
    let doubled: Vec<u64> = arrived.iter().filter(|(_, times)| **times != 1).map(|(number, _)| *number).collect();
    ensure!(sent > 1000, "only {sent} datagrams were sent");
    ensure!(lost.is_empty() && doubled.is_empty(), "{} lost {:?}, twice {doubled:?}", lost.len(), lost.iter().take(20));
    Ok(())
}

/// Sends back what comes.
fn serve(stream: &mut TcpStream) -> Result<()> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            length => stream.write_all(&buffer[..length])?,
        }
    }
}

/// Sends chunks over one connection and compares what comes back, until it is over. Returns the bytes one way.
fn stream(stream: &mut TcpStream, is_over: &AtomicBool) -> Result<usize> {
    let chunk = noise(1 << 16);
    let mut arrived = vec![0; chunk.len()];
    let mut bytes = 0;
    while !is_over.load(Ordering::Relaxed) {
        stream.write_all(&chunk)?;
        stream.read_exact(&mut arrived).context("the TCP connection broke")?;
        ensure!(arrived == chunk, "bytes arrived changed by TCP");
        bytes += chunk.len();
        // A capture has to keep up with it.
        thread::sleep(20 * PACE);
    }
    stream.shutdown(std::net::Shutdown::Write)?;
    Ok(bytes)
}

/// The session of the datagrams has counted them all, by whatever path they went.
fn counted(gateway: &Gateway<'_>, sent: [u64; 2]) -> Result<()> {
    eventually("the counters", || {
        let flows = gateway.json("flows")?;
        let sessions = flows["sessions"].as_array().context("no sessions")?;
        let media: Vec<_> = sessions.iter().filter(|session| session["flow"] == "media").collect();
        let counted = media.iter().map(|one| [&one["out"]["packets"], &one["in"]["packets"]].map(|n| n.as_u64()));
        let counted: Vec<_> = counted.collect();
        ensure!(counted == [sent.map(Some)], "counted {counted:?}, sent {sent:?}");
        Ok(())
    })
}

fn joined<T>(thread: thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().map_err(|_| anyhow::anyhow!("a thread of the test panicked"))?
}
