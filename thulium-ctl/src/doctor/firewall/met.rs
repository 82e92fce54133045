//! Rules that do something to flows, and what that means.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    FLOWTABLE, Facts,
    probe::{Certainty, Probe},
    probes::ANSWERS,
    remedy,
    rules::{Hook, Tool},
    walk::{Event, What, forwarding, sending},
};
use crate::doctor::{family::Family, finding::Finding, subject::Subject};

pub(super) const DROP: &str = "firewall-drop";
pub(super) const NAT: &str = "firewall-nat";
pub(super) const MARK: &str = "packet-mark";
pub(super) const ICMP: &str = "firewall-icmp";
pub(super) const HELPER: &str = "conntrack-helper";

/// A rule that does something to some flows.
pub(super) struct Met<'r> {
    event: Event<'r>,
    /// Flows, or the gateway's own answers.
    whose: BTreeSet<String>,
    /// Which of their packets.
    families: BTreeSet<Family>,
}

pub(super) fn collect<'r>(facts: &'r Facts, subject: &Subject, probes: &[Probe<'_>]) -> Vec<Met<'r>> {
    let mut met: BTreeMap<_, Met<'r>> = BTreeMap::new();
    for probe in probes {
        let is_answer = probe.ports.is_none();
        let events = if is_answer { sending(&facts.rules, probe) } else { forwarding(&facts.rules, probe) };
        for event in events {
            match &event.what {
                What::Marked(bits) if bits & subject.mark.mask == 0 => continue,
                What::Offloaded => continue,
                // Of an answer of the gateway only its loss matters, and of what it answers, too: the guard never sees that.
                what if (is_answer || probe.family == Family::Ipv6) && *what != What::Refused => continue,
                _ => {}
            }
            // Marks first: what exempts by the mark works only with the mark.
            let order =
                (!matches!(event.what, What::Marked(_)), event.hook, event.chain, event.rule.map(|rule| rule.number));
            let one = met.entry(order).or_insert_with(|| Met {
                event: event.clone(),
                whose: BTreeSet::new(),
                families: BTreeSet::new(),
            });
            one.event.holds = one.event.holds.max(event.holds);
            one.whose.insert(probe.whose.to_owned());
            one.families.insert(probe.family);
        }
    }
    met.into_values().collect()
}

impl Met<'_> {
    /// `exceptional`: which packets take the kernel's way now; `None`: none does.
    pub(super) fn finding(&self, subject: &Subject, exceptional: Option<&str>) -> Finding {
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
        let family = if self.is_of_ipv6_alone() { " (IPv6)" } else { "" };
        let seen = format!("{}, {rule} – {perhaps}{does} {some}{}{family}", self.event.chain.words(), list(&flows));
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
        match remedy::fix(&self.event, &self.families, subject).filter(|_| is_safe) {
            Some(fix) => finding.fixed_by(fix),
            None => finding,
        }
    }

    fn is_of_ipv6_alone(&self) -> bool {
        self.families.iter().all(|family| *family == Family::Ipv6)
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
                "Those that may not be fragmented (of IPv6: none may) are answered by an ICMP error, without which a client does \
                 not learn the smaller size, and its connection hangs."
            }
            What::Refused if self.is_of_ipv6_alone() => {
                "Those of IPv6 are not fragmented but answered by an ICMP error. What is lost here is not answered: the client \
                 does not learn the smaller size, and its connection hangs."
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
