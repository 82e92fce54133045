//! Rules of nftables and iptables in one form: as much of them as decides what becomes of our packets.

use std::collections::BTreeMap;

use ipnet::IpNet;

use crate::doctor::family::Family;

/// Where a chain is hooked in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hook {
    /// Of one interface, behind TC.
    Ingress,
    Prerouting,
    Forward,
    Postrouting,
    /// What the gateway itself sends.
    Output,
    /// Of one interface, before TC; what TC redirects there does not come by.
    Egress,
}

/// Which tool a chain belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tool {
    Nft,
    /// The command that lists and changes it.
    Iptables(&'static str),
}

/// A chain is told from others by this.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ChainId {
    pub(crate) tool: Tool,
    pub(crate) family: String,
    pub(crate) table: String,
    pub(crate) name: String,
}

/// A chain with its rules.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Chain {
    /// Where packets meet it; `None`: other chains jump to it.
    pub(crate) hook: Option<Hook>,
    pub(crate) priority: i64,
    /// The interfaces of a chain at `ingress` or `egress`.
    pub(crate) devices: Vec<String>,
    /// True if what no rule accepts is dropped.
    pub(crate) policy_drops: bool,
    pub(crate) rules: Vec<Rule>,
}

/// All chains.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Ruleset {
    pub(crate) chains: BTreeMap<ChainId, Chain>,
    /// Flowtables: name and interfaces, and whether the hardware forwards.
    pub(crate) flowtables: Vec<Flowtable>,
}

/// A shortcut past the kernel's forwarding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flowtable {
    pub(crate) family: String,
    pub(crate) table: String,
    pub(crate) name: String,
    pub(crate) devices: Vec<String>,
    pub(crate) hardware: bool,
}

/// A rule, or one of the cases of a rule with a verdict map.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rule {
    /// nftables: its handle. iptables: its number, from 1.
    pub(crate) number: u64,
    /// As the tool prints it.
    pub(crate) text: String,
    pub(crate) matches: Vec<Match>,
    pub(crate) actions: Vec<Action>,
}

/// A condition.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Match {
    pub(crate) field: Field,
    pub(crate) negated: bool,
    /// It holds if the field is one of these.
    pub(crate) values: Vec<Value>,
}

impl Match {
    pub(crate) fn of(field: Field, values: Vec<Value>) -> Self {
        Self { field, negated: false, values }
    }
}

/// What a condition looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    InterfaceIn,
    InterfaceOut,
    /// Number of the IP protocol.
    Protocol,
    SourcePort,
    DestinationPort,
    Source,
    Destination,
    /// What conntrack thinks of the packet.
    State,
    /// The bits of the packet mark in this mask.
    Mark(u32),
    /// Type of an ICMP message of this family.
    IcmpType(Family),
    /// 4 or 6.
    Family,
    /// Something that is never true of a packet of ours.
    Never,
    /// Something that is not looked into.
    Unknown,
}

/// What a field is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// A word; of interfaces it may end with `*`.
    Text(String),
    /// A range of numbers, both ends included.
    Range(u64, u64),
    Prefix(IpNet),
    Unknown,
}

/// What a rule does with a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Accept,
    /// Drop or reject.
    Refuse,
    Return,
    Jump(String),
    Goto(String),
    /// The kernel's own source NAT.
    SourceNat,
    /// The bits of the packet mark that are overwritten; and the value they get, if it is a constant.
    SetMark(u32, Option<u32>),
    /// Hands the connection to a helper, such as `sip`.
    Helper(String),
    /// Puts the connection into a flowtable.
    Offload(String),
}
