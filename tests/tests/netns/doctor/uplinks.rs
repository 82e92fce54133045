//! Several uplinks: their routes, rules in front of ours, and strict checks of sources.

use anyhow::{Result, ensure};
use thulium_tests::lab::{CLIENT, Isp, Lab, POLICY, THULIUM};

use super::{Doctor, named_and_fixed};
use crate::routing::{self, learns_of_its_uplink};

fn lab() -> Result<Lab> {
    let lab = Lab::new()?;
    lab.add_uplink(Isp::B)?;
    Ok(lab)
}

#[test]
fn nothing_is_wrong_with_two() -> Result<()> {
    let lab = lab()?;
    let before = Doctor::ask_about(&lab, routing::POLICY)?;
    for status in ["fail", "warn", "not-tested"] {
        assert_eq!(before.with(status), [""; 0], "before the first run");
    }
    let _gateway = lab.start(routing::POLICY)?;
    let running = Doctor::ask(&lab)?;
    for status in ["fail", "warn", "not-tested"] {
        assert_eq!(running.with(status), [""; 0], "while it runs");
    }
    assert!(running.has("ip-rule", "pass", "no IPv4 rule goes before ours"), "{}", running.ran.out);
    Ok(())
}

#[test]
fn a_strict_check_of_sources_that_does_not_know_the_mark() -> Result<()> {
    let lab = lab()?;
    lab.gw.sysctl("net/ipv4/conf/all/rp_filter", "1")?;
    let before = Doctor::ask_about(&lab, routing::POLICY)?;
    assert!(
        before.has("rp-filter", "pass", "wan1 is strict, and does not go by the mark yet: `run` sets src_valid_mark"),
        "{}",
        before.ran.out
    );
    let _gateway = lab.start(routing::POLICY)?;
    assert!(Doctor::ask(&lab)?.has("rp-filter", "pass", "wan1 is strict, and goes by the mark"));
    lab.gw.sysctl("net/ipv4/conf/wan1/src_valid_mark", "0")?;
    named_and_fixed(&lab, "rp-filter", "fail", "rp_filter of wan1 is strict")
}

#[test]
fn an_uplink_without_a_default_route() -> Result<()> {
    let lab = lab()?;
    let _gateway = lab.start(routing::POLICY)?;
    // Its router is known as the only neighbour there.
    lab.gw.udp("0.0.0.0:0")?.send_to(b"are you there?", (Isp::B.next_hop(), 9))?;
    lab.gw.ip("route del default dev wan1")?;
    named_and_fixed(&lab, "route", "fail", "there is no default route by wan1")?;
    let way = lab.gw.output("ip", &format!("route get {THULIUM}"))?;
    ensure!(way.contains("dev wan0"), "the gateway's own default route stays: {way}");
    Ok(())
}

#[test]
fn a_next_hop_that_the_policy_names_needs_no_route() -> Result<()> {
    let lab = lab()?;
    lab.gw.ip("route del default dev wan1")?;
    let named = format!("interface: wan1, next_hop: {}", Isp::B.next_hop());
    let doctor = Doctor::ask_about(&lab, &routing::POLICY.replace("interface: wan1", &named))?;
    assert!(doctor.has("route", "pass", "the policy names the way out by wan1"), "{}", doctor.ran.out);
    assert_eq!(doctor.with("fail"), [""; 0]);
    Ok(())
}

#[test]
fn a_default_route_that_is_shared_out() -> Result<()> {
    let lab = lab()?;
    lab.gw.ip("route flush exact default")?;
    let hops = [Isp::A, Isp::B].map(|isp| format!(" nexthop via {} dev {}", isp.next_hop(), isp.interface())).concat();
    lab.gw.ip(&format!("route add default{hops}"))?;
    let _gateway = lab.start(routing::POLICY)?;
    let doctor = Doctor::ask(&lab)?;
    assert!(doctor.has("route", "pass", "shared out among wan0 via 198.51.100.254 and wan1"), "{}", doctor.ran.out);
    assert_eq!(doctor.with("fail"), [""; 0]);
    Ok(())
}

#[test]
fn a_default_route_that_is_shared_out_with_what_is_no_uplink() -> Result<()> {
    let lab = lab()?;
    lab.gw.ip("route flush exact default")?;
    let hops = [Isp::A, Isp::B].map(|isp| format!(" nexthop via {} dev {}", isp.next_hop(), isp.interface())).concat();
    lab.gw.ip(&format!("route add default{hops}"))?;
    let _gateway = lab.start(POLICY)?;
    named_and_fixed(&lab, "route", "fail", "the default route of IPv4 is shared out")
}

#[test]
fn uplinks_with_the_same_network() -> Result<()> {
    let lab = lab()?;
    lab.gw.ip("address add 198.51.100.2/25 dev wan1")?;
    let _gateway = lab.start(routing::POLICY)?;
    named_and_fixed(&lab, "interface", "warn", "wan1 and wan0 have 198.51.100.0/25 in common")
}

#[test]
fn a_rule_in_front_of_ours() -> Result<()> {
    let lab = routing::office()?;
    let _gateway = lab.start(routing::POLICY)?;
    lab.gw.ip(&format!("rule add priority 90 from {CLIENT} lookup 100"))?;
    ensure!(learns_of_its_uplink(&lab, 33_000).is_err(), "the trouble is real");
    named_and_fixed(&lab, "ip-rule", "fail", &format!("rule 90: from {CLIENT} lookup 100"))?;
    lab.lan.ip("route flush cache")?;
    learns_of_its_uplink(&lab, 33_001)
}

#[test]
fn a_rule_that_asks_for_the_whole_mark() -> Result<()> {
    let lab = Lab::new()?;
    lab.gw.ip("rule add priority 90 fwmark 0x1 lookup 100")?;
    let _gateway = lab.start(POLICY)?;
    named_and_fixed(&lab, "ip-rule", "warn", "rule 90: from all fwmark 0x1 lookup 100")?;
    let rules = lab.gw.output("ip", "rule show")?;
    ensure!(rules.contains("fwmark 0x1/0xcfffffff"), "{rules}");
    Ok(())
}

#[test]
fn a_rule_by_our_bits() -> Result<()> {
    let lab = Lab::new()?;
    lab.gw.ip("rule add priority 90 fwmark 0x20000000/0x20000000 lookup 100")?;
    let _gateway = lab.start(POLICY)?;
    let doctor = Doctor::ask(&lab)?;
    assert!(doctor.has("ip-rule", "fail", "uses our bits of the mark"), "{}", doctor.ran.out);
    Ok(())
}

#[test]
fn a_masquerade_rule_at_the_second_uplink() -> Result<()> {
    let lab = routing::office()?;
    lab.nft("table ip nat { chain post { type nat hook postrouting priority srcnat; oifname wan1 masquerade; }; }")?;
    let _gateway = lab.start(routing::POLICY)?;
    ensure!(routing::invites(&lab, 5060).is_err(), "the trouble is real");
    named_and_fixed(&lab, "firewall-nat", "fail", "oifname \"wan1\" masquerade")?;
    // What the kernel has translated once, it goes on to translate.
    routing::invites(&lab, 5061)
}
