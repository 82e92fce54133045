//! The book as `hosts` shows it.

use std::{collections::BTreeMap, net::IpAddr, time::SystemTime};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{
    AddressBook,
    book::{NameRecord, Sighting},
    clock::unix_seconds,
};
use crate::policy::Host;

/// A host of the policy, its names and its addresses. All times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostReport {
    /// Its name in the policy.
    pub name: String,
    /// How long an address that left DNS still admits new sessions, seconds.
    pub keep_old: u64,
    /// Its DNS names.
    pub names: Vec<NameReport>,
    /// Its addresses: fixed ones first.
    pub addresses: Vec<AddressReport>,
}

/// A DNS name of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameReport {
    /// The name.
    pub name: String,
    /// False from the first failure until the next good answer; true before the first attempt has ended.
    pub resolves: bool,
    /// Why it does not resolve.
    pub why: Option<String>,
    /// Since when it does not resolve.
    pub since: Option<u64>,
    /// When the last good answer came in this run.
    pub last_answer: Option<u64>,
}

/// An address or prefix of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressReport {
    /// The address, or a prefix with its length.
    pub address: String,
    /// Where it comes from.
    pub source: AddressSource,
    /// What it is good for.
    pub state: AddressState,
    /// The names that led to it.
    pub names: Vec<String>,
    /// When an answer first named it.
    pub first_seen: Option<u64>,
    /// When an answer last named it.
    pub last_seen: Option<u64>,
    /// Until when the last answer that named it is valid (its TTL).
    pub valid_until: Option<u64>,
    /// Until when it admits new sessions, if it left DNS.
    pub until: Option<u64>,
}

/// Where an address comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AddressSource {
    /// An answer to one of the host's names.
    Resolver,
    /// The policy itself.
    Fixed,
}

/// What an address is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AddressState {
    /// DNS or the policy names it.
    Live,
    /// It left DNS, and still admits new sessions.
    Kept,
    /// It admits no new sessions.
    Expired,
}

impl AddressBook {
    /// Every host with its names and addresses, in the policy's order.
    pub fn report(&self, now: SystemTime) -> Vec<HostReport> {
        self.hosts.iter().map(|host| self.host(host, now)).collect()
    }

    fn host(&self, host: &Host, now: SystemTime) -> HostReport {
        let fixed = host.addresses.iter().map(fixed_address);
        HostReport {
            name: host.name.clone(),
            keep_old: host.keep_old.as_secs(),
            names: host.names.iter().map(|name| self.name(name)).collect(),
            addresses: fixed.chain(self.learned_addresses(host, now)).collect(),
        }
    }

    fn name(&self, name: &str) -> NameReport {
        let record = self.names.get(name);
        let trouble = record.and_then(NameRecord::trouble);
        NameReport {
            name: name.to_owned(),
            resolves: trouble.is_none(),
            since: trouble.as_ref().map(|trouble| unix_seconds(trouble.since)),
            why: trouble.map(|trouble| trouble.why),
            last_answer: record.and_then(|record| record.last_answer).map(unix_seconds),
        }
    }

    /// The host's learned addresses: one row an address, whatever the number of names that led to it.
    fn learned_addresses(&self, host: &Host, now: SystemTime) -> impl Iterator<Item = AddressReport> {
        let mut rows: BTreeMap<IpAddr, Vec<(&str, &Sighting)>> = BTreeMap::new();
        for name in &host.names {
            for (address, sighting) in self.names.get(name).iter().flat_map(|record| &record.sightings) {
                rows.entry(*address).or_default().push((name, sighting));
            }
        }
        let keep_old = host.keep_old;
        rows.into_iter().map(move |(address, sightings)| {
            let untils = sightings.iter().map(|(_, sighting)| sighting.until(keep_old));
            // `None` (DNS names it) outlasts every time.
            let until = untils.reduce(|one, other| Some(one?.max(other?))).flatten();
            AddressReport {
                address: address.to_string(),
                source: AddressSource::Resolver,
                state: match until {
                    None => AddressState::Live,
                    Some(until) if now < until => AddressState::Kept,
                    Some(_) => AddressState::Expired,
                },
                names: sightings.iter().map(|(name, _)| (*name).to_owned()).collect(),
                first_seen: sightings.iter().map(|(_, sighting)| unix_seconds(sighting.first_seen)).min(),
                last_seen: sightings.iter().map(|(_, sighting)| unix_seconds(sighting.last_seen)).max(),
                valid_until: sightings.iter().map(|(_, sighting)| unix_seconds(sighting.valid_until)).max(),
                until: until.map(unix_seconds),
            }
        })
    }
}

fn fixed_address(prefix: &IpNet) -> AddressReport {
    let whole = prefix.prefix_len() == prefix.max_prefix_len();
    AddressReport {
        address: if whole { prefix.addr().to_string() } else { prefix.trunc().to_string() },
        source: AddressSource::Fixed,
        state: AddressState::Live,
        names: Vec::new(),
        first_seen: None,
        last_seen: None,
        valid_until: None,
        until: None,
    }
}
