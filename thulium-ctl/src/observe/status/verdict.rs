//! The verdict and the warnings.

use serde::Serialize;

use super::facts::{DaemonState, DatapathFacts, Facts, Link, Mode, SessionUse, TroubledName, UplinkFacts, Warning};
use crate::observe::{
    drops::Sum,
    quantity::{addresses, count},
};

/// The state of an instance in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Attached and served: what the policy does not allow is refused.
    Enforcing,
    /// Attached and served: what the policy does not allow is counted only.
    Audit,
    /// Attached, but no daemon serves it.
    Unserved,
    /// Some interface is not attached.
    PartlyAttached,
    /// A daemon runs, but nothing is attached.
    NotAttached,
    /// Neither.
    NotRunning,
}

/// The verdict on these facts.
pub(super) fn judge(facts: &Facts) -> Verdict {
    let daemon = match &facts.daemon {
        DaemonState::Serving(daemon) => Some(daemon),
        DaemonState::None | DaemonState::Broken(_) => None,
    };
    let datapath = facts.datapath.as_ref().filter(|datapath| !datapath.interfaces.is_empty());
    match (datapath, daemon) {
        (None, None) if facts.daemon == DaemonState::None => Verdict::NotRunning,
        (None, _) => Verdict::NotAttached,
        (Some(datapath), _) if !datapath.is_attached() => Verdict::PartlyAttached,
        (Some(_), None) => Verdict::Unserved,
        (Some(datapath), Some(daemon)) => match datapath.mode.unwrap_or(daemon.mode) {
            Mode::Enforce => Verdict::Enforcing,
            Mode::Audit => Verdict::Audit,
        },
    }
}

/// What is wrong, most urgent first.
pub(super) fn warnings(facts: &Facts) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if let Some(datapath) = &facts.datapath {
        warn_of_datapath(datapath, &mut warnings);
    }
    if let DaemonState::Serving(daemon) = &facts.daemon {
        warnings.extend(daemon.uplink_warnings.iter().cloned());
        warnings.extend(daemon.unresolved.iter().map(unresolved));
        warnings.extend(daemon.warnings.iter().cloned());
    }
    warnings
}

fn warn_of_datapath(datapath: &DatapathFacts, warnings: &mut Vec<Warning>) {
    for interface in datapath.detached() {
        let name = &interface.name;
        let why = if interface.why.is_empty() { String::new() } else { format!(": {}", interface.why) };
        warnings.push(Warning::new(
            format!("interface {name} is not attached{why}"),
            format!("`ip link show {name}`; when it is back, restart the daemon."),
        ));
    }
    let is_alone = datapath.uplinks.len() == 1;
    warnings.extend(datapath.uplinks.iter().flat_map(|uplink| warn_of_uplink(uplink, is_alone)));
    warnings.extend(warn_of_sessions(datapath.sessions));
    if datapath.clients.at_limit > 0 {
        warnings.push(Warning::new(
            format!("{} at the limit of sessions or ports", count(datapath.clients.at_limit, "client")),
            "`thulium-ctl clients` shows who, and what was refused: see what runs there, or raise the limits in `sessions`.",
        ));
    }
    if datapath.mode == Some(Mode::Audit) && datapath.would_drop != Sum::default() {
        warnings.push(Warning::new(
            format!("`mode: enforce` would have refused {}", count(datapath.would_drop.packets, "packet")),
            "Look at `thulium-ctl drops` before you change the mode.",
        ));
    }
}

/// Of several uplinks the daemon itself says what has become of them: that one is down is not the end.
fn warn_of_uplink(uplink: &UplinkFacts, is_alone: bool) -> Vec<Warning> {
    let UplinkFacts { name, interface, .. } = uplink;
    let mut warnings = Vec::new();
    match uplink.link.filter(|_| is_alone) {
        Some(Link::Down) => warnings.push(Warning::new(
            format!("uplink {name} is down: nothing gets out"),
            format!("`ip link set {interface} up`"),
        )),
        Some(Link::NoCarrier) => warnings.push(Warning::new(
            format!("uplink {name} is down, {interface} has no carrier: nothing gets out"),
            "Check the cable, and the device at its other end.",
        )),
        // That an interface is gone, the daemon says of those of the LAN, too.
        Some(Link::Up | Link::Gone) | None => {}
    }
    let is_told_otherwise = !is_alone && uplink.link.is_some();
    if uplink.translates && !is_told_otherwise && (uplink.lost_address || uplink.address.is_none()) {
        warnings.push(Warning::new(
            format!("uplink {name} has no IPv4 address: IPv4 clients can open nothing through it"),
            format!(
                "`ip -4 address show {interface}`; with DHCP, look at its lease. It is taken up as soon as it is there."
            ),
        ));
    }
    if let (true, Some(address)) = (uplink.foreign_address, uplink.address) {
        warnings.push(Warning::new(
            format!("uplink {name}: {interface} does not have {address}, which `source_nat` names"),
            format!(
                "Replies come back only if the provider routes it here. Otherwise write `masquerade`, or add the address: \
                 `ip address add {address}/32 dev {interface}`."
            ),
        ));
    }
    warnings
}

fn warn_of_sessions(sessions: SessionUse) -> Option<Warning> {
    let (family, used, capacity) = sessions.fuller();
    let what = match sessions.is_full() {
        true => format!("the {family} session table is full ({used} of {capacity}): new sessions are refused"),
        false if capacity > 0 && used >= capacity - capacity / 10 => {
            format!("the {family} session table is nearly full: {used} of {capacity}")
        }
        false => return None,
    };
    let remedy = "`thulium-ctl flows` shows who holds them; raise `sessions.capacity` if they are legitimate.";
    Some(Warning::new(what, remedy))
}

fn unresolved(name: &TroubledName) -> Warning {
    let effect = match name.addresses {
        0 => format!("nothing can be opened to host {}", name.host),
        known => format!("host {} goes on with the {} that the daemon knows", name.host, addresses(known)),
    };
    Warning::new(
        format!("{} does not resolve: {}; {effect}", name.name, name.why),
        "It is asked for again and again. `thulium-ctl doctor` asks each resolver for it: check its spelling in the policy, \
         `resolvers`, and the resolver itself.",
    )
}
