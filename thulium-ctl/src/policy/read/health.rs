//! What becomes of the clients of an uplink that fails, and how that is noticed: `on_uplink_down`, `release_after_idle`, `health`.

use std::{ops::RangeInclusive, time::Duration};

use super::{hosts::Hosts, port, value};
use crate::policy::{
    Flow, Health, Host, OnUplinkDown, Probe, Protocol, defaults,
    error::{Report, quote, suggest},
    section::{HEALTH, PROBE, Section},
    tree::{Kind, Node},
};

/// A link that flaps is not to move a client within a blink; one that is down for a minute is lost by any measure.
const LINK_DOWN: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(60);
/// Below it, the loss of two probes would count as an uplink's.
const BLACK_HOLE: RangeInclusive<Duration> = Duration::from_secs(3)..=Duration::from_secs(600);
const RELEASE_AFTER_IDLE: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(30 * 86400);

const PROBE_HELP: &str = "write auto, off, or a host and its TCP port, such as `{ to: thulium, port: 443/tcp }`";

/// Reads `on_uplink_down`.
pub(super) fn on_uplink_down(node: &Node, report: &mut Report) -> Option<OnUplinkDown> {
    value::choice(node, "on_uplink_down", &[("move", OnUplinkDown::Move), ("hold", OnUplinkDown::Hold)], report)
}

/// Reads `release_after_idle`.
pub(super) fn release_after_idle(node: &Node, report: &mut Report) -> Option<Duration> {
    value::duration_within(node, "release_after_idle", RELEASE_AFTER_IDLE, "12h", report)
}

/// Reads `health`; what is absent has its default.
pub(super) fn health(node: Option<&Node>, hosts: &Hosts, report: &mut Report) -> Health {
    let mut health = defaults::health();
    let Some(section) = node.and_then(|node| Section::open(node, &HEALTH, report)) else {
        return health;
    };
    let mut time = |key: &str, range, example: &str, time: &mut Duration| {
        let path = format!("health.{key}");
        let given = section.get(key).and_then(|node| value::duration_within(node, &path, range, example, report));
        *time = given.unwrap_or(*time);
    };
    time("link_down", LINK_DOWN, "1s", &mut health.link_down);
    time("black_hole", BLACK_HOLE, "10s", &mut health.black_hole);
    if let Some(probe) = section.get("probe").and_then(|node| probe(node, hosts, report)) {
        health.probe = probe;
    }
    health
}

fn probe(node: &Node, hosts: &Hosts, report: &mut Report) -> Option<Probe> {
    let word = match &node.kind {
        Kind::Scalar(word) => word.trim(),
        Kind::Refused => return None,
        _ => return probe_to(node, hosts, report),
    };
    match word {
        "auto" => Some(Probe::Auto),
        "off" => Some(Probe::Off),
        _ => {
            let near =
                suggest(word, ["auto", "off"]).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
            report.error(node.place, format!("{} is no value of `health.probe`", quote(word)), near + PROBE_HELP);
            None
        }
    }
}

fn probe_to(node: &Node, hosts: &Hosts, report: &mut Report) -> Option<Probe> {
    let section = Section::open(node, &PROBE, report)?;
    let host = section.require("to", "write a host of the policy, such as `to: thulium`", report);
    let host = host.and_then(|node| probed_host(node, hosts, report));
    let port = section.require("port", "write a TCP port, such as `port: 443/tcp`", report);
    let port = port.and_then(|node| port::tcp(node, "health.probe.port", report));
    Some(Probe::To { host: host?, port: port? })
}

/// A host that has an address to connect to.
fn probed_host(node: &Node, hosts: &Hosts, report: &mut Report) -> Option<String> {
    let help = "write the name of a host of the policy, such as thulium";
    let word = value::text(node, "health.probe.to", help, report)?;
    if !hosts.names.contains(word) {
        let help = match suggest(word, hosts.names.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "add it under `hosts`, with its name or address".to_owned(),
        };
        report.error(node.place, format!("there is no host {}", quote(word)), help);
        return None;
    }
    if hosts.list.iter().find(|host| host.name == word).is_some_and(|host| !has_address(host)) {
        let message = format!("the host {} has no address of its own to connect to", quote(word));
        report.error(node.place, message, "write one with a DNS name without `*`, or with the address of a machine");
        return None;
    }
    Some(word.to_owned())
}

/// Whether the gateway can find an address: from a name that is asked for, or written down.
fn has_address(host: &Host) -> bool {
    host.names.iter().any(|name| !name.starts_with("*."))
        || host.addresses.iter().any(|prefix| prefix.prefix_len() == prefix.max_prefix_len())
}

/// Warns if one uplink alone is to be held, or if `probe: auto` finds nothing to connect to in a policy with several.
pub(super) fn warn(on_down: Option<OnUplinkDown>, probe: &Probe, uplinks: usize, flows: &[Flow], report: &mut Report) {
    if uplinks == 1 && on_down == Some(OnUplinkDown::Hold) {
        report.warn("`on_uplink_down: hold` has no effect: with one uplink nobody moves");
    }
    let has_tcp = flows.iter().any(|flow| flow.ports.iter().any(|range| range.protocol == Protocol::Tcp));
    if uplinks > 1 && *probe == Probe::Auto && !has_tcp {
        let remedy = "name a host under `health.probe`, or write `probe: off`";
        report.warn(format!("no flow has a TCP port, so that no uplink is probed: {remedy}"));
    }
}
