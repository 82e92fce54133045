//! The uplinks as text.

use std::{fmt, time::Duration};

use super::{Pinned, Report, UplinkLine, Watched};
use crate::{
    observe::{
        paragraph::paragraph,
        quantity::{ago, bytes, count, duration},
        status::Link,
    },
    uplinks::{NextHopReport, ProbeReport, UplinkCondition, health::Fault},
};

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.uplinks.is_empty() {
            writeln!(f, "There is no uplink.")?;
        }
        for (index, uplink) in self.uplinks.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            describe(uplink, self.now, f)?;
        }
        for advice in &self.advice {
            writeln!(f, "\n! {}", paragraph(advice, "  ").trim_start())?;
        }
        Ok(())
    }
}

fn describe(uplink: &UplinkLine, now: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "{}", headline(uplink, now))?;
    line(f, "address", &address(uplink))?;
    if let Some(watched) = &uplink.watched {
        for hop in &watched.next_hops {
            line(f, "next hop", &next_hop(hop))?;
        }
        line(f, "probe", &probe(&watched.probe, now))?;
        if let Some(waits_for) = &watched.waits_for {
            line(f, "waits for", waits_for)?;
        }
    }
    line(f, "clients", &clients(uplink))?;
    line(f, "sessions", &sessions(uplink))?;
    line(f, "out", &format!("{}, {}", count(uplink.out.packets, "packet"), bytes(uplink.out.bytes)))?;
    line(f, "in", &format!("{}, {}", count(uplink.inward.packets, "packet"), bytes(uplink.inward.bytes)))
}

fn line(f: &mut fmt::Formatter<'_>, label: &str, text: &str) -> fmt::Result {
    writeln!(f, "  {label:<10}{text}")
}

fn headline(uplink: &UplinkLine, now: u64) -> String {
    let interface = uplink.interface.as_ref().map_or(String::new(), |interface| format!(" on {interface}"));
    format!("{}{interface}: {}", uplink.name, condition(uplink, now))
}

fn condition(uplink: &UplinkLine, now: u64) -> String {
    let Some(watched) = &uplink.watched else {
        let last = uplink.last_known.map_or("unknown", word);
        let fault = Fault::of_link(uplink.link.unwrap_or(Link::Gone));
        return format!("last known: {last}{}", fault.map_or(String::new(), |fault| format!("; now {fault}")));
    };
    let since = match now.saturating_sub(watched.since) {
        0 => String::new(),
        seconds => format!(" for {}", duration(Duration::from_secs(seconds))),
    };
    let why = watched.why.as_ref().map_or(String::new(), |why| format!(": {why}"));
    let (state, meaning) = uplink.state.map_or(("unknown", ""), |state| (word(state), meaning(state)));
    format!("{state}{since}{meaning}{why}")
}

/// A state in a word: what is wrong is written large.
pub(in crate::observe) const fn word(state: UplinkCondition) -> &'static str {
    match state {
        UplinkCondition::Up => "up",
        UplinkCondition::Failing => "FAILING",
        UplinkCondition::Down => "DOWN",
        UplinkCondition::Lost => "LOST",
        UplinkCondition::Held => "HELD",
    }
}

/// What it means for clients. IPv6 has no other uplink to move to.
const fn meaning(state: UplinkCondition) -> &'static str {
    match state {
        UplinkCondition::Up | UplinkCondition::Failing => "",
        UplinkCondition::Down => ", its clients stay",
        UplinkCondition::Lost => ", its IPv4 clients move",
        UplinkCondition::Held => ", its clients wait for it",
    }
}

fn address(uplink: &UplinkLine) -> String {
    let ipv4 = match uplink.address {
        Some(address) => address.to_string(),
        None if uplink.translates => "no IPv4 address".to_owned(),
        None => "clients keep their own addresses".to_owned(),
    };
    let ipv6 = uplink.watched.as_ref().and_then(|watched| watched.ipv6);
    ipv6.map_or_else(|| ipv4.clone(), |ipv6| format!("{ipv4}, {ipv6}"))
}

fn next_hop(hop: &NextHopReport) -> String {
    let hardware = hop.hardware.as_ref().map_or(String::new(), |hardware| format!(" at {hardware}"));
    let silent = if hop.silent { ", does not answer" } else { "" };
    format!("{}{hardware}{silent}", hop.address)
}

fn probe(probe: &ProbeReport, now: u64) -> String {
    let Some(target) = probe.target else {
        return probe.untested.as_ref().map_or("not tested".to_owned(), |why| format!("not tested: {why}"));
    };
    let when = probe.at.map_or(String::new(), |at| format!(", {}", ago(at, now)));
    match (probe.answered, probe.round_trip, &probe.untested) {
        (Some(true), Some(trip), _) => format!("{target} answers in {}{when}", milliseconds(trip)),
        (Some(true), None, _) => format!("{target} answers{when}"),
        (Some(false), ..) if probe.failures > 1 => {
            format!("{target} did not answer the last {} probes{when}", probe.failures)
        }
        (Some(false), ..) => format!("{target} did not answer the last probe{when}"),
        (None, _, Some(why)) => format!("{target} not tested: {why}"),
        (None, _, None) => format!("{target} not tested yet"),
    }
}

/// Microseconds as milliseconds, with no more digits than mean something.
fn milliseconds(microseconds: u64) -> String {
    let milliseconds = microseconds as f64 / 1000.0;
    match microseconds {
        0..10_000 => format!("{milliseconds:.2} ms"),
        10_000..100_000 => format!("{milliseconds:.1} ms"),
        _ => format!("{milliseconds:.0} ms"),
    }
}

fn clients(uplink: &UplinkLine) -> String {
    let pinned = match uplink.clients {
        Pinned { pinned: 0, .. } => "none is pinned".to_owned(),
        Pinned { pinned, with_sessions } => format!("{pinned} pinned, {with_sessions} of them with sessions"),
    };
    let moved = match uplink.moved_clients {
        0 => String::new(),
        moved => format!("; {moved} moved away"),
    };
    format!("{pinned}{moved}{}", uplink.watched.as_ref().map_or(String::new(), share))
}

/// What new clients do, where that is not plain.
fn share(watched: &Watched) -> String {
    match watched.share {
        0 => "; new ones take another".to_owned(),
        64 => "; new ones take it".to_owned(),
        share => format!("; {:.0} % of new ones take it", f64::from(share) / 0.64),
    }
}

fn sessions(uplink: &UplinkLine) -> String {
    match uplink.lost_sessions {
        0 => uplink.sessions.to_string(),
        lost => format!("{}; lost with it or its address: {lost}", uplink.sessions),
    }
}
