//! Whether the kernel's routes lead to the servers by the uplink, and whether its next hop is there; of each family by itself.

mod judge;
mod neighbours;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::IpAddr,
};

use ipnet::IpNet;
use serde_json::Value;

pub(super) use self::judge::judge;
use self::neighbours::{Neighbour, only_one, resolve};
use super::{command::ask_json, family::Family, firewall::Servers, subject::Subject};
use crate::datapath::host::SOURCE_MARK;

/// Servers whose route is asked for.
const SERVERS: usize = 64;

/// A route.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Route {
    device: String,
    gateway: Option<IpAddr>,
}

/// What the kernel says of its routes of a family.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    family: Family,
    /// True if clients have more than local addresses (fc00::/7) of the family.
    reach_out: bool,
    /// Default routes, the one that counts first.
    defaults: Result<Vec<Route>, String>,
    /// The way to each server; `None`: there is none.
    servers: BTreeMap<IpAddr, Option<Route>>,
    /// Uplink → its next hop.
    next_hops: BTreeMap<String, (IpAddr, Neighbour)>,
    /// Uplink → the only machine that has answered there.
    routers: BTreeMap<String, IpAddr>,
    /// Networks of clients that the policy names, and the way to them.
    clients: BTreeMap<IpNet, Option<Route>>,
    /// Networks to which LAN interfaces lead.
    lan: Vec<IpNet>,
    /// Interface → its `rp_filter`, with that of `all`; IPv4 alone has one.
    reverse_path: BTreeMap<String, u8>,
    /// Uplinks at which it goes by the mark.
    by_mark: BTreeSet<String>,
    /// Ways that the default route which counts takes in turn; empty: it has one.
    shared: Vec<Route>,
}

/// Asks the kernel; sends an empty datagram to the uplink's next hop, so that it is resolved.
pub(super) fn look(family: Family, subject: &Subject, servers: &Servers) -> Facts {
    let ask = |arguments: String| ask_json("ip", &format!("-{} -json route {arguments}", family.number()));
    let is_ours = |address: &IpAddr| Family::of(*address) == family;
    let way = |to: IpAddr| route_of(&ask(format!("get {to}")).ok()?[0]);
    let single = servers.values().flatten().map(IpNet::addr).filter(is_ours);
    let named = subject.policy.iter().flat_map(|policy| policy.lan.clients.iter().flatten());
    let named = named.filter(|clients| is_ours(&clients.addr()));
    // The gateway's own address is one of them, often the first; in IPv6 the very first is every router's.
    let clients = named.map(|clients| (*clients, clients.hosts().take(3).find_map(&way)));
    let by_default = ask("show default".to_owned());
    let mut facts = Facts {
        family,
        reach_out: subject.sources(family).iter().any(|clients| !is_unique_local(clients.addr())),
        shared: by_default.as_ref().map(shared).unwrap_or_default(),
        defaults: by_default.map(|json| defaults(&json)),
        servers: single.take(SERVERS).map(|server| (server, way(server))).collect(),
        clients: clients.collect(),
        lan: subject.lan.iter().filter_map(|name| ask(format!("show dev {name}")).ok()).flat_map(networks).collect(),
        next_hops: BTreeMap::new(),
        routers: subject.uplinks.iter().filter_map(|name| Some((name.clone(), only_one(name, family)?))).collect(),
        reverse_path: subject.interfaces().map(|name| (name.to_owned(), reverse_path(name))).collect(),
        by_mark: subject.uplinks.iter().filter(|name| checks_by_mark(name)).cloned().collect(),
    };
    for uplink in &subject.uplinks {
        if let Some(next_hop) = subject.next_hop(uplink, family).or_else(|| facts.next_hop(uplink)) {
            facts.next_hops.insert(uplink.clone(), (next_hop, resolve(uplink, next_hop)));
        }
    }
    facts
}

fn is_unique_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unique_local())
}

/// Where routes lead, but for a default route's everywhere.
fn networks(routes: Value) -> Vec<IpNet> {
    let to = |route: &Value| {
        let text = route["dst"].as_str()?;
        text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
    };
    routes.as_array().into_iter().flatten().filter_map(to).collect()
}

fn defaults(json: &Value) -> Vec<Route> {
    by_metric(json).into_iter().flat_map(|route| route_of(route).into_iter().chain(ways(route))).collect()
}

fn by_metric(json: &Value) -> Vec<&Value> {
    let mut routes: Vec<&Value> = json.as_array().into_iter().flatten().collect();
    routes.sort_by_key(|route| route["metric"].as_u64().unwrap_or_default());
    routes
}

/// The ways of a route that has several.
fn ways(route: &Value) -> impl Iterator<Item = Route> {
    route["nexthops"].as_array().into_iter().flatten().filter_map(route_of)
}

/// The ways of the default route that counts, if it has several.
fn shared(json: &Value) -> Vec<Route> {
    by_metric(json).first().map(|route| ways(route).collect()).unwrap_or_default()
}

fn route_of(route: &Value) -> Option<Route> {
    // `unreachable default` and the like have no device that counts.
    if route["type"].as_str().is_some_and(|kind| kind != "unicast") {
        return None;
    }
    let gateway = route["gateway"].as_str().or(route["via"]["host"].as_str());
    Some(Route { device: route["dev"].as_str()?.to_owned(), gateway: gateway.and_then(|text| text.parse().ok()) })
}

fn reverse_path(interface: &str) -> u8 {
    setting("all", "rp_filter").max(setting(interface, "rp_filter"))
}

fn checks_by_mark(interface: &str) -> bool {
    setting("all", SOURCE_MARK).max(setting(interface, SOURCE_MARK)) != 0
}

fn setting(interface: &str, key: &str) -> u8 {
    let text = fs::read_to_string(format!("/proc/sys/net/ipv4/conf/{interface}/{key}")).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

impl Route {
    fn words(&self) -> String {
        match self.gateway {
            Some(gateway) => format!("{} via {gateway}", self.device),
            None => self.device.clone(),
        }
    }
}

impl Facts {
    fn default_by(&self, uplink: &str) -> Option<&Route> {
        self.defaults.as_ref().ok()?.iter().find(|route| route.device == uplink)
    }

    /// Of the default route by the uplink, or of a server's.
    fn next_hop(&self, uplink: &str) -> Option<IpAddr> {
        let servers = self.servers.values().flatten().find(|route| route.device == uplink);
        self.default_by(uplink).or(servers)?.gateway
    }

    /// True if a packet of Thulium's needs these routes: IPv6 is of no use where no server is known to have it, or clients have it
    /// among themselves alone.
    fn are_needed(&self) -> bool {
        self.family == Family::Ipv4 || (self.reach_out && !self.servers.is_empty())
    }

    /// True if servers are known, and all routes to them lead by this uplink.
    fn leads_to_all_servers(&self, uplink: &str) -> bool {
        let leads_there = |route: &Option<Route>| route.as_ref().is_some_and(|route| route.device == uplink);
        !self.servers.is_empty() && self.servers.values().all(leads_there)
    }

    /// The device by which the kernel would answer the servers.
    fn way_back(&self) -> Option<&str> {
        let server = self.servers.values().flatten().next();
        Some(&server.or(self.defaults.as_ref().ok()?.first())?.device)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_default_route_with_the_lowest_metric_counts() {
        let json = json!([
            { "dst": "default", "gateway": "198.51.100.254", "dev": "wan0", "metric": 100, "flags": [] },
            { "dst": "default", "dev": "ppp0", "flags": [] },
            { "type": "unreachable", "dst": "default", "dev": "lo", "metric": 4_000_000 },
        ]);
        let routes = defaults(&json);
        assert_eq!(routes.iter().map(Route::words).collect::<Vec<_>>(), ["ppp0", "wan0 via 198.51.100.254"]);
        assert!(shared(&json).is_empty());
    }

    #[test]
    fn a_default_route_can_have_several_ways() {
        let hop = |gateway: &str, dev: &str| json!({ "gateway": gateway, "dev": dev, "weight": 1, "flags": [] });
        let hops = json!([hop("198.51.100.254", "wan0"), hop("192.0.2.1", "wan1")]);
        let json = json!([{ "dst": "default", "flags": [], "nexthops": hops }]);
        let words = |routes: Vec<Route>| routes.iter().map(Route::words).collect::<Vec<_>>();
        assert_eq!(words(shared(&json)), ["wan0 via 198.51.100.254", "wan1 via 192.0.2.1"]);
        assert_eq!(words(defaults(&json)), words(shared(&json)));
    }
}
