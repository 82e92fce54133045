//! What a condition looks at, and the values that it compares that with.

use ipnet::IpNet;
use serde_json::Value as Json;

use super::list;
use crate::doctor::{
    family::Family,
    firewall::{
        probe::too_large,
        rules::{Field, Match, Value},
    },
};

/// What else has to hold where a header is looked at: that it is there.
pub(super) fn implied(left: &Json) -> Option<Match> {
    let (field, number) = match left["payload"]["protocol"].as_str()? {
        "ip" => (Field::Family, 4),
        "ip6" => (Field::Family, 6),
        "icmp" => (Field::Protocol, 1),
        "tcp" => (Field::Protocol, 6),
        "udp" => (Field::Protocol, 17),
        "icmpv6" => (Field::Protocol, 58),
        _ => return None,
    };
    Some(Match::of(field, vec![Value::Range(number, number)]))
}

/// What `left` of a condition looks at.
pub(super) fn field(left: &Json) -> Field {
    let meta = |key: &Json| match key.as_str() {
        Some("iifname" | "iif") => Field::InterfaceIn,
        Some("oifname" | "oif") => Field::InterfaceOut,
        Some("l4proto") => Field::Protocol,
        Some("nfproto" | "protocol") => Field::Family,
        Some("mark") => Field::Mark(u32::MAX),
        _ => Field::Unknown,
    };
    if let Some(key) = left.get("meta") {
        return meta(&key["key"]);
    }
    if let Some(parts) = left.get("&")
        && let (Field::Mark(_), Some(mask)) = (field(&parts[0]), parts[1].as_u64())
    {
        return Field::Mark(mask as u32);
    }
    if let Some(fib) = left.get("fib") {
        // Whether a route leads back: for a client one does, or it is refused as spoofed before.
        let is_reverse = fib["result"] == "oif" && list(&fib["flags"]).iter().any(|flag| flag == "saddr");
        return if is_reverse { Field::Never } else { Field::Unknown };
    }
    if left["ct"]["key"] == "state" && left["ct"].get("dir").is_none() {
        return Field::State;
    }
    let payload = &left["payload"];
    match (payload["protocol"].as_str(), payload["field"].as_str()) {
        (Some("ip" | "ip6"), Some("saddr")) => Field::Source,
        (Some("ip" | "ip6"), Some("daddr")) => Field::Destination,
        (Some("ip"), Some("protocol")) | (Some("ip6"), Some("nexthdr")) => Field::Protocol,
        (Some("ether"), Some("type")) => Field::Family,
        (Some("tcp" | "udp" | "th"), Some("sport")) => Field::SourcePort,
        (Some("tcp" | "udp" | "th"), Some("dport")) => Field::DestinationPort,
        (Some("icmp"), Some("type")) => Field::IcmpType(Family::Ipv4),
        (Some("icmpv6"), Some("type")) => Field::IcmpType(Family::Ipv6),
        // Of other protocols.
        (Some("sctp" | "dccp" | "esp" | "ah" | "arp"), _) => Field::Never,
        _ => Field::Unknown,
    }
}

pub(super) fn value(field: Field, right: &Json) -> Option<Value> {
    if let Some(prefix) = right.get("prefix") {
        let length = u8::try_from(prefix["len"].as_u64()?).ok()?;
        return Some(Value::Prefix(IpNet::new(prefix["addr"].as_str()?.parse().ok()?, length).ok()?));
    }
    if let Some(range) = right.get("range") {
        return match (range[0].as_u64(), range[1].as_u64()) {
            (Some(first), Some(last)) => Some(Value::Range(first, last)),
            _ => None,
        };
    }
    if let Some(number) = right.as_u64() {
        let number = if field == Field::Family { version_of(number) } else { number };
        return Some(Value::Range(number, number));
    }
    let word = right.as_str()?;
    match field {
        Field::Source | Field::Destination => Some(Value::Prefix(IpNet::from(word.parse::<std::net::IpAddr>().ok()?))),
        Field::Protocol => protocol(word).map(|number| Value::Range(number, number)),
        Field::IcmpType(family) => Some(icmp_type(family, word)),
        Field::Family => Some(version(word)),
        _ => Some(Value::Text(word.to_owned())),
    }
}

/// Only the one that matters has a number here; the others have one that is none.
fn icmp_type(family: Family, name: &str) -> Value {
    let matters = match family {
        Family::Ipv4 => "destination-unreachable",
        Family::Ipv6 => "packet-too-big",
    };
    let number = if name == matters { too_large(family) } else { u64::MAX };
    Value::Range(number, number)
}

/// The word is netfilter's, or that of a link's header.
fn version(word: &str) -> Value {
    let number = match word {
        "ipv4" | "ip" => 4,
        "ipv6" | "ip6" => 6,
        _ => u64::MAX,
    };
    Value::Range(number, number)
}

/// Numbers of netfilter (`NFPROTO_*`), or of a link's header (`ETH_P_*`).
fn version_of(number: u64) -> u64 {
    match number {
        2 | 0x0800 => 4,
        10 | 0x86dd => 6,
        _ => u64::MAX,
    }
}

/// Number of an IP protocol.
pub(in crate::doctor::firewall) fn protocol(name: &str) -> Option<u64> {
    match name {
        "icmp" => Some(1),
        "tcp" => Some(6),
        "udp" => Some(17),
        "gre" => Some(47),
        "esp" => Some(50),
        "ah" => Some(51),
        "ipv6-icmp" | "icmpv6" => Some(58),
        "sctp" => Some(132),
        _ => name.parse().ok(),
    }
}
