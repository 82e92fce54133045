//! `uplinks`: the ways out.

mod doubt;
mod route;

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
};

use ipnet::Ipv6Net;
use thulium_ebpf::abi::UPLINK_SLOTS;

use super::{address, name, value};
use crate::policy::{
    Lan, SourceNat, UplinkPolicy,
    error::{Place, Report, quote, suggest},
    section::{Section, UPLINK},
    tree::{Kind, Node},
};

const EXAMPLE: &str = "a list: `- { interface: eth0 }`";
/// The largest weight. With it and the smallest one, two uplinks differ as much as the datapath can tell them apart.
const MAX_WEIGHT: u32 = 64;

/// Reads `uplinks`; none may share an interface with the LAN.
pub(super) fn uplinks(root: &Section<'_>, lan: Option<&Lan>, report: &mut Report) -> Vec<UplinkPolicy> {
    let help = "write the way out: `uplinks: [{ interface: eth0 }]`";
    let Some(node) = root.require("uplinks", help, report) else { return Vec::new() };
    let items = match &node.kind {
        Kind::List(items) => items,
        Kind::Refused => return Vec::new(),
        _ => {
            report.error(node.place, "`uplinks` must be a list", format!("write {EXAMPLE}"));
            return Vec::new();
        }
    };
    if items.is_empty() {
        report.error(node.place, "`uplinks` is an empty list", help);
    }
    if let Some(node) = items.get(UPLINK_SLOTS) {
        let message =
            format!("this is uplink {} of {}, and a policy can have {UPLINK_SLOTS}", UPLINK_SLOTS + 1, items.len());
        report.error(node.place, message, "keep those that clients are to use");
    }
    let lan_interfaces = lan.map(|lan| lan.interfaces.as_slice()).unwrap_or_default();
    let mut reader = Reader::new(lan_interfaces, report);
    let uplinks = items.iter().take(UPLINK_SLOTS).filter_map(|item| reader.uplink(item)).collect::<Vec<_>>();
    reader.refuse_own_next_hops();
    if uplinks.len() == items.len() {
        doubt::warn(&uplinks, lan, report);
    }
    uplinks
}

/// Reads one uplink after the other, and keeps what the others must not have, too.
struct Reader<'a> {
    lan: &'a [String],
    report: &'a mut Report,
    names: HashMap<String, Place>,
    interfaces: HashMap<String, Place>,
    addresses: HashMap<Ipv4Addr, Place>,
    next_hops: Vec<(IpAddr, Place)>,
    prefixes: Vec<(Ipv6Net, Place)>,
}

impl<'a> Reader<'a> {
    fn new(lan: &'a [String], report: &'a mut Report) -> Self {
        Self {
            lan,
            report,
            names: HashMap::new(),
            interfaces: HashMap::new(),
            addresses: HashMap::new(),
            next_hops: Vec::new(),
            prefixes: Vec::new(),
        }
    }

    fn uplink(&mut self, node: &Node) -> Option<UplinkPolicy> {
        let section = Section::open(node, &UPLINK, self.report)?;
        let help = "write its interface, such as `interface: eth0`";
        let interface = section.require("interface", help, self.report);
        let interface = interface.and_then(|node| self.interface(node));
        let name = section.get("name").map(|node| self.name(node));
        let source_nat = section.get("source_nat").map(|node| self.source_nat(node));
        let weight = section.get("weight").map(|node| self.weight(node));
        let (next_hop4, next_hop6) = section.get("next_hop").map(|node| self.next_hop(node)).unwrap_or_default();
        let prefixes = section.get("prefixes").map_or_else(Vec::new, |node| self.prefixes(node));
        let interface = interface?;
        let name = name.unwrap_or_else(|| Some(interface.clone()))?;
        Some(UplinkPolicy {
            name,
            interface,
            source_nat: source_nat.unwrap_or(Some(SourceNat::Masquerade))?,
            weight: weight.map_or(Some(None), |weight| weight.map(Some))?,
            next_hop4,
            next_hop6,
            prefixes,
        })
    }

    fn interface(&mut self, node: &Node) -> Option<String> {
        let word = value::text(node, "interface", "write one interface name, such as eth0", self.report)?;
        let interface = name::interface(word, node.place, self.report)?;
        if self.lan.contains(&interface) {
            let message = format!("{} is an interface of the LAN, too", quote(&interface));
            self.report.error(node.place, message, "clients and the world need interfaces of their own");
        }
        if let Some(first) = self.interfaces.get(&interface) {
            let message = format!("{} is an uplink already, in {first}", quote(&interface));
            self.report.error(node.place, message, "name each interface once");
        }
        self.interfaces.entry(interface.clone()).or_insert(node.place);
        Some(interface)
    }

    fn name(&mut self, node: &Node) -> Option<String> {
        let word = value::text(node, "name", "write a name, such as isp-a", self.report)?;
        let name = name::given(word, "uplink", node.place, self.report)?;
        if let Some(first) = self.names.get(&name) {
            let message = format!("a second uplink is called {}, the first in {first}", quote(&name));
            self.report.error(node.place, message, "give each uplink a name of its own");
        }
        self.names.entry(name.clone()).or_insert(node.place);
        Some(name)
    }

    fn source_nat(&mut self, node: &Node) -> Option<SourceNat> {
        let help = "write masquerade, the uplink's own address, such as 198.51.100.7, or none";
        let word = value::text(node, "source_nat", help, self.report)?;
        match word {
            "masquerade" => Some(SourceNat::Masquerade),
            "none" => Some(SourceNat::None),
            _ if word.starts_with(|c: char| c.is_ascii_digit()) || word.contains(':') => {
                let address = address::address4(word, node.place, self.report)?;
                if let Some(first) = self.addresses.get(&address) {
                    let message = format!("{} is another uplink's address already, in {first}", quote(word));
                    self.report.error(node.place, message, "replies come by one uplink: give each its own address");
                }
                self.addresses.entry(address).or_insert(node.place);
                Some(SourceNat::Address(address))
            }
            _ => {
                let near = suggest(word, ["masquerade", "none"])
                    .map_or(help.to_owned(), |near| format!("did you mean `{near}`?"));
                self.report.error(node.place, format!("{} is no value of `source_nat`", quote(word)), near);
                None
            }
        }
    }

    fn weight(&mut self, node: &Node) -> Option<u8> {
        if matches!(&node.kind, Kind::Scalar(word) if word.trim() == "0") {
            let help =
                "write 1 or more; for an uplink that waits for the others to fail, put it last, without a weight";
            self.report.error(node.place, "with `weight: 0` the uplink would carry nobody", help);
            return None;
        }
        value::number(node, "weight", 1..=MAX_WEIGHT, 2, self.report).and_then(|weight| u8::try_from(weight).ok())
    }
}
