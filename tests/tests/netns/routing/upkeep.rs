//! What is set on the gateway: it follows the uplinks, and `down` takes it away whole, and nothing else.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use thulium_tests::{
    lab::{Isp, Lab, Verb, client, eventually},
    peer::{Echo, ask},
};

use super::{MEDIA, POLICY, everything, learns_of_its_uplink, office, set_mtu};
use crate::icmp::NARROW;

/// Rules, routes and checks of sources, as an admin sees them.
fn routing(lab: &Lab) -> Result<String> {
    let lines = ["rule", "-6 rule", "route show table all", "-6 route show table all"];
    let shown = lines.iter().map(|line| lab.gw.output("ip", line)).collect::<Result<Vec<_>>>()?;
    Ok(shown.join("\n"))
}

fn settings(lab: &Lab) -> Result<Vec<String>> {
    let interfaces = ["all", "default", "lan0", "lan1", "wan0", "wan1", "vpn0"];
    let keys = ["rp_filter", "src_valid_mark", "forwarding"];
    let names = interfaces.iter().flat_map(|name| keys.map(|key| format!("net/ipv4/conf/{name}/{key}")));
    names.map(|name| Ok(format!("{name}={}", lab.gw.read_sysctl(&name)?))).collect()
}

#[test]
fn down_leaves_rules_routes_and_settings_as_they_were() -> Result<()> {
    let lab = office()?;
    let before = (routing(&lab)?, settings(&lab)?);
    let mut gateway = lab.start(POLICY)?;
    let rules = lab.gw.output("ip", "rule show")?;
    ensure!(rules.contains("lookup main suppress_prefixlength 0 proto 84"), "{rules}");
    ensure!(lab.gw.read_sysctl("net/ipv4/conf/wan1/src_valid_mark")? == "1");
    learns_of_its_uplink(&lab, 33_000)?;
    gateway.down()?;
    assert_eq!((routing(&lab)?, settings(&lab)?), before);
    Ok(())
}

#[test]
fn down_does_so_without_the_daemon() -> Result<()> {
    let lab = office()?;
    let before = (routing(&lab)?, settings(&lab)?);
    let mut gateway = lab.start(POLICY)?;
    gateway.kill()?;
    gateway.ctl("down")?;
    assert_eq!((routing(&lab)?, settings(&lab)?), before);
    Ok(())
}

#[test]
fn rules_and_routes_go_without_a_record_of_them() -> Result<()> {
    let lab = office()?;
    let before = routing(&lab)?;
    let mut gateway = lab.start(POLICY)?;
    gateway.kill()?;
    fs::remove_dir_all(format!("/var/lib/thulium-ctl/{}", lab.id()))?;
    gateway.ctl("down")?;
    assert_eq!(routing(&lab)?, before);
    Ok(())
}

#[test]
fn a_policy_with_one_uplink_needs_none_of_it() -> Result<()> {
    let lab = office()?;
    let before = routing(&lab)?;
    let mut gateway = lab.start(POLICY)?;
    ensure!(routing(&lab)? != before);
    gateway.terminate()?;
    gateway.restart(Some(thulium_tests::lab::POLICY))?;
    assert_eq!(routing(&lab)?, before);
    Ok(())
}

#[test]
fn a_table_that_others_use_is_refused() -> Result<()> {
    let lab = office()?;
    lab.gw.ip("route add 10.77.0.0/16 via 10.8.0.2 table 7401")?;
    let before = (routing(&lab)?, settings(&lab)?);
    let file = lab.dir().join("policy.yaml");
    fs::write(&file, POLICY)?;
    let mut verb = Verb::new(&lab, "run --policy")?;
    verb.command().arg(file);
    let ran = verb.ran()?;
    ensure!(ran.code == 4 && ran.err.contains("routing table 7401"), "{ran:?}");
    ensure!(ran.err.contains("ip route show table 7401"), "it says what to look at: {ran:?}");
    assert_eq!((routing(&lab)?, settings(&lab)?), before);
    Ok(())
}

/// Waits until clients that nobody has seen before take the first uplink of the policy.
fn is_taken_again(lab: &Lab) -> Result<()> {
    let _server = Echo::new(&lab.internet, &[MEDIA])?;
    lab.add_clients(100..200)?;
    let mut newcomers = 100..200;
    eventually("newcomers to take it", || {
        let newcomer = client(newcomers.next().context("too many newcomers")?);
        let seen = ask(&lab.lan.udp((newcomer, 5004))?, MEDIA, b"a newcomer")?;
        ensure!(seen.ip() == Isp::B.address(), "the server saw {seen}");
        Ok(())
    })
}

/// The kernel removes the routes of an interface that goes, and nobody else would set ours again.
#[test]
fn an_uplink_that_goes_and_comes_back_has_its_route_again() -> Result<()> {
    let lab = office()?;
    let gateway = lab.start(POLICY)?;
    let way = || lab.gw.output("ip", "route show table 7400");
    let leads_out = format!("default via {} dev wan1", Isp::B.next_hop());
    ensure!(way()?.contains(&leads_out), "{}", way()?);
    lab.gw.ip("link set wan1 down")?;
    let left = way()?;
    ensure!(!left.contains("wan1") && left.contains("unreachable default"), "{left}");
    lab.gw.ip("link set wan1 up")?;
    lab.gw.ip(&format!("route add default via {} metric 200", Isp::B.next_hop()))?;
    eventually("its route", || {
        let way = way()?;
        ensure!(way.contains(&leads_out), "{way}");
        Ok(())
    })?;
    is_taken_again(&lab)?;
    everything(&lab, &gateway)
}

/// As PPP does: the new interface has another index, and the kernel's own settings.
#[test]
fn an_uplink_that_is_made_anew_has_route_and_settings_again() -> Result<()> {
    let lab = office()?;
    let gateway = lab.start(POLICY)?;
    lab.gw.ip("link del wan1")?;
    lab.add_uplink(Isp::B)?;
    set_mtu(&lab, Isp::B, NARROW)?;
    eventually("its settings", || {
        let marked = lab.gw.read_sysctl("net/ipv4/conf/wan1/src_valid_mark")?;
        ensure!(marked == "1", "src_valid_mark is {marked}");
        Ok(())
    })?;
    is_taken_again(&lab)?;
    everything(&lab, &gateway)
}

/// As systemd-networkd does with rules and routes that it does not know, when it starts.
#[test]
fn what_somebody_removes_comes_back() -> Result<()> {
    let lab = office()?;
    let mut gateway = lab.start(POLICY)?;
    let before = routing(&lab)?;
    for line in [
        "rule del priority 32001 protocol 84",
        "-6 rule flush",
        "-6 rule add priority 32766 lookup main",
        "route flush table 7400",
    ] {
        lab.gw.ip(line)?;
    }
    eventually("the rules and routes", || {
        let now = routing(&lab)?;
        ensure!(now == before, "{now}");
        Ok(())
    })?;
    ensure!(gateway.daemon().log().contains("rules by mark for 2 uplinks"), "it is told");
    Ok(())
}
