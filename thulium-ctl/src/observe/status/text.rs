//! The screen.

use std::fmt;

use super::{
    Report,
    facts::{Attachment, DaemonFacts, DatapathFacts, Hook, Mode, Role, SessionUse, UplinkFacts},
    verdict::Verdict,
};
use crate::{
    observe::{
        paragraph::paragraph,
        quantity::{ago, bytes, count},
        remedy,
        traffic::InterfacePaths,
        uplinks::word,
    },
    uplinks::UplinkCondition,
};

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.headline(f)?;
        writeln!(f)?;
        line(f, "instance", &self.instance)?;
        match (&self.daemon.facts, &self.daemon.trouble) {
            (Some(daemon), _) => daemon_lines(daemon, self.daemon.now, f)?,
            (None, Some(trouble)) => line(f, "daemon", trouble)?,
            (None, None) => line(f, "daemon", "none")?,
        }
        match &self.datapath.facts {
            Some(datapath) => self.datapath_lines(datapath, f)?,
            None => line(f, "datapath", "none")?,
        }
        for warning in &self.warnings {
            let what = paragraph(&warning.what, "  ");
            writeln!(f, "\n! {}", what.trim_start())?;
            if !warning.remedy.is_empty() {
                writeln!(f, "{}", paragraph(&warning.remedy, "  "))?;
            }
        }
        Ok(())
    }
}

impl Report {
    /// The verdict, and what to do next.
    fn headline(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = || remedy::start(&self.instance);
        let (verdict, next) = match self.verdict {
            Verdict::Enforcing => ("ENFORCING", String::new()),
            Verdict::Audit => ("AUDIT: nothing is refused, only counted", String::new()),
            Verdict::Unserved => ("ATTACHED, but no daemon serves it", format!("{UNSERVED} {}.", start())),
            Verdict::PartlyAttached => ("PARTLY ATTACHED", PARTLY.to_owned()),
            Verdict::NotAttached => (
                "NOT ATTACHED, though a daemon runs",
                format!("{NOT_ATTACHED} {} says which.", remedy::log(&self.instance)),
            ),
            Verdict::NotRunning => ("NOT RUNNING", format!("{NOT_RUNNING} {}.", start())),
        };
        write!(f, "{verdict}")?;
        if self.datapath.facts.as_ref().is_some_and(|datapath| datapath.sessions.is_full()) {
            write!(f, " · FULL: new sessions are refused")?;
        }
        match self.warnings.len() as u64 {
            0 => writeln!(f)?,
            number => writeln!(f, " · {}", count(number, "warning"))?,
        }
        if next.is_empty() { Ok(()) } else { writeln!(f, "{}", paragraph(&next, "  ")) }
    }

    fn datapath_lines(&self, datapath: &DatapathFacts, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = datapath.mode.or(self.daemon.facts.as_ref().map(|daemon| daemon.mode));
        let mode = match mode {
            Some(Mode::Enforce) => "enforce",
            Some(Mode::Audit) => "audit",
            None => "unknown",
        };
        line(f, "mode", &format!("{mode}, policy generation {}", datapath.generation))?;
        for (index, interface) in datapath.interfaces.iter().enumerate() {
            line(f, if index == 0 { "interfaces" } else { "" }, &attachment(interface))?;
        }
        paths(&datapath.paths, f)?;
        for (index, uplink) in datapath.uplinks.iter().enumerate() {
            line(f, if index == 0 { "uplinks" } else { "" }, &way_out(uplink))?;
        }
        line(f, "sessions", &sessions(datapath.sessions))?;
        line(f, "clients", &datapath.clients.known.to_string())?;
        let refused = datapath.dropped;
        line(f, "refused", &format!("{}, {}", count(refused.packets, "packet"), bytes(refused.bytes)))?;
        if datapath.would_drop.packets > 0 {
            let would = datapath.would_drop;
            line(f, "would drop", &format!("{}, {}", count(would.packets, "packet"), bytes(would.bytes)))?;
        }
        Ok(())
    }
}

const COUNTED: &str = "(packets of sessions that came in there, since the first start or the last `down`)";
const UNSERVED: &str = "Policy and sessions hold, but names are no longer resolved and ended sessions not swept. \
                        Start it again:";
const PARTLY: &str = "Traffic of the interfaces below that are not attached is not governed.";
const NOT_ATTACHED: &str = "It is starting or stopping, or it failed:";
const NOT_RUNNING: &str = "Nothing is enforced and nothing is translated. Start it:";

fn line(f: &mut fmt::Formatter<'_>, label: &str, text: &str) -> fmt::Result {
    writeln!(f, "{label:<12}{text}")
}

fn daemon_lines(daemon: &DaemonFacts, now: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let DaemonFacts { pid, release, since, .. } = daemon;
    line(f, "daemon", &format!("process {pid}, version {release}, ready {}", ago(*since, now)))?;
    line(f, "policy", &format!("{}, system {}", daemon.policy.display(), daemon.system))
}

/// Which way packets of sessions went on from each interface.
fn paths(paths: &[InterfacePaths], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (index, path) in paths.iter().enumerate() {
        line(f, if index == 0 { "paths" } else { "" }, &path.to_string())?;
    }
    if paths.is_empty() { Ok(()) } else { line(f, "", COUNTED) }
}

fn way_out(uplink: &UplinkFacts) -> String {
    let ipv4 = match uplink.address {
        Some(last) if uplink.lost_address => format!("no IPv4 address (last {last})"),
        Some(address) => address.to_string(),
        None if uplink.translates => "no IPv4 address".to_owned(),
        None => "clients keep their own addresses".to_owned(),
    };
    let ipv6 = uplink.ipv6.map_or(String::new(), |address| format!(", {address}"));
    let state = match (uplink.state, uplink.last_known) {
        (None | Some(UplinkCondition::Up), None) | (None, Some(UplinkCondition::Up)) => String::new(),
        (Some(state), _) => format!("{}, ", word(state)),
        (None, Some(last)) => format!("last known {}, ", word(last)),
    };
    format!("{} on {}: {state}{ipv4}{ipv6}", uplink.name, uplink.interface)
}

fn sessions(sessions: SessionUse) -> String {
    let SessionUse { used, ipv6, capacity, ipv6_capacity, memory, memory_full } = sessions;
    let used = match ipv6 {
        0 => format!("{used} of {capacity}"),
        ipv6 => format!("IPv4 {} of {capacity}, IPv6 {ipv6} of {ipv6_capacity}", used.saturating_sub(ipv6)),
    };
    format!("{used}; tables of {} MiB, {} MiB when full", memory >> 20, memory_full >> 20)
}

fn attachment(interface: &Attachment) -> String {
    let role = match interface.role {
        Role::Lan => "LAN",
        Role::Uplink => "uplink",
    };
    let why = if interface.why.is_empty() { String::new() } else { format!(" ({})", interface.why) };
    let level = match (interface.xdp, interface.forwards) {
        (Hook::None, _) => "",
        (_, true) => " forwards",
        (_, false) => " refuses only",
    };
    format!("{} ({role}): TC {}, XDP {}{level}{why}", interface.name, hook(interface.tc), hook(interface.xdp))
}

fn hook(hook: Hook) -> &'static str {
    match hook {
        Hook::Tcx => "tcx",
        Hook::Clsact => "clsact",
        Hook::Native => "native",
        Hook::None => "off",
    }
}
