//! Kernels before 6.6 have no TCX: the programs are filters of the clsact qdisc, with the same promises.

use std::net::SocketAddr;

use anyhow::Result;
use thulium_tests::{
    lab::{CLIENT, Lab, POLICY, THULIUM},
    peer::{Echo, ask},
};

use crate::{flows::everything, survival::is_as_before, survival::traces};

const MEDIA: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(THULIUM), 16_000);

fn policy() -> String {
    format!("{POLICY}datapath: {{ tc: clsact }}\n")
}

#[test]
fn flows_work_and_status_names_the_hook() -> Result<()> {
    let lab = Lab::new()?;
    let gateway = lab.start(&policy())?;
    everything(&lab)?;
    let status = gateway.json("status")?;
    for interface in status["datapath"]["interfaces"].as_array().into_iter().flatten() {
        assert_eq!(interface["tc"], "clsact", "{interface}");
    }
    gateway.expect_refused(&[])
}

#[test]
fn the_filters_outlive_the_daemon_and_are_taken_over_and_off() -> Result<()> {
    let lab = Lab::new()?;
    let before = traces(&lab)?;
    let mut gateway = lab.start(&policy())?;
    let _server = Echo::new(&lab.internet, &[MEDIA])?;
    let client = lab.lan.udp((CLIENT, 0))?;
    let mapped = ask(&client, MEDIA, b"before")?;
    gateway.kill()?;
    assert_eq!(ask(&client, MEDIA, b"without a daemon")?, mapped);
    gateway.restart(None)?;
    assert_eq!(ask(&client, MEDIA, b"taken over")?, mapped);
    let filters = lab.gw.output("tc", "filter show dev wan0 egress")?;
    assert_eq!(filters.matches("handle").count(), 1, "one filter, not two: {filters}");
    gateway.down()?;
    is_as_before(&lab, &gateway, &before)
}

#[test]
fn from_clsact_to_tcx_and_back_keeps_the_sessions() -> Result<()> {
    let lab = Lab::new()?;
    let mut gateway = lab.start(&policy())?;
    let _server = Echo::new(&lab.internet, &[MEDIA])?;
    let client = lab.lan.udp((CLIENT, 0))?;
    let mapped = ask(&client, MEDIA, b"clsact")?;
    for policy in [POLICY.to_owned(), policy()] {
        gateway.kill()?;
        gateway.restart(Some(&policy))?;
        assert_eq!(ask(&client, MEDIA, b"again")?, mapped);
    }
    gateway.expect_refused(&[])
}
