//! A packet's way through the rules: which of them does something to it, and how sure that is.

use ipnet::IpNet;

use super::rules::{Action, Chain, ChainId, Field, Hook, Match, Rule, Ruleset, Tool, Value};

/// Jumps that the kernel allows in a row.
const DEPTH: usize = 16;

/// The type of the ICMP message by which a client learns a smaller MTU: destination unreachable.
pub(super) const UNREACHABLE: u64 = 3;

/// Packets of ours: those of a flow of the policy on their way through the kernel, or the gateway's answers to them.
#[derive(Clone, Debug)]
pub(crate) struct Probe<'a> {
    /// Whose they are, in words.
    pub(crate) whose: &'a str,
    pub(crate) interface_in: &'a str,
    pub(crate) interface_out: &'a str,
    pub(crate) protocol: u8,
    /// Ports that they go to, both ends included; `None`: it is ICMP.
    pub(crate) ports: Option<(u16, u16)>,
    /// What conntrack thinks of them.
    pub(crate) state: &'a str,
    /// Clients.
    pub(crate) sources: &'a [IpNet],
    /// Servers; empty: not known.
    pub(crate) destinations: &'a [IpNet],
    /// The packet mark; `None`: a rule has set it to what is not known.
    pub(crate) mark: Option<u32>,
}

/// Whether a condition holds for the packets of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Certainty {
    No,
    /// It is not known.
    Maybe,
    /// For some of them.
    Partly,
    Yes,
}

impl Certainty {
    /// Of what holds with certainty `self` for those packets of a probe of which `reach` says whether they come there.
    fn among(self, reach: Self) -> Self {
        match (reach, self) {
            (Self::Yes, holds) => holds,
            (Self::Partly, Self::Yes) => Self::Partly,
            (Self::No, _) | (_, Self::No) => Self::No,
            // Whether it is the same part is not known.
            _ => Self::Maybe,
        }
    }

    /// Which packets are left of `reach` when those are gone for which `self` holds.
    fn leaves(self, reach: Self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::Partly => Self::Partly.among(reach),
            Self::Maybe => Self::Maybe.among(reach),
            Self::No => reach,
        }
    }
}

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

/// What happens to packets that the kernel forwards, from hook to hook.
pub(crate) fn forwarding<'r>(rules: &'r Ruleset, probe: &Probe<'_>) -> Vec<Event<'r>> {
    let mut probe = probe.clone();
    let hooks = [Hook::Ingress, Hook::Prerouting, Hook::Forward, Hook::Postrouting, Hook::Egress];
    hooks.into_iter().flat_map(|hook| at(rules, hook, &mut probe)).collect()
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
            matches!(id.family.as_str(), "ip" | "inet")
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
        rule.matches.iter().map(|condition| self.condition(condition)).min().unwrap_or(Certainty::Yes)
    }

    fn condition(&self, condition: &Match) -> Certainty {
        let Match { field, negated, values } = condition;
        let certainty = match field {
            Field::Unknown => return Certainty::Maybe,
            Field::Never => return Certainty::No,
            Field::SourcePort => self.ports(Some((1, u16::MAX)), values),
            Field::DestinationPort => self.ports(self.probe.ports, values),
            Field::Source => lie_in(self.probe.sources, values),
            Field::Destination => lie_in(self.probe.destinations, values),
            _ => values.iter().map(|value| self.is(*field, value)).max().unwrap_or(Certainty::No),
        };
        match (negated, certainty) {
            (true, Certainty::Yes) => Certainty::No,
            (true, Certainty::No) => Certainty::Yes,
            (_, certainty) => certainty,
        }
    }

    /// Of fields with one value.
    fn is(&self, field: Field, value: &Value) -> Certainty {
        let probe = self.probe;
        match (field, value) {
            (Field::InterfaceIn, Value::Text(name)) => known(is_interface(name, probe.interface_in)),
            (Field::InterfaceOut, Value::Text(name)) => known(is_interface(name, probe.interface_out)),
            (Field::Protocol, Value::Range(first, last)) => {
                known((*first..=*last).contains(&u64::from(probe.protocol)))
            }
            (Field::State, Value::Text(state)) => known(state == probe.state),
            (Field::IcmpType, Value::Range(first, last)) => {
                known(probe.ports.is_none() && (*first..=*last).contains(&UNREACHABLE))
            }
            (Field::Mark(mask), Value::Range(first, last)) => match self.mark {
                Some(mark) => known((*first..=*last).contains(&u64::from(mark & mask))),
                None => Certainty::Maybe,
            },
            _ => Certainty::Maybe,
        }
    }

    /// Whether all these ports, or some, are among the values.
    fn ports(&self, ports: Option<(u16, u16)>, values: &[Value]) -> Certainty {
        if self.probe.ports.is_none() {
            return Certainty::No;
        }
        let (first, last) = ports.map_or((0, 0), |(first, last)| (u64::from(first), u64::from(last)));
        let ranges = values.iter().filter_map(|value| match value {
            Value::Range(from, to) => Some((*from.max(&first), *to.min(&last))),
            _ => None,
        });
        let mut ranges: Vec<(u64, u64)> = ranges.filter(|(from, to)| from <= to).collect();
        ranges.sort_unstable();
        let mut next = first;
        for (from, to) in &ranges {
            if *from > next {
                break;
            }
            next = next.max(to + 1);
        }
        match ranges.is_empty() {
            _ if next > last => Certainty::Yes,
            _ if values.contains(&Value::Unknown) => Certainty::Maybe,
            true => Certainty::No,
            false => Certainty::Partly,
        }
    }
}

fn known(is: bool) -> Certainty {
    if is { Certainty::Yes } else { Certainty::No }
}

/// `pattern` may end with `*` (nftables) or `+` (iptables).
fn is_interface(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix(['*', '+']) {
        Some(beginning) => name.starts_with(beginning),
        None => pattern == name,
    }
}

/// Whether all of our addresses, or some, are among the values.
fn lie_in(ours: &[IpNet], values: &[Value]) -> Certainty {
    let one = |ours: &IpNet| {
        let certainty = |value: &Value| match value {
            Value::Prefix(prefix) if prefix.contains(ours) => Certainty::Yes,
            Value::Prefix(prefix) if ours.contains(prefix) => Certainty::Partly,
            Value::Prefix(_) => Certainty::No,
            _ => Certainty::Maybe,
        };
        values.iter().map(certainty).max().unwrap_or(Certainty::No)
    };
    let mut all = ours.iter().map(one);
    let Some(first) = all.next() else { return Certainty::Maybe };
    all.fold(first, |sum, one| match (sum, one) {
        (sum, one) if sum == one => sum,
        (Certainty::Maybe, _) | (_, Certainty::Maybe) => Certainty::Maybe,
        _ => Certainty::Partly,
    })
}

impl ChainId {
    /// The chain in words: `nftables chain inet filter forward`.
    pub(crate) fn words(&self) -> String {
        let Self { tool, family, table, name } = self;
        match tool {
            Tool::Nft => format!("nftables: family {family}, table {table}, chain {name}"),
            Tool::Iptables(command) => format!("{command}: table {table}, chain {name}"),
        }
    }
}
