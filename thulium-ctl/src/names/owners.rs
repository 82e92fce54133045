//! Which hosts a name belongs to.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use thulium_ebpf::abi::Family;

use crate::policy::Host;

/// True for a name that stands for many: `*.` in front of the labels that they share. The `*` is exactly one label.
pub fn is_wildcard(name: &str) -> bool {
    name.starts_with("*.")
}

/// The hosts of a policy by their names; hosts are numbered as the policy orders them.
#[derive(Clone, Debug, Default)]
pub struct Owners {
    exact: BTreeMap<String, BTreeSet<usize>>,
    /// By what stands behind the `*`, the dot included.
    wildcards: BTreeMap<String, BTreeSet<usize>>,
}

impl Owners {
    /// The owners of all names of these hosts.
    pub fn new(hosts: &[Host]) -> Self {
        let mut owners = Self::default();
        for (number, host) in hosts.iter().enumerate() {
            for name in &host.names {
                let (names, key) = match name.strip_prefix('*') {
                    Some(rest) => (&mut owners.wildcards, rest),
                    None => (&mut owners.exact, name.as_str()),
                };
                names.entry(key.to_owned()).or_default().insert(number);
            }
        }
        owners
    }

    /// The hosts that have this name, by itself or by a wildcard, in order. The name itself may be a wildcard of the policy.
    pub fn of(&self, name: &str) -> BTreeSet<usize> {
        let exact = self.exact.get(name).into_iter().flatten();
        let wildcard = rest(name).and_then(|rest| self.wildcards.get(rest)).into_iter().flatten();
        exact.chain(wildcard).copied().collect()
    }

    /// True if a host has exactly this name, so that it is asked for.
    pub fn is_asked(&self, name: &str) -> bool {
        self.exact.contains_key(name)
    }

    /// The names to ask for, each once.
    pub fn asked(&self) -> impl Iterator<Item = &str> {
        self.exact.keys().map(String::as_str)
    }

    /// All names of the policy, wildcards among them, each once.
    pub fn names(&self) -> impl Iterator<Item = String> {
        let wildcards = self.wildcards.keys().map(|rest| format!("*{rest}"));
        self.exact.keys().cloned().chain(wildcards)
    }
}

/// What a wildcard would have behind its `*`: the name without its first label.
pub(super) fn rest(name: &str) -> Option<&str> {
    name.find('.').map(|dot| &name[dot..])
}

/// Whether a reply to a client may teach this address to a host without `private_answers`: not so one that a name in the internet
/// has no business with, or anybody who can name a server could lead clients to machines of the office.
pub(super) fn is_public(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            !(address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || a == 0
                // Carriers' own addresses (RFC 6598), protocol assignments (RFC 6890), benchmarks (RFC 2544).
                || (a == 100 && b & 0xc0 == 64)
                || (a == 192 && b == 0 && c == 0)
                || (a == 198 && b & 0xfe == 18)
                // Multicast, what is reserved, broadcast.
                || a >= 224)
        }
        // Global unicast is 2000::/3 (RFC 4291).
        IpAddr::V6(address) => address.segments()[0] & 0xe000 == 0x2000,
    }
}

/// Whether anybody can have a session with this address at all.
pub(super) fn is_usable(address: &IpAddr) -> bool {
    let is_reserved = match address {
        IpAddr::V4(address) => address.octets()[0] == 0 || address.octets()[0] >= 240,
        IpAddr::V6(address) => address.to_ipv4_mapped().is_some(),
    };
    !(is_reserved || address.is_unspecified() || address.is_multicast())
}

/// The family of an address.
pub(super) const fn family(address: &IpAddr) -> Family {
    if address.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn host(names: &[&str]) -> Host {
        Host {
            name: String::new(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            addresses: Vec::new(),
            keep_old: Duration::ZERO,
            private_answers: false,
        }
    }

    #[test]
    fn a_wildcard_is_one_label() {
        let owners = Owners::new(&[host(&["*.thulium.test", "stun.test"]), host(&["acme.thulium.test"])]);
        assert_eq!(owners.of("acme.thulium.test"), [0, 1].into());
        assert_eq!(owners.of("other.thulium.test"), [0].into());
        assert_eq!(owners.of("*.thulium.test"), [0].into());
        for none in ["thulium.test", "a.b.thulium.test", "athulium.test", "test", ""] {
            assert!(owners.of(none).is_empty(), "{none}");
        }
        assert_eq!(owners.asked().collect::<Vec<_>>(), ["acme.thulium.test", "stun.test"], "no wildcard");
        assert_eq!(owners.names().count(), 3);
    }

    #[test]
    fn addresses_that_a_name_in_the_internet_has_no_business_with_are_not_public() {
        let is_public = |address: &str| is_public(&address.parse().unwrap());
        for public in ["203.0.113.7", "198.51.100.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2001:db8::1", "2a00::1"]
        {
            assert!(is_public(public), "{public}: documentation prefixes count as public");
        }
        for private in [
            "10.1.2.3",
            "172.16.0.1",
            "192.168.20.5",
            "127.0.0.1",
            "169.254.1.1",
            "0.0.0.0",
            "100.64.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "64:ff9b::1",
        ] {
            assert!(!is_public(private), "{private}");
        }
    }
}
