//! What is known of every name, and which addresses the hosts have because of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, SystemTime},
};

use ipnet::IpNet;
use thulium_ebpf::abi::Family;

use super::{
    Lesson,
    outcome::{Outcome, Outcomes, Trouble},
    owners::{Owners, family, learns, rest},
    refusal::Refusals,
    sighting::{End, Sighting},
};
use crate::policy::Host;

/// How long an address that admits nothing any more is remembered, so that a client which clings to it is told from a stranger.
pub(super) const REMEMBERED: Duration = Duration::from_secs(7 * 86_400);
/// Names that one wildcard can stand for at a time.
pub(super) const NAMES_OF_A_WILDCARD: usize = 1024;
/// A reply to a client counts as valid for so long at least, whatever its TTL.
const SHORTEST_LESSON: Duration = Duration::from_secs(30);
/// A reply to a client counts as valid for so long at most, whatever its TTL.
pub(super) const LONGEST_LESSON: Duration = Duration::from_secs(86_400);

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
    /// address, the longest counts: each host is taken out when its own time is over.
    pub until: Option<SystemTime>,
}

/// What is known of one name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NameRecord {
    pub(super) sightings: BTreeMap<IpAddr, Sighting>,
    /// When an answer to the daemon's own question last had addresses.
    pub(super) last_answer: Option<SystemTime>,
    /// When a reply to a client last had addresses.
    pub(super) last_reply: Option<SystemTime>,
    pub(super) outcomes: Outcomes,
}

impl NameRecord {
    /// Why the name does not resolve, if it does not.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        let is_live_ipv6 = |(address, sighting): (&IpAddr, &Sighting)| {
            address.is_ipv6() && sighting.resolved.is_some_and(|resolved| resolved.left.is_none())
        };
        self.outcomes.trouble(self.sightings.iter().any(is_live_ipv6))
    }

    /// Notes that of one family the daemon's resolvers name these addresses and no others.
    fn replace(&mut self, answer: &Answer, now: SystemTime) {
        for (address, sighting) in &mut self.sightings {
            if family(address) == answer.family && !answer.addresses.contains(address) {
                sighting.missed(now);
            }
        }
        let valid_until = now.checked_add(answer.ttl).unwrap_or(now);
        for address in &answer.addresses {
            self.sightings.entry(*address).or_insert(Sighting::new(now)).answered(valid_until, now);
        }
    }
}

/// Names → addresses, and through them hosts → addresses. Several hosts can have the same name, and several names can lead
/// to the same address.
#[derive(Clone, Debug)]
pub struct AddressBook {
    pub(super) hosts: Vec<Host>,
    pub(super) owners: Owners,
    /// The names to ask for, and those that replies have shown to be a wildcard's.
    pub(super) names: BTreeMap<String, NameRecord>,
    /// What replies said that no host was taught.
    pub(super) refusals: Refusals,
}

impl AddressBook {
    /// The book of these hosts: their fixed addresses, and no name resolved yet.
    pub fn new(hosts: &[Host]) -> Self {
        let owners = Owners::new(hosts);
        let names = owners.asked().map(|name| (name.to_owned(), NameRecord::default())).collect();
        Self { hosts: hosts.to_vec(), owners, names, refusals: Refusals::default() }
    }

    /// The names to ask for, each once. A wildcard is learned of only.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.owners.asked()
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

    /// Takes in what a reply to a client says of a name. Other addresses stay as they are, whatever the reply leaves out. True if
    /// an address admits new sessions now that did not before.
    pub fn learn(&mut self, lesson: &Lesson, now: SystemTime) -> bool {
        for number in self.owners.of(&lesson.name) {
            self.refusals.note(number, &self.hosts[number], lesson, now);
        }
        let addresses = self.learnable(lesson);
        if addresses.is_empty() || !self.has_room_for(&lesson.name, now) {
            return false;
        }
        let ttl = lesson.ttl.clamp(SHORTEST_LESSON, LONGEST_LESSON);
        let valid_until = now.checked_add(ttl).unwrap_or(now);
        let owners = hosts_of(&self.hosts, &self.owners, &lesson.name);
        let record = self.names.entry(lesson.name.clone()).or_default();
        record.last_reply = Some(now);
        let mut is_new = false;
        for address in addresses {
            let sighting = record.sightings.entry(address).or_insert(Sighting::new(now));
            let admits = |sighting: &Sighting, host: &Host| {
                sighting.admits(learns(host, &address), host.keep_old).is_some_and(|end| end.is_ahead(now))
            };
            let before: Vec<bool> = owners.iter().map(|host| admits(sighting, host)).collect();
            sighting.taught(valid_until, now);
            is_new |= owners.iter().zip(before).any(|(host, before)| !before && admits(sighting, host));
        }
        is_new
    }

    /// The addresses of a lesson that a host of its name may have.
    fn learnable(&self, lesson: &Lesson) -> Vec<IpAddr> {
        let owners = self.owners_of(&lesson.name);
        let is_learned = |address: &&IpAddr| owners.iter().any(|host| learns(host, address));
        lesson.addresses.iter().filter(is_learned).copied().collect()
    }

    /// Whether the book takes up another name of a wildcard. Where there are too many, the one that led to nothing that admits new
    /// sessions for the longest time makes room; addresses that do are never given up for another name.
    fn has_room_for(&mut self, name: &str, now: SystemTime) -> bool {
        if self.names.contains_key(name) {
            return true;
        }
        if self.learned_names(rest(name).unwrap_or_default()).count() < NAMES_OF_A_WILDCARD {
            return true;
        }
        let admits = |name: &str, record: &NameRecord| {
            let owners = self.owners_of(name);
            record.sightings.iter().any(|(address, sighting)| is_admitted(&owners, address, sighting, now))
        };
        let of_wildcard = self.learned_names(rest(name).unwrap_or_default());
        let spare = of_wildcard.filter(|(name, record)| !admits(name, record));
        let Some((oldest, _)) = spare.min_by_key(|(_, record)| record.last_reply) else { return false };
        let oldest = oldest.to_owned();
        self.names.remove(&oldest);
        true
    }

    /// The names that replies have shown, of the wildcard with this behind its `*`.
    pub(super) fn learned_names(&self, rest_of_wildcard: &str) -> impl Iterator<Item = (&str, &NameRecord)> {
        let is_of_wildcard = move |name: &str| rest(name) == Some(rest_of_wildcard) && !self.owners.is_asked(name);
        self.names.iter().map(|(name, record)| (name.as_str(), record)).filter(move |(name, _)| is_of_wildcard(name))
    }

    /// Forgets the addresses that admitted nothing for so long that no client should know them any more, and names that led
    /// to nothing else. Returns how many addresses there were.
    pub fn expire(&mut self, now: SystemTime) -> usize {
        self.refusals.expire(now);
        let (hosts, owners) = (&self.hosts, &self.owners);
        let mut forgotten = 0;
        self.names.retain(|name, record| {
            let of_name = hosts_of(hosts, owners, name);
            let before = record.sightings.len();
            record.sightings.retain(|address, sighting| {
                last_end(&of_name, address, sighting).is_some_and(|end| end.after(REMEMBERED).is_ahead(now))
            });
            forgotten += before - record.sightings.len();
            owners.is_asked(name) || !record.sightings.is_empty()
        });
        forgotten
    }

    /// The addresses and prefixes that admit new sessions now.
    pub fn entries(&self, now: SystemTime) -> BTreeMap<IpNet, Entry> {
        let mut entries = BTreeMap::new();
        for host in &self.hosts {
            for prefix in &host.addresses {
                add(&mut entries, prefix.trunc(), &host.name, End::Never);
            }
        }
        for (address, host, end) in self.ends().filter(|(_, _, end)| end.is_ahead(now)) {
            add(&mut entries, IpNet::from(address), &host.name, end);
        }
        entries
    }

    /// The addresses that admitted new sessions once and do so for no host now, with the time of their end.
    pub fn expired(&self, now: SystemTime) -> BTreeMap<IpNet, Entry> {
        let mut expired = BTreeMap::new();
        for (address, host, end) in self.ends() {
            add(&mut expired, IpNet::from(address), &host.name, end);
        }
        expired.retain(|_, entry| entry.until.is_some_and(|until| until <= now));
        expired
    }

    /// When the next address stops admitting new sessions for one of its hosts; `None`: none will.
    pub fn next_expiry(&self, now: SystemTime) -> Option<SystemTime> {
        self.ends().filter_map(|(_, _, end)| end.time()).filter(|until| *until > now).min()
    }

    /// Every address of a name, and up to when it admits new sessions to each of the name's hosts.
    fn ends(&self) -> impl Iterator<Item = (IpAddr, &Host, End)> {
        self.names.iter().flat_map(|(name, record)| {
            let owners = self.owners_of(name);
            let of_address = move |(address, sighting): (&IpAddr, &Sighting)| {
                let ends = owners
                    .iter()
                    .filter_map(|host| Some((*address, *host, sighting.admits(learns(host, address), host.keep_old)?)));
                ends.collect::<Vec<_>>()
            };
            record.sightings.iter().flat_map(of_address).collect::<Vec<_>>()
        })
    }

    /// The hosts that have this name.
    pub(super) fn owners_of(&self, name: &str) -> Vec<&Host> {
        hosts_of(&self.hosts, &self.owners, name)
    }
}

/// The hosts that have this name.
fn hosts_of<'a>(hosts: &'a [Host], owners: &Owners, name: &str) -> Vec<&'a Host> {
    owners.of(name).into_iter().map(|number| &hosts[number]).collect()
}

/// Up to when an address admits new sessions for any of its hosts.
fn last_end(hosts: &[&Host], address: &IpAddr, sighting: &Sighting) -> Option<End> {
    hosts.iter().filter_map(|host| sighting.admits(learns(host, address), host.keep_old)).max()
}

fn is_admitted(hosts: &[&Host], address: &IpAddr, sighting: &Sighting, now: SystemTime) -> bool {
    last_end(hosts, address, sighting).is_some_and(|end| end.is_ahead(now))
}

/// Adds a host to an address; of two times, the longer counts.
fn add(entries: &mut BTreeMap<IpNet, Entry>, prefix: IpNet, host: &str, end: End) {
    let entry = entries.entry(prefix).or_insert_with(|| Entry { hosts: BTreeSet::new(), until: end.time() });
    entry.hosts.insert(host.to_owned());
    entry.until = match (entry.until, end) {
        (Some(one), End::At(other)) => Some(one.max(other)),
        _ => None,
    };
}

#[cfg(test)]
mod tests;
