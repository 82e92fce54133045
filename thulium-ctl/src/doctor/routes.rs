//! Whether the kernel's routes lead to the servers by the uplink, and whether its next hop is there.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, UdpSocket},
    thread::sleep,
    time::{Duration, Instant},
};

use ipnet::IpNet;
use serde_json::Value;

use super::{
    command::{ask_json, quoted},
    finding::Finding,
    firewall::Servers,
    subject::Subject,
};

const ROUTE: &str = "route";
const NEXT_HOP: &str = "next-hop";
const REVERSE_PATH: &str = "rp-filter";

/// Servers whose route is asked for.
const SERVERS: usize = 64;
/// How long the next hop may take to say its hardware address: the kernel asks three times, a second each.
const PATIENCE: Duration = Duration::from_millis(3500);
const PAUSE: Duration = Duration::from_millis(50);
/// The port "discard": what is sent there only makes the kernel resolve the next hop.
const DISCARD: u16 = 9;

/// A route.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Route {
    device: String,
    gateway: Option<IpAddr>,
}

/// Whether a next hop answers.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Neighbour {
    Known(String),
    /// The kernel's state of it.
    Silent(String),
    /// It could not be asked: why.
    Unasked(String),
}

/// What the kernel says of its routes.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// Default routes, the one that counts first.
    defaults: Result<Vec<Route>, String>,
    /// The way to each server; `None`: there is none.
    servers: BTreeMap<IpAddr, Option<Route>>,
    /// Uplink → its next hop.
    next_hops: BTreeMap<String, (IpAddr, Neighbour)>,
    /// Uplink → neighbours that have answered.
    neighbours: BTreeMap<String, Vec<IpAddr>>,
    /// Networks of clients that the policy names, and the way to them.
    clients: BTreeMap<IpNet, Option<Route>>,
    /// Interface → its `rp_filter`, with that of `all`.
    reverse_path: BTreeMap<String, u8>,
}

/// Asks the kernel; sends an empty datagram to the uplink's next hop, so that it is resolved.
pub(super) fn look(subject: &Subject, servers: &Servers) -> Facts {
    let defaults = ask_json("ip", "-4 -json route show default").map(|json| defaults(&json));
    let single = servers.values().flatten().map(IpNet::addr).filter(IpAddr::is_ipv4);
    let way = |to: IpAddr| route_of(&ask_json("ip", &format!("-4 -json route get {to}")).ok()?[0]);
    let servers = single.take(SERVERS).map(|server| (server, way(server)));
    let named = subject.policy.iter().flat_map(|policy| policy.lan.clients.iter().flatten());
    let named = named.filter(|clients| clients.addr().is_ipv4());
    // The gateway's own address is one of them, often the first.
    let clients = named.map(|clients| (*clients, clients.hosts().take(2).find_map(&way)));
    let mut facts = Facts {
        servers: servers.collect(),
        clients: clients.collect(),
        next_hops: BTreeMap::new(),
        neighbours: BTreeMap::new(),
        reverse_path: subject.interfaces().map(|name| (name.to_owned(), reverse_path(name))).collect(),
        defaults,
    };
    for uplink in &subject.uplinks {
        if let Some(next_hop) = facts.next_hop(uplink) {
            facts.next_hops.insert(uplink.clone(), (next_hop, resolve(uplink, next_hop)));
        }
        let all = ask_json("ip", &format!("-4 -json neighbour show dev {uplink}")).unwrap_or_default();
        let answered = all.as_array().into_iter().flatten().filter(|one| one["lladdr"].is_string());
        let addresses = answered.filter_map(|one| one["dst"].as_str()?.parse().ok()).collect();
        facts.neighbours.insert(uplink.clone(), addresses);
    }
    facts
}

fn defaults(json: &Value) -> Vec<Route> {
    let mut routes: Vec<&Value> = json.as_array().into_iter().flatten().collect();
    routes.sort_by_key(|route| route["metric"].as_u64().unwrap_or_default());
    routes.into_iter().filter_map(route_of).collect()
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
    let value = |name: &str| {
        let text = fs::read_to_string(format!("/proc/sys/net/ipv4/conf/{name}/rp_filter")).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    };
    value("all").max(value(interface))
}

/// What the kernel knows of a next hop, after it was made to ask for it.
fn resolve(uplink: &str, next_hop: IpAddr) -> Neighbour {
    let state = || {
        let json = ask_json("ip", &format!("-json neighbour show to {next_hop} dev {uplink}")).unwrap_or_default();
        let states = json[0]["state"].as_array().into_iter().flatten().filter_map(Value::as_str);
        (json[0]["lladdr"].as_str().map(str::to_owned), states.collect::<Vec<_>>().join(" "))
    };
    // Without a port, or down, only what is known already counts.
    let sent = UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.send_to(&[], (next_hop, DISCARD)));
    let deadline = Instant::now() + PATIENCE;
    loop {
        match state() {
            (Some(address), _) => return Neighbour::Known(address),
            (None, _) if let Err(error) = &sent => {
                return Neighbour::Unasked(format!("{next_hop} on {uplink} cannot be asked for its address: {error}"));
            }
            (None, state) if state.contains("FAILED") || Instant::now() > deadline => return Neighbour::Silent(state),
            _ => sleep(PAUSE),
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

    /// The device by which the kernel would answer the servers.
    fn way_back(&self) -> Option<&str> {
        let server = self.servers.values().flatten().next();
        Some(&server.or(self.defaults.as_ref().ok()?.first())?.device)
    }
}

/// Whether the routes lead where the datapath needs them.
pub(super) fn judge(facts: &Facts, subject: &Subject) -> Vec<Finding> {
    if let Err(why) = &facts.defaults {
        return [ROUTE, NEXT_HOP, REVERSE_PATH].map(|check| Finding::not_tested(check, why.as_str())).into();
    }
    let mut findings = Vec::new();
    let strays: Vec<Finding> =
        facts.servers.iter().filter_map(|(server, route)| stray(facts, subject, *server, route.as_ref())).collect();
    for uplink in &subject.uplinks {
        match (facts.default_by(uplink), facts.next_hops.get(uplink)) {
            (Some(route), _) => {
                findings.push(Finding::pass(ROUTE, format!("a default route leads by {}", show(route))))
            }
            (None, _) if !facts.servers.is_empty() && strays.is_empty() => {
                findings.push(Finding::pass(ROUTE, format!("routes to all known servers lead by {uplink}")));
            }
            _ => findings.push(no_route(facts, uplink)),
        }
        match facts.next_hops.get(uplink) {
            Some((hop, neighbour)) => findings.push(next_hop(uplink, *hop, neighbour)),
            None if facts.default_by(uplink).is_some() => {
                findings.push(Finding::pass(NEXT_HOP, format!("{uplink} needs none: its route has no gateway")));
            }
            None => findings.push(Finding::not_tested(NEXT_HOP, format!("no route by {uplink} names one"))),
        }
        findings.push(reverse(facts, uplink));
    }
    findings.extend(strays);
    findings.extend(facts.clients.iter().filter_map(|(clients, route)| unreachable(subject, *clients, route.as_ref())));
    findings
}

fn show(route: &Route) -> String {
    match route.gateway {
        Some(gateway) => format!("{} via {gateway}", route.device),
        None => route.device.clone(),
    }
}

fn no_route(facts: &Facts, uplink: &str) -> Finding {
    let finding = Finding::fail(
        ROUTE,
        format!("there is no default route by {uplink}"),
        "A client's packets find no way out. With DHCP, look at the lease; else set the route that the provider gave.",
    );
    match facts.neighbours.get(uplink).map(Vec::as_slice) {
        // The only one who has ever answered there is most likely the provider's router.
        Some([router]) => finding.fixed_by(format!("ip route replace default via {router} dev {}", quoted(uplink))),
        _ => finding,
    }
}

fn next_hop(uplink: &str, hop: IpAddr, neighbour: &Neighbour) -> Finding {
    match neighbour {
        Neighbour::Known(address) => Finding::pass(NEXT_HOP, format!("{hop} on {uplink} is {address}")),
        Neighbour::Unasked(why) => Finding::not_tested(NEXT_HOP, why.as_str()),
        Neighbour::Silent(state) => {
            let state = if state.is_empty() { String::new() } else { format!(" ({state})") };
            Finding::fail(
                NEXT_HOP,
                format!("{hop} on {uplink} does not answer{state}"),
                "Nothing gets beyond the link. Check the address of the next hop with the provider, and its device and cable.",
            )
        }
    }
}

fn stray(facts: &Facts, subject: &Subject, server: IpAddr, route: Option<&Route>) -> Option<Finding> {
    if route.is_some_and(|route| subject.uplinks.contains(&route.device)) {
        return None;
    }
    let seen = match route {
        Some(route) => format!("the route to the server {server} leads by {}, which is no uplink", show(route)),
        None => format!("there is no route to the server {server}"),
    };
    let finding =
        Finding::fail(ROUTE, seen, "The datapath leaves packets to it to the kernel, which sends them elsewhere.");
    let uplink = subject.uplinks.first()?;
    Some(match facts.next_hop(uplink) {
        Some(hop) => finding.fixed_by(format!("ip route replace {server} via {hop} dev {}", quoted(uplink))),
        None => finding,
    })
}

/// Clients that no route leads back to are taken for spoofed.
fn unreachable(subject: &Subject, clients: IpNet, route: Option<&Route>) -> Option<Finding> {
    let way = match route {
        Some(route) if subject.lan.contains(&route.device) => return None,
        Some(route) => format!("leads by {}, which is no LAN interface", show(route)),
        None => "is not there".to_owned(),
    };
    Some(Finding::fail(
        ROUTE,
        format!("the route to the clients {clients} {way}"),
        "Their packets are refused as spoofed-source. Add the route to them by the LAN's router: `ip route add NETWORK via ROUTER`.",
    ))
}

fn reverse(facts: &Facts, uplink: &str) -> Finding {
    let way_back = facts.way_back();
    match facts.reverse_path.get(uplink) {
        Some(1) if way_back.is_some_and(|device| device != uplink) => Finding::fail(
            REVERSE_PATH,
            format!(
                "rp_filter of {uplink} is strict, and the way back to the servers is {}",
                way_back.unwrap_or_default()
            ),
            "What comes in by it and needs the kernel (larger than the LAN's MTU, TTL 1) is dropped without a trace.",
        )
        .fixed_by(format!("sysctl -w net/ipv4/conf/{}/rp_filter=2", quoted(uplink))),
        Some(1) => {
            Finding::pass(REVERSE_PATH, format!("rp_filter of {uplink} is strict, and its own route is the way back"))
        }
        Some(_) => Finding::pass(REVERSE_PATH, format!("rp_filter of {uplink} is not strict")),
        None => Finding::not_tested(REVERSE_PATH, format!("{uplink} has none")),
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
        assert_eq!(routes.iter().map(show).collect::<Vec<_>>(), ["ppp0", "wan0 via 198.51.100.254"]);
    }
}
