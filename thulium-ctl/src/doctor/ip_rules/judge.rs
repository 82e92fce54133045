//! What rules of others mean for Thulium.

use ipnet::IpNet;

use super::{Facts, LOCAL, Leads, Rule};
use crate::{
    datapath::host::routing::{END_PRIORITY, MAIN_PRIORITY},
    doctor::{
        family::Family,
        finding::Finding,
        firewall::{Certainty, Servers},
        subject::Subject,
    },
};

const CHECK: &str = "ip-rule";

/// Whether rules leave clients' packets to ours, and our bits of the mark to us.
pub(in crate::doctor) fn judge(facts: &Facts, subject: &Subject, servers: &Servers) -> Vec<Finding> {
    let rules = match &facts.rules {
        Ok(rules) => rules,
        Err(why) => return vec![Finding::not_tested(CHECK, why.as_str())],
    };
    let others: Vec<&Rule> = rules.iter().filter(|rule| !rule.is_ours && rule.priority != 0).collect();
    let seen =
        |rule: &Rule, does: &str| format!("{} rule {}: {} – {does}", facts.family.name(), rule.priority, rule.text);
    let mut findings = Vec::new();
    for rule in &others {
        let caught = facts.catches(rule, subject, servers);
        if let Some(finding) = by_our_bits(facts, subject, rule, &seen) {
            findings.push(finding);
        } else if caught != Certainty::No {
            let does = "goes before ours for clients' packets that need the kernel";
            let meaning = "Large packets, and those with a TTL of 1, are routed by it as if they left by another uplink: their sender \
                           learns that link's MTU, or they are lost there. Behind our rules it still serves everything else.";
            let finding = match caught {
                Certainty::Maybe => Finding::warn(CHECK, seen(rule, &format!("perhaps {does}")), meaning),
                _ => Finding::fail(CHECK, seen(rule, does), meaning),
            };
            findings.push(match behind_ours(facts.family, &others, rule) {
                Some(fix) => finding.fixed_by(fix),
                None => finding,
            });
        }
    }
    if findings.is_empty() {
        let what = if subject.mark.uplinks.is_some() { "goes before ours, or " } else { "" };
        findings.push(Finding::pass(CHECK, format!("no {} rule {what}uses our bits of the mark", facts.family.name())));
    }
    findings
}

/// A rule that compares bits of the mark which the datapath writes.
fn by_our_bits(facts: &Facts, subject: &Subject, rule: &Rule, seen: &dyn Fn(&Rule, &str) -> String) -> Option<Finding> {
    let (value, mask) = rule.mark?;
    let ours = subject.mark.mask;
    if value & mask & ours != 0 {
        let meaning = "The datapath writes these bits into the mark of every packet from the LAN, so that the rule catches others than it \
                       is meant for. Give it other bits, or the datapath: `datapath.mark` of the policy.";
        return Some(Finding::fail(CHECK, seen(rule, "uses our bits of the mark"), meaning));
    }
    // With `not` it is for packets of another mark, as all of ours are.
    if mask & ours == 0 || rule.is_negated {
        return None;
    }
    let meaning = "The datapath writes our bits into the mark of every packet from the LAN: with them, none has the mark that the rule \
                   asks for. A mask leaves them out.";
    let [is, whole] = [format!("fwmark {value:#x}/{mask:#x}"), format!("fwmark {value:#x}")];
    let masked = format!("fwmark {value:#x}/{:#x}", mask & !ours);
    let text =
        if rule.text.contains(&is) { rule.text.replace(&is, &masked) } else { rule.text.replace(&whole, &masked) };
    let finding = Finding::warn(CHECK, seen(rule, "compares our bits of the mark, too"), meaning);
    Some(finding.fixed_by(replaced(facts.family, rule, &text, rule.priority)))
}

/// The rule with another text or priority in its place.
fn replaced(family: Family, rule: &Rule, text: &str, priority: u32) -> String {
    let ip = ip(family);
    let Rule { text: former, priority: was, .. } = rule;
    format!("{ip} rule add {text} priority {priority} && {ip} rule del {former} priority {was}")
}

const fn ip(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "ip",
        Family::Ipv6 => "ip -6",
    }
}

/// Moves the rules of others behind ours, from `first` on, so that their order stays; `None`: there is no room for them.
fn behind_ours(family: Family, others: &[&Rule], first: &Rule) -> Option<String> {
    let moved: Vec<&&Rule> =
        others.iter().filter(|rule| rule.priority >= first.priority && rule.priority < END_PRIORITY).collect();
    let behind = others.iter().map(|rule| rule.priority).filter(|priority| *priority >= END_PRIORITY).min();
    let room = behind.unwrap_or(MAIN_PRIORITY).min(MAIN_PRIORITY) - END_PRIORITY;
    if moved.len() > room as usize || moved.iter().any(|rule| rule.leads == Leads::Elsewhere) {
        return None;
    }
    let to = (END_PRIORITY..).zip(&moved).map(|(priority, rule)| replaced(family, rule, &rule.text, priority));
    Some(to.collect::<Vec<_>>().join(" && "))
}

impl Facts {
    /// Whether a rule of others sends clients' packets another way than that of their uplink. Where it leads to what is no uplink,
    /// the datapath leaves packets to it in the first place.
    fn catches(&self, rule: &Rule, subject: &Subject, servers: &Servers) -> Certainty {
        let is_before = rule.priority < END_PRIORITY && !rule.suppresses_default;
        if subject.mark.uplinks.is_none() || !is_before || rule.is_for_own {
            return Certainty::No;
        }
        let servers: Vec<IpNet> =
            servers.values().flatten().filter(|net| Family::of(net.addr()) == self.family).copied().collect();
        let misleads = match &rule.leads {
            Leads::Table(table) if table == LOCAL => false,
            Leads::Table(table) => self.leads_to_uplink(table, subject, &servers),
            Leads::Nowhere => true,
            Leads::Elsewhere => false,
        };
        if misleads { rule.holds(self.family, subject, &servers) } else { Certainty::No }
    }

    fn leads_to_uplink(&self, table: &str, subject: &Subject, servers: &[IpNet]) -> bool {
        let routes = self.tables.get(table).map(Vec::as_slice).unwrap_or_default();
        routes.iter().any(|(to, devices)| {
            let is_for_servers = to.is_none_or(|to| servers.iter().any(|server| to.contains(server)));
            is_for_servers && devices.iter().any(|device| subject.uplinks.contains(device))
        })
    }
}

impl Rule {
    /// Whether its conditions hold for clients' packets with the mark of an uplink.
    fn holds(&self, family: Family, subject: &Subject, servers: &[IpNet]) -> Certainty {
        let lie_in = |ours: &[IpNet], prefix: Option<IpNet>| match prefix {
            None => Certainty::Yes,
            Some(_) if ours.is_empty() => Certainty::Maybe,
            Some(prefix) if ours.iter().all(|net| prefix.contains(net)) => Certainty::Yes,
            Some(prefix) if ours.iter().any(|net| prefix.contains(net) || net.contains(&prefix)) => Certainty::Partly,
            Some(_) => Certainty::No,
        };
        let by_interface = match &self.interface_in {
            Some(name) if !subject.lan.contains(name) => Certainty::No,
            _ => Certainty::Yes,
        };
        let conditions = [
            lie_in(&subject.sources(family), self.from),
            lie_in(servers, self.to),
            by_interface,
            self.holds_by_mark(subject),
            if self.has_more { Certainty::Maybe } else { Certainty::Yes },
        ];
        match (self.is_negated, conditions.into_iter().min().unwrap_or(Certainty::Yes)) {
            (true, Certainty::Yes) => Certainty::No,
            (true, Certainty::No) => Certainty::Yes,
            (_, certainty) => certainty,
        }
    }

    /// Of the other bits of the mark nothing is known, but that they are zero where nobody sets them.
    fn holds_by_mark(&self, subject: &Subject) -> Certainty {
        let Some((value, mask)) = self.mark else { return Certainty::Yes };
        let ours = subject.mark.mask;
        let mut slots = (0..).zip(&subject.uplinks).filter_map(|(slot, _)| subject.mark.of_slot(slot));
        let meets = |mark: u32| (mark ^ value) & mask & ours == 0;
        match slots.any(meets) {
            false => Certainty::No,
            true if value & mask & !ours != 0 => Certainty::Maybe,
            true => Certainty::Yes,
        }
    }
}
