//! With XDP on the interfaces the same packets are refused, under the same counters, exactly once.

use anyhow::Result;
use thulium_tests::{
    lab::{Lab, POLICY},
    packet::Capture,
};

use crate::{
    flows::{stun, udp},
    refusals::{clients_are_refused, world_is_refused},
};

fn native() -> String {
    format!("{POLICY}datapath: {{ xdp: native }}\n")
}

#[test]
fn the_world_is_refused() -> Result<()> {
    let lab = Lab::new()?;
    let gateway = lab.start(&native())?;
    assert!(lab.gw.output("ip", "link show wan0")?.contains("xdp"), "XDP is attached");
    world_is_refused(&lab, &gateway)
}

#[test]
fn clients_are_refused_too() -> Result<()> {
    let lab = Lab::new()?;
    let gateway = lab.start(&native())?;
    let wire = Capture::new(&lab.internet, "eth0")?;
    clients_are_refused(&lab, &gateway, &wire)
}

#[test]
fn flows_work() -> Result<()> {
    let lab = Lab::new()?;
    let gateway = lab.start(&native())?;
    udp(&lab)?;
    stun(&lab)?;
    gateway.expect_refused(&[])
}

#[test]
fn auto_says_why_it_is_off_on_veth() -> Result<()> {
    let lab = Lab::new()?;
    let gateway = lab.start(POLICY)?;
    assert!(!lab.gw.output("ip", "link show wan0")?.contains("xdp"), "XDP is not attached");
    let status = gateway.ctl("status")?.out;
    assert!(status.contains("veth"), "{status}");
    Ok(())
}
