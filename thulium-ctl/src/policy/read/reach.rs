//! Flows that no packet can ever reach, because earlier flows take all of theirs.

use crate::policy::{
    Flow, Host, PortRange,
    error::{Place, Report},
};

/// Reports each flow whose hosts and ports are all taken by flows before it.
pub(super) fn check(flows: &[(Flow, Place)], hosts: &[Host], report: &mut Report) {
    let mut reachable: Vec<&Flow> = Vec::new();
    for (flow, place) in flows {
        let rivals = reachable.iter().copied().filter(|rival| rivals(rival, flow, hosts)).collect::<Vec<_>>();
        if !flow.ports.iter().all(|range| covered(*range, &rivals)) {
            reachable.push(flow);
            continue;
        }
        let names = rivals.iter().map(|flow| format!("`{}`", flow.name)).collect::<Vec<_>>().join(" and ");
        let message = format!("the flow `{}` can never match: all its packets belong to {names} above", flow.name);
        report.error(*place, message, format!("move it above {names}, or remove it"));
    }
}

/// Whether packets of `flow` go to `rival`, which stands above it.
fn rivals(rival: &Flow, flow: &Flow, hosts: &[Host]) -> bool {
    let host = |name: &str| hosts.iter().find(|host| host.name == name);
    let same = rival.host == flow.host
        || matches!((host(&rival.host), host(&flow.host)), (Some(outer), Some(inner)) if covers(outer, inner));
    same && rival.ports.iter().any(|x| flow.ports.iter().any(|y| x.overlaps(y)))
}

/// Whether all that `b` stands for belongs to `a`, too.
fn covers(a: &Host, b: &Host) -> bool {
    let empty = b.names.is_empty() && b.addresses.is_empty();
    !empty
        && b.names.iter().all(|name| a.names.contains(name))
        && b.addresses.iter().all(|inner| a.addresses.iter().any(|outer| outer.contains(inner)))
}

/// Whether each port of `range` is in one of `flows`.
fn covered(range: PortRange, flows: &[&Flow]) -> bool {
    let mut ranges =
        flows.iter().flat_map(|flow| &flow.ports).filter(|other| other.protocol == range.protocol).collect::<Vec<_>>();
    ranges.sort_unstable();
    let mut next = u32::from(range.first);
    for other in ranges {
        if u32::from(other.first) <= next {
            next = next.max(u32::from(other.last) + 1);
        }
    }
    next > u32::from(range.last)
}
