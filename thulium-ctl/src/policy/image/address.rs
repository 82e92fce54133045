//! Fixed addresses of hosts → prefixes with the vector of the hosts that contain them.

use std::collections::BTreeMap;

use ipnet::{IpNet, Ipv4Net};
use thulium_ebpf::abi::{Address4, RemotePrefix};

use super::{ImageError, PrefixEntry, Slots};
use crate::policy::Host;

/// The prefixes of all hosts. The kernel finds the longest prefix alone, so that a prefix also carries the hosts of those
/// that contain it.
pub(super) fn prefixes(hosts: &[Host], slots: &Slots) -> Result<Vec<PrefixEntry<RemotePrefix<Address4>>>, ImageError> {
    let mut own: BTreeMap<Ipv4Net, u64> = BTreeMap::new();
    for host in hosts {
        let slot = slots.host(&host.name).ok_or_else(|| ImageError::NoSlot(host.name.clone()))?;
        for prefix in &host.addresses {
            let IpNet::V4(prefix) = prefix else { continue };
            *own.entry(prefix.trunc()).or_default() |= 1 << slot;
        }
    }
    let entry = |prefix: &Ipv4Net| PrefixEntry {
        prefix_len: u32::BITS + u32::from(prefix.prefix_len()),
        data: RemotePrefix { pad: 0, address: prefix.network().into() },
        vector: covering(&own, *prefix),
    };
    Ok(own.keys().map(entry).collect())
}

/// Hosts of a prefix and of all that contain it: 33 look-ups at most.
fn covering(own: &BTreeMap<Ipv4Net, u64>, prefix: Ipv4Net) -> u64 {
    std::iter::successors(Some(prefix), Ipv4Net::supernet).filter_map(|prefix| own.get(&prefix)).fold(0, |a, b| a | b)
}
