//! Rules of nftables and iptables that would meet our packets.
//!
//! Admitted packets take their own road: no rule ever meets them, not even in a chain at an uplink's `egress` (the kernel applies
//! those to nothing that TC redirects). What needs the kernel does meet rules: where a LAN interface has a larger MTU than the
//! uplink, the kernel fragments a client's large packets, and forwards them through all its chains to the guard. Of IPv6 it answers
//! them with an error instead, behind the chains at `prerouting`.
//!
//! * [`rules`]: one form for all tools, read by `nft` (with `text`) and `iptables`.
//! * [`probe`]: packets of ours, and which conditions hold for them. `probes`: those of the policy.
//! * [`walk`]: which rules a packet meets, and whether for sure. `met`: what that means.
//! * `remedy`: the command that exempts it.

mod iptables;
mod met;
mod nft;
mod probe;
mod probes;
mod remedy;
mod rules;
mod text;
mod walk;

use std::{collections::HashMap, fs};

use ipnet::IpNet;

pub(super) use self::probe::Certainty;
use self::{
    met::collect,
    probe::Probe,
    probes::Ends,
    rules::{ChainId, Flowtable, Ruleset, Tool},
    text::Texts,
};
use super::{command::ask, finding::Finding, interfaces::Interfaces, subject::Subject};

const RULES: &str = "firewall-rules";
const FLOWTABLE: &str = "flowtable";

/// The gateway's rules, as far as they could be read.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    rules: Ruleset,
    /// What was read, and how many chains it has.
    read: Vec<(&'static str, usize)>,
    /// What could not be read, and why.
    unread: Vec<String>,
}

/// Addresses of the policy's hosts, by host.
pub(super) type Servers = HashMap<String, Vec<IpNet>>;

/// The commands of iptables that use nftables, and those of the older kind with the file that says which tables there are.
const BY_NFTABLES: [&str; 2] = ["iptables-nft", "ip6tables-nft"];
const LEGACY: [(&str, &str); 2] =
    [("iptables-legacy", "/proc/net/ip_tables_names"), ("ip6tables-legacy", "/proc/net/ip6_tables_names")];

/// What a command of iptables printed, by the command.
type Saved = Vec<(&'static str, Result<String, String>)>;

/// Reads the rules of this network namespace.
pub(super) fn look() -> Facts {
    let nft = ask("nft", "-j list ruleset").and_then(|json| Ok((json, ask("nft", "-a list ruleset")?)));
    let save = |command: &'static str| (command, ask(&format!("{command}-save"), ""));
    // Asking the older iptables for tables that are not there would load modules.
    let has_tables = |names: &str| fs::read_to_string(names).is_ok_and(|tables| !tables.trim().is_empty());
    let legacy = LEGACY.into_iter().filter(|(_, names)| has_tables(names)).map(|(command, _)| save(command));
    facts(nft, BY_NFTABLES.into_iter().map(save).collect(), legacy.collect())
}

/// The facts in what the tools printed.
fn facts(nft: Result<(String, String), String>, by_nftables: Saved, legacy: Saved) -> Facts {
    let mut facts = Facts::default();
    match nft.and_then(|(json, text)| nft::parse(&json, &Texts::parse(&text))) {
        Ok(rules) => facts.take("nftables", rules),
        Err(why) => facts.unread.push(format!("nftables: {why}")),
    }
    for (command, text) in by_nftables {
        let Ok(text) = text else { continue };
        let rules = iptables::parse(&text, command);
        // nft lists these tables too, but without the arguments of what it does not know.
        facts.rules.chains.retain(|id, _| {
            let twin = ChainId { tool: Tool::Iptables(command), ..id.clone() };
            !rules.chains.contains_key(&twin)
        });
        facts.take(command, rules);
    }
    for (command, text) in legacy {
        match text {
            Ok(text) => facts.take(command, iptables::parse(&text, command)),
            Err(why) => facts.unread.push(format!("{command}: {why}")),
        }
    }
    facts
}

impl Facts {
    fn take(&mut self, tool: &'static str, rules: Ruleset) {
        if !rules.chains.is_empty() {
            self.read.push((tool, rules.chains.len()));
        }
        self.rules.chains.extend(rules.chains);
        self.rules.flowtables.extend(rules.flowtables);
    }
}

/// What the rules would do to packets of the policy.
pub(super) fn judge(facts: &Facts, subject: &Subject, interfaces: &Interfaces, servers: &Servers) -> Vec<Finding> {
    let mut findings: Vec<Finding> = facts.unread.iter().map(|why| Finding::not_tested(RULES, why.as_str())).collect();
    let ends: Vec<Ends> = subject.families().map(|family| Ends::of(family, subject, servers)).collect();
    let probes: Vec<Probe<'_>> = ends.iter().flat_map(|ends| ends.probes(subject)).collect();
    let met = collect(facts, subject, &probes);
    let exceptional = interfaces.fragmenting(subject);
    findings.extend(met.iter().map(|met| met.finding(subject, exceptional.as_deref())));
    findings.extend(flowtables(&facts.rules, subject));
    if met.is_empty() && !facts.read.is_empty() {
        let read: Vec<String> = facts.read.iter().map(|(tool, chains)| format!("{chains} chains of {tool}")).collect();
        findings
            .push(Finding::pass(RULES, format!("no rule does anything to the policy's flows ({})", read.join(", "))));
    } else if facts.read.is_empty() && !facts.unread.iter().any(|why| why.starts_with("nftables")) {
        findings.push(Finding::pass(RULES, "there are no rules"));
    }
    findings
}

fn flowtables(rules: &Ruleset, subject: &Subject) -> Vec<Finding> {
    let ours = |table: &&Flowtable| table.devices.iter().any(|device| subject.interfaces().any(|name| name == device));
    let findings = rules.flowtables.iter().filter(ours).map(|table| {
        let Flowtable { family, table: parent, name, devices, hardware } = table;
        let seen = format!("nftables: family {family}, table {parent}, flowtable {name} on {}", devices.join(", "));
        if !hardware {
            return Finding::pass(FLOWTABLE, format!("{seen}: in software, behind the datapath's hook"));
        }
        let meaning = "The hardware forwards these connections, and no program of the datapath sees them: they are neither judged \
                       nor counted.";
        Finding::fail(FLOWTABLE, format!("{seen}, in hardware (flags offload)"), meaning)
            .fixed_by(remedy::without_flowtable(rules, table))
    });
    findings.collect()
}

#[cfg(test)]
mod tests;
