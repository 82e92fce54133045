//! `lan`: the office's side.

use ipnet::IpNet;
use thulium_ebpf::abi::LAN_SLOTS;

use super::{address, name, value};
use crate::policy::{
    Lan,
    error::Report,
    section::{LAN, Section},
    tree::Node,
};

/// Client prefixes that a policy can have.
const MAX_PREFIXES: usize = crate::policy::image::MAX_CLIENT_PREFIXES;

const HELP: &str = "write the interfaces of the office: `lan: { interfaces: [eth1] }`";

/// Reads `lan`.
pub(super) fn lan(root: &Section<'_>, report: &mut Report) -> Option<Lan> {
    let node = root.require("lan", HELP, report)?;
    let section = Section::open(node, &LAN, report)?;
    let help = "write the office's interfaces, such as `interfaces: [eth1]`";
    let interfaces = section.require("interfaces", help, report);
    let clients = section.get("clients").map(|node| clients(node, report));
    let interfaces = value::list(interfaces?, "lan.interfaces", help, report, name::interface);
    let items = value::items(section.get("interfaces")?);
    if let Some(node) = items.get(LAN_SLOTS) {
        let message = format!("this is interface {} of {}, and a LAN can have {LAN_SLOTS}", LAN_SLOTS + 1, items.len());
        report.error(node.place, message, "name fewer, such as a bridge instead of its ports");
    }
    if items.is_empty() {
        report.error(section.get("interfaces")?.place, "`lan.interfaces` is an empty list", help);
    }
    Some(Lan { interfaces, clients })
}

fn clients(node: &Node, report: &mut Report) -> Vec<IpNet> {
    let items = value::items(node);
    let example = "192.168.20.0/24 or 2001:db8:20::/64";
    if items.is_empty() {
        let help = "write their prefixes, or remove the line for the networks of the interfaces";
        report.error(node.place, "`lan.clients` is an empty list: nobody would be governed", help);
    }
    if items.len() > MAX_PREFIXES {
        let message = format!("`lan.clients` has {} prefixes, and a policy can have {MAX_PREFIXES}", items.len());
        report.error(node.place, message, "write shorter prefixes");
    }
    let help = "write prefixes, such as [192.168.20.0/24]";
    value::list(node, "lan.clients", help, report, |word, place, report| address::prefix(word, example, place, report))
}
