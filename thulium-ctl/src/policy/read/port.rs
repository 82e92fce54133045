//! Ports: `443/tcp`, `16000-20000/udp`; and `icmp`, which has none.

use std::collections::BTreeSet;

use super::value;
use crate::policy::{
    PortRange, Protocol,
    error::{Place, Report, quote},
    tree::Node,
};

/// Ranges that a flow can have: with 64 flows this bounds the datapath's table of ports.
pub(in crate::policy) const MAX_RANGES: usize = 32;

const HELP: &str = "write a port or a range with its protocol, such as 443/tcp or 16000-20000/udp, or icmp for ping";

/// The ports of a flow, none if any is wrong; ranges that overlap are reported.
pub(super) fn ports(node: &Node, path: &str, report: &mut Report) -> BTreeSet<PortRange> {
    let mut places: Vec<(PortRange, Place)> = Vec::new();
    let nodes = value::items(node);
    if nodes.is_empty() {
        report.error(node.place, format!("`{path}` is an empty list"), HELP);
    }
    if nodes.len() > MAX_RANGES {
        let message = format!("`{path}` has {} entries, and a flow can have {MAX_RANGES}", nodes.len());
        report.error(node.place, message, "write neighbouring ports as one range, or make two flows");
        return BTreeSet::new();
    }
    for item in nodes {
        let Some(word) = value::text(item, path, HELP, report) else { continue };
        let Some(range) = range(word, item.place, report) else { continue };
        if let Some((other, first)) = places.iter().find(|(other, _)| other.overlaps(&range)) {
            let message =
                format!("{} overlaps {} of the same flow, in {first}", quote(word), quote(&other.to_string()));
            report.error(item.place, message, "write each port once");
            continue;
        }
        places.push((range, item.place));
    }
    if places.len() < nodes.len() {
        // With some of them wrong, nothing can be said about the flow as a whole.
        return BTreeSet::new();
    }
    places.into_iter().map(|(range, _)| range).collect()
}

/// A single TCP port, such as `443/tcp`.
pub(super) fn tcp(node: &Node, path: &str, report: &mut Report) -> Option<u16> {
    let help = "write a TCP port with its protocol, such as 443/tcp";
    let word = value::text(node, path, help, report)?;
    let range = range(word, node.place, report)?;
    if range.protocol == Protocol::Tcp && range.first == range.last {
        return Some(range.first);
    }
    report.error(node.place, format!("{} is not a single TCP port", quote(word)), help);
    None
}

fn range(word: &str, place: Place, report: &mut Report) -> Option<PortRange> {
    match parse(word) {
        Ok(range) => Some(range),
        Err((message, help)) => {
            report.error(place, message, help);
            None
        }
    }
}

/// What is also written for `icmp`.
const PING_ALIKE: [&str; 6] = ["icmp", "icmp4", "icmp6", "icmpv4", "icmpv6", "ping"];

/// What is wrong, and what to write instead.
type Complaint = (String, String);

fn parse(word: &str) -> Result<PortRange, Complaint> {
    if word.contains(',') {
        let list = word.split(',').map(str::trim).collect::<Vec<_>>().join(", ");
        return Err((format!("{} is more than one value", quote(word)), format!("write a list: [{list}]")));
    }
    if word == "icmp" {
        return Ok(PortRange::PING);
    }
    let Some((ports, protocol)) = word.split_once('/') else {
        if PING_ALIKE.contains(&word.to_ascii_lowercase().as_str()) {
            return Err((
                format!("{} is no word of `ports`", quote(word)),
                "write icmp: ping, in both families".to_owned(),
            ));
        }
        let help = format!("write {word}/tcp or {word}/udp");
        return Err((format!("{} has no protocol", quote(word)), if word.len() < 12 { help } else { HELP.to_owned() }));
    };
    let protocol = match protocol.trim() {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        other if matches!(other.to_ascii_lowercase().as_str(), "tcp" | "udp") => {
            let help = format!("write {}/{}", ports.trim(), other.to_ascii_lowercase());
            return Err((format!("the protocol {} must be in lower case", quote(other)), help));
        }
        other if other.to_ascii_lowercase().starts_with("icmp") => {
            return Err((
                format!("{} has no ports", quote(other)),
                "write icmp alone: ping, in both families".to_owned(),
            ));
        }
        other => return Err((format!("the protocol {} is neither tcp nor udp", quote(other)), HELP.to_owned())),
    };
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let (first, last) = (port(first, word)?, port(last, word)?);
    if first > last {
        let help = format!("write {last}-{first}/{protocol}");
        return Err((format!("the range {} runs backwards", quote(word)), help));
    }
    Ok(PortRange { protocol, first, last })
}

fn port(digits: &str, word: &str) -> Result<u16, Complaint> {
    let digits = digits.trim();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err((format!("{} is not a port or a range of ports", quote(word)), HELP.to_owned()));
    }
    match digits.parse::<u16>() {
        Ok(0) | Err(_) => Err((format!("there is no port {}", quote(digits)), "ports are 1 to 65535".to_owned())),
        Ok(port) => Ok(port),
    }
}
