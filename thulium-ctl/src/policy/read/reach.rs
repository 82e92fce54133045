//! Flows that no packet can ever reach, because earlier flows take all of theirs.

use crate::policy::{
    Flow, Host, PortRange,
    error::{Place, Report},
};

/// Reports each flow whose hosts and ports are all taken by flows before it.
pub(super) fn check(flows: &[(Flow, Place)], hosts: &[Host], report: &mut Report) {
    let host = |name: &str| hosts.iter().find(|host| host.name == name);
    for (index, (flow, place)) in flows.iter().enumerate() {
        let earlier = flows[..index].iter().map(|(earlier, _)| earlier).filter(|earlier| {
            earlier.host == flow.host
                || matches!((host(&earlier.host), host(&flow.host)), (Some(a), Some(b)) if covers(a, b))
        });
        let earlier = earlier.filter(|earlier| touches(earlier, flow)).collect::<Vec<_>>();
        if flow.ports.iter().all(|range| covered(*range, &earlier)) {
            let names = earlier.iter().map(|flow| format!("`{}`", flow.name)).collect::<Vec<_>>().join(" and ");
            let message = format!("the flow `{}` can never match: {names} above it takes all its packets", flow.name);
            report.error(*place, message, format!("move it above {names}, or remove it"));
        }
    }
}

/// Whether all that `b` stands for belongs to `a`, too.
fn covers(a: &Host, b: &Host) -> bool {
    let empty = b.names.is_empty() && b.addresses.is_empty();
    !empty
        && b.names.iter().all(|name| a.names.contains(name))
        && b.addresses.iter().all(|inner| a.addresses.iter().any(|outer| outer.contains(inner)))
}

fn touches(a: &Flow, b: &Flow) -> bool {
    let overlap = |a: &PortRange, b: &PortRange| a.protocol == b.protocol && a.first <= b.last && b.first <= a.last;
    a.ports.iter().any(|x| b.ports.iter().any(|y| overlap(x, y)))
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
