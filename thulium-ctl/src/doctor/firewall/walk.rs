//! A packet's way through the rules: which of them does something to it, and how sure that is.

use super::{
    probe::{Certainty, Probe},
    rules::{Action, Chain, ChainId, Hook, Rule, Ruleset, Tool},
};
use crate::doctor::family::Family;

/// Jumps that the kernel allows in a row.
const DEPTH: usize = 16;

/// Something that rules do to a packet.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event<'r> {
    /// The chain of the rule.
    pub(crate) chain: &'r ChainId,
    /// The chain by which the packet came there: where an exemption belongs.
    pub(crate) base: &'r ChainId,
    pub(crate) hook: Hook,
    /// The rule; `None`: the chain's policy.
    pub(crate) rule: Option<&'r Rule>,
    pub(crate) what: What,
    /// To which packets of the probe it happens; never to none.
    pub(crate) holds: Certainty,
}

/// What rules can do to a packet that concerns us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Refused,
    Translated,
    /// These bits of the mark are overwritten.
    Marked(u32),
    Helped(String),
    Offloaded,
}

/// What happens to large packets that the kernel gets, from hook to hook. Those of IPv6 are fragmented by nobody on the way:
/// before any chain at `forward`, the kernel answers them with an error.
pub(crate) fn forwarding<'r>(rules: &'r Ruleset, probe: &Probe<'_>) -> Vec<Event<'r>> {
    let mut probe = probe.clone();
    let hooks = [Hook::Ingress, Hook::Prerouting, Hook::Forward, Hook::Postrouting, Hook::Egress];
    let met = match probe.family {
        Family::Ipv4 => &hooks[..],
        Family::Ipv6 => &hooks[..2],
    };
    met.iter().flat_map(|hook| at(rules, *hook, &mut probe)).collect()
}

/// What happens to packets that the gateway itself sends.
pub(crate) fn sending<'r>(rules: &'r Ruleset, probe: &Probe<'_>) -> Vec<Event<'r>> {
    at(rules, Hook::Output, &mut probe.clone())
}

/// What happens at one hook; the mark of `probe` is what it is behind it.
fn at<'r>(rules: &'r Ruleset, hook: Hook, probe: &mut Probe<'_>) -> Vec<Event<'r>> {
    let mut bases: Vec<(&ChainId, &Chain)> =
        rules.chains.iter().filter(|(id, chain)| chain.hook == Some(hook) && is_met(id, chain, hook, probe)).collect();
    bases.sort_by_key(|(_, chain)| chain.priority);
    let mut events = Vec::new();
    for (id, chain) in bases {
        let mut walk = Walk { rules, base: id, hook, mark: probe.mark, probe, events: Vec::new() };
        let undecided = walk.chain(id, chain, Certainty::Yes, 0);
        let Walk { mark, events: mut noted, .. } = walk;
        if chain.policy_drops && undecided != Certainty::No {
            noted.push(Event { chain: id, base: id, hook, rule: None, what: What::Refused, holds: undecided });
        }
        probe.mark = mark;
        events.append(&mut noted);
    }
    events
}

/// True if packets of this probe come to the chain at all.
fn is_met(id: &ChainId, chain: &Chain, hook: Hook, probe: &Probe<'_>) -> bool {
    let is_on = |interface: &str| chain.devices.iter().any(|device| device == interface);
    match hook {
        Hook::Ingress => is_on(probe.interface_in),
        Hook::Egress => is_on(probe.interface_out),
        Hook::Prerouting | Hook::Forward | Hook::Postrouting | Hook::Output => {
            id.family == "inet" || Some(probe.family) == id.only()
        }
    }
}

struct Walk<'r, 'p> {
    rules: &'r Ruleset,
    base: &'r ChainId,
    hook: Hook,
    probe: &'p Probe<'p>,
    /// The packet mark at this place.
    mark: Option<u32>,
    events: Vec<Event<'r>>,
}

impl<'r> Walk<'r, '_> {
    /// `reach`: which packets of the probe come here. Returns which of them go on behind the chain, undecided.
    fn chain(&mut self, id: &'r ChainId, chain: &'r Chain, mut reach: Certainty, depth: usize) -> Certainty {
        let mut left = Certainty::No;
        for rule in &chain.rules {
            let matched = self.matches(rule);
            let holds = matched.among(reach);
            if holds == Certainty::No {
                continue;
            }
            for action in &rule.actions {
                match action {
                    Action::Jump(target) => {
                        let back = self.jump(id, target, holds, depth);
                        reach = match (back, matched) {
                            (back, _) if back == holds => reach,
                            (back, Certainty::Yes) => back,
                            (Certainty::No, _) => matched.leaves(reach),
                            _ => Certainty::Maybe,
                        };
                        continue;
                    }
                    Action::SetMark(bits, value) => {
                        self.note(id, rule, What::Marked(*bits), holds);
                        self.set_mark(*bits, *value, holds);
                        continue;
                    }
                    Action::Helper(name) => {
                        self.note(id, rule, What::Helped(name.clone()), holds);
                        continue;
                    }
                    Action::Offload(_) => {
                        self.note(id, rule, What::Offloaded, holds);
                        continue;
                    }
                    Action::Accept => {}
                    Action::Refuse => self.note(id, rule, What::Refused, holds),
                    Action::SourceNat => self.note(id, rule, What::Translated, holds),
                    Action::Return => left = left.max(holds),
                    Action::Goto(target) => left = left.max(self.jump(id, target, holds, depth)),
                }
                reach = matched.leaves(reach);
                break;
            }
        }
        reach.max(left)
    }

    fn jump(&mut self, from: &ChainId, target: &str, reach: Certainty, depth: usize) -> Certainty {
        let id = ChainId { name: target.to_owned(), ..from.clone() };
        match self.rules.chains.get_key_value(&id) {
            Some((id, chain)) if depth < DEPTH => self.chain(id, chain, reach, depth + 1),
            _ => Certainty::Maybe,
        }
    }

    fn note(&mut self, chain: &'r ChainId, rule: &'r Rule, what: What, holds: Certainty) {
        let event = Event { chain, base: self.base, hook: self.hook, rule: Some(rule), what, holds };
        self.events.push(event);
    }

    fn set_mark(&mut self, bits: u32, value: Option<u32>, holds: Certainty) {
        self.mark = match (self.mark, value) {
            (Some(mark), Some(value)) if holds == Certainty::Yes => Some(mark & !bits | value & bits),
            _ => None,
        };
    }

    fn matches(&self, rule: &Rule) -> Certainty {
        rule.matches.iter().map(|condition| self.probe.meets(condition, self.mark)).min().unwrap_or(Certainty::Yes)
    }
}

impl ChainId {
    /// The only family whose packets come there; `None`: others come, too.
    pub(crate) fn only(&self) -> Option<Family> {
        match self.family.as_str() {
            "ip" => Some(Family::Ipv4),
            "ip6" => Some(Family::Ipv6),
            _ => None,
        }
    }

    /// The chain in words: `nftables chain inet filter forward`.
    pub(crate) fn words(&self) -> String {
        let Self { tool, family, table, name } = self;
        match tool {
            Tool::Nft => format!("nftables: family {family}, table {table}, chain {name}"),
            Tool::Iptables(command) => format!("{command}: table {table}, chain {name}"),
        }
    }
}
