//! The private answers that a host was not taught: else an admin who misses an address finds nothing that says why.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, SystemTime},
};

use super::{Lesson, owners::withholds};
use crate::policy::Host;

/// Refused addresses that are remembered of each name of a host.
const ADDRESSES_OF_A_NAME: usize = 3;
/// How long a refusal is remembered.
const REMEMBERED: Duration = Duration::from_secs(86_400);

/// An address in a reply to a client that a host was not taught.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) address: IpAddr,
    /// The name that the client asked for.
    pub(super) name: String,
    /// When a reply last had it.
    pub(super) last: SystemTime,
}

/// By the host's number and its name in the policy, which may be a wildcard; the latest last. So the policy bounds them,
/// whatever replies say.
#[derive(Clone, Debug, Default)]
pub(super) struct Refusals(BTreeMap<(usize, String), Vec<Refusal>>);

impl Refusals {
    /// Notes the addresses of a lesson that `host`, which has its name, is not taught for want of `private_answers`.
    pub(super) fn note(&mut self, number: usize, host: &Host, lesson: &Lesson, now: SystemTime) {
        for address in lesson.addresses.iter().filter(|address| withholds(host, address)) {
            let refused = self.0.entry((number, named(host, &lesson.name))).or_default();
            refused.retain(|refusal| refusal.address != *address);
            if refused.len() == ADDRESSES_OF_A_NAME {
                refused.remove(0);
            }
            refused.push(Refusal { address: *address, name: lesson.name.clone(), last: now });
        }
    }

    /// The latest of a host's name, as the policy writes it; the latest last.
    pub(super) fn of(&self, number: usize, name: &str) -> &[Refusal] {
        self.0.get(&(number, name.to_owned())).map_or(&[], Vec::as_slice)
    }

    /// Forgets the old ones.
    pub(super) fn expire(&mut self, now: SystemTime) {
        self.0.retain(|_, refused| {
            refused.retain(|refusal| now.duration_since(refusal.last).is_ok_and(|age| age < REMEMBERED));
            !refused.is_empty()
        });
    }
}

/// The name by which the policy gives the host this one: itself or a wildcard.
fn named(host: &Host, name: &str) -> String {
    let is_exact = host.names.iter().any(|own| own == name);
    if is_exact { name.to_owned() } else { format!("*{}", super::owners::rest(name).unwrap_or_default()) }
}
