//! Addresses and prefixes.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv6Net};

use crate::policy::error::{Place, Report, quote};

/// A prefix, or an address as a prefix of one. `example` is for the error.
pub(super) fn prefix(word: &str, example: &str, place: Place, report: &mut Report) -> Option<IpNet> {
    let prefix = word.parse::<IpNet>().ok().or_else(|| word.parse::<IpAddr>().ok().map(IpNet::from));
    let (message, help) = match prefix {
        Some(prefix) if prefix != prefix.trunc() => {
            let bits = prefix.max_prefix_len() - prefix.prefix_len();
            let message = format!("{} has bits set in the last {bits}, which the prefix leaves open", quote(word));
            (message, format!("write {} for the network, or {} for the one address", prefix.trunc(), prefix.addr()))
        }
        Some(IpNet::V6(prefix)) if prefix.addr().is_unicast_link_local() => {
            let message = format!("{} is a link's own address, which is never forwarded", quote(word));
            (message, "write a global or a unique local one, such as 2001:db8:20::/64".to_owned())
        }
        Some(prefix) if !is_unicast(prefix.addr()) && prefix.prefix_len() > 0 => {
            (format!("{} holds no address of a single machine", quote(word)), format!("write {example}"))
        }
        Some(prefix) => return Some(prefix),
        None => (format!("{} is neither an address nor a prefix", quote(word)), format!("write {example}")),
    };
    report.error(place, message, help);
    None
}

/// The IPv4 address of a single machine.
pub(super) fn address4(word: &str, place: Place, report: &mut Report) -> Option<Ipv4Addr> {
    let (message, help) = match word.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) if is_unicast(address.into()) => return Some(address),
        Ok(IpAddr::V6(_)) => {
            ("IPv6 is not translated, and this is about IPv4".to_owned(), "write an IPv4 address, masquerade or none")
        }
        _ => (format!("{} is not the address of a machine", quote(word)), "write an address such as 198.51.100.7"),
    };
    report.error(place, message, help);
    None
}

/// The address of a router on an uplink's link; it may be one of the link's own (IPv6).
pub(super) fn next_hop(word: &str, place: Place, report: &mut Report) -> Option<IpAddr> {
    match word.parse::<IpAddr>() {
        Ok(address) if is_unicast(address) => Some(address),
        _ => {
            let message = format!("{} is not the address of a router", quote(word));
            let help = match word.split_once('%') {
                Some((address, _)) => format!("write {address} alone: the link is the uplink's"),
                None => "write its address, such as 198.51.100.1 or \"fe80::1\"".to_owned(),
            };
            report.error(place, message, help);
            None
        }
    }
}

/// An IPv6 prefix.
pub(super) fn prefix6(word: &str, place: Place, report: &mut Report) -> Option<Ipv6Net> {
    match prefix(word, "a prefix such as \"2001:db8:20::/48\"", place, report)? {
        IpNet::V6(prefix) => Some(prefix),
        IpNet::V4(_) => {
            let help = "remove it: an IPv4 client takes an uplink by their order and weight";
            report.error(place, format!("{} is IPv4, and `prefixes` are IPv6", quote(word)), help);
            None
        }
    }
}

/// The address of a resolver.
pub(super) fn resolver(word: &str, place: Place, report: &mut Report) -> Option<IpAddr> {
    match word.parse::<IpAddr>() {
        Ok(address) if !address.is_unspecified() && !address.is_multicast() => Some(address),
        _ => {
            let message = format!("{} is not the address of a resolver", quote(word));
            report.error(place, message, "write its address without a port, such as 192.0.2.53");
            None
        }
    }
}

/// Whether this can be the address of one machine beyond this one. An IPv4 address in IPv6's notation is none.
fn is_unicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => (1..224).contains(&address.octets()[0]) && !address.is_loopback(),
        IpAddr::V6(address) => {
            let special = address.is_multicast() || address.is_loopback() || address.is_unspecified();
            !special && address.to_ipv4_mapped().is_none()
        }
    }
}
