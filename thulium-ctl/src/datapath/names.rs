//! What the programs know of names, to learn their addresses from DNS replies to clients.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::Hash,
    io::ErrorKind,
    net::IpAddr,
    time::Duration,
};

use anyhow::Context;
use aya::{
    Pod,
    maps::{HashMap, MapData, MapError},
};
use thulium_ebpf::abi::{Address4, Address6, NAME_BYTES, Name, NameEntry};

use super::{source::present, tables::Tables};
use crate::{
    observe::Slots as Names,
    policy::{Host, image::Slots},
};

/// What a map of the kernel should hold.
type Wanted<K, V> = std::collections::HashMap<K, V>;

impl Tables {
    /// Makes the names of these hosts what replies may teach. A name stays in the map while its entry changes. What was learned for a
    /// host that has lost a name, or the permission of private addresses, is forgotten: it does not say by which name.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn publish_names(&mut self, hosts: &[Host], slots: &Slots) -> anyhow::Result<()> {
        let (old, new) = (self.names.iter().collect::<Result<_, _>>()?, entries(hosts, slots));
        replace(&mut self.names, &new).context("the names of the policy")?;
        let narrowed = narrowed(&old, &new);
        let is_concerned = |(_, hosts): &(IpAddr, u64)| hosts & narrowed != 0;
        let learned = self.learned_hosts()?.into_iter().filter(is_concerned);
        self.forget_learned(learned.map(|(address, _)| address))
    }

    /// The addresses that replies taught, and the slots of their hosts, a bit each.
    fn learned_hosts(&self) -> anyhow::Result<Vec<(IpAddr, u64)>> {
        let ipv4 = self.learned4.iter().map(|entry| entry.map(|(address, learned)| (address.into(), learned.hosts)));
        let ipv6 = self.learned6.iter().map(|entry| entry.map(|(address, learned)| (address.into(), learned.hosts)));
        Ok(ipv4.chain(ipv6).filter_map(present).collect::<Result<_, _>>()?)
    }

    /// Makes these the resolvers whose replies teach.
    ///
    /// # Errors
    /// If there are more than the map has room for, or the kernel refuses.
    pub fn publish_resolvers(&mut self, resolvers: &BTreeSet<IpAddr>) -> anyhow::Result<()> {
        let (mut ipv4, mut ipv6) = (Wanted::new(), Wanted::new());
        for resolver in resolvers {
            match resolver {
                IpAddr::V4(address) => ipv4.insert(Address4::from(*address), 1),
                IpAddr::V6(address) => ipv6.insert(Address6::from(*address), 1),
            };
        }
        replace(&mut self.resolvers4, &ipv4).context("the gateway's addresses and resolvers")?;
        replace(&mut self.resolvers6, &ipv6).context("the gateway's addresses and resolvers")
    }

    /// The hosts of the policy by their slots, as far as the programs know them: without fixed addresses, and with the longest
    /// `keep_old` of all that share a name.
    pub(super) fn known_hosts(&self, names: &Names) -> anyhow::Result<Vec<(u8, Host)>> {
        let entries: Vec<(Name, NameEntry)> = self.names.iter().collect::<Result<_, _>>()?;
        Ok(names.iter().map(|(slot, name)| (*slot, known_host(*slot, name, &entries))).collect())
    }

    /// Forgets what replies taught of these addresses. What still holds of it has been published: an entry here has one time for
    /// all its hosts, and would go on for one whose own time is over.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn forget_learned(&mut self, addresses: impl IntoIterator<Item = IpAddr>) -> anyhow::Result<()> {
        for address in addresses {
            let done = match address {
                IpAddr::V4(address) => self.learned4.remove(&address.into()),
                IpAddr::V6(address) => self.learned6.remove(&address.into()),
            };
            match done {
                Err(error) if !is_absent(&error) => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }
}

/// The slots of hosts, a bit each, that a name teaches less for than it did.
fn narrowed(old: &Wanted<Name, NameEntry>, new: &Wanted<Name, NameEntry>) -> u64 {
    let less = |(name, old): (&Name, &NameEntry)| {
        let new = new.get(name).copied().unwrap_or_default();
        old.hosts & !new.hosts | old.private & !new.private
    };
    old.iter().map(less).fold(0, |slots, less| slots | less)
}

/// Whether there was nothing to remove.
fn is_absent(error: &MapError) -> bool {
    matches!(error, MapError::SyscallError(call) if call.io_error.kind() == ErrorKind::NotFound)
}

/// Makes the map hold these entries and no others; those that are right already are not touched.
fn replace<K: Pod + Eq + Hash, V: Pod + PartialEq>(
    map: &mut HashMap<MapData, K, V>,
    entries: &Wanted<K, V>,
) -> anyhow::Result<()> {
    let old: Wanted<K, V> = map.iter().collect::<Result<_, _>>()?;
    for key in old.keys().filter(|key| !entries.contains_key(key)) {
        map.remove(key)?;
    }
    for (key, value) in entries.iter().filter(|(key, value)| old.get(key) != Some(value)) {
        map.insert(key, value, 0)?;
    }
    Ok(())
}

/// What each name teaches. A name that a wildcard covers, too, teaches the wildcard's hosts by that one's own entry.
fn entries(hosts: &[Host], slots: &Slots) -> Wanted<Name, NameEntry> {
    let mut by_name: BTreeMap<&str, NameEntry> = BTreeMap::new();
    for host in hosts {
        let Some(slot) = slots.host(&host.name) else { continue };
        for name in &host.names {
            let entry = by_name.entry(name).or_default();
            entry.hosts |= 1 << slot;
            entry.private |= u64::from(host.private_answers) << slot;
            let keep = u64::try_from(host.keep_old.as_nanos()).unwrap_or(u64::MAX);
            entry.keep = entry.keep.max(keep);
        }
    }
    by_name.into_iter().filter_map(|(name, entry)| Some((wire(name)?, entry))).collect()
}

/// A host as the entries of its names describe it.
fn known_host(slot: u8, name: &str, entries: &[(Name, NameEntry)]) -> Host {
    let own = || entries.iter().filter(|(_, entry)| entry.hosts >> slot & 1 == 1);
    let mut names: Vec<String> = own().map(|(name, _)| text(name)).collect();
    names.sort();
    Host {
        name: name.to_owned(),
        names,
        addresses: Vec::new(),
        keep_old: Duration::from_nanos(own().map(|(_, entry)| entry.keep).max().unwrap_or_default()),
        private_answers: own().any(|(_, entry)| entry.private >> slot & 1 == 1),
    }
}

/// A name of [`wire`] as policies write it.
fn text(name: &Name) -> String {
    let mut labels = Vec::new();
    let mut rest = &name.bytes[..];
    while let Some((length, behind)) = rest.split_first()
        && let Some((label, next)) = behind.split_at_checked(usize::from(*length))
        && *length > 0
    {
        labels.push(String::from_utf8_lossy(label).into_owned());
        rest = next;
    }
    labels.join(".")
}

/// A name of a policy as it stands in a message; `None` if it does not fit, which no name of a policy does not.
fn wire(name: &str) -> Option<Name> {
    let labels = name.split('.').map(|label| [&[u8::try_from(label.len()).unwrap_or(0)], label.as_bytes()].concat());
    let all = labels.collect::<Vec<_>>().concat();
    let mut bytes = [0; NAME_BYTES];
    // The root's zero is among what is left over.
    bytes[..NAME_BYTES - 1].get_mut(..all.len())?.copy_from_slice(&all);
    Some(Name { bytes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::parse;

    #[test]
    fn a_name_is_written_as_in_a_message() {
        let name = wire("*.acme.test").unwrap();
        assert_eq!(&name.bytes[..14], b"\x01*\x04acme\x04test\0\0");
        assert!(name.bytes[14..].iter().all(|byte| *byte == 0));
        assert!(wire(&[&"a".repeat(62)[..]; 4].join(".")).is_some());
        assert_eq!(wire(&[&"a".repeat(63)[..]; 4].join(".")), None);
        assert_eq!(text(&name), "*.acme.test");
    }

    #[test]
    fn a_host_that_loses_a_name_or_a_permission_is_narrowed() {
        let entry = |hosts, private| NameEntry { hosts, private, keep: 0 };
        let known = |entries: &[(&str, NameEntry)]| -> Wanted<Name, NameEntry> {
            entries.iter().map(|(name, entry)| (wire(name).unwrap(), *entry)).collect()
        };
        let old = known(&[("a.test", entry(0b011, 0b010)), ("b.test", entry(0b100, 0))]);
        assert_eq!(narrowed(&old, &old), 0);
        assert_eq!(narrowed(&known(&[]), &old), 0, "what is new narrows nobody");
        assert_eq!(narrowed(&old, &known(&[("a.test", entry(0b011, 0b010))])), 0b100);
        assert_eq!(narrowed(&old, &known(&[("a.test", entry(0b001, 0)), ("b.test", entry(0b100, 0))])), 0b010);
    }

    #[test]
    fn a_name_teaches_all_its_hosts_with_the_longest_keep() {
        let policy = parse(
            "policy.yaml",
            b"system: acme\nlan: { interfaces: [lan0] }\nuplinks: [{ interface: wan0 }]\nhosts:\n  \
            web: { names: [a.test.example, '*.test.example'], keep_old: 1h }\n  \
            office: { names: [a.test.example], keep_old: 2h, private_answers: true }\n\
            flows: [{ name: f, to: web, ports: 1/tcp }]\n",
        )
        .unwrap();
        let slots = Slots::assign(&crate::policy::image::SlotNames::default(), &policy);
        let (web, office) = (slots.host("web").unwrap(), slots.host("office").unwrap());
        let entries = entries(&policy.hosts, &slots);
        let hours = |hours: u64| u64::try_from(Duration::from_secs(3600 * hours).as_nanos()).unwrap();
        let both = NameEntry { hosts: 1 << web | 1 << office, private: 1 << office, keep: hours(2) };
        let wildcard = NameEntry { hosts: 1 << web, private: 0, keep: hours(1) };
        assert_eq!(entries.len(), 2);
        assert_eq!(
            (entries[&wire("a.test.example").unwrap()], entries[&wire("*.test.example").unwrap()]),
            (both, wildcard)
        );
    }
}
