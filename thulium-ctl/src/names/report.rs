//! The book as `hosts` shows it.

use std::{collections::BTreeMap, net::IpAddr, time::SystemTime};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{
    AddressBook,
    book::NameRecord,
    clock::unix_seconds,
    is_wildcard,
    owners::learns,
    refusal::Refusal,
    sighting::{End, Sighting},
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

impl HostReport {
    /// How many of its addresses and prefixes admit new sessions.
    pub fn admitting(&self) -> u64 {
        self.addresses.iter().filter(|address| address.state != AddressState::Expired).count() as u64
    }
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
    /// When a reply to a client last named addresses, in this run.
    #[serde(default)]
    pub last_reply: Option<u64>,
    /// Of a wildcard, the names it was found to stand for. It is learned from replies to clients alone, and cannot fail to resolve.
    #[serde(default)]
    pub stands_for: Option<u64>,
    /// Private addresses that replies to clients had for it and that the host was not taught, for want of `private_answers: true`:
    /// the last few of a day, the latest first.
    #[serde(default)]
    pub refused: Vec<RefusedAnswer>,
}

/// A private address that a host was not taught.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedAnswer {
    /// The address.
    pub address: IpAddr,
    /// The name that the client asked for; of a wildcard, one that it stands for.
    pub name: String,
    /// When a reply last had it.
    pub last_reply: u64,
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
    /// Until when the last answer or reply that named it is valid (its TTL).
    pub valid_until: Option<u64>,
    /// Until when it admits new sessions, if it left DNS, or will after its TTL; none: for as long as DNS or the policy names it.
    pub until: Option<u64>,
}

impl AddressReport {
    /// The state at a later time than the report's: what was live by a TTL alone comes to be kept, and then expired. Times are
    /// whole seconds that began before the real ones.
    pub fn state_at(&self, now: u64) -> AddressState {
        let at_least = match self.until {
            None => AddressState::Live,
            Some(until) if until < now => AddressState::Expired,
            Some(_) if self.valid_until.is_none_or(|valid| valid < now) => AddressState::Kept,
            Some(_) => AddressState::Live,
        };
        self.state.max(at_least)
    }
}

/// Where an address comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AddressSource {
    /// An answer to one of the host's names, which the daemon asked for.
    Resolver,
    /// A reply to a client that asked for one of the host's names.
    Learned,
    /// The policy itself.
    Fixed,
}

/// What an address is good for, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
        self.hosts.iter().enumerate().map(|(number, host)| self.host(number, host, now)).collect()
    }

    fn host(&self, number: usize, host: &Host, now: SystemTime) -> HostReport {
        let fixed = host.addresses.iter().map(fixed_address);
        HostReport {
            name: host.name.clone(),
            keep_old: host.keep_old.as_secs(),
            names: host.names.iter().map(|name| self.name_of(number, host, name)).collect(),
            addresses: fixed.chain(self.found_addresses(number, host, now)).collect(),
        }
    }

    /// A name of a host, with what the host was not taught of it.
    fn name_of(&self, number: usize, host: &Host, name: &str) -> NameReport {
        let refused = self.refusals.of(number, name).iter().rev();
        let refused = refused.filter(|refusal| !self.has(host, &refusal.name, refusal.address));
        let report = |refusal: &Refusal| RefusedAnswer {
            address: refusal.address,
            name: refusal.name.clone(),
            last_reply: unix_seconds(refusal.last),
        };
        NameReport { refused: refused.map(report).collect(), ..self.name(name) }
    }

    /// Whether a host has the address all the same: by the policy, or by an answer to the daemon's own question for the name.
    fn has(&self, host: &Host, name: &str, address: IpAddr) -> bool {
        let sighting = self.names.get(name).and_then(|record| record.sightings.get(&address));
        let is_resolved = sighting.is_some_and(|sighting| sighting.live(learns(host, &address)).is_some());
        is_resolved || host.addresses.iter().any(|prefix| prefix.contains(&address))
    }

    fn name(&self, name: &str) -> NameReport {
        if is_wildcard(name) {
            return self.wildcard(name);
        }
        let record = self.names.get(name);
        let trouble = record.and_then(NameRecord::trouble);
        NameReport {
            name: name.to_owned(),
            resolves: trouble.is_none(),
            since: trouble.as_ref().map(|trouble| unix_seconds(trouble.since)),
            why: trouble.map(|trouble| trouble.why),
            last_answer: record.and_then(|record| record.last_answer).map(unix_seconds),
            last_reply: record.and_then(|record| record.last_reply).map(unix_seconds),
            stands_for: None,
            refused: Vec::new(),
        }
    }

    fn wildcard(&self, name: &str) -> NameReport {
        let learned = || self.learned_names(name.trim_start_matches('*'));
        NameReport {
            name: name.to_owned(),
            resolves: true,
            why: None,
            since: None,
            last_answer: None,
            last_reply: learned().filter_map(|(_, record)| record.last_reply).max().map(unix_seconds),
            stands_for: Some(learned().count() as u64),
            refused: Vec::new(),
        }
    }

    /// The addresses that DNS named for a host: one row an address, whatever the number of names that led to it.
    fn found_addresses(&self, number: usize, host: &Host, now: SystemTime) -> impl Iterator<Item = AddressReport> {
        let mut rows: BTreeMap<IpAddr, Vec<(&str, &Sighting)>> = BTreeMap::new();
        for (name, record) in self.names.iter().filter(|(name, _)| self.owners.of(name).contains(&number)) {
            for (address, sighting) in &record.sightings {
                if sighting.live(learns(host, address)).is_some() {
                    rows.entry(*address).or_default().push((name, sighting));
                }
            }
        }
        rows.into_iter().map(move |(address, sightings)| row(host, address, &sightings, now))
    }
}

fn row(host: &Host, address: IpAddr, sightings: &[(&str, &Sighting)], now: SystemTime) -> AddressReport {
    let learns = learns(host, &address);
    let of_all = || sightings.iter().map(|(_, sighting)| *sighting);
    let live = of_all().filter_map(|sighting| sighting.live(learns)).max();
    let until = of_all().filter_map(|sighting| sighting.admits(learns, host.keep_old)).max();
    let holds = |end: Option<End>| end.is_some_and(|end| end.is_ahead(now));
    let longest = of_all().max_by_key(|sighting| sighting.live(learns));
    let is_resolved = longest.is_none_or(|sighting| !learns || sighting.is_resolved());
    let valid_until = if is_resolved {
        of_all().filter_map(|sighting| Some(sighting.resolved?.valid_until)).max()
    } else {
        of_all().filter_map(|sighting| sighting.learned).max()
    };
    AddressReport {
        address: address.to_string(),
        source: if is_resolved { AddressSource::Resolver } else { AddressSource::Learned },
        state: match (holds(live), holds(until)) {
            (true, _) => AddressState::Live,
            (false, true) => AddressState::Kept,
            (false, false) => AddressState::Expired,
        },
        names: sightings.iter().map(|(name, _)| (*name).to_owned()).collect(),
        first_seen: of_all().map(|sighting| unix_seconds(sighting.first_seen)).min(),
        last_seen: of_all().map(|sighting| unix_seconds(sighting.last_seen)).max(),
        valid_until: valid_until.map(unix_seconds),
        until: until.and_then(End::time).map(unix_seconds),
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
