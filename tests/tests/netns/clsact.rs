//! On kernels without TCX the programs sit in the clsact qdisc: the same refusals, the same survival.

use std::fs;

use anyhow::Result;
use thulium_tests::{
    lab::{CLIENT, Lab, POLICY, THULIUM, UNRELATED},
    packet::Capture,
    peer::{Echo, ask},
};

use crate::{
    flows::everything,
    refusals::{clients_are_refused, world_is_refused},
    startup::run,
    survival::{is_as_before, traces},
};

fn clsact() -> String {
    format!("{POLICY}datapath: {{ tc: clsact }}\n")
}

#[test]
fn refuses_and_admits_the_same() -> Result<()> {
    let lab = Lab::new()?;
    let gateway = lab.start(&clsact())?;
    everything(&lab)?;
    let wire = Capture::new(&lab.internet, "eth0")?;
    clients_are_refused(&lab, &gateway, &wire)
}

#[test]
fn refuses_the_world() -> Result<()> {
    let lab = Lab::new()?;
    let gateway = lab.start(&clsact())?;
    world_is_refused(&lab, &gateway)
}

#[test]
fn outlives_its_daemon_until_down() -> Result<()> {
    let lab = Lab::new()?;
    let before = traces(&lab)?;
    let mut gateway = lab.start(&clsact())?;
    let _server = Echo::new(&lab.internet, &[(THULIUM, 16_000).into()])?;
    let client = lab.lan.udp((CLIENT, 0))?;
    for _ in 0..2 {
        ask(&client, (THULIUM, 16_000).into(), b"speech")?;
        gateway.kill()?;
        ask(&client, (THULIUM, 16_000).into(), b"without a daemon")?;
        gateway.restart(None)?;
    }
    client.send_to(b"x", (UNRELATED, 53))?;
    gateway.expect_refused(&["no-flow out wan0: 1"])?;
    gateway.down()?;
    is_as_before(&lab, &gateway, &before)
}

#[test]
fn filters_without_pins_are_told_of_with_what_takes_them_off() -> Result<()> {
    let lab = Lab::new()?;
    let before = traces(&lab)?;
    let mut gateway = lab.start(&clsact())?;
    gateway.kill()?;
    fs::remove_dir_all(lab.bpffs().join("thulium"))?;
    let mut commands = Vec::new();
    for interface in ["wan0", "lan0"] {
        let ran = run(&lab, &clsact(), |_| {})?;
        assert_eq!(ran.code, 4, "{ran:?}");
        let expected = format!("{interface} has a filter of thulium-ctl that this instance has no pin of");
        assert!(ran.err.contains(&expected), "{ran:?}");
        let lines = ran.err.lines().map(str::trim);
        let told: Vec<_> = lines.filter_map(|line| line.strip_prefix("tc ")).map(str::to_owned).collect();
        for command in &told {
            lab.gw.output("tc", command)?;
        }
        commands.extend(told);
    }
    assert_eq!(commands.len(), 5, "{commands:?}");
    gateway.restart(None)?;
    let _server = Echo::new(&lab.internet, &[(THULIUM, 16_000).into()])?;
    ask(&lab.lan.udp((CLIENT, 0))?, (THULIUM, 16_000).into(), b"enforced again")?;
    gateway.down()?;
    is_as_before(&lab, &gateway, &before)
}

#[test]
fn changes_to_tcx_and_back_with_its_sessions() -> Result<()> {
    let lab = Lab::new()?;
    let mut gateway = lab.start(&clsact())?;
    let _server = Echo::new(&lab.internet, &[(THULIUM, 16_000).into()])?;
    let client = lab.lan.udp((CLIENT, 0))?;
    let mapped = ask(&client, (THULIUM, 16_000).into(), b"clsact")?;
    for policy in [POLICY.to_owned(), clsact()] {
        gateway.kill()?;
        gateway.restart(Some(&policy))?;
        assert_eq!(ask(&client, (THULIUM, 16_000).into(), b"again")?, mapped);
    }
    gateway.expect_refused(&[])
}
