//! The interfaces of the policy: whether they are there, up and addressed, and their MTUs.

use std::{collections::BTreeMap, fs, net::IpAddr};

use ipnet::IpNet;
use serde_json::Value;

use super::{
    command::{ask_json, quoted},
    finding::Finding,
    subject::Subject,
};
use crate::datapath::xdp;

const INTERFACE: &str = "interface";
const MTU: &str = "mtu";
const XDP: &str = "xdp-mode";

/// The smallest MTU that IPv6 allows (RFC 8200 section 5).
const LEAST_MTU: u32 = 1280;

/// An interface.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Interface {
    pub(super) is_up: bool,
    /// False if the cable is out, or the other end down.
    pub(super) has_carrier: bool,
    pub(super) mtu: u32,
    pub(super) addresses: Vec<IpNet>,
    /// True if its frames begin with an Ethernet header.
    pub(super) is_ethernet: bool,
    /// Mode and id of the XDP program on it.
    pub(super) xdp: Option<(u64, u64)>,
    /// What its carrier depends on here: a VLAN's link, or the other end of a veth pair.
    pub(super) below: Option<String>,
    /// True if it answers by ARP for its own addresses alone, and asks from them.
    pub(super) keeps_arp: bool,
}

/// The interfaces of the machine by name; or why they cannot be listed.
#[derive(Clone, Debug)]
pub(super) struct Interfaces(pub(super) Result<BTreeMap<String, Interface>, String>);

/// Lists the interfaces of this network namespace.
pub(super) fn look() -> Interfaces {
    let mut interfaces = ask_json("ip", "-details -json address show").map(|json| parse(&json));
    for (name, interface) in interfaces.iter_mut().flatten() {
        interface.keeps_arp = arp_setting(name, "arp_ignore") >= 1 && arp_setting(name, "arp_announce") == 2;
    }
    Interfaces(interfaces)
}

/// The greater of an interface's setting and that of all counts.
fn arp_setting(interface: &str, key: &str) -> u8 {
    let value = |name: &str| {
        let text = fs::read_to_string(format!("/proc/sys/net/ipv4/conf/{name}/{key}")).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    };
    value("all").max(value(interface))
}

fn parse(json: &Value) -> BTreeMap<String, Interface> {
    let links = json.as_array().map_or(&[][..], Vec::as_slice);
    links.iter().filter_map(|link| Some((link["ifname"].as_str()?.to_owned(), interface(link)))).collect()
}

fn interface(link: &Value) -> Interface {
    let flags: Vec<&str> = link["flags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let addresses = link["addr_info"].as_array().into_iter().flatten().filter_map(|address| {
        let length = u8::try_from(address["prefixlen"].as_u64()?).ok()?;
        IpNet::new(address["local"].as_str()?.parse().ok()?, length).ok()
    });
    Interface {
        is_up: flags.contains(&"UP"),
        has_carrier: flags.contains(&"LOWER_UP"),
        mtu: link["mtu"].as_u64().and_then(|mtu| u32::try_from(mtu).ok()).unwrap_or_default(),
        addresses: addresses.collect(),
        is_ethernet: link["link_type"] == "ether",
        below: link["link"].as_str().map(str::to_owned),
        keeps_arp: false,
        xdp: link["xdp"]["prog"]["id"].as_u64().map(|id| (link["xdp"]["mode"].as_u64().unwrap_or_default(), id)),
    }
}

impl Interface {
    /// Addresses that lead beyond the link.
    pub(super) fn has_global(&self, is_wanted: fn(&IpAddr) -> bool) -> bool {
        self.addresses.iter().map(IpNet::addr).any(|address| is_wanted(&address) && is_global(&address))
    }

    /// The networks on the link, but for link-local ones.
    pub(super) fn networks(&self) -> impl Iterator<Item = IpNet> {
        self.addresses.iter().filter(|prefix| is_global(&prefix.addr())).map(IpNet::trunc)
    }
}

fn is_global(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !address.is_link_local() && !address.is_loopback(),
        IpAddr::V6(address) => !address.is_unicast_link_local() && !address.is_loopback(),
    }
}

impl Interfaces {
    pub(super) fn get(&self, name: &str) -> Option<&Interface> {
        self.0.as_ref().ok()?.get(name)
    }

    /// Which packets the kernel has to fragment, in half a sentence; `None`: none, or it is not known.
    pub(super) fn fragmenting(&self, subject: &Subject) -> Option<String> {
        subject.uplinks.iter().find_map(|uplink| {
            let mtu = self.get(uplink)?.mtu;
            let larger = |name: &&String| self.get(name).is_some_and(|lan| lan.mtu > mtu);
            let lan = subject.lan.iter().find(larger)?;
            Some(format!(
                "those from {lan} that are larger than {uplink}'s MTU ({mtu}) are fragmented and forwarded by the kernel"
            ))
        })
    }
}

/// Whether the interfaces are there, up and addressed, and fit together.
pub(super) fn judge(interfaces: &Interfaces, subject: &Subject) -> Vec<Finding> {
    if let Err(why) = &interfaces.0 {
        return vec![Finding::not_tested(INTERFACE, why.as_str()), Finding::not_tested(MTU, why.as_str())];
    }
    let mut findings = Vec::new();
    for (name, role) in named(subject) {
        match interfaces.get(name) {
            None => findings.push(Finding::fail(
                INTERFACE,
                format!("there is no interface {name}, which the policy names as {role}"),
                "Nothing can be attached there. `ip -brief link` lists the interfaces that are there; write one of them into the \
                 policy.",
            )),
            Some(interface) => {
                findings.push(state(name, role, interface, interfaces));
                findings.extend(ipv6(name, role, interface).filter(|_| subject.governs_ipv6()));
            }
        }
    }
    findings.extend(mtu(interfaces, subject));
    findings.extend(overlapping(interfaces, subject));
    findings
}

/// Uplinks with the same network, such as two routers of one make: to the kernel both are one.
fn overlapping(interfaces: &Interfaces, subject: &Subject) -> Vec<Finding> {
    let networks = |name: &String| interfaces.get(name).into_iter().flat_map(Interface::networks).collect::<Vec<_>>();
    let in_common = |one: &String, other: &String| {
        let others = networks(other);
        let overlaps = |net: &IpNet| others.iter().any(|other| net.contains(other) || other.contains(net));
        networks(one).into_iter().find(overlaps)
    };
    let later = |first: usize| subject.uplinks.iter().skip(first + 1);
    let pairs = subject.uplinks.iter().enumerate().flat_map(|(at, one)| later(at).map(move |other| (one, other)));
    let shared = pairs.filter_map(|(one, other)| Some((one, other, in_common(one, other)?)));
    let keep_apart = |names: [&String; 2]| {
        names.iter().all(|name| interfaces.get(name).is_some_and(|interface| interface.keeps_arp))
    };
    shared.map(|(one, other, network)| same_network(one, other, network, keep_apart([one, other]))).collect()
}

fn same_network(one: &str, other: &str, network: IpNet, keep_apart: bool) -> Finding {
    let seen = format!("the uplinks {one} and {other} have {network} in common");
    if keep_apart {
        return Finding::pass(INTERFACE, format!("{seen}, and ask and answer by ARP for themselves alone"));
    }
    let meaning = "Clients' packets keep their uplink. But what the gateway itself sends to that network takes either, and for IPv4 an \
                   uplink answers for the other's address. Better give one router another network.";
    let finding = Finding::warn(INTERFACE, seen, meaning);
    if network.addr().is_ipv6() {
        return finding;
    }
    let conf = |name: &str, key: &str| format!(" net/ipv4/conf/{}/{key}", quoted(name));
    let keys = [one, other].map(|name| conf(name, "arp_ignore=1") + &conf(name, "arp_announce=2"));
    finding.fixed_by(format!("sysctl -w{}", keys.concat()))
}

fn named(subject: &Subject) -> impl Iterator<Item = (&str, &'static str)> {
    let uplinks = subject.uplinks.iter().map(|name| (name.as_str(), "uplink"));
    uplinks.chain(subject.lan.iter().map(|name| (name.as_str(), "LAN")))
}

fn state(name: &str, role: &str, interface: &Interface, interfaces: &Interfaces) -> Finding {
    if !interface.is_up {
        return Finding::fail(INTERFACE, format!("{name} ({role}) is down"), "No packet goes through it.")
            .fixed_by(format!("ip link set dev {} up", quoted(name)));
    }
    if !interface.has_carrier {
        let meaning = "No packet goes through it: the cable is out, or the device at its other end is off.";
        let finding = Finding::fail(INTERFACE, format!("{name} ({role}) has no carrier"), meaning);
        let is_down = |below: &&String| interfaces.get(below).is_some_and(|below| !below.is_up);
        return match interface.below.as_ref().filter(is_down) {
            Some(below) => finding.fixed_by(format!("ip link set dev {} up", quoted(below))),
            None => finding,
        };
    }
    let addresses: Vec<String> = interface.addresses.iter().map(ToString::to_string).collect();
    if !interface.has_global(IpAddr::is_ipv4) {
        let meaning = match role {
            "uplink" => {
                "There is nothing to translate to. With DHCP, look at its lease; else give it the provider's address."
            }
            _ => "Nobody can use the gateway by it, and unless `lan.clients` says otherwise, nobody there is governed.",
        };
        return Finding::fail(INTERFACE, format!("{name} ({role}) has no IPv4 address"), meaning);
    }
    Finding::pass(INTERFACE, format!("{name} ({role}) is up: {}", addresses.join(", ")))
}

/// An uplink without an address of IPv6, where that is governed. A provider may do without: its router knows the link-local one.
fn ipv6(name: &str, role: &str, interface: &Interface) -> Option<Finding> {
    if role != "uplink" || !interface.is_up || interface.has_global(IpAddr::is_ipv6) {
        return None;
    }
    let meaning = "The clients' IPv6 works only if the provider routes their networks to the gateway's link-local address. Else \
                   look whether the uplink gets router advertisements (`accept_ra`) or a lease, or give it the provider's address.";
    Some(Finding::warn(INTERFACE, format!("{name} (uplink) has no IPv6 address, though clients have"), meaning))
}

fn mtu(interfaces: &Interfaces, subject: &Subject) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in &subject.uplinks {
        let Some(uplink) = interfaces.get(name) else { continue };
        if uplink.mtu < LEAST_MTU {
            let meaning = "Even media packets may have to be fragmented, and IPv6 does not work with less than 1280.";
            let fix = format!("ip link set dev {} mtu {}", quoted(name), if uplink.is_ethernet { 1500 } else { 1492 });
            findings.push(Finding::fail(MTU, format!("{name} has an MTU of {}", uplink.mtu), meaning).fixed_by(fix));
            continue;
        }
        for lan in &subject.lan {
            let Some(mtu) = interfaces.get(lan).map(|interface| interface.mtu) else { continue };
            findings.push(fit((lan, mtu), (name, uplink.mtu)));
        }
    }
    findings
}

fn fit((lan, lan_mtu): (&str, u32), (uplink, uplink_mtu): (&str, u32)) -> Finding {
    let seen = format!("{lan} has an MTU of {lan_mtu}, {uplink} of {uplink_mtu}");
    if lan_mtu < uplink_mtu {
        let meaning = "What the world sends in full size does not fit into the LAN: the kernel fragments it, after all its \
                       rules have seen it, and without a mark that could exempt it.";
        let fix = format!("ip link set dev {} mtu {uplink_mtu}", quoted(lan));
        return Finding::warn(MTU, seen, meaning).fixed_by(fix);
    }
    if lan_mtu > uplink_mtu {
        return Finding::pass(MTU, format!("{seen}: larger UDP packets are fragmented, TCP learns the smaller size"));
    }
    Finding::pass(MTU, seen)
}

/// What `datapath.xdp` makes of each interface.
pub(super) fn xdp_modes(subject: &Subject) -> Vec<Finding> {
    let Some(policy) = &subject.policy else { return Vec::new() };
    let mode = policy.datapath.xdp;
    let outlook = |name: &str| match xdp::outlook(mode, name) {
        Ok((is_used, why)) => xdp_mode(name, mode, is_used, why),
        Err(error) => Finding::not_tested(XDP, format!("{name}: {error:#}")),
    };
    subject.interfaces().map(outlook).collect()
}

fn xdp_mode(name: &str, mode: crate::policy::XdpMode, is_used: bool, why: Option<String>) -> Finding {
    use crate::policy::XdpMode;
    match (mode, is_used, why) {
        (XdpMode::Native, true, Some(why)) => Finding::warn(
            XDP,
            format!("{name}: `xdp: native`, though {why}"),
            "Write `xdp: auto` under `datapath`: it uses XDP where it is right.",
        ),
        (_, true, _) => Finding::pass(XDP, format!("{name}: XDP in the driver, if it takes it; TC else")),
        (_, false, why) => Finding::pass(XDP, format!("{name}: TC without XDP ({})", why.unwrap_or_default())),
    }
}
