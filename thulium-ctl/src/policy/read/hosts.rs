//! `hosts`: the remote hosts, by name.

use std::{collections::BTreeSet, time::Duration};

use ipnet::IpNet;
use thulium_ebpf::abi::HOST_SLOTS;

use super::{address, name, value};
use crate::policy::{
    Host, defaults,
    error::Report,
    section::{self, HOST, Section},
    tree::Node,
};

/// The longest time that an address which left DNS can still be used.
const MAX_KEEP_OLD: Duration = Duration::from_secs(30 * 86400);
/// Names and addresses that one host can have.
const MAX_ENTRIES: usize = 256;

const NAMES_HELP: &str = "write a DNS name, such as \"{system}.thulium.com\"";
const ADDRESSES_HELP: &str = "write an address or a prefix, such as 203.0.113.7, 203.0.113.0/28 or 2001:db8:7::/48";

/// The hosts of a policy while it is read.
pub(super) struct Hosts {
    /// Those without errors, in order.
    pub(super) list: Vec<Host>,
    /// The names of all, with or without errors.
    pub(super) names: BTreeSet<String>,
    /// Whether the policy has the key `hosts`.
    pub(super) given: bool,
}

/// Reads `hosts`, or takes the defaults.
pub(super) fn hosts(node: Option<&Node>, system: Option<&str>, report: &mut Report) -> Hosts {
    let mut hosts = Hosts { list: Vec::new(), names: BTreeSet::new(), given: node.is_some() };
    let Some(node) = node else {
        hosts.list = defaults::hosts(system.unwrap_or_default());
        hosts.names = hosts.list.iter().map(|host| host.name.clone()).collect();
        return hosts;
    };
    let example = "hosts by name, such as `thulium: { names: [\"{system}.thulium.com\"] }`";
    let entries = section::entries(node, "`hosts`", example, report).unwrap_or_default();
    if let Some((key, _)) = entries.get(HOST_SLOTS) {
        let message =
            format!("this is host {} of {}, and a policy can have {HOST_SLOTS}", HOST_SLOTS + 1, entries.len());
        report.error(key.place, message, "give one host several names");
    }
    hosts.names = entries.iter().map(|(key, _)| key.name.clone()).collect();
    for (key, value) in entries.iter().take(HOST_SLOTS) {
        let Some(name) = name::given(&key.name, "host", key.place, report) else { continue };
        if let Some(host) = host(value, name, system, report) {
            hosts.list.push(host);
        }
    }
    hosts
}

/// Reads one host, of `hosts` or inline in a flow.
pub(super) fn host(node: &Node, name: String, system: Option<&str>, report: &mut Report) -> Option<Host> {
    let section = Section::open(node, &HOST, report)?;
    let names = section.get("names").map_or_else(Vec::new, |node| names(node, system, report));
    let addresses = section.get("addresses").map_or_else(Vec::new, |node| addresses(node, report));
    if names.is_empty() && addresses.is_empty() {
        report.warn(format!("the host `{name}` has neither names nor addresses: flows to it match nothing"));
    }
    let keep_old = match section.get("keep_old") {
        None => defaults::KEEP_OLD,
        Some(node) => keep_old(node, report)?,
    };
    let private_answers = match section.get("private_answers") {
        None => defaults::PRIVATE_ANSWERS,
        Some(node) => value::choice(node, "private_answers", &[("true", true), ("false", false)], report)?,
    };
    if private_answers && names.is_empty() {
        report.warn(format!("`private_answers: true` has no effect on the host `{name}`: it has no names"));
    }
    Some(Host { name, names, addresses, keep_old, private_answers })
}

fn names(node: &Node, system: Option<&str>, report: &mut Report) -> Vec<String> {
    bounded(node, "names", report);
    value::list(node, "names", NAMES_HELP, report, |word, place, report| name::dns(word, system, place, report))
}

fn addresses(node: &Node, report: &mut Report) -> Vec<IpNet> {
    bounded(node, "addresses", report);
    value::list(node, "addresses", ADDRESSES_HELP, report, |word, place, report| {
        address::prefix(word, "203.0.113.7, 203.0.113.0/28 or 2001:db8:7::/48", place, report)
    })
}

fn bounded(node: &Node, path: &str, report: &mut Report) {
    let count = value::items(node).len();
    if count > MAX_ENTRIES {
        let message = format!("`{path}` has {count} entries, and a host can have {MAX_ENTRIES}");
        report.error(node.place, message, "write prefixes for neighbouring addresses, or make several hosts");
    }
}

fn keep_old(node: &Node, report: &mut Report) -> Option<Duration> {
    let duration = value::duration(node, "keep_old", Duration::ZERO..=MAX_KEEP_OLD, "24h", report)?;
    if duration > MAX_KEEP_OLD {
        report.error(node.place, "`keep_old` is longer than 30 days", "write 24h, or 30days at most");
        return None;
    }
    Some(duration)
}
