//! Rules of the kernel's routing (`ip rule`): whether one of others goes before ours, or by the bits of the mark that are ours.

mod judge;

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;
use serde_json::Value;

pub(super) use self::judge::judge;
use super::{command::ask, command::ask_json, family::Family};
use crate::datapath::host::routing::{END_PRIORITY, FIRST_PRIORITY, PROTOCOL};

/// The kernel's tables by number.
const LOCAL: &str = "255";
const MAIN: &str = "254";

/// A rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Rule {
    priority: u32,
    /// What stands behind the priority in `ip rule show`; `ip rule add` takes the same.
    text: String,
    is_ours: bool,
    /// True if it is for packets that the other conditions do not describe.
    is_negated: bool,
    from: Option<IpNet>,
    to: Option<IpNet>,
    interface_in: Option<String>,
    /// Value and mask.
    mark: Option<(u32, u32)>,
    /// True if it is for the gateway's own packets alone.
    is_for_own: bool,
    /// True if it has conditions of which nothing is known here, such as ports.
    has_more: bool,
    /// True if default routes do not count.
    suppresses_default: bool,
    leads: Leads,
}

/// What a rule does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Leads {
    /// To a table.
    Table(String),
    /// Nowhere: the packet is refused.
    Nowhere,
    /// To another rule, or to what is not known here.
    #[default]
    Elsewhere,
}

/// A route of a table: where it leads to, and the devices; `None`: everywhere.
type Route = (Option<IpNet>, Vec<String>);

/// What the kernel says of its rules of a family.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    family: Family,
    rules: Result<Vec<Rule>, String>,
    /// The tables that these rules lead to.
    tables: BTreeMap<String, Vec<Route>>,
}

/// Asks the kernel.
pub(super) fn look(family: Family) -> Facts {
    let number = family.number();
    let rules = ask_json("ip", &format!("-{number} -N -details -json rule show"))
        .and_then(|json| Ok(parse(family, &json, &ask("ip", &format!("-{number} -N rule show"))?)));
    let mut tables = BTreeMap::new();
    for rule in rules.iter().flatten() {
        if let Leads::Table(table) = &rule.leads
            && table != LOCAL
            && !rule.is_ours
            && !tables.contains_key(table)
        {
            // iproute2 fails for a table that nothing has ever been in.
            let listed = ask_json("ip", &format!("-{number} -json route show table {table}"));
            tables.insert(table.clone(), listed.map(|json| routes(family, &json)).unwrap_or_default());
        }
    }
    Facts { family, rules, tables }
}

/// The rules in what `ip rule show` prints, as JSON and as text: both in the same order.
fn parse(family: Family, json: &Value, text: &str) -> Vec<Rule> {
    let texts = text.lines().filter_map(|line| line.split_once(':')).map(|(_, text)| text.replace(" [detached]", ""));
    let texts = texts.map(|text| text.trim().to_owned());
    json.as_array().into_iter().flatten().zip(texts).map(|(rule, text)| Rule { text, ..read(family, rule) }).collect()
}

fn read(family: Family, rule: &Value) -> Rule {
    let has = |key: &str| rule.get(key).is_some();
    let number = |key: &str| rule[key].as_str().and_then(hexadecimal);
    let word = |key: &str| rule[key].as_str().map(str::to_owned);
    let priority = rule["priority"].as_u64().unwrap_or_default() as u32;
    let interface_in = word("iif");
    let protocol = rule["protocol"].as_str().and_then(|number| number.parse().ok());
    let leads = match (word("table"), rule["action"].as_str()) {
        (Some(table), _) => Leads::Table(by_number(table)),
        (None, Some("unreachable" | "prohibit" | "blackhole")) => Leads::Nowhere,
        _ => Leads::Elsewhere,
    };
    Rule {
        priority,
        text: String::new(),
        is_ours: (FIRST_PRIORITY..END_PRIORITY).contains(&priority) && protocol == Some(PROTOCOL),
        is_negated: has("not"),
        from: prefix(family, &rule["src"], &rule["srclen"]),
        to: prefix(family, &rule["dst"], &rule["dstlen"]),
        mark: number("fwmark").map(|mark| (mark, number("fwmask").unwrap_or(u32::MAX))),
        is_for_own: has("oif") || has("uid_start") || interface_in.as_deref() == Some("lo"),
        interface_in,
        has_more: ["ipproto", "sport", "dport", "sport_start", "dport_start", "tos", "l3mdev", "tun_id"]
            .into_iter()
            .any(has),
        suppresses_default: rule["suppress_prefixlen"] == 0,
        leads,
    }
}

fn hexadecimal(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Older versions of iproute2 name the kernel's tables all the same.
fn by_number(table: String) -> String {
    match table.as_str() {
        "local" => LOCAL.to_owned(),
        "main" => MAIN.to_owned(),
        _ => table,
    }
}

/// `None`: everywhere.
fn prefix(family: Family, address: &Value, length: &Value) -> Option<IpNet> {
    let address: IpAddr = address.as_str()?.parse().ok()?;
    let whole = if family == Family::Ipv4 { 32 } else { 128 };
    IpNet::new(address, length.as_u64().and_then(|length| u8::try_from(length).ok()).unwrap_or(whole)).ok()
}

fn routes(family: Family, json: &Value) -> Vec<Route> {
    let device = |route: &Value| route["dev"].as_str().map(str::to_owned);
    let route = |route: &Value| {
        let to = route["dst"].as_str()?;
        let to = match to {
            "default" => None,
            _ => Some(to.parse().ok().or_else(|| prefix(family, &route["dst"], &Value::Null))?),
        };
        let devices =
            device(route).into_iter().chain(route["nexthops"].as_array().into_iter().flatten().filter_map(device));
        Some((to, devices.collect()))
    };
    json.as_array().into_iter().flatten().filter_map(route).collect()
}

#[cfg(test)]
mod tests;
