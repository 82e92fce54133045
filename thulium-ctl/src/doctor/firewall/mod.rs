//! Rules of nftables and iptables that would meet our packets.
//!
//! Admitted packets take their own road: no rule ever meets them, not even in a chain at an uplink's `egress` (the kernel applies
//! those to nothing that TC redirects). What needs the kernel does meet rules: where a LAN interface has a larger MTU than the
//! uplink, the kernel fragments a client's large packets, and forwards them through all its chains to the guard.
//!
//! * [`rules`]: one form for both tools, read by `nft` (with `text`) and `iptables`.
//! * [`walk`]: which rules a packet of a flow meets, and whether for sure.
//! * `remedy`: the command that exempts it.

mod iptables;
mod nft;
mod remedy;
mod rules;
mod text;
mod walk;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
};

use ipnet::IpNet;

use self::{
    rules::{Flowtable, Hook, Ruleset, Tool},
    text::Texts,
    walk::{Certainty, Event, Probe, What, forwarding, sending},
};
use super::{command::ask, finding::Finding, interfaces::Interfaces, subject::Subject};
use crate::policy::Protocol;

const RULES: &str = "firewall-rules";
const DROP: &str = "firewall-drop";
const NAT: &str = "firewall-nat";
const MARK: &str = "packet-mark";
const ICMP: &str = "firewall-icmp";
const HELPER: &str = "conntrack-helper";
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

/// Reads the rules of this network namespace.
pub(super) fn look() -> Facts {
    let nft = ask("nft", "-j list ruleset").and_then(|json| Ok((json, ask("nft", "-a list ruleset")?)));
    let saved = ask("iptables-nft-save", "");
    // Asking the older iptables for tables that are not there would load modules.
    let tables = fs::read_to_string("/proc/net/ip_tables_names").unwrap_or_default();
    let legacy = if tables.trim().is_empty() { Ok(String::new()) } else { ask("iptables-legacy-save", "") };
    facts(nft, saved, legacy)
}

/// The facts in what the tools printed.
fn facts(
    nft: Result<(String, String), String>,
    iptables_nft: Result<String, String>,
    iptables_legacy: Result<String, String>,
) -> Facts {
    let mut facts = Facts::default();
    match nft.and_then(|(json, text)| nft::parse(&json, &Texts::parse(&text))) {
        Ok(rules) => facts.take("nftables", rules),
        Err(why) => facts.unread.push(format!("nftables: {why}")),
    }
    if let Ok(text) = iptables_nft {
        let rules = iptables::parse(&text, "iptables-nft");
        // nft lists these tables too, but without the arguments of what it does not know.
        facts.rules.chains.retain(|id, _| {
            let twin = rules::ChainId { tool: Tool::Iptables("iptables-nft"), ..id.clone() };
            !rules.chains.contains_key(&twin)
        });
        facts.take("iptables-nft", rules);
    }
    match iptables_legacy {
        Ok(text) => facts.take("iptables-legacy", iptables::parse(&text, "iptables-legacy")),
        Err(why) => facts.unread.push(format!("iptables-legacy: {why}")),
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
    // IPv6 packets are never fragmented on the way.
    let sources = subject.sources();
    let ipv4 = |prefixes: &Vec<IpNet>| prefixes.iter().filter(|prefix| prefix.addr().is_ipv4()).copied().collect();
    let servers: Servers = servers.iter().map(|(host, prefixes)| (host.clone(), ipv4(prefixes))).collect();
    let probes = probes(subject, &sources, &servers);
    let met: Vec<Met<'_>> = collect(facts, subject, &probes);
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

/// Whose packets those are that are of no flow.
const ANSWERS: &str = "the gateway's own ICMP errors to clients";

/// One for each flow, port range and LAN interface, and one for the gateway's answers. A flow whose policy is not known stands for all.
fn probes<'a>(subject: &'a Subject, sources: &'a [IpNet], servers: &'a Servers) -> Vec<Probe<'a>> {
    let Some(way_out) = subject.uplinks.first() else { return Vec::new() };
    let mut probes = Vec::new();
    for way_in in &subject.lan {
        let probe = |whose: &'a str, protocol, ports, destinations| Probe {
            whose,
            interface_in: way_in,
            interface_out: way_out,
            protocol,
            ports: Some(ports),
            // Conntrack has never seen an answer to it: those take our own road.
            state: "new",
            sources,
            destinations,
            mark: Some(subject.mark.governed),
        };
        probes.push(Probe {
            whose: ANSWERS,
            interface_in: "",
            interface_out: way_in,
            protocol: 1,
            ports: None,
            state: "related",
            sources: &[],
            destinations: sources,
            mark: None,
        });
        let Some(policy) = &subject.policy else {
            probes.push(probe("of the policy", 17, (1, 65_535), &[]));
            continue;
        };
        for flow in &policy.flows {
            let destinations = servers.get(&flow.host).map_or(&[][..], Vec::as_slice);
            for range in &flow.ports {
                let protocol = match range.protocol {
                    Protocol::Tcp => 6,
                    Protocol::Udp => 17,
                    // A ping is never larger than a link unless somebody wants it to be.
                    Protocol::Icmp => continue,
                };
                probes.push(probe(&flow.name, protocol, (range.first, range.last), destinations));
            }
        }
    }
    probes
}

/// A rule that does something to some flows.
struct Met<'r> {
    event: Event<'r>,
    /// Flows, or the gateway's own answers.
    whose: BTreeSet<String>,
}

fn collect<'r>(facts: &'r Facts, subject: &Subject, probes: &[Probe<'_>]) -> Vec<Met<'r>> {
    let mut met: BTreeMap<_, Met<'r>> = BTreeMap::new();
    for probe in probes {
        let is_answer = probe.ports.is_none();
        let events = if is_answer { sending(&facts.rules, probe) } else { forwarding(&facts.rules, probe) };
        for event in events {
            match &event.what {
                What::Marked(bits) if bits & subject.mark.mask == 0 => continue,
                What::Offloaded => continue,
                // To an answer of the gateway only its loss matters.
                what if is_answer && *what != What::Refused => continue,
                _ => {}
            }
            // Marks first: what exempts by the mark works only with the mark.
            let order =
                (!matches!(event.what, What::Marked(_)), event.hook, event.chain, event.rule.map(|rule| rule.number));
            let one = met.entry(order).or_insert_with(|| Met { event: event.clone(), whose: BTreeSet::new() });
            one.event.holds = one.event.holds.max(event.holds);
            one.whose.insert(probe.whose.to_owned());
        }
    }
    met.into_values().collect()
}

impl Met<'_> {
    /// `exceptional`: which packets take the kernel's way now; `None`: none does.
    fn finding(&self, subject: &Subject, exceptional: Option<&str>) -> Finding {
        let (check, does) = match &self.event.what {
            What::Refused if self.event.hook == Hook::Output => (ICMP, "refuses"),
            What::Refused => (DROP, "refuses"),
            What::Translated => (NAT, "translates the source of"),
            What::Marked(_) => (MARK, "overwrites our bits of the mark of"),
            What::Helped(_) => (HELPER, "hands to a conntrack helper"),
            What::Offloaded => (FLOWTABLE, "offloads"),
        };
        let rule = match self.event.rule {
            Some(rule) => format!("{} {}: {}", self.number_word(), rule.number, rule.text),
            None => "its policy is drop".to_owned(),
        };
        let flows: Vec<&str> = self.whose.iter().map(String::as_str).collect();
        let (perhaps, some) = match self.event.holds {
            Certainty::Yes => ("", ""),
            Certainty::Partly => ("", "some "),
            Certainty::Maybe | Certainty::No => ("perhaps ", ""),
        };
        let seen = format!("{}, {rule} – {perhaps}{does} {some}{}", self.event.chain.words(), list(&flows));
        let is_sure = matches!(self.event.holds, Certainty::Yes | Certainty::Partly);
        let harms_now = is_sure
            && match self.event.what {
                What::Marked(_) => !subject.is_audited,
                _ => exceptional.is_some(),
            };
        let meaning = self.meaning(subject, exceptional);
        let is_safe = subject.is_enforced || !self.is_exempted_by_mark();
        let finding = if harms_now && is_safe {
            Finding::fail(check, seen, meaning)
        } else {
            Finding::warn(check, seen, meaning)
        };
        match remedy::fix(&self.event, subject).filter(|_| is_safe) {
            Some(fix) => finding.fixed_by(fix),
            None => finding,
        }
    }

    /// True if the remedy lets a client's packets pass this chain whatever they are, so that the guard must have the last word.
    fn is_exempted_by_mark(&self) -> bool {
        self.event.hook != Hook::Output && matches!(self.event.what, What::Refused | What::Translated)
    }

    fn number_word(&self) -> &'static str {
        match self.event.chain.tool {
            Tool::Nft => "handle",
            Tool::Iptables(_) => "rule",
        }
    }

    fn meaning(&self, subject: &Subject, exceptional: Option<&str>) -> String {
        let which = match exceptional {
            Some(which) => format!("Admitted packets pass by the rules, but {which}."),
            None => "Admitted packets pass by the rules; none needs the kernel's forwarding as long as the uplink's MTU is not \
                     smaller than the LAN's."
                .to_owned(),
        };
        let harm = match &self.event.what {
            What::Refused if self.event.hook == Hook::Output => {
                "Those that may not be fragmented are answered by an ICMP error, without which a client does not learn the smaller \
                 size, and its connection hangs."
            }
            What::Refused => "Large packets, such as a long SIP INVITE, are lost here.",
            What::Translated => {
                "What is translated here comes to the guard with the gateway's address, and is refused as foreign-nat. \
                 (What has been translated once stays so until it is silent for 30 s.)"
            }
            What::Marked(_) => {
                return "These bits tell the guard whose packet it is (`datapath.mark` of the policy). Without them, packets that \
                        are translated by another rule are refused as foreign-nat. A rule that needs these very bits \
                        needs others, or the policy does."
                    .to_owned();
            }
            What::Helped(_) => {
                "A helper rewrites payloads (T9): a SIP message comes out with other addresses than it had."
            }
            What::Offloaded => "",
        };
        if subject.is_enforced || !self.is_exempted_by_mark() {
            return format!("{which} {harm}");
        }
        format!(
            "{which} {harm} There is no command for it yet: while the policy does not enforce (`mode: audit` or `unmatched: \
             pass`), an exemption would open this firewall to what the policy does not admit. Ask doctor again once it enforces."
        )
    }
}

/// `a, b and c`.
fn list(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] if *one == ANSWERS => ANSWERS.to_owned(),
        [one] => format!("packets of flow {one}"),
        [before @ .., last] => format!("packets of flows {} and {last}", before.join(", ")),
    }
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
