//! Interfaces, routes, sysctls, names.

use anyhow::{Context, Result, ensure};
use thulium_tests::{
    lab::{CLIENT, Lab, NEXT_HOP, POLICY, THULIUM, Verb},
    peer::{Dns, Echo, ask},
};

use super::{Doctor, fix, named_and_fixed};

#[test]
fn forwarding_that_was_switched_off() -> Result<()> {
    let lab = Lab::new()?;
    let _gateway = lab.start(POLICY)?;
    lab.gw.sysctl("net/ipv4/ip_forward", "0")?;
    named_and_fixed(&lab, "forwarding", "fail", "lan0 does not forward")?;
    named_and_fixed(&lab, "forwarding", "fail", "wan0 does not forward")?;
    assert_eq!(lab.gw.read_sysctl("net/ipv4/ip_forward")?, "0", "only what is needed was switched on");
    Ok(())
}

#[test]
fn run_says_what_it_sets_and_down_puts_it_back() -> Result<()> {
    let lab = Lab::new()?;
    lab.gw.sysctl("net/ipv4/ip_forward", "0")?;
    lab.gw.sysctl("net/ipv4/conf/lan0/forwarding", "1")?;
    let settings = || {
        let ipv4 = ["ip_forward", "ip_local_reserved_ports", "conf/lan0/forwarding", "conf/wan0/forwarding"];
        let ipv6 = ["conf/all/forwarding", "conf/lan0/forwarding", "conf/wan0/forwarding"];
        let all =
            ipv4.map(|name| format!("net/ipv4/{name}")).into_iter().chain(ipv6.map(|name| format!("net/ipv6/{name}")));
        all.map(|name| Ok(format!("{name}={}", lab.gw.read_sysctl(&name)?))).collect::<Result<Vec<_>>>()
    };
    let before = settings()?;
    let mut gateway = lab.start(POLICY)?;
    let changed: Vec<String> = settings()?.into_iter().filter(|setting| !before.contains(setting)).collect();
    assert_eq!(changed, ["net/ipv4/ip_local_reserved_ports=40000-65535", "net/ipv4/conf/wan0/forwarding=1"]);
    let log = gateway.daemon().log();
    ensure!(log.contains("wan0 forwards packets (net/ipv4/conf/wan0/forwarding)"), "{log}");
    ensure!(log.contains("ports 40000-65535 are reserved for mappings"), "{log}");
    ensure!(!log.contains("lan0 forwards"), "what was right already is left alone: {log}");
    ensure!(!log.contains("ipv6"), "nobody has IPv6 here: {log}");
    gateway.down()?;
    assert_eq!(settings()?, before);
    Ok(())
}

#[test]
fn before_the_first_run_forwarding_is_no_concern() -> Result<()> {
    let lab = Lab::new()?;
    lab.gw.sysctl("net/ipv4/ip_forward", "0")?;
    let doctor = Doctor::ask_about(&lab, POLICY)?;
    assert_eq!(doctor.with("fail"), [""; 0]);
    assert!(doctor.has("forwarding", "pass", "`run` switches it on"), "{}", doctor.ran.out);
    Ok(())
}

#[test]
fn ipv6_forwarding_that_was_switched_off() -> Result<()> {
    let lab = Lab::new()?;
    lab.enable_ipv6()?;
    let _gateway = lab.start(POLICY)?;
    assert!(Doctor::ask(&lab)?.has("forwarding-ipv6", "pass", "wan0, lan0 forward IPv6"));
    lab.gw.sysctl("net/ipv6/conf/all/forwarding", "0")?;
    named_and_fixed(&lab, "forwarding-ipv6", "fail", "wan0, lan0 do not forward IPv6")?;
    assert!(Doctor::ask(&lab)?.has("forwarding-ipv6", "pass", "wan0, lan0 forward IPv6"));
    Ok(())
}

#[test]
fn ports_that_are_no_longer_reserved() -> Result<()> {
    let lab = Lab::new()?;
    let _gateway = lab.start(POLICY)?;
    lab.gw.sysctl("net/ipv4/ip_local_reserved_ports", "8080,9000-9001\n")?;
    named_and_fixed(&lab, "reserved-ports", "fail", "no longer reserved")?;
    assert_eq!(lab.gw.read_sysctl("net/ipv4/ip_local_reserved_ports")?, "8080,9000-9001,40000-65535");
    Ok(())
}

#[test]
fn own_ports_that_are_all_reserved() -> Result<()> {
    let lab = Lab::new()?;
    lab.gw.sysctl("net/ipv4/ip_local_port_range", "45000 60000")?;
    let _gateway = lab.start(POLICY)?;
    named_and_fixed(&lab, "reserved-ports", "fail", "45000-60000")
}

#[test]
fn an_interface_that_is_down() -> Result<()> {
    let lab = Lab::new()?;
    lab.gw.ip("link set lan0 down")?;
    let _gateway = lab.start(POLICY)?;
    named_and_fixed(&lab, "interface", "fail", "lan0 (LAN) is down")
}

#[test]
fn an_interface_that_is_not_there_or_has_no_cable_or_no_address() -> Result<()> {
    let lab = Lab::new()?;
    let doctor = Doctor::ask_about(&lab, &POLICY.replace("wan0", "wan9"))?;
    assert!(doctor.has("interface", "fail", "there is no interface wan9"), "{}", doctor.ran.out);
    lab.internet.ip("link set eth0 down")?;
    let doctor = Doctor::ask_about(&lab, POLICY)?;
    assert!(doctor.has("interface", "fail", "wan0 (uplink) has no carrier"), "{}", doctor.ran.out);
    lab.internet.ip("link set eth0 up")?;
    lab.gw.ip("address flush dev wan0")?;
    let doctor = Doctor::ask_about(&lab, POLICY)?;
    assert!(doctor.has("interface", "fail", "wan0 (uplink) has no IPv4 address"), "{}", doctor.ran.out);
    Ok(())
}

#[test]
fn an_mtu_that_is_too_small() -> Result<()> {
    let lab = Lab::new()?;
    lab.gw.ip("link set wan0 mtu 1200")?;
    let _gateway = lab.start(POLICY)?;
    named_and_fixed(&lab, "mtu", "fail", "wan0 has an MTU of 1200")?;
    lab.gw.ip("link set lan0 mtu 1400")?;
    named_and_fixed(&lab, "mtu", "warn", "lan0 has an MTU of 1400")
}

#[test]
fn a_default_route_that_is_missing() -> Result<()> {
    let lab = Lab::new()?;
    // The next hop was there a moment ago.
    lab.gw.udp("0.0.0.0:0")?.send_to(b"x", (NEXT_HOP, 9))?;
    Doctor::ask_about(&lab, POLICY)?;
    lab.gw.ip("route del default")?;
    let _gateway = lab.start(POLICY)?;
    named_and_fixed(&lab, "route", "fail", "there is no default route by wan0")
}

/// Another default route counts more: packets to the servers, and the answers that rp_filter awaits, take it.
#[test]
fn a_route_that_leads_elsewhere_with_a_strict_reverse_path_filter() -> Result<()> {
    let lab = Lab::new()?;
    lab.gw.ip("link add vpn0 type veth peer name vpn1")?;
    lab.gw.ip("address add 10.9.0.1/24 dev vpn0")?;
    lab.gw.ip("link set vpn1 up")?;
    lab.gw.ip("link set vpn0 up")?;
    lab.gw.ip("route add 203.0.113.0/24 via 10.9.0.2")?;
    lab.gw.sysctl("net/ipv4/conf/wan0/rp_filter", "1")?;
    let _gateway = lab.start(POLICY)?;
    named_and_fixed(&lab, "rp-filter", "fail", "rp_filter of wan0 is strict")?;
    let server = format!("the server {THULIUM} leads by vpn0");
    named_and_fixed(&lab, "route", "fail", &server)
}

#[test]
fn clients_that_no_route_leads_to() -> Result<()> {
    let lab = Lab::new()?;
    let policy = POLICY.replace("interfaces: [lan0]", "interfaces: [lan0], clients: [192.168.20.0/24, 10.7.0.0/16]");
    let doctor = Doctor::ask_about(&lab, &policy)?;
    assert!(doctor.has("route", "fail", "the route to the clients 10.7.0.0/16 leads by wan0"), "{}", doctor.ran.out);
    lab.gw.ip("route add 10.7.0.0/16 via 192.168.20.200")?;
    let doctor = Doctor::ask_about(&lab, &policy)?;
    assert_eq!(doctor.with("fail"), [""; 0]);
    Ok(())
}

#[test]
fn clients_that_the_lan_is_only_a_part_of() -> Result<()> {
    let lab = Lab::new()?;
    let gateway = lab.start(&POLICY.replace("interfaces: [lan0]", "interfaces: [lan0], clients: [0.0.0.0/0]"))?;
    let _server = Echo::new(&lab.internet, &[(THULIUM, 15_060).into()])?;
    ask(&lab.lan.udp((CLIENT, 5060))?, (THULIUM, 15_060).into(), b"nobody takes it for spoofed")?;
    gateway.expect_refused(&[])?;
    let doctor = Doctor::ask(&lab)?;
    assert_eq!(doctor.with("fail"), [""; 0]);
    let seen = "of the clients 0.0.0.0/0, routes by the LAN lead to 192.168.20.0/24";
    assert!(doctor.has("route", "pass", seen), "{}", doctor.ran.out);
    Ok(())
}

#[test]
fn a_carrier_that_waits_for_the_interface_below() -> Result<()> {
    let lab = Lab::new()?;
    lab.gw.ip("link add lan1 type veth peer name below1")?;
    lab.gw.ip("address add 192.168.21.1/24 dev lan1")?;
    lab.gw.ip("link set lan1 up")?;
    let _gateway = lab.start(&POLICY.replace("[lan0]", "[lan0, lan1]"))?;
    named_and_fixed(&lab, "interface", "fail", "lan1 (LAN) has no carrier")
}

#[test]
fn a_strict_reverse_path_filter_on_the_way_back_is_right() -> Result<()> {
    let lab = Lab::new()?;
    lab.gw.sysctl("net/ipv4/conf/all/rp_filter", "1")?;
    let doctor = Doctor::ask_about(&lab, POLICY)?;
    assert!(doctor.has("rp-filter", "pass", "its own route is the way back"), "{}", doctor.ran.out);
    Ok(())
}

#[test]
fn a_next_hop_that_does_not_answer() -> Result<()> {
    let lab = Lab::new()?;
    lab.gw.ip("route replace default via 198.51.100.253")?;
    let doctor = Doctor::ask_about(&lab, POLICY)?;
    assert!(doctor.has("next-hop", "fail", "198.51.100.253 on wan0 does not answer"), "{}", doctor.ran.out);
    lab.internet.ip("address add 198.51.100.253/24 dev eth0")?;
    let doctor = Doctor::ask_about(&lab, POLICY)?;
    assert!(doctor.has("next-hop", "pass", "198.51.100.253 on wan0 is"), "{}", doctor.ran.out);
    Ok(())
}

#[test]
fn names_that_do_not_resolve() -> Result<()> {
    let lab = Lab::new()?;
    let policy = POLICY
        .replace("thulium: { names: [], addresses: [203.0.113.10] }", "thulium: { names: [acme.thulium.com] }")
        + "resolvers: [198.51.100.254, 203.0.113.99]\n";
    let doctor = Doctor::ask_about(&lab, &policy)?;
    let finding = doctor.finding("names", "fail", "acme.thulium.com does not resolve")?.to_string();
    ensure!(finding.contains("198.51.100.254: ") && finding.contains("203.0.113.99: "), "each resolver: {finding}");
    let dns = Dns::new(&lab.internet, NEXT_HOP, 60)?;
    dns.set("acme.thulium.com", &[THULIUM]);
    let doctor = Doctor::ask_about(&lab, &policy)?;
    assert!(doctor.has("names", "warn", "but not for 203.0.113.99"), "one of two: {}", doctor.ran.out);
    let doctor = Doctor::ask_about(&lab, &policy.replace(", 203.0.113.99", ""))?;
    assert!(doctor.has("names", "pass", "acme.thulium.com is 203.0.113.10"), "{}", doctor.ran.out);
    Ok(())
}

#[test]
fn a_bpf_file_system_that_is_missing() -> Result<()> {
    let lab = Lab::new()?;
    let (policy, place) = (lab.dir().join("asked.yaml"), lab.dir().join("other bpf"));
    std::fs::write(&policy, POLICY)?;
    std::fs::create_dir(&place)?;
    let ask = || {
        let mut verb = Verb::new(&lab, "doctor --json --policy")?;
        verb.command().arg(&policy).env("THULIUM_BPFFS", &place);
        Doctor::of(verb)
    };
    let before = ask()?;
    fix(&lab, before.finding("bpffs", "fail", "there is no BPF file system")?)?;
    let after = ask();
    nix::mount::umount(&place).context("taking the BPF file system away again")?;
    assert_eq!(after?.with("fail"), [""; 0]);
    Ok(())
}

#[test]
fn what_may_not_be_read_is_not_tested() -> Result<()> {
    let lab = Lab::new()?;
    let policy = lab.dir().join("asked.yaml");
    std::fs::write(&policy, POLICY)?;
    // Nobody without privileges may list rules or programs.
    let binary = lab.dir().join("thulium-ctl");
    std::fs::copy(thulium_tests::lab::thulium_ctl()?, &binary)?;
    let mut command = lab.gw.command("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(binary);
    command.args(["doctor", "--json", "--policy"]).arg(&policy).env("THULIUM_INSTANCE", lab.id());
    let output = command.env("THULIUM_BPFFS", lab.bpffs()).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let json: serde_json::Value = serde_json::from_str(&said).with_context(|| format!("{output:?}"))?;
    let of = |check: &str| {
        let found = json["checks"].as_array().into_iter().flatten().filter(|one| one["check"] == check);
        found.map(|one| one["status"].to_string()).collect::<Vec<_>>()
    };
    for check in ["firewall-rules", "tc-program"] {
        let statuses = of(check);
        assert!(!statuses.is_empty() && statuses.iter().all(|status| status == "\"not-tested\""), "{check}: {said}");
    }
    Ok(())
}
