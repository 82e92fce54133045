//! Which remote addresses belong to which hosts.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use anyhow::Context;
use aya::{
    Pod,
    maps::{MapData, lpm_trie::Key, lpm_trie::LpmTrie},
};
use ipnet::IpNet;
use thulium_ebpf::abi::{RemoteAddress, RemotePrefix};

use super::{
    source::present,
    tables::{Tables, monotonic},
};
use crate::{
    names::{Entry, Snapshot},
    policy::image::{Family, Slots, with_surrounding},
};

/// A time of the datapath's clock that is always past.
const EXPIRED: u64 = 1;
/// Times that differ by less than this, nanoseconds, are the same.
const TOLERANCE: u64 = 1_000_000_000;

impl Tables {
    /// Makes the remote addresses those of the snapshot. An address stays in the map while it changes.
    ///
    /// # Errors
    /// If the map is full or the kernel refuses.
    pub fn publish_remotes(&mut self, snapshot: &Snapshot, slots: &Slots) -> anyhow::Result<()> {
        let remotes = remotes(snapshot, slots, monotonic());
        replace(&mut self.remotes4, &remotes)?;
        replace(&mut self.remotes6, &remotes)
    }
}

impl Tables {
    /// The remote addresses of both families and those that replies have just taught, in any order.
    pub(super) fn known_remotes(&self) -> anyhow::Result<Vec<(IpNet, RemoteAddress)>> {
        let mut known = Vec::new();
        for entry in self.remotes4.iter().filter_map(present) {
            let (key, remote) = entry?;
            known.push((prefix(Ipv4Addr::from(key.data().address).into(), key.prefix_len())?, remote));
        }
        for entry in self.remotes6.iter().filter_map(present) {
            let (key, remote) = entry?;
            known.push((prefix(Ipv6Addr::from(key.data().address).into(), key.prefix_len())?, remote));
        }
        for entry in self.learned4.iter().filter_map(present) {
            let (address, remote) = entry?;
            known.push((IpAddr::V4(address.into()).into(), remote));
        }
        for entry in self.learned6.iter().filter_map(present) {
            let (address, remote) = entry?;
            known.push((IpAddr::V6(address.into()).into(), remote));
        }
        Ok(known)
    }
}

/// The prefix of a key, whose length has the bits in front of the address in it.
fn prefix(address: IpAddr, length: u32) -> anyhow::Result<IpNet> {
    let length = u8::try_from(length.saturating_sub(u32::BITS))?;
    Ok(IpNet::new(address, length)?)
}

/// Makes a family's remote addresses those of `remotes`; those that are right already are not touched.
fn replace<A: Family>(
    map: &mut LpmTrie<MapData, RemotePrefix<A>, RemoteAddress>,
    remotes: &BTreeMap<IpNet, RemoteAddress>,
) -> anyhow::Result<()>
where
    RemotePrefix<A>: Pod,
{
    let mut old = HashMap::new();
    for entry in map.iter() {
        let (key, remote) = entry?;
        old.insert((key.prefix_len(), key.data().address), remote);
    }
    for (prefix, remote) in remotes {
        let Some(address) = A::network(prefix) else { continue };
        let length = u32::BITS + u32::from(prefix.prefix_len());
        if !old.remove(&(length, address)).is_some_and(|old| is_same(&old, remote)) {
            map.insert(&Key::new(length, RemotePrefix::new(address)), remote, 0)
                .context("the hosts of the policy have too many addresses")?;
        }
    }
    for (length, address) in old.into_keys() {
        map.remove(&Key::new(length, RemotePrefix::new(address)))?;
    }
    Ok(())
}

/// Whether both say the same: times that were reckoned from another clock at different moments differ a little.
fn is_same(one: &RemoteAddress, other: &RemoteAddress) -> bool {
    one.hosts == other.hosts && one.until.abs_diff(other.until) < TOLERANCE
}

/// What admits new sessions, and what did once, for the datapath's clock `now`. An address that has expired is none of its own
/// where a prefix of the policy admits it.
fn remotes(snapshot: &Snapshot, slots: &Slots, now: u64) -> BTreeMap<IpNet, RemoteAddress> {
    let hosts =
        |entry: &Entry| entry.hosts.iter().filter_map(|name| slots.host(name)).fold(0, |hosts, slot| hosts | 1 << slot);
    let mut own: BTreeMap<IpNet, RemoteAddress> = BTreeMap::new();
    for (prefix, entry) in &snapshot.entries {
        let until = snapshot.remaining(entry).map_or(u64::MAX, |left| now.saturating_add(nanoseconds(left)));
        own.insert(prefix.trunc(), RemoteAddress { hosts: hosts(entry), until });
    }
    let mut all = with_surrounding(&own);
    for (prefix, entry) in &snapshot.expired {
        let is_admitted = std::iter::successors(Some(*prefix), IpNet::supernet).any(|one| own.contains_key(&one));
        if !is_admitted {
            // Its exact time is of no use to the datapath.
            all.insert(*prefix, RemoteAddress { hosts: hosts(entry), until: EXPIRED });
        }
    }
    all
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, time::SystemTime};

    use super::*;
    use crate::policy::parse;

    fn entries(rows: &[(&str, &str, Option<u64>)], now: SystemTime) -> BTreeMap<IpNet, Entry> {
        let entry = |(prefix, host, left): &(&str, &str, Option<u64>)| {
            let until = left.map(|left| now + Duration::from_nanos(left));
            (prefix.parse().unwrap(), Entry { hosts: BTreeSet::from([(*host).to_owned()]), until })
        };
        rows.iter().map(entry).collect()
    }

    #[test]
    fn what_has_expired_is_told_from_strangers_and_admits_nothing() {
        let text = "system: acme\nlan: { interfaces: [lan0] }\nuplinks: [{ interface: wan0 }]\n";
        let slots =
            Slots::assign(&crate::policy::image::SlotNames::default(), &parse("policy.yaml", text.as_bytes()).unwrap());
        let (thulium, stun) = (1 << slots.host("thulium").unwrap(), 1 << slots.host("stun").unwrap());
        let taken = SystemTime::now();
        let live = [("203.0.113.0/28", "thulium", None), ("198.51.100.7/32", "stun", Some(50))];
        let past = [("203.0.113.1/32", "stun", Some(0)), ("198.51.100.8/32", "stun", Some(0))];
        let snapshot = Snapshot {
            taken,
            entries: entries(&live, taken),
            expired: entries(&past, taken),
            hosts: Vec::new(),
            state_trouble: None,
        };
        let remotes = remotes(&snapshot, &slots, 1000);
        let at = |prefix: &str| remotes.get(&prefix.parse().unwrap()).copied();
        assert_eq!(at("203.0.113.0/28"), Some(RemoteAddress { hosts: thulium, until: u64::MAX }));
        assert_eq!(at("198.51.100.7/32"), Some(RemoteAddress { hosts: stun, until: 1050 }));
        assert_eq!(at("198.51.100.8/32"), Some(RemoteAddress { hosts: stun, until: EXPIRED }));
        assert_eq!(at("203.0.113.1/32"), None, "a prefix of the policy has it");
    }
}
