//! What changes at the interfaces while it runs: the datapath follows, and calls go on where they can.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use thulium_tests::{
    lab::{CLIENT, LAN_GATEWAY, Lab, MASQUERADE, POLICY, THULIUM, UNRELATED, UPLINK, eventually, prepare},
    peer::{Echo, ask},
};

const MEDIA: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(THULIUM), 16_000);

#[test]
fn an_address_that_comes_back_keeps_the_sessions() -> Result<()> {
    let lab = Lab::new()?;
    let gateway = lab.start(POLICY)?;
    let _server = Echo::new(&lab.internet, &[MEDIA])?;
    let phone = lab.lan.udp((CLIENT, 0))?;
    let mapped = ask(&phone, MEDIA, b"before")?;
    lab.gw.ip(&format!("address del {UPLINK}/24 dev wan0"))?;
    eventually("the daemon has noticed", || {
        let status = gateway.ctl("status")?;
        ensure!(status.out.contains("no IPv4 address"), "{}", status.out);
        Ok(())
    })?;
    lab.gw.ip(&format!("address add {UPLINK}/24 dev wan0"))?;
    lab.gw.ip("route replace default via 198.51.100.254")?;
    eventually("the warning is gone", || {
        let status = gateway.ctl("status")?;
        ensure!(!status.out.contains("no IPv4 address"), "{}", status.out);
        Ok(())
    })?;
    assert_eq!(ask(&phone, MEDIA, b"after")?, mapped);
    gateway.expect_refused(&[])
}

#[test]
fn an_uplink_that_is_down_is_told() -> Result<()> {
    let lab = Lab::new()?;
    let mut gateway = lab.start(POLICY)?;
    let status = gateway.ctl("status")?;
    assert!(status.out.starts_with("ENFORCING\n"), "{}", status.out);
    lab.gw.ip("link set wan0 down")?;
    eventually("status tells, and what to do", || {
        let status = gateway.ctl("status")?;
        let told = status.out.contains("is down: nothing gets out\n  `ip link set wan0 up`\n");
        ensure!(told, "{}", status.out);
        Ok(())
    })?;
    let log = gateway.daemon().log();
    assert!(log.contains("the uplink is down"), "{log}");
    lab.gw.ip("link set wan0 up")?;
    eventually("the warning is gone", || {
        let status = gateway.ctl("status")?;
        ensure!(!status.out.contains("is down"), "{}", status.out);
        Ok(())
    })
}

#[test]
fn another_address_is_taken_up_and_old_sessions_end() -> Result<()> {
    let lab = Lab::new()?;
    let gateway = lab.start(POLICY)?;
    let _server = Echo::new(&lab.internet, &[MEDIA])?;
    let phone = lab.lan.udp((CLIENT, 5060))?;
    ask(&phone, MEDIA, b"before")?;
    lab.gw.ip(&format!("address del {UPLINK}/24 dev wan0"))?;
    lab.gw.ip("address add 198.51.100.7/24 dev wan0")?;
    lab.gw.ip("route replace default via 198.51.100.254")?;
    eventually("the daemon has noticed", || {
        let status = gateway.ctl("status")?;
        ensure!(status.out.contains("198.51.100.7"), "{}", status.out);
        Ok(())
    })?;
    let mapped = ask(&phone, MEDIA, b"after")?;
    assert_eq!(mapped.to_string(), "198.51.100.7:5060");
    let flows = gateway.json("flows")?;
    assert_eq!(flows["sessions"].as_array().map(Vec::len), Some(1), "only the new one lives: {flows}");
    Ok(())
}

#[test]
fn a_lan_interface_that_is_made_anew_is_enforced_again() -> Result<()> {
    let lab = Lab::new()?;
    lab.nft(MASQUERADE)?;
    let gateway = lab.start(POLICY)?;
    let _servers = Echo::new(&lab.internet, &[MEDIA, (UNRELATED, 53).into()])?;
    let (_, xdp_before) = pins(&lab)?;
    lab.gw.ip("link del lan0")?;
    eventually("status says what is gone", || {
        let status = gateway.ctl("status")?;
        ensure!(status.out.contains("the interface lan0 of the policy is gone"), "{}", status.out);
        Ok(())
    })?;
    lab.gw.ip(&format!("link add lan0 type veth peer name eth0 netns {}", lab.lan.name()))?;
    lab.gw.ip(&format!("address add {LAN_GATEWAY}/24 dev lan0"))?;
    lab.gw.ip("link set lan0 up")?;
    lab.lan.ip(&format!("address add {CLIENT}/24 dev eth0"))?;
    lab.lan.ip("link set eth0 up")?;
    prepare([(&lab.gw, "lan0"), (&lab.lan, "eth0")])?;
    lab.lan.ip(&format!("route replace default via {LAN_GATEWAY}"))?;
    eventually("the new interface is attached", || {
        let status = gateway.ctl("status")?;
        let is_back = !status.out.contains("is gone") && status.out.contains("lan0 (LAN): TC tcx");
        ensure!(status.code == 0 && is_back, "{}", status.out);
        Ok(())
    })?;
    let (tc, xdp) = pins(&lab)?;
    assert_eq!(tc, 5, "two at the uplink, three at the LAN: the pins of the interface that is gone went with it");
    assert_eq!(xdp, xdp_before, "one at each, where XDP is attached");
    ask(&lab.lan.udp((CLIENT, 0))?, MEDIA, b"admitted again")?;
    lab.lan.udp((CLIENT, 0))?.send_to(b"refused again", (UNRELATED, 53))?;
    gateway.expect_refused(&["no-flow out wan0: 1"])
}

/// How many pins the lab's instance has of programs at its interfaces: in TC, in XDP.
fn pins(lab: &Lab) -> Result<(usize, usize)> {
    let layouts = std::fs::read_dir(lab.bpffs().join("thulium").join(lab.id()))?.flatten().map(|layout| layout.path());
    let links = layouts.flat_map(|layout| std::fs::read_dir(layout.join("links"))).flatten().flatten();
    let (xdp, tc): (Vec<_>, Vec<_>) =
        links.map(|link| link.file_name()).partition(|name| name.to_string_lossy().starts_with("xdp-"));
    Ok((tc.len(), xdp.len()))
}
