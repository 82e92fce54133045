//! Other rules of the gateway neither break admitted flows nor open anything to forbidden ones.

use std::{net::SocketAddr, time::Duration};

use anyhow::Result;
use thulium_tests::{
    lab::{CLIENT, Lab, MASQUERADE, POLICY, THULIUM, UNRELATED},
    packet::{Capture, Parsed},
    peer::{Echo, ask},
};

use crate::flows::everything;

/// Lets nothing through that conntrack does not know as a reply: no new flow of a client.
const STRICT_FORWARD: &str = "
table inet filter {
    chain forward {
        type filter hook forward priority filter; policy drop
        ct state established,related accept
    }
}
";

#[test]
fn with_a_masquerade_rule() -> Result<()> {
    let lab = Lab::new()?;
    lab.nft(MASQUERADE)?;
    let gateway = lab.start(POLICY)?;
    everything(&lab)?;
    gateway.expect_refused(&[])?;
    nothing_forbidden_gets_out(&lab)?;
    // Translated before the guard met it, but known to be a client's.
    gateway.expect_refused(&["no-flow out wan0: 1"])
}

#[test]
fn with_a_strict_forward_chain() -> Result<()> {
    let lab = Lab::new()?;
    lab.nft(STRICT_FORWARD)?;
    let _gateway = lab.start(POLICY)?;
    everything(&lab)?;
    nothing_forbidden_gets_out(&lab)
}

#[test]
fn with_both_and_a_running_daemon_killed() -> Result<()> {
    let lab = Lab::new()?;
    lab.nft(MASQUERADE)?;
    lab.nft(STRICT_FORWARD)?;
    let mut gateway = lab.start(POLICY)?;
    gateway.kill()?;
    everything(&lab)?;
    nothing_forbidden_gets_out(&lab)
}

#[test]
fn with_strict_reverse_path_filters() -> Result<()> {
    let lab = Lab::new()?;
    for interface in ["all", "lan0", "wan0"] {
        lab.gw.sysctl(&format!("net/ipv4/conf/{interface}/rp_filter"), "1")?;
    }
    let _gateway = lab.start(POLICY)?;
    everything(&lab)?;
    nothing_forbidden_gets_out(&lab)
}

#[test]
fn with_traffic_from_before_the_start() -> Result<()> {
    let lab = Lab::new()?;
    lab.nft(MASQUERADE)?;
    let media = SocketAddr::from((THULIUM, 16_000));
    let _server = Echo::new(&lab.internet, &[media, (UNRELATED, 53).into()])?;
    let client = lab.lan.udp((CLIENT, 5004))?;
    ask(&client, media, b"translated by the kernel")?;
    ask(&client, (UNRELATED, 53).into(), b"allowed until now")?;
    let gateway = lab.start(POLICY)?;
    ask(&client, media, b"translated by thulium-ctl")?;
    client.send_to(b"x", (UNRELATED, 53))?;
    gateway.expect_refused(&["no-flow out wan0: 1"])
}

fn nothing_forbidden_gets_out(lab: &Lab) -> Result<()> {
    let wire = Capture::new(&lab.internet, "eth0")?;
    let client = lab.lan.udp((CLIENT, 0))?;
    client.send_to(b"forbidden", (UNRELATED, 53))?;
    let got_out = wire.next_within(Duration::from_millis(300), |packet| {
        Parsed::new(packet).is_some_and(|packet| packet.payload == b"forbidden")
    })?;
    assert_eq!(got_out, None);
    Ok(())
}
