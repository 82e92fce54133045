//! Settings of the kernel: forwarding, and the ports that mappings are taken from.

use std::{collections::BTreeMap, fs, net::IpAddr};

use super::{command::quoted, finding::Finding, interfaces::Interfaces, subject::Subject};
use crate::datapath::host::{FIRST_PORT, LAST_PORT, with_reserved};

const FORWARDING: &str = "forwarding";
const FORWARDING6: &str = "forwarding-ipv6";
const PORTS: &str = "reserved-ports";

/// The settings as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// Interface → whether it forwards IPv4; `None`: it does not say.
    forwarding: BTreeMap<String, Option<bool>>,
    /// Interface → whether it forwards IPv6.
    forwarding6: BTreeMap<String, Option<bool>>,
    /// True if an interface can forward IPv6 without the others (Linux 6.17).
    forwards_alone: bool,
    /// `ip_local_reserved_ports`.
    reserved: Option<String>,
    /// First and last port of `ip_local_port_range`.
    ephemeral: Option<(u16, u16)>,
}

/// Reads the settings of this network namespace.
pub(super) fn look(subject: &Subject) -> Facts {
    let is_on = |name: String| Some(read(&name)? != "0");
    let of = |forwards: &dyn Fn(&str) -> Option<bool>| {
        subject.interfaces().map(|name| (name.to_owned(), forwards(name))).collect()
    };
    let all6 = is_on("net/ipv6/conf/all/forwarding".to_owned()) == Some(true);
    let alone = |name: &str| is_on(format!("net/ipv6/conf/{name}/force_forwarding"));
    let range = read("net/ipv4/ip_local_port_range");
    let range = range.as_deref().and_then(|range| range.split_once(char::is_whitespace));
    Facts {
        forwarding: of(&|name| is_on(format!("net/ipv4/conf/{name}/forwarding"))),
        forwarding6: of(&|name| {
            Some(is_on(format!("net/ipv6/conf/{name}/forwarding"))? && (all6 || alone(name) == Some(true)))
        }),
        forwards_alone: subject.interfaces().all(|name| alone(name).is_some()),
        reserved: read("net/ipv4/ip_local_reserved_ports"),
        ephemeral: range.and_then(|(first, last)| first.trim().parse().ok().zip(last.trim().parse().ok())),
    }
}

fn read(name: &str) -> Option<String> {
    Some(fs::read_to_string(format!("/proc/sys/{name}")).ok()?.trim().to_owned())
}

/// Whether the settings are what the datapath needs.
pub(super) fn judge(facts: &Facts, subject: &Subject, interfaces: &Interfaces) -> Vec<Finding> {
    let mut findings = forwarding(facts, subject);
    findings.extend(forwarding6(facts, subject, interfaces));
    findings.push(reserved(facts, subject));
    findings.extend(facts.ephemeral.map(ephemeral));
    findings
}

fn forwarding(facts: &Facts, subject: &Subject) -> Vec<Finding> {
    let off: Vec<&str> =
        facts.forwarding.iter().filter(|(_, on)| **on == Some(false)).map(|(name, _)| name.as_str()).collect();
    if off.is_empty() {
        let names: Vec<&str> =
            facts.forwarding.iter().filter(|(_, on)| on.is_some()).map(|(name, _)| name.as_str()).collect();
        return vec![if names.is_empty() {
            Finding::not_tested(FORWARDING, "none of the interfaces says whether it forwards")
        } else {
            Finding::pass(FORWARDING, format!("{} forward IPv4", names.join(", ")))
        }];
    }
    if !subject.is_attached {
        return vec![Finding::pass(
            FORWARDING,
            format!("{} do not forward IPv4 yet: `run` switches it on", off.join(", ")),
        )];
    }
    let finding = |name: &&str| {
        Finding::fail(
            FORWARDING,
            format!("{name} does not forward IPv4, though `run` had switched it on (ip_forward was set to 0 since)"),
            "What needs the kernel is lost: large packets are not fragmented, clients get no ICMP answers.",
        )
        .fixed_by(format!("sysctl -w net/ipv4/conf/{}/forwarding=1", quoted(name)))
    };
    off.iter().map(finding).collect()
}

/// Only where a client has IPv6, and the uplink too.
fn forwarding6(facts: &Facts, subject: &Subject, interfaces: &Interfaces) -> Option<Finding> {
    let has = |name: &String| interfaces.get(name).is_some_and(|interface| interface.has_global(IpAddr::is_ipv6));
    if !subject.governs_ipv6() || !subject.uplinks.iter().any(has) {
        return None;
    }
    let off: Vec<&str> =
        subject.interfaces().filter(|name| facts.forwarding6.get(*name) == Some(&Some(false))).collect();
    if off.is_empty() {
        let names: Vec<&str> = subject.interfaces().collect();
        return Some(Finding::pass(FORWARDING6, format!("{} forward IPv6", names.join(", "))));
    }
    if !subject.is_attached {
        let seen = format!("{} do not forward IPv6 yet: `run` switches it on", off.join(", "));
        return Some(Finding::pass(FORWARDING6, seen));
    }
    let seen = format!("{} do not forward IPv6, though `run` had switched it on", off.join(", "));
    let meaning =
        "What needs the kernel is lost: clients are not told that a packet is too big, and their connections hang.";
    Some(Finding::fail(FORWARDING6, seen, meaning).fixed_by(forward6(facts, subject, &off)))
}

/// A router takes no router advertisements unless it is told to: they may be where the uplink's own address comes from.
fn forward6(facts: &Facts, subject: &Subject, off: &[&str]) -> String {
    let conf = |name: &str, key: &str| format!(" net/ipv6/conf/{}/{key}", quoted(name));
    let accept: String = subject.uplinks.iter().map(|name| conf(name, "accept_ra=2")).collect();
    let forward = if facts.forwards_alone {
        off.iter().map(|name| conf(name, "forwarding=1") + &conf(name, "force_forwarding=1")).collect()
    } else {
        conf("all", "forwarding=1")
    };
    format!("sysctl -w{accept}{forward}")
}

fn reserved(facts: &Facts, subject: &Subject) -> Finding {
    let Some(present) = &facts.reserved else {
        return Finding::not_tested(PORTS, "/proc/sys/net/ipv4/ip_local_reserved_ports cannot be read");
    };
    let Some(all) = with_reserved(present) else {
        return Finding::pass(PORTS, format!("ports {FIRST_PORT}-{LAST_PORT} are reserved for mappings"));
    };
    if !subject.is_attached {
        return Finding::pass(PORTS, format!("ports {FIRST_PORT}-{LAST_PORT} are not reserved yet: `run` does it"));
    }
    Finding::fail(
        PORTS,
        format!("ports {FIRST_PORT}-{LAST_PORT} are no longer reserved for mappings (ip_local_reserved_ports: \"{present}\")"),
        "The gateway's own connections take ports from the range of the clients' mappings.",
    )
    .fixed_by(format!("sysctl -w net/ipv4/ip_local_reserved_ports={all}"))
}

fn ephemeral((first, last): (u16, u16)) -> Finding {
    let seen = format!("the gateway's own connections use ports {first}-{last} (ip_local_port_range)");
    if first < FIRST_PORT {
        return Finding::pass(PORTS, seen);
    }
    let meaning = "All of them are reserved for mappings while the datapath is there: the gateway itself can open no connection, \
                   and resolves no name.";
    Finding::fail(PORTS, seen, meaning).fixed_by("sysctl -w net/ipv4/ip_local_port_range='32768 60999'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateways_own_ports_are_left_to_it() {
        assert!(ephemeral((32_768, 60_999)).fix.is_none());
        assert!(ephemeral((45_000, 60_999)).fix.is_some_and(|fix| fix.contains("ip_local_port_range")));
    }
}
