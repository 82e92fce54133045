//! Which hosts a name belongs to.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use thulium_ebpf::{
    abi::{Address4, Address6, Family},
    dns::Public,
};

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

/// Whether a reply to a client may teach a host this address. Not so a private one without `private_answers`: or anybody who can name
/// a server in the internet could lead clients to machines of the office. The datapath judges by the same rules.
pub(super) fn learns(host: &Host, address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => teaches(host, Address4::from(*address)),
        IpAddr::V6(address) => teaches(host, Address6::from(*address)),
    }
}

/// Whether a host is not taught this address only because the policy does not say `private_answers: true`.
pub(super) fn withholds(host: &Host, address: &IpAddr) -> bool {
    !learns(host, address) && learns(&Host { private_answers: true, ..host.clone() }, address)
}

fn teaches(host: &Host, address: impl Public) -> bool {
    !address.is_nobodys() && (host.private_answers || address.is_public())
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
}
