//! Packets of ours, and which conditions of a rule hold for them.

use ipnet::IpNet;

use super::rules::{Field, Match, Value};
use crate::doctor::family::Family;

/// The type of the ICMP message by which a client learns a smaller MTU: destination unreachable (RFC 1191), or packet too big
/// (RFC 4443 section 3.2).
pub(super) const fn too_large(family: Family) -> u64 {
    match family {
        Family::Ipv4 => 3,
        Family::Ipv6 => 2,
    }
}

/// Packets of ours: those of a flow of the policy on their way through the kernel, or the gateway's answers to them.
#[derive(Clone, Debug)]
pub(crate) struct Probe<'a> {
    /// Whose they are, in words.
    pub(crate) whose: &'a str,
    pub(crate) family: Family,
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
    pub(super) fn among(self, reach: Self) -> Self {
        match (reach, self) {
            (Self::Yes, holds) => holds,
            (Self::Partly, Self::Yes) => Self::Partly,
            (Self::No, _) | (_, Self::No) => Self::No,
            // Whether it is the same part is not known.
            _ => Self::Maybe,
        }
    }

    /// Which packets are left of `reach` when those are gone for which `self` holds.
    pub(super) fn leaves(self, reach: Self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::Partly => Self::Partly.among(reach),
            Self::Maybe => Self::Maybe.among(reach),
            Self::No => reach,
        }
    }
}

impl Probe<'_> {
    /// Whether a condition of a rule holds for the packets, of which `mark` is the mark now.
    pub(super) fn meets(&self, condition: &Match, mark: Option<u32>) -> Certainty {
        let Match { field, negated, values } = condition;
        let certainty = match field {
            Field::Unknown => return Certainty::Maybe,
            Field::Never => return Certainty::No,
            Field::SourcePort => self.go_to(Some((1, u16::MAX)), values),
            Field::DestinationPort => self.go_to(self.ports, values),
            Field::Source => lie_in(self.sources, values),
            Field::Destination => lie_in(self.destinations, values),
            _ => values.iter().map(|value| self.is(*field, value, mark)).max().unwrap_or(Certainty::No),
        };
        match (negated, certainty) {
            (true, Certainty::Yes) => Certainty::No,
            (true, Certainty::No) => Certainty::Yes,
            (_, certainty) => certainty,
        }
    }

    /// Of fields with one value.
    fn is(&self, field: Field, value: &Value, mark: Option<u32>) -> Certainty {
        match (field, value) {
            (Field::InterfaceIn, Value::Text(name)) => known(is_interface(name, self.interface_in)),
            (Field::InterfaceOut, Value::Text(name)) => known(is_interface(name, self.interface_out)),
            (Field::Protocol, Value::Range(first, last)) => known((*first..=*last).contains(&u64::from(self.protocol))),
            (Field::State, Value::Text(state)) => known(state == self.state),
            (Field::Family, Value::Range(first, last)) => {
                known((*first..=*last).contains(&u64::from(self.family.number())))
            }
            (Field::IcmpType(family), Value::Range(first, last)) => {
                let is_answer = self.ports.is_none() && family == self.family;
                known(is_answer && (*first..=*last).contains(&too_large(family)))
            }
            (Field::Mark(mask), Value::Range(first, last)) => match mark {
                Some(mark) => known((*first..=*last).contains(&u64::from(mark & mask))),
                None => Certainty::Maybe,
            },
            _ => Certainty::Maybe,
        }
    }

    /// Whether all these ports, or some, are among the values.
    fn go_to(&self, ports: Option<(u16, u16)>, values: &[Value]) -> Certainty {
        if self.ports.is_none() {
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
