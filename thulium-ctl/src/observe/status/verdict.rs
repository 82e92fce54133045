//! The verdict and the warnings.

use serde::Serialize;

use super::facts::{DaemonState, DatapathFacts, Facts, Mode, TroubledName, Warning};
use crate::observe::{drops::Sum, quantity::count};

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
    for uplink in datapath.uplinks.iter().filter(|uplink| uplink.translates && uplink.address.is_none()) {
        warnings.push(Warning::new(
            format!("uplink {} has no address: nothing can be opened through it", uplink.name),
            format!("`ip address show {}`; with DHCP, look at its lease.", uplink.interface),
        ));
    }
    let sessions = datapath.sessions;
    let fuller = sessions.ipv6.max(sessions.used.saturating_sub(sessions.ipv6));
    if sessions.capacity > 0 && fuller >= sessions.capacity - sessions.capacity / 10 {
        warnings.push(Warning::new(
            format!("the session table is nearly full: {fuller} of {}", sessions.capacity),
            "`thulium-ctl flows` shows who holds them; raise `sessions.capacity` if they are legitimate.",
        ));
    }
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

fn unresolved(name: &TroubledName) -> Warning {
    let effect = match name.addresses {
        0 => format!("nothing can be opened to host {}", name.host),
        known => format!("host {} goes on with the {known} known", name.host),
    };
    Warning::new(
        format!("{} does not resolve: {}; {effect}", name.name, name.why),
        "It is retried all the time. Check the name in the policy, `resolvers`, and the resolver itself.",
    )
}
