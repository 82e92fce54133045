//! The interfaces of this network namespace, as the kernel lists them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use anyhow::Context;
use ipnet::IpNet;
use nix::{ifaddrs::getifaddrs, net::if_::InterfaceFlags, sys::socket::SockaddrStorage};

use crate::observe::status::Link;

/// What the kernel lists.
#[derive(Debug, Default)]
pub(super) struct Interfaces {
    links: BTreeMap<String, Link>,
    /// Those whose link has but one other end.
    with_one_other_end: BTreeSet<String>,
    /// With their prefix lengths, primary addresses first.
    addresses: Vec<(String, IpNet)>,
}

impl Interfaces {
    /// Asks the kernel.
    pub(super) fn list() -> anyhow::Result<Self> {
        let mut interfaces = Self::default();
        for entry in getifaddrs().context("the kernel does not list the addresses of interfaces")? {
            let name = entry.interface_name;
            if let Some(prefix) = entry.address.zip(entry.netmask).and_then(|(address, mask)| prefix(&address, &mask)) {
                interfaces.addresses.push((name.clone(), prefix));
            }
            if entry.flags.intersects(InterfaceFlags::IFF_POINTOPOINT | InterfaceFlags::IFF_NOARP) {
                interfaces.with_one_other_end.insert(name.clone());
            }
            interfaces.links.insert(name, link(entry.flags));
        }
        Ok(interfaces)
    }

    /// The addresses of an interface.
    pub(super) fn addresses(&self, interface: &str) -> impl Iterator<Item = IpNet> {
        self.addresses.iter().filter(move |(name, _)| name == interface).map(|(_, prefix)| *prefix)
    }

    /// Whether an interface carries anything.
    pub(super) fn link(&self, interface: &str) -> Link {
        self.links.get(interface).copied().unwrap_or(Link::Gone)
    }

    /// Whether its link has but one other end, so that nobody on it needs an address (PPP, WireGuard, tun).
    pub(super) fn has_one_other_end(&self, interface: &str) -> bool {
        self.with_one_other_end.contains(interface)
    }

    /// Its IPv4 addresses that sessions can be translated to: link-local ones (RFC 3927) lead nowhere beyond the link.
    pub(super) fn ipv4(&self, interface: &str) -> impl Iterator<Item = Ipv4Addr> {
        self.addresses(interface).filter_map(|prefix| match prefix.addr() {
            IpAddr::V4(address) if !address.is_link_local() && !address.is_loopback() => Some(address),
            _ => None,
        })
    }

    /// The first of its IPv6 addresses that lead beyond the link.
    pub(super) fn ipv6(&self, interface: &str) -> Option<Ipv6Addr> {
        let leads_beyond = |address: &Ipv6Addr| !address.is_unicast_link_local() && !address.is_loopback();
        let mut addresses = self.addresses(interface).filter_map(|prefix| match prefix.addr() {
            IpAddr::V6(address) => Some(address),
            IpAddr::V4(_) => None,
        });
        addresses.find(leads_beyond)
    }
}

/// Whether these interfaces carry anything, by name.
///
/// # Errors
/// If the kernel does not list them.
pub fn links<'a>(names: impl IntoIterator<Item = &'a String>) -> anyhow::Result<BTreeMap<String, Link>> {
    let interfaces = Interfaces::list()?;
    Ok(names.into_iter().map(|name| (name.clone(), interfaces.link(name))).collect())
}

/// `RUNNING` is the state that the kernel goes by: links that know no carrier (PPP, WireGuard) have it, too.
fn link(flags: InterfaceFlags) -> Link {
    if !flags.contains(InterfaceFlags::IFF_UP) {
        return Link::Down;
    }
    if flags.contains(InterfaceFlags::IFF_RUNNING) { Link::Up } else { Link::NoCarrier }
}

fn prefix(address: &SockaddrStorage, mask: &SockaddrStorage) -> Option<IpNet> {
    let ip = |address: &SockaddrStorage| {
        let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
    };
    IpNet::with_netmask(ip(address)?, ip(mask)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_up_down_without_carrier_or_gone() {
        use InterfaceFlags as Flags;
        assert_eq!(link(Flags::IFF_UP | Flags::IFF_RUNNING), Link::Up);
        assert_eq!(link(Flags::IFF_UP), Link::NoCarrier);
        assert_eq!(link(Flags::empty()), Link::Down);
        assert_eq!(Interfaces::default().link("eth0"), Link::Gone);
    }

    #[test]
    fn link_local_addresses_are_not_shown() {
        let prefixes = ["198.51.100.1/24", "fe80::1/64", "2001:db8::1/64", "2001:db8::2/64"];
        let addresses = prefixes.map(|prefix| ("eth0".to_owned(), prefix.parse().unwrap())).into();
        let interfaces = Interfaces { addresses, ..Interfaces::default() };
        assert_eq!(interfaces.ipv6("eth0"), Some("2001:db8::1".parse().unwrap()));
        assert_eq!(interfaces.ipv6("eth1"), None);
    }
}
