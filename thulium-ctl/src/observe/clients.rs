//! Clients: the uplinks that they are pinned to (T10), and their shares of sessions, mapped ports and new sessions a second (RFC 6888
//! REQ-4).

use std::{net::IpAddr, time::Duration};

use serde::Serialize;
use thulium_ebpf::{
    abi::{Client, Settings},
    session::{BURST, burst_left},
};

use super::{Slots, VERSION};
use crate::clients::{Cause, Clocks, SavedPins, pin};

mod text;

/// What a client uses of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Share {
    /// In use.
    pub used: u64,
    /// What one client may have.
    pub limit: u64,
}

impl Share {
    /// How much of the limit is in use: 1 is all of it.
    fn fullness(self) -> f64 {
        self.used as f64 / self.limit.max(1) as f64
    }
}

/// How fast a client may open sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Rate {
    /// New sessions that it may open at once, now.
    pub left: u64,
    /// The most that it may open at once, after some quiet.
    pub burst: u64,
    /// What it gets back each second.
    pub per_second: u64,
}

/// Packets that were refused, by the limit that they met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// `client-sessions`.
    pub sessions: u64,
    /// `client-ports`.
    pub ports: u64,
    /// `client-rate`.
    pub rate: u64,
}

/// Why a client goes by an uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Why {
    /// It was pinned to none before.
    First,
    /// The one that it was pinned to was lost.
    Moved,
    /// The one that it had moved away from came back.
    Returned,
    /// It was pinned to none, and the uplink that it would have taken was not usable.
    Substitute,
    /// Its address belongs to it (IPv6).
    Prefix,
}

/// By which uplink a client's next session goes. Times are seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PinReport {
    /// The uplink's name.
    pub uplink: String,
    /// Since it is so.
    pub age: u64,
    /// Since its last session; `None`: it has some.
    pub idle: Option<u64>,
    /// Why.
    pub why: Why,
    /// The uplink that it was pinned to before, if it moved and that is known.
    pub from: Option<String>,
}

/// A client that is pinned to an uplink, or has sessions, or ports that rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClientReport {
    /// Its address.
    pub client: IpAddr,
    /// The interface of the uplink that its sessions use.
    pub uplink: Option<String>,
    /// Its uplink; `None`: it was released, and takes one anew with its next session.
    pub pin: Option<PinReport>,
    /// Seconds since it was unknown.
    pub age: u64,
    /// Its sessions; those that have ended count until they are swept.
    pub sessions: Share,
    /// External ports that they hold, or held until they have rested; none where its address is not translated.
    pub ports: Share,
    /// How fast it may open more.
    pub rate: Rate,
    /// What was refused since then.
    pub refused: Refused,
}

impl ClientReport {
    /// How much it uses of the limit that it is nearest to.
    fn fullness(&self) -> f64 {
        self.sessions.fullness().max(self.ports.fullness())
    }
}

/// How many clients there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClientUse {
    /// Those with sessions or ports.
    pub known: u64,
    /// Those of them that have used up their sessions or ports.
    pub at_limit: u64,
}

/// Counts the clients with sessions or ports, and those who have used up a share that `settings` gives them.
pub fn usage(clients: &[(IpAddr, Client)], settings: &Settings) -> ClientUse {
    let is_at_limit =
        |client: &Client| client.sessions >= settings.per_client || client.ports >= settings.ports_per_client;
    let known = clients.iter().filter(|(_, client)| client.sessions > 0 || client.ports > 0).count();
    let at_limit = clients.iter().filter(|(_, client)| is_at_limit(client)).count();
    ClientUse { known: known as u64, at_limit: at_limit as u64 }
}

/// All clients; those that use most of their share come first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// [`VERSION`].
    pub version: u32,
    /// The clients.
    pub clients: Vec<ClientReport>,
    /// How long a client without sessions stays pinned.
    #[serde(skip)]
    release_after_idle: Duration,
}

/// What is known beside the clients themselves.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// In force.
    pub settings: &'a Settings,
    /// Names of the uplinks by slot.
    pub uplinks: &'a Slots,
    /// Names of their interfaces by slot.
    pub interfaces: &'a Slots,
    /// The pins on disk.
    pub saved: &'a SavedPins,
    /// The time.
    pub clocks: Clocks,
}

/// To which uplinks these clients are pinned, and what they use of the limits.
pub fn report(clients: &[(IpAddr, Client)], known: Known<'_>) -> Report {
    let mut clients: Vec<ClientReport> =
        clients.iter().map(|(address, client)| describe(*address, client, known)).collect();
    // Nothing is left of a client that was released.
    clients.retain(|client| client.pin.is_some() || client.sessions.used > 0 || client.ports.used > 0);
    clients.sort_by(|a, b| b.fullness().total_cmp(&a.fullness()).then(a.client.cmp(&b.client)));
    let release_after_idle = Duration::from_nanos(known.settings.release_after_idle);
    Report { version: VERSION, clients, release_after_idle }
}

fn describe(address: IpAddr, client: &Client, known: Known<'_>) -> ClientReport {
    let Known { settings, clocks, .. } = known;
    let per_second = Duration::from_secs(1).as_nanos() as u64 / settings.session_cost.max(1);
    let slot = u8::try_from(client.uplink).ok();
    ClientReport {
        client: address,
        uplink: slot.and_then(|slot| known.interfaces.get(&slot).cloned()),
        pin: pin_report(address, client, known),
        age: clocks.age(client.since).as_secs(),
        sessions: Share { used: client.sessions, limit: settings.per_client },
        ports: Share { used: client.ports, limit: settings.ports_per_client },
        rate: Rate {
            left: burst_left(client, clocks.datapath, settings.session_cost),
            burst: BURST * per_second,
            per_second,
        },
        refused: Refused { sessions: client.refused_sessions, ports: client.refused_ports, rate: client.refused_rate },
    }
}

fn pin_report(address: IpAddr, client: &Client, known: Known<'_>) -> Option<PinReport> {
    let Known { uplinks, saved, clocks, .. } = known;
    let IpAddr::V4(address) = address else {
        let uplink = uplinks.get(&u8::try_from(client.uplink).ok()?)?.clone();
        let idle = (client.sessions == 0).then(|| clocks.age(client.idle.max(client.since)).as_secs());
        let age = clocks.age(client.since).as_secs();
        return Some(PinReport { uplink, age, idle, why: Why::Prefix, from: None });
    };
    let pin = pin(client, uplinks, clocks, saved.pins.get(&address))?;
    let why = match pin.cause {
        Cause::First => Why::First,
        Cause::Moved => Why::Moved,
        Cause::Returned => Why::Returned,
        Cause::Substitute => Why::Substitute,
    };
    let age = |then: u64| clocks.wall.saturating_sub(then);
    Some(PinReport { uplink: pin.uplink, age: age(pin.since), idle: pin.idle.map(age), why, from: pin.from })
}

#[cfg(test)]
mod tests;
