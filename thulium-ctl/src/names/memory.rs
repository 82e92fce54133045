//! What one run of the daemon leaves to the next.

use std::{
    net::IpAddr,
    time::{Duration, SystemTime},
};

use super::{
    AddressBook,
    book::LONGEST_LESSON,
    clock::{from_unix_seconds, unix_seconds},
    sighting::{Resolved, Sighting},
    state::{SavedAddress, SavedNames},
};

/// An answer that is older than this says nothing any more of who has an address.
const LAST_ANSWER: Duration = Duration::from_secs(30 * 86_400);

impl AddressBook {
    /// Takes in what an earlier run knew: the last good answers hold on until there are others. Times in the future, from a
    /// clock that was wrong, count as `now`.
    pub fn restore(&mut self, saved: &SavedNames, now: SystemTime) {
        for (name, addresses) in &saved.names {
            if self.owners.of(name).is_empty() {
                continue;
            }
            // The policy may have put a wildcard in the place of a name since: nobody asks for that one any more.
            let is_asked = self.owners.is_asked(name);
            let record = self.names.entry(name.clone()).or_default();
            for address in addresses {
                let sighting = restored(address, is_asked, now);
                record.sightings.entry(address.address).or_insert(sighting);
            }
        }
        self.expire(now);
    }

    /// What the next run should know.
    pub fn save(&self) -> SavedNames {
        let names =
            self.names.iter().map(|(name, record)| (name.clone(), record.sightings.iter().map(saved).collect()));
        SavedNames { version: SavedNames::VERSION, names: names.collect() }
    }
}

fn restored(address: &SavedAddress, is_asked: bool, now: SystemTime) -> Sighting {
    let past = |seconds: u64| from_unix_seconds(seconds).min(now);
    let last_seen = past(address.last_seen);
    let resolved = address.resolved.then(|| {
        let last = address.last_answer.map_or(last_seen, past);
        let is_old = !is_asked || now.duration_since(last).is_ok_and(|age| age > LAST_ANSWER);
        let left = address.left.map(past).or(is_old.then_some(last));
        Resolved { last, valid_until: last, left }
    });
    // What was valid for longer than any reply is was written by a clock that was wrong.
    let learned = address.learned_until.map(|until| from_unix_seconds(until).min(last_seen + LONGEST_LESSON));
    Sighting { first_seen: past(address.first_seen).min(last_seen), last_seen, resolved, learned }
}

fn saved((address, sighting): (&IpAddr, &Sighting)) -> SavedAddress {
    SavedAddress {
        address: *address,
        first_seen: unix_seconds(sighting.first_seen),
        last_seen: unix_seconds(sighting.last_seen),
        left: sighting.resolved.and_then(|resolved| resolved.left).map(unix_seconds),
        resolved: sighting.resolved.is_some(),
        last_answer: sighting.resolved.map(|resolved| unix_seconds(resolved.last)),
        learned_until: sighting.learned.map(unix_seconds),
    }
}
