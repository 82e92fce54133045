//! How long a datagram takes to a server and back: one at a time, both ends on the bench's CPU.

use std::{
    io::ErrorKind,
    net::UdpSocket,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use thulium_tests::lab::{CLIENT, LAN_GATEWAY, LAN_MAC, Lab, STUN, UPLINK, WAN_MAC};

use crate::{
    plan::Plan,
    progress::Progress,
    results::Results,
    rig::{Cpu, Rig},
};

/// A port of the policy that is not that of the bench's source: the sinks let it pass.
const PORT: u16 = 19302;
/// Datagrams that are not counted: they open the session, and ask for neighbours.
const WARM: usize = 100;
/// How long the server waits before it looks whether it is still wanted.
const PAUSE: Duration = Duration::from_millis(100);
/// What all rounds are thought to take for each contender, seconds.
const EACH: f64 = 0.12;

/// Seconds that it is thought to take.
pub(crate) fn seconds(plan: &Plan) -> f64 {
    f64::from(plan.rounds) * plan.contenders.len() as f64 * EACH
}

/// Measures everybody, round by round.
///
/// # Errors
/// When a datagram does not come back.
pub(crate) fn measure(rig: &mut Rig<'_>, plan: &Plan, progress: &mut Progress, results: &mut Results) -> Result<()> {
    progress.stage("Latency");
    let pings = if plan.quick { 1_000 } else { 4_000 };
    for contender in &plan.contenders {
        prepare(rig.lab(*contender)?)?;
    }
    for round in 0..plan.rounds {
        progress.round(round, plan.rounds);
        for contender in &plan.contenders {
            let (lab, cpu) = (rig.lab(*contender)?, rig.cpu());
            let times = exchange(lab, cpu, pings).with_context(|| format!("latency: {}", contender.name()))?;
            let [median, tail] =
                [0.5, 0.99].map(|part| times[(times.len() as f64 * part) as usize].as_secs_f64() * 1e6);
            results.median_latency.push(*contender, round, median);
            results.tail_latency.push(*contender, round, tail);
        }
        progress.advance(seconds(plan) / f64::from(plan.rounds));
    }
    Ok(())
}

/// Makes sockets at both ends useful to every contender: with routes for the one that does not translate, neighbours for the one
/// that answers no question for them, and finished checksums, since XDP on a veth cannot see which are not.
fn prepare(lab: &Lab) -> Result<()> {
    let text = |mac: [u8; 6]| mac.map(|byte| format!("{byte:02x}")).join(":");
    lab.lan.ip(&format!("neighbour replace {LAN_GATEWAY} dev eth0 lladdr {} nud permanent", text(LAN_MAC)))?;
    lab.internet.ip(&format!("neighbour replace {UPLINK} dev eth0 lladdr {} nud permanent", text(WAN_MAC)))?;
    lab.internet.ip(&format!("route replace 192.168.20.0/24 via {UPLINK}"))?;
    for end in [&lab.lan, &lab.internet] {
        end.output("ethtool", "-K eth0 tx off")?;
    }
    Ok(())
}

/// Sends `count` datagrams, each when the one before has come back; how long each took, sorted.
fn exchange(lab: &Lab, cpu: Cpu, count: usize) -> Result<Vec<Duration>> {
    let server = lab.internet.udp((STUN, PORT))?;
    server.set_read_timeout(Some(PAUSE))?;
    let client = lab.lan.udp((CLIENT, 0))?;
    client.connect((STUN, PORT))?;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| cpu.hold().and_then(|()| echo(&server, &over)));
        let times = scope.spawn(|| cpu.hold().and_then(|()| pings(&client, count)));
        let times = times.join().map_err(|_| anyhow::anyhow!("a thread of the bench panicked"));
        over.store(true, Ordering::Relaxed);
        let mut times = times??.split_off(WARM);
        times.sort_unstable();
        Ok(times)
    })
}

fn pings(client: &UdpSocket, count: usize) -> Result<Vec<Duration>> {
    let mut answer = [0; 64];
    let ping = |_| {
        let begun = Instant::now();
        client.send(&[0; 18])?;
        client.recv(&mut answer).context("no answer")?;
        Ok(begun.elapsed())
    };
    (0..WARM + count).map(ping).collect()
}

/// Sends everything back until it is over.
fn echo(server: &UdpSocket, over: &AtomicBool) -> Result<()> {
    let mut datagram = [0; 64];
    while !over.load(Ordering::Relaxed) {
        match server.recv_from(&mut datagram) {
            Ok((length, from)) => drop(server.send_to(&datagram[..length], from)?),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
