//! What is known of every name, and which addresses the hosts have because of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, SystemTime},
};

use ipnet::IpNet;
use thulium_ebpf::abi::Family;

use super::{
    clock::{from_unix_seconds, unix_seconds},
    outcome::{Outcome, Outcomes, Trouble},
    state::{SavedAddress, SavedNames},
};
use crate::policy::Host;

/// An answer to a question for a name's addresses of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The family that was asked for.
    pub family: Family,
    /// The addresses; none: the name has none of this family.
    pub addresses: BTreeSet<IpAddr>,
    /// How long the answer may be relied on.
    pub ttl: Duration,
}

/// An address or prefix, as the datapath needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Names of the hosts that it belongs to; never empty.
    pub hosts: BTreeSet<String>,
    /// Until when it admits new sessions; `None`: as long as DNS or the policy names it. Where several hosts share an
    /// address, the longest counts.
    pub until: Option<SystemTime>,
}

/// What a name once led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sighting {
    pub(super) first_seen: SystemTime,
    pub(super) last_seen: SystemTime,
    pub(super) valid_until: SystemTime,
    /// When it was found missing from a good answer; `None`: the last good answer named it.
    pub(super) left: Option<SystemTime>,
}

impl Sighting {
    /// Until when it admits new sessions; `None`: for as long as DNS names it.
    pub(super) fn until(&self, keep_old: Duration) -> Option<SystemTime> {
        // A time beyond the clock's range is as good as "for ever", which is what `None` means.
        self.left.and_then(|left| left.checked_add(keep_old))
    }

    fn admits(&self, keep_old: Duration, now: SystemTime) -> bool {
        self.until(keep_old).is_none_or(|until| now < until)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NameRecord {
    pub(super) sightings: BTreeMap<IpAddr, Sighting>,
    pub(super) last_answer: Option<SystemTime>,
    pub(super) outcomes: Outcomes,
}

impl NameRecord {
    /// Why the name does not resolve, if it does not.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        let is_live_ipv6 = |(address, sighting): (&IpAddr, &Sighting)| address.is_ipv6() && sighting.left.is_none();
        self.outcomes.trouble(self.sightings.iter().any(is_live_ipv6))
    }

    /// Notes that of one family there are these addresses and no others.
    fn replace(&mut self, answer: &Answer, now: SystemTime) {
        let of_family = |address: &IpAddr| address.is_ipv4() == (answer.family == Family::Ipv4);
        for (address, sighting) in &mut self.sightings {
            if of_family(address) && !answer.addresses.contains(address) {
                sighting.left.get_or_insert(now);
            }
        }
        let valid_until = now.checked_add(answer.ttl).unwrap_or(now);
        for address in &answer.addresses {
            let fresh = Sighting { first_seen: now, last_seen: now, valid_until, left: None };
            let sighting = self.sightings.entry(*address).or_insert(fresh);
            *sighting = Sighting { first_seen: sighting.first_seen, last_seen: now, valid_until, left: None };
        }
    }
}

/// Names → addresses, and through them hosts → addresses. Several hosts can have the same name, and several names can lead
/// to the same address.
#[derive(Clone, Debug)]
pub struct AddressBook {
    pub(super) hosts: Vec<Host>,
    pub(super) names: BTreeMap<String, NameRecord>,
}

impl AddressBook {
    /// The book of these hosts: their fixed addresses, and no name resolved yet.
    pub fn new(hosts: &[Host]) -> Self {
        let names = hosts.iter().flat_map(|host| &host.names).map(|name| (name.clone(), NameRecord::default()));
        Self { hosts: hosts.to_vec(), names: names.collect() }
    }

    /// The names to ask for, each once.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }

    /// Takes in an answer for `name`. Addresses of the other family stay as they are. That there is none of this family is
    /// believed of a name that has some of the other; else it counts as a failure.
    pub fn observe(&mut self, name: &str, answer: &Answer, now: SystemTime) {
        let Some(record) = self.names.get_mut(name) else { return };
        if answer.addresses.is_empty() {
            record.outcomes.absent(answer.family, now);
            if *record.outcomes.beside(answer.family) == Outcome::Addresses {
                record.replace(answer, now);
            }
            return;
        }
        record.outcomes.answered(answer.family);
        record.last_answer = Some(now);
        record.replace(answer, now);
    }

    /// Notes that there was no answer for `name` in this family. Its addresses stay as they are.
    pub fn fail(&mut self, name: &str, family: Family, why: &str, now: SystemTime) {
        if let Some(record) = self.names.get_mut(name) {
            record.outcomes.failed(family, why, now);
        }
    }

    /// Forgets the addresses that no host keeps any longer. Returns how many there were.
    pub fn expire(&mut self, now: SystemTime) -> usize {
        let mut forgotten = 0;
        for (name, record) in &mut self.names {
            let keep_old = longest_keep_old(&self.hosts, name);
            let before = record.sightings.len();
            record.sightings.retain(|_, sighting| sighting.admits(keep_old, now));
            forgotten += before - record.sightings.len();
        }
        forgotten
    }

    /// The addresses and prefixes that admit new sessions now.
    pub fn entries(&self, now: SystemTime) -> BTreeMap<IpNet, Entry> {
        let mut entries = BTreeMap::new();
        for host in &self.hosts {
            for prefix in &host.addresses {
                add(&mut entries, prefix.trunc(), &host.name, None);
            }
            for (address, sighting) in self.sightings(host) {
                if sighting.admits(host.keep_old, now) {
                    add(&mut entries, IpNet::from(address), &host.name, sighting.until(host.keep_old));
                }
            }
        }
        entries
    }

    /// When the next address stops admitting new sessions; `None`: none will.
    pub fn next_expiry(&self, now: SystemTime) -> Option<SystemTime> {
        let untils = self
            .hosts
            .iter()
            .flat_map(|host| self.sightings(host).filter_map(|(_, sighting)| sighting.until(host.keep_old)));
        untils.filter(|until| *until > now).min()
    }

    /// Takes in what an earlier run knew. All of it counts as having left DNS when it was last seen, until an answer names
    /// it again. Times in the future, from a clock that was wrong, count as `now`.
    pub fn restore(&mut self, saved: &SavedNames, now: SystemTime) {
        for (name, addresses) in &saved.names {
            let Some(record) = self.names.get_mut(name) else { continue };
            for address in addresses {
                let last_seen = from_unix_seconds(address.last_seen).min(now);
                let first_seen = from_unix_seconds(address.first_seen).min(last_seen);
                let left = address.left.map_or(last_seen, |left| from_unix_seconds(left).min(now));
                let sighting = Sighting { first_seen, last_seen, valid_until: last_seen, left: Some(left) };
                record.sightings.entry(address.address).or_insert(sighting);
            }
        }
        self.expire(now);
    }

    /// What the next run should know.
    pub fn save(&self) -> SavedNames {
        let saved = |(address, sighting): (&IpAddr, &Sighting)| SavedAddress {
            address: *address,
            first_seen: unix_seconds(sighting.first_seen),
            last_seen: unix_seconds(sighting.last_seen),
            left: sighting.left.map(unix_seconds),
        };
        let names =
            self.names.iter().map(|(name, record)| (name.clone(), record.sightings.iter().map(saved).collect()));
        SavedNames { version: SavedNames::VERSION, names: names.collect() }
    }

    /// All that the host's names led to and still lead to; an address comes once for each name that knows it.
    pub(super) fn sightings(&self, host: &Host) -> impl Iterator<Item = (IpAddr, &Sighting)> {
        let records = host.names.iter().filter_map(|name| self.names.get(name));
        records.flat_map(|record| record.sightings.iter().map(|(address, sighting)| (*address, sighting)))
    }
}

/// Adds a host to an address; of two times, the longer counts.
fn add(entries: &mut BTreeMap<IpNet, Entry>, prefix: IpNet, host: &str, until: Option<SystemTime>) {
    let entry = entries.entry(prefix).or_insert_with(|| Entry { hosts: BTreeSet::new(), until });
    entry.hosts.insert(host.to_owned());
    entry.until = match (entry.until, until) {
        (Some(one), Some(other)) => Some(one.max(other)),
        _ => None,
    };
}

fn longest_keep_old(hosts: &[Host], name: &str) -> Duration {
    let concerned = hosts.iter().filter(|host| host.names.iter().any(|other| other == name));
    concerned.map(|host| host.keep_old).max().unwrap_or_default()
}

#[cfg(test)]
mod tests;
