//! Tree → model: one file a section. Each reads on after an error, so that all errors of a file are told at once.

mod address;
mod datapath;
mod flows;
mod health;
mod hosts;
mod lan;
mod mss;
mod name;
mod port;
mod reach;
mod sessions;
mod uplinks;
mod value;

use std::{collections::BTreeSet, net::IpAddr};

use thulium_ebpf::abi::HOST_SLOTS;

pub(super) use value::{items, show};

use super::{
    Flow, Health, Host, Mode, Policy, Probe, Refuse, Unmatched, defaults,
    error::{Errors, Place, Report, quote},
    image::{self, MAX_ADDRESS_PREFIXES, MAX_NAMES, MAX_PORT_PREFIXES},
    section::{ROOT, Section},
    source::{SMALLEST, Source},
    tree::Node,
};

/// Resolvers that a policy can have.
const MAX_RESOLVERS: usize = 16;

/// The policy of a file, checked and with its defaults.
pub(super) fn policy(source: &Source) -> Result<Policy, Errors> {
    let mut report = Report::default();
    let policy = document(&source.root, &mut report);
    let warnings = std::mem::take(&mut report.warnings);
    match (policy, report.into_errors(&source.file, &source.text)) {
        (_, Some(errors)) => Err(errors),
        (Some(policy), None) => Ok(Policy { warnings, ..policy }),
        // Every way to no policy reports an error.
        (None, None) => Err(Errors::of_file(&source.file, "it is no policy", SMALLEST)),
    }
}

fn document(root: &Node, report: &mut Report) -> Option<Policy> {
    let section = Section::open(root, &ROOT, report)?;
    if let Some(node) = section.get("version") {
        version(node, report);
    }
    let system = section.require("system", "write the tenant's name, such as `system: acme`", report);
    let system = system.and_then(|node| {
        let word = value::text(node, "system", "write the tenant's name, such as acme", report)?;
        name::system(word, node.place, report)
    });
    let mode = section
        .get("mode")
        .and_then(|node| value::choice(node, "mode", &[("enforce", Mode::Enforce), ("audit", Mode::Audit)], report));
    let lan = lan::lan(&section, report);
    let uplinks = uplinks::uplinks(&section, lan.as_ref(), report);
    let mut hosts = hosts::hosts(section.get("hosts"), system.as_deref(), report);
    let flows = flows::flows(section.get("flows"), &mut hosts, system.as_deref(), report);
    let health = health::health(section.get("health"), &hosts, report);
    use_of_hosts(&mut hosts, &flows, &health, report);
    let place = |key: &str| section.get(key).map_or(section.place, |node| node.place);
    size(&hosts.list, place("hosts"), &flows, place("flows"), report);
    let unmatched = section.get("unmatched").and_then(|node| {
        value::choice(node, "unmatched", &[("drop", Unmatched::Drop), ("pass", Unmatched::Pass)], report)
    });
    let refuse = section
        .get("refuse")
        .and_then(|node| value::choice(node, "refuse", &[("drop", Refuse::Drop), ("reject", Refuse::Reject)], report));
    let mss_clamp = section.get("mss_clamp").and_then(|node| mss::clamp(node, report));
    let sessions = sessions::sessions(section.get("sessions"), report);
    let resolvers = section.get("resolvers").map_or_else(Vec::new, |node| resolvers(node, report));
    let on_uplink_down = section.get("on_uplink_down").and_then(|node| health::on_uplink_down(node, report));
    let release = section.get("release_after_idle").and_then(|node| health::release_after_idle(node, report));
    // Of uplinks that are wrong, too.
    let uplink_count = section.get("uplinks").map_or(0, |node| items(node).len());
    health::warn(on_uplink_down, &health.probe, uplink_count, &flows, report);
    let datapath = datapath::datapath(section.get("datapath"), uplink_count, report);
    Some(Policy {
        system: system?,
        mode: mode.unwrap_or(defaults::MODE),
        lan: lan?,
        uplinks,
        on_uplink_down: on_uplink_down.unwrap_or(defaults::ON_UPLINK_DOWN),
        release_after_idle: release.unwrap_or(defaults::RELEASE_AFTER_IDLE),
        health,
        hosts: hosts.list,
        flows,
        unmatched: unmatched.unwrap_or(defaults::UNMATCHED),
        refuse: refuse.unwrap_or(defaults::REFUSE),
        mss_clamp: mss_clamp.unwrap_or(defaults::MSS_CLAMP),
        sessions,
        resolvers,
        datapath,
        warnings: Vec::new(),
    })
}

fn version(node: &Node, report: &mut Report) {
    let Some(word) = value::text(node, "version", "write `version: 1`", report) else { return };
    if word != "1" {
        let message = format!("version {} of the policy language is not known", quote(word));
        report.error(node.place, message, "write `version: 1`; a newer version needs a newer thulium-ctl");
    }
}

/// Whether the datapath has room for the hosts and flows as a whole.
fn size(hosts: &[Host], hosts_place: Place, flows: &[Flow], flows_place: Place, report: &mut Report) {
    if hosts.len() > HOST_SLOTS {
        let message = format!("{} hosts with those of the flows, and a policy can have {HOST_SLOTS}", hosts.len());
        report.error(flows_place, message, "share hosts between flows");
    }
    let addresses = hosts.iter().map(|host| host.addresses.len()).sum::<usize>();
    if addresses > MAX_ADDRESS_PREFIXES {
        let message = format!("{addresses} addresses in all, and a policy can have {MAX_ADDRESS_PREFIXES}");
        report.error(hosts_place, message, "write prefixes for neighbouring addresses");
    }
    let names = hosts.iter().flat_map(|host| &host.names).collect::<BTreeSet<_>>().len();
    if names > MAX_NAMES {
        let message = format!("{names} names in all, and a policy can have {MAX_NAMES}");
        report.error(hosts_place, message, "write a wildcard for names that differ in their first label alone");
    }
    let ports = image::port_prefixes(flows);
    if ports > MAX_PORT_PREFIXES {
        let message = format!("the ports of all flows are {ports} blocks, and a policy can have {MAX_PORT_PREFIXES}");
        report.error(flows_place, message, "write fewer ranges; one whose length is a power of two is one block");
    }
}

/// Default hosts that neither a flow nor the probe uses are not asked for; of the admin's own ones a warning tells.
fn use_of_hosts(hosts: &mut hosts::Hosts, flows: &[Flow], health: &Health, report: &mut Report) {
    let probed = |name: &str| matches!(&health.probe, Probe::To { host, .. } if host == name);
    let used = |name: &str| probed(name) || flows.iter().any(|flow| flow.host == name);
    if flows.is_empty() {
        report.warn("there is no flow: clients can open nothing");
    }
    if !hosts.given {
        hosts.list.retain(|host| used(&host.name));
        return;
    }
    for host in hosts.list.iter().filter(|host| !used(&host.name)) {
        report.warn(format!("no flow leads to the host `{}`", host.name));
    }
}

fn resolvers(node: &Node, report: &mut Report) -> Vec<IpAddr> {
    let count = items(node).len();
    if count > MAX_RESOLVERS {
        let message = format!("`resolvers` has {count} entries, and a policy can have {MAX_RESOLVERS}");
        report.error(node.place, message, "write the nearest few");
    }
    let help = "write the addresses of resolvers, such as [192.0.2.53]";
    value::list(node, "resolvers", help, report, address::resolver)
}
