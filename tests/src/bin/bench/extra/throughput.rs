//! What one TCP connection carries, in gateways of their own: with all offloads on, and without the rig's sinks, which have
//! an effect on them.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use thulium_ebpf::bench::FIRST_REMOTE;
use thulium_tests::lab::{Gateway, Lab, UPLINK};

use crate::{plan::Plan, progress::Progress, results::Readings, rig, sample::Contender};

/// Those whom it says something about. On a veth XDP cannot see a checksum that is still to be made.
const CONTENDERS: [Contender; 3] = [Contender::KernelForwarding, Contender::Nftables, Contender::XdpOff];
/// How long a connection has before its bytes count.
const WARM: Duration = Duration::from_millis(150);
const PORT: u16 = 443;
const BLOCK: usize = 1 << 18;

/// Seconds that it is thought to take.
pub(crate) fn seconds(plan: &Plan) -> f64 {
    let each = f64::from(plan.few_rounds()) * (long(plan) + WARM).as_secs_f64();
    contenders(plan).len() as f64 * (2.0 + each)
}

fn contenders(plan: &Plan) -> Vec<Contender> {
    CONTENDERS.into_iter().filter(|contender| plan.contenders.contains(contender)).collect()
}

const fn long(plan: &Plan) -> Duration {
    Duration::from_millis(if plan.quick { 500 } else { 1500 })
}

/// Gbit/s, round by round.
///
/// # Errors
/// When a gateway cannot be built, or does not carry it.
pub(crate) fn measure(plan: &Plan, progress: &mut Progress) -> Result<Readings> {
    progress.stage("TCP throughput");
    let contenders = contenders(plan);
    let labs: Vec<Lab> = contenders.iter().map(|_| Lab::new()).collect::<Result<_>>()?;
    let gateways = contenders.iter().zip(&labs).map(|(contender, lab)| set_up(lab, *contender));
    let gateways: Vec<Option<Gateway<'_>>> = gateways.collect::<Result<_>>()?;
    let mut throughput = Readings::default();
    for round in 0..plan.few_rounds() {
        progress.round(round, plan.few_rounds());
        for (contender, lab) in contenders.iter().zip(&labs) {
            let rate = transfer(lab, long(plan)).with_context(|| format!("TCP throughput: {}", contender.name()))?;
            throughput.push(*contender, round, rate);
        }
        progress.advance(seconds(plan) / f64::from(plan.few_rounds()));
    }
    gateways.into_iter().flatten().for_each(|mut gateway| gateway.hide_log());
    Ok(throughput)
}

fn set_up(lab: &Lab, contender: Contender) -> Result<Option<Gateway<'_>>> {
    lab.add_servers(&[server()])?;
    lab.internet.ip(&format!("route add 192.168.20.0/24 via {UPLINK}"))?;
    match contender {
        Contender::Nftables => rig::set_nftables_up(lab).map(|()| None),
        Contender::XdpOff => lab.start(&rig::bulk("off")).map(Some),
        _ => Ok(None),
    }
}

const fn server() -> Ipv4Addr {
    Ipv4Addr::from_bits(FIRST_REMOTE)
}

/// Sends as much as goes through from the LAN to the server; Gbit/s that arrive.
fn transfer(lab: &Lab, long: Duration) -> Result<f64> {
    let listener = lab.internet.listen((server(), PORT))?;
    let client = lab.lan.connect((server(), PORT))?;
    thread::scope(|scope| {
        let sent = scope.spawn(|| send(client, WARM + long));
        let rate = receive(&listener);
        sent.join().map_err(|_| anyhow::anyhow!("a thread of the bench panicked"))??;
        rate
    })
}

fn send(mut client: TcpStream, long: Duration) -> Result<()> {
    let (begun, block) = (Instant::now(), vec![0; BLOCK]);
    while begun.elapsed() < long {
        client.write_all(&block)?;
    }
    Ok(())
}

fn receive(listener: &TcpListener) -> Result<f64> {
    let (mut server, _) = listener.accept()?;
    let mut block = vec![0; BLOCK];
    let begun = Instant::now();
    while begun.elapsed() < WARM && server.read(&mut block)? > 0 {}
    let (begun, mut bytes) = (Instant::now(), 0);
    loop {
        match server.read(&mut block)? {
            0 => return Ok(bytes as f64 * 8.0 / 1e9 / begun.elapsed().as_secs_f64()),
            read => bytes += read,
        }
    }
}
