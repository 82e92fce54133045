//! Several uplinks in words: who takes which, when a client moves, how a failure is noticed.

use std::fmt::{self, Write};

use super::period;
use crate::policy::{Flow, OnUplinkDown, Policy, Probe, Protocol, UplinkPolicy};

/// Writes the paragraphs about uplinks of a policy that has several.
pub(super) fn write(out: &mut String, policy: &Policy) -> fmt::Result {
    writeln!(out, "\nWhich uplink")?;
    writeln!(out, "  A client gets one with its first session, and all its flows keep to it.")?;
    for sentence in preference(&policy.uplinks) {
        writeln!(out, "  {sentence}")?;
    }
    let idle = period(policy.release_after_idle);
    writeln!(out, "  A client that has had no session for {idle} is given one anew.")?;
    writeln!(out, "  {}", ipv6(&policy.uplinks))?;
    writeln!(out, "\nWhen an uplink fails")?;
    for sentence in failure(policy) {
        writeln!(out, "  {sentence}")?;
    }
    Ok(())
}

/// Who gets new clients, and who gets them if those cannot.
fn preference(uplinks: &[UplinkPolicy]) -> Vec<String> {
    let groups = groups(uplinks);
    let mut sentences = Vec::new();
    let mut before = "";
    for group in groups {
        let takers = match group[..] {
            [one] => one.name.clone(),
            _ => shares(&group),
        };
        sentences.push(match before {
            "" => format!("New clients take {takers}."),
            before => format!("While {before} usable, they take {takers}."),
        });
        before = if sentences.len() == 1 && group.len() == 1 { "it is not" } else { "none of these is" };
    }
    sentences
}

/// Uplinks that take new clients together, in the order in which they come into it.
fn groups(uplinks: &[UplinkPolicy]) -> Vec<Vec<&UplinkPolicy>> {
    let mut rest = uplinks.iter().collect::<Vec<_>>();
    let mut groups = Vec::new();
    while let Some(first) = rest.first().copied() {
        let (group, others) = rest.iter().partition(|uplink| match first.weight {
            Some(_) => uplink.weight.is_some(),
            None => uplink.name == first.name,
        });
        groups.push(group);
        rest = others;
    }
    groups
}

/// The shares of uplinks with weights, such as `isp-a (3 of 4) and isp-b (1 of 4)`.
fn shares(uplinks: &[&UplinkPolicy]) -> String {
    let weight = |uplink: &UplinkPolicy| u32::from(uplink.weight.unwrap_or(1));
    let all = uplinks.iter().map(|uplink| weight(uplink)).sum::<u32>();
    let words = uplinks.iter().map(|uplink| format!("{} ({} of {all})", uplink.name, weight(uplink)));
    let mut words = words.collect::<Vec<_>>();
    let last = words.pop().unwrap_or_default();
    format!("{} and {last}", words.join(", "))
}

/// Whose IPv6 leaves by which uplink.
fn ipv6(uplinks: &[UplinkPolicy]) -> String {
    let rows = uplinks.iter().filter(|uplink| !uplink.prefixes.is_empty()).map(|uplink| {
        let prefixes = uplink.prefixes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        format!("{prefixes} by {}", uplink.name)
    });
    let rows = rows.collect::<Vec<_>>();
    if rows.is_empty() {
        return "IPv6 leaves by the uplink to which the kernel's routes send its source address.".to_owned();
    }
    format!("IPv6 leaves by its source address: {}; others are refused.", rows.join(", "))
}

/// What counts as a failure, and what it means for clients.
fn failure(policy: &Policy) -> Vec<String> {
    let link = period(policy.health.link_down);
    let seen =
        format!("It is lost when it has had no link, address, route or next hop for {link}, if another one has.");
    let probed = black_hole(policy);
    match policy.on_uplink_down {
        OnUplinkDown::Move => vec![
            seen,
            probed,
            "Its IPv4 clients move to another one together: sessions end, and are opened anew from another public address."
                .to_owned(),
            "IPv6 does not move, since addresses belong to their uplink: new sessions wait, refused as uplink-down."
                .to_owned(),
            "When it is back, clients without a session return to it. Nobody moves in a call.".to_owned(),
        ],
        OnUplinkDown::Hold => vec![
            seen,
            probed,
            "Its clients wait for it (hold), with their address and sessions.".to_owned(),
            "New clients take another one.".to_owned(),
        ],
    }
}

fn black_hole(policy: &Policy) -> String {
    let time = period(policy.health.black_hole);
    let probed = match &policy.health.probe {
        Probe::Off => None,
        Probe::To { host, port } => Some((host.as_str(), *port)),
        Probe::Auto => policy.flows.iter().find_map(tcp),
    };
    match probed {
        Some((host, port)) => {
            format!(
                "So it is within {time} when TCP connections to {host}, port {port}, get no answer, if another one's do."
            )
        }
        None => "Nothing is probed: a link that is up and carries nothing is not noticed.".to_owned(),
    }
}

/// The host and the lowest TCP port of a flow.
fn tcp(flow: &Flow) -> Option<(&str, u16)> {
    let range = flow.ports.iter().find(|range| range.protocol == Protocol::Tcp)?;
    Some((&flow.host, range.first))
}
