//! What several uplinks say together that is legal, and does not do what was probably meant.

use ipnet::IpNet;

use crate::policy::{Lan, UplinkPolicy, error::Report};

/// Warns of weights and prefixes that have no effect, and of IPv6 clients that belong to no uplink.
pub(super) fn warn(uplinks: &[UplinkPolicy], lan: Option<&Lan>, report: &mut Report) {
    let weighted = uplinks.iter().filter(|uplink| uplink.weight.is_some()).collect::<Vec<_>>();
    if let [only] = weighted[..] {
        report.warn(format!("the weight of the uplink `{}` has no effect: no other uplink has one", only.name));
    }
    if let Some(warning) = backup_between(uplinks) {
        report.warn(warning);
    }
    if let [only] = uplinks {
        if !only.prefixes.is_empty() {
            let name = &only.name;
            report.warn(format!(
                "the prefixes of the uplink `{name}` have no effect: with one uplink all IPv6 leaves by it"
            ));
        }
        return;
    }
    if uplinks.iter().all(|uplink| uplink.prefixes.is_empty()) {
        return;
    }
    let clients = lan.and_then(|lan| lan.clients.as_deref()).unwrap_or_default();
    let belongs = |client: &IpNet| match client {
        IpNet::V4(_) => true,
        IpNet::V6(client) => uplinks.iter().flat_map(|uplink| &uplink.prefixes).any(|prefix| prefix.contains(client)),
    };
    for client in clients.iter().filter(|client| !belongs(client)) {
        let why = "those outside them are refused as `uplink-prefix`";
        report.warn(format!("the clients {client} are in no uplink's `prefixes`: {why}"));
    }
}

/// One without a weight between others that have one takes all new clients when those before it are lost, and leaves those
/// behind it without.
fn backup_between(uplinks: &[UplinkPolicy]) -> Option<String> {
    let share = uplinks.iter().position(|uplink| uplink.weight.is_some())?;
    let backup = share + uplinks[share..].iter().position(|uplink| uplink.weight.is_none())?;
    let behind = uplinks[backup..].iter().find(|uplink| uplink.weight.is_some())?;
    let (backup, behind) = (&uplinks[backup].name, &behind.name);
    Some(format!("the uplink `{backup}` has no weight and stands before `{behind}`, which has one: put it last"))
}
