//! Addresses and prefixes.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use crate::policy::error::{Place, Report, quote};

/// An IPv4 prefix, or an address as a prefix of one. `path` and `example` are for the error.
pub(super) fn prefix4(word: &str, path: &str, example: &str, place: Place, report: &mut Report) -> Option<Ipv4Net> {
    let prefix = word.parse::<IpNet>().ok().or_else(|| word.parse::<IpAddr>().ok().map(IpNet::from));
    let (message, help) = match prefix {
        Some(IpNet::V4(prefix)) if prefix != prefix.trunc() => {
            let bits = 32 - prefix.prefix_len();
            let message = format!("{} has bits set in the last {bits}, which the prefix leaves open", quote(word));
            (message, format!("write {} for the network, or {} for the one address", prefix.trunc(), prefix.addr()))
        }
        Some(IpNet::V4(prefix)) if !unicast(prefix.addr()) && prefix.prefix_len() > 0 => {
            (format!("{} holds no address of a single machine", quote(word)), format!("write {example}"))
        }
        Some(IpNet::V4(prefix)) => return Some(prefix),
        Some(IpNet::V6(_)) => {
            let what = if path == "lan.clients" { "clients with IPv6 addresses" } else { "IPv6 addresses" };
            (format!("not supported yet: {what}"), format!("write IPv4 alone in `{path}`, such as {example}"))
        }
        None => (format!("{} is neither an address nor a prefix", quote(word)), format!("write {example}")),
    };
    report.error(place, message, help);
    None
}

/// The IPv4 address of a single machine.
pub(super) fn address4(word: &str, place: Place, report: &mut Report) -> Option<Ipv4Addr> {
    let (message, help) = match word.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) if unicast(address) => return Some(address),
        Ok(IpAddr::V6(_)) => ("not supported yet: translation to an IPv6 address".to_owned(), "write an IPv4 address"),
        _ => (format!("{} is not the address of a machine", quote(word)), "write an address such as 198.51.100.7"),
    };
    report.error(place, message, help);
    None
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

/// Whether this can be the address of one machine beyond this one.
fn unicast(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    first != 0 && first < 224 && !address.is_loopback()
}
