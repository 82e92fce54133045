//! Clients and their shares: sessions, mapped ports, new sessions a second (RFC 6888 REQ-4).

use std::{collections::HashMap, fmt, net::IpAddr, time::Duration};

use serde::Serialize;
use thulium_ebpf::{
    abi::{Client, Settings, Uplink},
    ports,
    session::{BURST, burst_left},
};

use super::{
    VERSION,
    quantity::{count, duration},
    table::{Align, Table},
};

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

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.used, self.limit)
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

/// A client that has sessions, or ports that rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClientReport {
    /// Its address.
    pub client: IpAddr,
    /// The interface of the uplink that its sessions use.
    pub uplink: Option<String>,
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

/// Counts the clients, and those who have used up a share that `settings` gives them.
pub fn usage(clients: &[(IpAddr, Client)], settings: &Settings) -> ClientUse {
    let is_at_limit =
        |client: &Client| client.sessions >= settings.per_client || client.ports >= settings.ports_per_client;
    let at_limit = clients.iter().filter(|(_, client)| is_at_limit(client)).count();
    ClientUse { known: clients.len() as u64, at_limit: at_limit as u64 }
}

/// All clients that have sessions or ports; those that use most of their share come first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// [`VERSION`].
    pub version: u32,
    /// The clients.
    pub clients: Vec<ClientReport>,
}

/// Interfaces of the uplinks by slot.
#[derive(Clone, Debug, Default)]
pub struct Uplinks(Vec<Option<String>>);

impl Uplinks {
    /// From the uplinks by slot and the interfaces' names by index.
    pub fn new(uplinks: &[Uplink], names: &HashMap<u32, String>) -> Self {
        Self(uplinks.iter().map(|uplink| names.get(&uplink.interface).cloned()).collect())
    }
}

/// What these clients use of the limits in `settings` at `now` (`CLOCK_MONOTONIC`, nanoseconds).
pub fn report(clients: &[(IpAddr, Client)], settings: &Settings, uplinks: &Uplinks, now: u64) -> Report {
    let mut clients: Vec<ClientReport> =
        clients.iter().map(|(address, client)| describe(*address, client, settings, uplinks, now)).collect();
    clients.sort_by(|a, b| b.fullness().total_cmp(&a.fullness()).then(a.client.cmp(&b.client)));
    Report { version: VERSION, clients }
}

fn describe(address: IpAddr, client: &Client, settings: &Settings, uplinks: &Uplinks, now: u64) -> ClientReport {
    let per_second = Duration::from_secs(1).as_nanos() as u64 / settings.session_cost.max(1);
    let uplink = usize::try_from(client.uplink).ok().and_then(|slot| uplinks.0.get(slot).cloned());
    ClientReport {
        client: address,
        uplink: uplink.flatten(),
        age: Duration::from_nanos(now.saturating_sub(client.since)).as_secs(),
        sessions: Share { used: client.sessions, limit: settings.per_client },
        ports: Share { used: client.ports, limit: settings.ports_per_client },
        rate: Rate { left: burst_left(client, now, settings.session_cost), burst: BURST * per_second, per_second },
        refused: Refused { sessions: client.refused_sessions, ports: client.refused_ports, rate: client.refused_rate },
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.clients.is_empty() {
            return writeln!(f, "No client has a session.");
        }
        let mut table = Table::new([
            ("CLIENT", Align::Left),
            ("SESSIONS", Align::Right),
            ("PORTS", Align::Right),
            ("NEW", Align::Right),
            ("REFUSED", Align::Left),
            ("UPLINK", Align::Left),
            ("SINCE", Align::Right),
        ]);
        for client in &self.clients {
            table.push(cells(client));
        }
        write!(f, "{table}")?;
        let per_second = self.clients.first().map_or(0, |client| client.rate.per_second);
        let clients = count(self.clients.len() as u64, "client");
        writeln!(f, "\n{clients}. NEW: sessions that it may open at once; {per_second} come back each second.")?;
        if self.clients.iter().any(|client| client.ports.used > 0) {
            let rest = Duration::from_nanos(ports::REST).as_secs();
            writeln!(
                f,
                "PORTS: those of ended sessions count, too, since a port rests for {rest} s after its last session."
            )?;
        }
        Ok(())
    }
}

fn cells(client: &ClientReport) -> [String; 7] {
    [
        client.client.to_string(),
        client.sessions.to_string(),
        // IPv6 is not translated.
        if client.client.is_ipv4() { client.ports.to_string() } else { "-".to_owned() },
        format!("{} of {}", client.rate.left, client.rate.burst),
        refused(client.refused),
        client.uplink.clone().unwrap_or_else(|| "-".to_owned()),
        duration(Duration::from_secs(client.age)),
    ]
}

/// The refusals by their reasons, as `drops` names them.
fn refused(refused: Refused) -> String {
    let reasons =
        [("client-sessions", refused.sessions), ("client-ports", refused.ports), ("client-rate", refused.rate)];
    let met: Vec<String> =
        reasons.iter().filter(|(_, packets)| *packets > 0).map(|(name, packets)| format!("{packets} {name}")).collect();
    if met.is_empty() { "-".to_owned() } else { met.join(", ") }
}

#[cfg(test)]
mod tests;
