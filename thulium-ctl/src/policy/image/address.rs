//! Prefixes of the two families, and remote ones that nest.

use std::collections::BTreeMap;

use ipnet::IpNet;
use thulium_ebpf::abi::{Address, Address4, Address6, RemoteAddress};

/// An address family as the datapath's maps know it.
pub trait Family: Address {
    /// The network address of a prefix; `None` if it is of the other family.
    fn network(prefix: &IpNet) -> Option<Self>;
}

impl Family for Address4 {
    fn network(prefix: &IpNet) -> Option<Self> {
        match prefix {
            IpNet::V4(prefix) => Some(prefix.network().into()),
            IpNet::V6(_) => None,
        }
    }
}

impl Family for Address6 {
    fn network(prefix: &IpNet) -> Option<Self> {
        match prefix {
            IpNet::V4(_) => None,
            IpNet::V6(prefix) => Some(prefix.network().into()),
        }
    }
}

/// Gives each prefix the hosts of those around it, too: the kernel finds the longest prefix alone. Where they differ in how
/// long they admit, the longest counts.
pub fn with_surrounding(own: &BTreeMap<IpNet, RemoteAddress>) -> BTreeMap<IpNet, RemoteAddress> {
    let join =
        |a: RemoteAddress, b: &RemoteAddress| RemoteAddress { hosts: a.hosts | b.hosts, until: a.until.max(b.until) };
    // 129 look-ups at most.
    let around = |prefix: IpNet| std::iter::successors(Some(prefix), IpNet::supernet);
    let all = |prefix: IpNet| around(prefix).filter_map(|one| own.get(&one)).fold(RemoteAddress::default(), join);
    own.keys().map(|prefix| (*prefix, all(*prefix))).collect()
}
