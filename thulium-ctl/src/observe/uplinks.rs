//! The uplinks: what they do for clients, and what they have carried.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use serde::Serialize;
use thulium_ebpf::abi::{Address as _, Client, Traffic, Uplink, UplinkLosses, UplinkState};

use super::{Slots, VERSION, drops::Sum, status::Link, traffic};
use crate::uplinks::{NextHopReport, ProbeReport, UplinkCondition, UplinkReport};

mod text;

pub(super) use text::word;

/// What the maps say of the uplinks.
#[derive(Clone, Copy, Debug)]
pub struct Maps<'a> {
    /// By slot.
    pub uplinks: &'a [Uplink],
    /// Names by slot.
    pub names: &'a Slots,
    /// By slot.
    pub traffic: &'a [Traffic],
    /// What was lost with uplinks, by slot.
    pub losses: &'a [UplinkLosses],
    /// All clients.
    pub clients: &'a [(IpAddr, Client)],
    /// Names of the interfaces by their uplinks' slots.
    pub interfaces: &'a Slots,
    /// Live sessions by the names of their uplinks.
    pub sessions: &'a BTreeMap<String, u64>,
}

/// Who knows what the maps do not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watcher {
    /// The daemon, and this is what it says.
    Daemon(Vec<UplinkReport>),
    /// Nobody.
    Nobody {
        /// Why not, and how to start a daemon.
        why: String,
        /// What the kernel says of the uplinks' interfaces.
        links: BTreeMap<String, Link>,
    },
}

/// All uplinks, in the policy's order; without a daemon in that of their slots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// [`VERSION`].
    pub version: u32,
    /// True if a daemon watches them.
    pub watched: bool,
    /// The uplinks.
    pub uplinks: Vec<UplinkLine>,
    /// What an admin should know or do, a sentence or two each.
    pub advice: Vec<String>,
    /// Seconds since 1970, for the ages in the text.
    #[serde(skip)]
    now: u64,
}

/// An uplink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UplinkLine {
    /// Its name in the policy.
    pub name: String,
    /// Its interface.
    pub interface: Option<String>,
    /// What it does for clients; `None` (null): nobody watches it.
    pub state: Option<UplinkCondition>,
    /// What it did when a daemon watched it last, if none does: `up`, `lost` or `held`. The maps have `failing` and `down` as `up`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_known: Option<UplinkCondition>,
    /// What its interface says of itself; `None` (null): the interface was not there when it was looked for last.
    pub link: Option<Link>,
    /// The address that IPv4 sessions are translated to.
    pub address: Option<Ipv4Addr>,
    /// Whether IPv4 sessions are translated.
    pub translates: bool,
    /// What the daemon sees of it; `None`: there is none.
    #[serde(flatten)]
    pub watched: Option<Watched>,
    /// Its clients.
    pub clients: Pinned,
    /// Live sessions that go by it.
    pub sessions: u64,
    /// From clients.
    pub out: Sum,
    /// To clients.
    #[serde(rename = "in")]
    pub inward: Sum,
    /// Sessions that ended because it, or its address, was lost.
    pub lost_sessions: u64,
    /// Clients that moved away from it.
    pub moved_clients: u64,
}

/// Clients by uplink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pinned {
    /// Those that it is the uplink of.
    pub pinned: u64,
    /// Those of them that have sessions.
    pub with_sessions: u64,
}

/// What the daemon sees of an uplink. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Watched {
    /// Since when it has been in this state.
    pub since: u64,
    /// What is wrong with it.
    pub why: Option<String>,
    /// What must happen until it carries clients again.
    pub waits_for: Option<String>,
    /// The first of its IPv6 addresses that lead beyond the link.
    pub ipv6: Option<Ipv6Addr>,
    /// The routers behind it.
    pub next_hops: Vec<NextHopReport>,
    /// Its weight in the policy.
    pub weight: Option<u8>,
    /// How many of 64 new IPv4 clients take it: 0 none, 48 three quarters, 64 all.
    pub share: u8,
    /// Its probe.
    pub probe: ProbeReport,
}

/// The uplinks at `now` (seconds since 1970).
pub fn report(maps: Maps<'_>, watcher: Watcher, now: u64) -> Report {
    let (watched, uplinks, advice) = match watcher {
        Watcher::Daemon(told) => {
            let lines = told.iter().map(|told| watched_line(maps, told)).collect();
            (true, lines, told.iter().filter_map(trouble).collect())
        }
        Watcher::Nobody { why, links } => {
            let lines = maps.names.iter().filter_map(|(slot, name)| line(maps, &links, *slot, name)).collect();
            (false, lines, vec![why])
        }
    };
    Report { version: VERSION, watched, uplinks, advice, now }
}

/// What is wrong with an uplink, and what to do about it, if there is something to do.
fn trouble(told: &UplinkReport) -> Option<String> {
    Some(format!("{}: {}. {}", told.name, told.why.as_ref()?, told.remedy.as_ref()?))
}

fn watched_line(maps: Maps<'_>, told: &UplinkReport) -> UplinkLine {
    let counted = counted(maps, told.slot);
    UplinkLine {
        name: told.name.clone(),
        interface: Some(told.interface.clone()),
        state: Some(told.state),
        link: Some(told.link),
        address: told.address,
        translates: told.translates,
        watched: Some(Watched {
            since: told.since,
            why: told.why.clone(),
            waits_for: told.waits_for.clone(),
            ipv6: told.ipv6,
            next_hops: told.next_hops.clone(),
            weight: told.weight,
            share: told.share,
            probe: told.probe.clone(),
        }),
        ..counted
    }
}

/// What a daemon has made of an uplink; `None`: the policy names it no more.
pub(crate) fn last_known(uplink: &Uplink) -> Option<UplinkCondition> {
    const LOST: u32 = UplinkState::Lost as u32;
    const HELD: u32 = UplinkState::Held as u32;
    const UNUSED: u32 = UplinkState::Unused as u32;
    match uplink.state {
        UNUSED => None,
        LOST => Some(UplinkCondition::Lost),
        HELD => Some(UplinkCondition::Held),
        _ => Some(UplinkCondition::Up),
    }
}

/// An uplink that nobody watches, by the maps and what its interface says; `None`: the policy names it no more.
fn line(maps: Maps<'_>, links: &BTreeMap<String, Link>, slot: u8, name: &str) -> Option<UplinkLine> {
    let uplink = maps.uplinks.get(usize::from(slot))?;
    let last_known = Some(last_known(uplink)?);
    let counted = counted(maps, slot);
    Some(UplinkLine {
        name: name.to_owned(),
        last_known,
        link: counted.interface.as_ref().and_then(|interface| links.get(interface)).copied(),
        address: (!uplink.address.is_unspecified()).then(|| uplink.address.into()),
        translates: uplink.translates == 1,
        ..counted
    })
}

/// What only the maps know of an uplink: clients, sessions, counters. The rest is filled in by the caller.
fn counted(maps: Maps<'_>, slot: u8) -> UplinkLine {
    let carried = traffic::of_uplink(maps.traffic, slot);
    let losses = maps.losses.get(usize::from(slot)).copied().unwrap_or_default();
    let own = || maps.clients.iter().filter(|(_, client)| client.uplink == u32::from(slot));
    UplinkLine {
        name: String::new(),
        interface: maps.interfaces.get(&slot).cloned(),
        state: None,
        last_known: None,
        link: None,
        address: None,
        translates: false,
        watched: None,
        clients: Pinned {
            pinned: own().count() as u64,
            with_sessions: own().filter(|(_, client)| client.sessions > 0).count() as u64,
        },
        sessions: maps.names.get(&slot).and_then(|name| maps.sessions.get(name)).copied().unwrap_or_default(),
        out: traffic::sum(&carried.out),
        inward: traffic::sum(&carried.back),
        lost_sessions: losses.lost_sessions,
        moved_clients: losses.moved_clients,
    }
}

#[cfg(test)]
mod tests;
