//! Remote prefixes that nest.

use std::collections::BTreeMap;

use ipnet::Ipv4Net;
use thulium_ebpf::abi::RemoteAddress;

/// Gives each prefix the hosts of those around it, too: the kernel finds the longest prefix alone. Where they differ in how
/// long they admit, the longest counts.
pub fn with_surrounding(own: &BTreeMap<Ipv4Net, RemoteAddress>) -> BTreeMap<Ipv4Net, RemoteAddress> {
    let join =
        |a: RemoteAddress, b: &RemoteAddress| RemoteAddress { hosts: a.hosts | b.hosts, until: a.until.max(b.until) };
    // 33 look-ups at most.
    let around = |prefix: Ipv4Net| std::iter::successors(Some(prefix), Ipv4Net::supernet);
    let all = |prefix: Ipv4Net| around(prefix).filter_map(|one| own.get(&one)).fold(RemoteAddress::default(), join);
    own.keys().map(|prefix| (*prefix, all(*prefix))).collect()
}
