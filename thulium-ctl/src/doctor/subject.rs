//! What is looked at: a policy, and the interfaces it names.

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf};

use ipnet::IpNet;
use serde::Serialize;

use super::family::Family;
use crate::{
    datapath::marks::Marks,
    policy::{Mode, Policy, Unmatched},
};

/// Where the policy comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "source", rename_all = "kebab-case")]
pub enum Origin {
    /// A file, by `--policy`.
    File {
        /// The file.
        policy: PathBuf,
    },
    /// The daemon's, in force.
    Daemon {
        /// The file that it was read from.
        policy: PathBuf,
        /// The daemon's process.
        process: u32,
    },
    /// What the datapath holds without a daemon.
    Pins,
}

/// What is looked at.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The instance.
    pub instance: String,
    /// Where the policy comes from.
    pub origin: Origin,
    /// The policy; `None`: only the datapath's pins are there.
    pub policy: Option<Policy>,
    /// True if the instance is attached to the interfaces.
    pub is_attached: bool,
    /// Other instances with pins in the same BPF file system.
    pub others: Vec<String>,
    /// LAN interfaces.
    pub lan: Vec<String>,
    /// Uplink interfaces.
    pub uplinks: Vec<String>,
    /// By the policy's hosts, the addresses and prefixes that the daemon in force knows and that admit new sessions; `None`:
    /// no daemon has this policy in force.
    pub known: Option<BTreeMap<String, u64>>,
    /// Who is governed.
    pub clients: Vec<IpNet>,
    /// The packet mark.
    pub mark: Marks,
    /// True if nothing is refused, only counted.
    pub is_audited: bool,
    /// True if what the policy does not admit is refused, so that the guard at the uplink has the last word.
    pub is_enforced: bool,
}

impl Subject {
    /// The policy `policy` for an instance.
    pub fn of_policy(instance: &str, origin: Origin, policy: Policy, is_attached: bool) -> Self {
        Self {
            instance: instance.to_owned(),
            origin,
            is_attached,
            others: Vec::new(),
            known: None,
            lan: policy.lan.interfaces.clone(),
            uplinks: policy.uplinks.iter().map(|uplink| uplink.interface.clone()).collect(),
            clients: policy.lan.clients.clone().unwrap_or_default(),
            mark: Marks::of(policy.datapath.mark, policy.uplinks.len()),
            is_audited: policy.mode == Mode::Audit,
            is_enforced: policy.mode == Mode::Enforce && policy.unmatched == Unmatched::Drop,
            policy: Some(policy),
        }
    }

    /// All interfaces: uplinks first.
    pub(super) fn interfaces(&self) -> impl Iterator<Item = &str> {
        self.uplinks.iter().chain(&self.lan).map(String::as_str)
    }

    /// The router that the policy names for the uplink by this interface.
    pub(super) fn next_hop(&self, interface: &str, family: Family) -> Option<IpAddr> {
        let uplink = self.policy.as_ref()?.uplinks.iter().find(|uplink| uplink.interface == interface)?;
        match family {
            Family::Ipv4 => uplink.next_hop4.map(IpAddr::V4),
            Family::Ipv6 => uplink.next_hop6.map(IpAddr::V6),
        }
    }

    /// True if clients are shared out among uplinks.
    pub(super) fn has_several_uplinks(&self) -> bool {
        self.uplinks.len() > 1
    }

    /// Clients of this family.
    pub(super) fn sources(&self, family: Family) -> Vec<IpNet> {
        self.clients.iter().filter(|prefix| Family::of(prefix.addr()) == family).copied().collect()
    }

    /// What is governed.
    pub(super) fn families(&self) -> impl Iterator<Item = Family> {
        [Family::Ipv4].into_iter().chain(self.governs_ipv6().then_some(Family::Ipv6))
    }

    /// True if a client has an IPv6 prefix.
    pub(super) fn governs_ipv6(&self) -> bool {
        self.clients.iter().any(|prefix| prefix.addr().is_ipv6())
    }
}
