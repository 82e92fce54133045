//! The datapath outlives its daemon, and `down` ends it.

use std::{
    fs,
    io::{Read, Write},
    net::SocketAddr,
    path::Path,
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use thulium_tests::{
    lab::{CLIENT, Gateway, Lab, MASQUERADE, POLICY, THULIUM, UNRELATED},
    peer::{Echo, SERVER_HELLO, ask, noise},
};

const MEDIA: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(THULIUM), 16_000);

#[test]
fn a_call_loses_no_packet_while_the_daemon_is_killed_and_started() -> Result<()> {
    let lab = Lab::new()?;
    let mut gateway = lab.start(POLICY)?;
    let _server = Echo::new(&lab.internet, &[MEDIA])?;
    let phone = lab.lan.udp((CLIENT, 0))?;
    let (stop, stopped) = mpsc::channel();
    let call = thread::spawn({
        let phone = phone.try_clone()?;
        move || {
            let mut sent = 0_u32;
            while stopped.recv_timeout(Duration::from_millis(10)).is_err() {
                phone.send_to(&sent.to_be_bytes(), MEDIA)?;
                sent += 1;
            }
            anyhow::Ok(sent)
        }
    });
    thread::sleep(Duration::from_millis(500));
    for _ in 0..2 {
        gateway.kill()?;
        // Some of the call without any daemon.
        thread::sleep(Duration::from_millis(300));
        gateway.restart(None)?;
    }
    thread::sleep(Duration::from_millis(300));
    stop.send(())?;
    let sent = call.join().map_err(|_| anyhow::anyhow!("the call panicked"))??;
    for number in 0..sent {
        let mut answer = [0; 64];
        let length = phone.recv(&mut answer).with_context(|| format!("packet {number} of {sent} was lost"))?;
        assert_eq!(answer[length - 4..length], number.to_be_bytes(), "packet {number} of {sent}");
    }
    gateway.expect_refused(&[])
}

#[test]
fn a_download_goes_on_while_the_daemon_is_killed_and_started() -> Result<()> {
    let lab = Lab::new()?;
    let mut gateway = lab.start(POLICY)?;
    let listener = lab.internet.listen((THULIUM, 443))?;
    let content = [&SERVER_HELLO[..], &noise(2 << 20)].concat();
    let server = thread::spawn({
        let content = content.clone();
        move || {
            let mut stream = listener.accept()?.0;
            for part in content.chunks(16 << 10) {
                stream.write_all(part)?;
                thread::sleep(Duration::from_millis(10));
            }
            anyhow::Ok(())
        }
    });
    let mut client = lab.lan.connect((THULIUM, 443))?;
    let mut arrived = vec![0; 100 << 10];
    client.read_exact(&mut arrived)?;
    gateway.kill()?;
    let started = arrived.len();
    arrived.resize(started + (100 << 10), 0);
    client.read_exact(&mut arrived[started..]).context("without a daemon")?;
    gateway.restart(None)?;
    client.read_to_end(&mut arrived).context("with the new daemon")?;
    assert!(arrived == content, "the download arrived changed");
    server.join().map_err(|_| anyhow::anyhow!("the server panicked"))?
}

#[test]
fn refusals_and_counters_go_on() -> Result<()> {
    let lab = Lab::new()?;
    let mut gateway = lab.start(POLICY)?;
    let stranger = lab.lan.udp((CLIENT, 0))?;
    stranger.send_to(b"x", (UNRELATED, 53))?;
    gateway.expect_refused(&["no-flow out wan0: 1"])?;
    gateway.kill()?;
    assert_eq!(gateway.ctl("status")?.code, 3, "status says that no daemon serves it");
    stranger.send_to(b"x", (UNRELATED, 53))?;
    gateway.expect_refused(&["no-flow out wan0: 2"]).context("without a daemon")?;
    gateway.restart(None)?;
    stranger.send_to(b"x", (UNRELATED, 53))?;
    gateway.expect_refused(&["no-flow out wan0: 3"]).context("with the new daemon")
}

#[test]
fn a_wrong_policy_leaves_enforcement_as_it_was() -> Result<()> {
    let lab = Lab::new()?;
    let mut gateway = lab.start(POLICY)?;
    let _server = Echo::new(&lab.internet, &[MEDIA])?;
    let client = lab.lan.udp((CLIENT, 0))?;
    ask(&client, MEDIA, b"before")?;
    gateway.kill()?;
    let wrong = gateway.restart(Some(&format!("{POLICY}sessions: {{ udp_idle: 30s }}\n")));
    ensure!(wrong.is_err(), "30 s is below the floor of 50 s");
    assert_eq!(gateway.daemon().wait(Duration::from_secs(5))?.code(), Some(78));
    ask(&client, MEDIA, b"after")?;
    client.send_to(b"x", (UNRELATED, 53))?;
    gateway.expect_refused(&["no-flow out wan0: 1"])?;
    gateway.restart(Some(POLICY))?;
    ask(&client, MEDIA, b"again").map(drop)
}

#[test]
fn a_flow_that_a_new_policy_lacks_is_refused_in_its_sessions_too() -> Result<()> {
    let lab = Lab::new()?;
    let mut gateway = lab.start(POLICY)?;
    let _server = Echo::new(&lab.internet, &[MEDIA, (THULIUM, 15_060).into()])?;
    let client = lab.lan.udp((CLIENT, 0))?;
    ask(&client, MEDIA, b"before")?;
    gateway.kill()?;
    let sip_only = format!("{POLICY}flows: [{{ name: sip, to: thulium, ports: 15060/udp }}]\n");
    gateway.restart(Some(&sip_only))?;
    client.send_to(b"after", MEDIA)?;
    gateway.expect_refused(&["policy-changed out lan0: 1"])?;
    ask(&client, (THULIUM, 15_060).into(), b"REGISTER").map(drop)
}

#[test]
fn down_leaves_nothing_behind() -> Result<()> {
    let lab = Lab::new()?;
    lab.nft(MASQUERADE)?;
    lab.gw.sysctl("net/ipv4/ip_local_reserved_ports", "9000-9001")?;
    let before = traces(&lab)?;
    let mut gateway = lab.start(POLICY)?;
    let _server = Echo::new(&lab.internet, &[(UNRELATED, 53).into(), MEDIA])?;
    let client = lab.lan.udp((CLIENT, 0))?;
    ask(&client, MEDIA, b"x")?;
    gateway.down()?;
    is_as_before(&lab, &gateway, &before)?;
    ask(&client, (UNRELATED, 53).into(), b"the kernel decides again").map(drop)
}

#[test]
fn down_works_without_a_daemon() -> Result<()> {
    let lab = Lab::new()?;
    let before = traces(&lab)?;
    let mut gateway = lab.start(POLICY)?;
    gateway.kill()?;
    assert_eq!(gateway.ctl("down")?.code, 0);
    is_as_before(&lab, &gateway, &before)
}

/// What a gateway without thulium-ctl looks like: interfaces with their programs, queueing, sysctls, pins.
pub(crate) fn traces(lab: &Lab) -> Result<Vec<String>> {
    let mut traces = vec![
        lab.gw.read_sysctl("net/ipv4/ip_local_reserved_ports")?,
        lab.gw.read_sysctl("net/ipv4/conf/lan0/forwarding")?,
        lab.gw.read_sysctl("net/ipv4/conf/wan0/forwarding")?,
        format!("{:?}", files(&lab.bpffs())?),
        lab.gw.output("tc", "qdisc show")?,
    ];
    for interface in ["lan0", "wan0"] {
        // Statistics and states change; what is attached does not.
        let link: serde_json::Value =
            serde_json::from_str(&lab.gw.output("ip", &format!("-d -j link show {interface}"))?)?;
        traces.push(format!("{} {}", link[0]["xdp"], link[0]["prog"]));
        for hook in ["ingress", "egress"] {
            traces.push(lab.gw.output("tc", &format!("filter show dev {interface} {hook}"))?);
        }
    }
    Ok(traces)
}

/// The gateway is what it was, and nothing of the instance is left.
pub(crate) fn is_as_before(lab: &Lab, gateway: &Gateway<'_>, before: &[String]) -> Result<()> {
    assert_eq!(traces(lab)?, before);
    let (socket, lock) = (format!("/run/thulium-ctl/{}.sock", lab.id()), format!("/run/thulium-ctl/{}.lock", lab.id()));
    for path in [socket, lock, format!("/var/lib/thulium-ctl/{}", lab.id())] {
        assert!(!Path::new(&path).exists(), "{path} is still there");
    }
    assert_eq!(gateway.ctl("status")?.code, 3, "status says that nothing is attached");
    Ok(())
}

fn files(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder)?.collect::<std::io::Result<Vec<_>>>()?;
    Ok(entries.iter().map(|entry| entry.path().display().to_string()).collect())
}
