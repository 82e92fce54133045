//! What the routes mean for Thulium.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Facts, Neighbour, Route};
use crate::{
    datapath::host::SOURCE_MARK,
    doctor::{command::quoted, family::Family, finding::Finding, subject::Subject},
};

const ROUTE: &str = "route";
const NEXT_HOP: &str = "next-hop";
const REVERSE_PATH: &str = "rp-filter";

/// Metric of a default route that only its uplink's clients are to take: behind those of DHCP clients and the like.
const BEHIND: u32 = 10_000;

const LOST_ON_THE_WAY_IN: &str =
    "What comes in by it and needs the kernel (larger than the LAN's MTU, TTL 1) is dropped without a trace.";

/// Whether the routes lead where the datapath needs them.
pub(in crate::doctor) fn judge(facts: &Facts, subject: &Subject) -> Vec<Finding> {
    if let Err(why) = &facts.defaults {
        let checks: &[&str] = match facts.family {
            Family::Ipv4 => &[ROUTE, NEXT_HOP, REVERSE_PATH],
            Family::Ipv6 => &[ROUTE, NEXT_HOP],
        };
        return checks.iter().map(|check| Finding::not_tested(check, why.as_str())).collect();
    }
    let mut findings = Vec::new();
    let strays: Vec<Finding> =
        facts.servers.iter().filter_map(|(server, route)| stray(facts, subject, *server, route.as_ref())).collect();
    for uplink in &subject.uplinks {
        match (facts.default_by(uplink), facts.next_hops.get(uplink)) {
            (Some(route), _) => findings
                .push(Finding::pass(ROUTE, format!("{} leads by {}", a_default_route(facts.family), route.words()))),
            (None, _) if facts.leads_to_all_servers(uplink) => {
                findings.push(Finding::pass(
                    ROUTE,
                    format!("{} routes to all known servers lead by {uplink}", facts.family.name()),
                ));
            }
            (None, Some((hop, _))) if subject.next_hop(uplink, facts.family) == Some(*hop) => {
                findings.push(Finding::pass(ROUTE, format!("the policy names the way out by {uplink}: {hop}")));
            }
            _ => findings.push(no_route(facts, subject, uplink)),
        }
        match facts.next_hops.get(uplink) {
            Some((hop, neighbour)) => findings.push(next_hop(facts, uplink, *hop, neighbour)),
            None if facts.default_by(uplink).is_some() => {
                findings.push(Finding::pass(
                    NEXT_HOP,
                    format!("{uplink} needs none for {}: its route has no gateway", facts.family.name()),
                ));
            }
            None => findings
                .push(Finding::not_tested(NEXT_HOP, format!("no {} route by {uplink} names one", facts.family.name()))),
        }
        findings.extend((facts.family == Family::Ipv4).then(|| reverse(facts, subject, uplink)));
    }
    findings.extend(taken_in_turn(facts, subject));
    findings.extend(strays);
    findings.extend(
        facts.clients.iter().filter_map(|(clients, route)| unreachable(facts, subject, *clients, route.as_ref())),
    );
    findings
}

fn a_default_route(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "a default route",
        Family::Ipv6 => "a default route of IPv6",
    }
}

/// A failure where Thulium needs the routes, else a warning.
fn trouble(facts: &Facts, check: &'static str, seen: String, meaning: &str) -> Finding {
    if facts.are_needed() {
        return Finding::fail(check, seen, meaning);
    }
    Finding::warn(
        check,
        seen,
        format!(
            "{meaning} Thulium does without: no server is known to have IPv6, or clients have local addresses alone."
        ),
    )
}

fn no_route(facts: &Facts, subject: &Subject, uplink: &str) -> Finding {
    let (default, meaning) = match facts.family {
        Family::Ipv4 => (
            "default route",
            "A client's packets find no way out by it. With DHCP, look at the lease; else set the route that the provider gave.",
        ),
        Family::Ipv6 => (
            "default route of IPv6",
            "A client that has IPv6 finds no way out by it. Look whether the uplink gets router advertisements (`accept_ra`); \
             else set the route that the provider gave.",
        ),
    };
    let finding = trouble(facts, ROUTE, format!("there is no {default} by {uplink}"), meaning);
    match facts.routers.get(uplink) {
        Some(router) => {
            let ip = if router.is_ipv6() { "ip -6" } else { "ip" };
            let route = format!("default via {router} dev {}", quoted(uplink));
            // The default route by another uplink stays, and stays the one that counts.
            finding.fixed_by(match facts.defaults.as_ref().is_ok_and(|routes| !routes.is_empty()) {
                true if subject.has_several_uplinks() => format!("{ip} route add {route} metric {BEHIND}"),
                _ => format!("{ip} route replace {route}"),
            })
        }
        None => finding,
    }
}

fn next_hop(facts: &Facts, uplink: &str, hop: IpAddr, neighbour: &Neighbour) -> Finding {
    match neighbour {
        Neighbour::Known(address) => Finding::pass(NEXT_HOP, format!("{hop} on {uplink} is {address}")),
        Neighbour::Unasked(why) => Finding::not_tested(NEXT_HOP, why.as_str()),
        Neighbour::Silent(state) => {
            let state = if state.is_empty() { String::new() } else { format!(" ({state})") };
            let meaning = "Nothing gets beyond the link. Check the address of the next hop with the provider, and its device and cable.";
            trouble(facts, NEXT_HOP, format!("{hop} on {uplink} does not answer{state}"), meaning)
        }
    }
}

fn stray(facts: &Facts, subject: &Subject, server: IpAddr, route: Option<&Route>) -> Option<Finding> {
    if route.is_some_and(|route| subject.uplinks.contains(&route.device)) {
        return None;
    }
    if route.is_none() && subject.has_several_uplinks() && !facts.next_hops.is_empty() {
        // The last of the rules that `run` sets leads clients to the table of an uplink.
        return None;
    }
    let (seen, meaning) = match route {
        Some(route) => (
            format!("the route to the server {server} leads by {}, which is no uplink", route.words()),
            "The datapath leaves packets to it to the kernel, which sends them elsewhere.",
        ),
        None => (
            format!("there is no route to the server {server}"),
            "The datapath leaves packets to it to the kernel, which refuses them.",
        ),
    };
    let finding = trouble(facts, ROUTE, seen, meaning);
    let hop = subject.uplinks.iter().find_map(|uplink| Some((uplink, facts.next_hops.get(uplink)?.0)));
    Some(match hop {
        Some((uplink, hop)) => {
            let ip = if hop.is_ipv6() { "ip -6" } else { "ip" };
            finding.fixed_by(format!("{ip} route replace {server} via {hop} dev {}", quoted(uplink)))
        }
        None => finding,
    })
}

/// A default route with several ways: which one a packet takes is chosen by its addresses.
fn taken_in_turn(facts: &Facts, subject: &Subject) -> Option<Finding> {
    let [first, ..] = facts.shared.as_slice() else { return None };
    let ways: Vec<String> = facts.shared.iter().map(Route::words).collect();
    let seen = format!("the default route of {} is shared out among {}", facts.family.name(), ways.join(" and "));
    let is_uplink = |route: &&Route| subject.uplinks.contains(&route.device);
    if facts.shared.iter().all(|route| is_uplink(&route)) {
        let seen =
            format!("{seen}: governed clients keep their uplink, what else the gateway forwards or sends takes either");
        return Some(Finding::pass(ROUTE, seen));
    }
    let meaning = "What takes the way that is no uplink is left to the kernel: of a client's connections some work and others do not.";
    let finding = trouble(facts, ROUTE, seen, meaning);
    let kept = facts.shared.iter().find(is_uplink).unwrap_or(first);
    let Some(gateway) = kept.gateway else { return Some(finding) };
    let ip = if gateway.is_ipv6() { "ip -6" } else { "ip" };
    Some(finding.fixed_by(format!("{ip} route replace default via {gateway} dev {}", quoted(&kept.device))))
}

/// A client that no route leads back to by the LAN is taken for spoofed.
fn unreachable(facts: &Facts, subject: &Subject, clients: IpNet, route: Option<&Route>) -> Option<Finding> {
    let way = match route {
        Some(route) if subject.lan.contains(&route.device) => return None,
        Some(route) => format!("leads by {}, which is no LAN interface", route.words()),
        None => "is not there".to_owned(),
    };
    let inside: Vec<String> =
        facts.lan.iter().filter(|network| clients.contains(*network)).map(ToString::to_string).collect();
    if !inside.is_empty() {
        // The route was that of a few addresses.
        let seen = format!("of the clients {clients}, routes by the LAN lead to {}", inside.join(", "));
        return Some(Finding::pass(ROUTE, seen));
    }
    Some(Finding::fail(
        ROUTE,
        format!("the route to the clients {clients} {way}"),
        "Their packets are refused as spoofed-source. Add the route to them by the LAN's router: `ip route add NETWORK via ROUTER`.",
    ))
}

fn reverse(facts: &Facts, subject: &Subject, uplink: &str) -> Finding {
    let way_back = facts.way_back();
    match facts.reverse_path.get(uplink) {
        Some(1) if subject.has_several_uplinks() => reverse_by_mark(facts, subject, uplink),
        Some(1) if way_back.is_some_and(|device| device != uplink) => Finding::fail(
            REVERSE_PATH,
            format!(
                "rp_filter of {uplink} is strict, and the way back to the servers is {}",
                way_back.unwrap_or_default()
            ),
            LOST_ON_THE_WAY_IN,
        )
        .fixed_by(format!("sysctl -w net/ipv4/conf/{}/rp_filter=2", quoted(uplink))),
        Some(1) => {
            Finding::pass(REVERSE_PATH, format!("rp_filter of {uplink} is strict, and its own route is the way back"))
        }
        Some(_) => Finding::pass(REVERSE_PATH, format!("rp_filter of {uplink} is not strict")),
        None => Finding::not_tested(REVERSE_PATH, format!("{uplink} has none")),
    }
}

/// Whether a strict `rp_filter` knows that clients of an uplink answer by it, whatever the default route.
fn reverse_by_mark(facts: &Facts, subject: &Subject, uplink: &str) -> Finding {
    if facts.by_mark.contains(uplink) {
        let seen = format!(
            "rp_filter of {uplink} is strict, and goes by the mark ({SOURCE_MARK}): with it, {uplink} is the way back"
        );
        return Finding::pass(REVERSE_PATH, seen);
    }
    if !subject.is_attached {
        let seen =
            format!("rp_filter of {uplink} is strict, and does not go by the mark yet: `run` sets {SOURCE_MARK}");
        return Finding::pass(REVERSE_PATH, seen);
    }
    let seen = format!("rp_filter of {uplink} is strict, and does not go by the mark any more ({SOURCE_MARK} is 0)");
    Finding::fail(REVERSE_PATH, seen, LOST_ON_THE_WAY_IN)
        .fixed_by(format!("sysctl -w net/ipv4/conf/{}/{SOURCE_MARK}=1", quoted(uplink)))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::doctor::{finding::Status, subject::Origin};

    /// What is found of the way to a server, with these uplinks, the second of which alone has a next hop.
    fn found(uplinks: &[&str], way: Option<Route>) -> Option<Finding> {
        let interfaces: Vec<String> = uplinks.iter().map(|name| format!("{{ interface: {name} }}")).collect();
        let text = format!("system: acme\nlan: {{ interfaces: [lan0] }}\nuplinks: [{}]\n", interfaces.join(", "));
        let policy = crate::policy::parse("policy.yaml", text.as_bytes()).unwrap();
        let subject = Subject::of_policy("default", Origin::Pins, policy, true);
        let hop = |name: &&str| ((*name).to_owned(), ([192, 0, 2, 1].into(), Neighbour::Unasked(String::new())));
        let facts = Facts {
            family: Family::Ipv4,
            reach_out: true,
            defaults: Ok(Vec::new()),
            servers: BTreeMap::new(),
            next_hops: uplinks.iter().skip(1).map(hop).collect(),
            routers: BTreeMap::new(),
            clients: BTreeMap::new(),
            lan: Vec::new(),
            reverse_path: BTreeMap::new(),
            by_mark: BTreeSet::new(),
            shared: Vec::new(),
        };
        stray(&facts, &subject, [203, 0, 113, 10].into(), way.as_ref())
    }

    #[test]
    fn a_route_elsewhere_is_replaced_by_one_via_an_uplink_that_has_a_next_hop() {
        let finding = found(&["ppp0", "wan1"], Some(Route { device: "tun0".to_owned(), gateway: None })).unwrap();
        assert_eq!(finding.status, Status::Fail);
        let text = format!("{finding:?}");
        assert!(text.contains("sends them elsewhere"), "{text}");
        assert!(text.contains("ip route replace 203.0.113.10 via 192.0.2.1 dev wan1"), "{text}");
    }

    #[test]
    fn several_uplinks_need_no_route_of_the_main_table() {
        assert_eq!(found(&["ppp0", "wan1"], None), None);
        let text = format!("{:?}", found(&["wan0"], None).unwrap());
        assert!(text.contains("which refuses them") && !text.contains("elsewhere"), "{text}");
    }
}
