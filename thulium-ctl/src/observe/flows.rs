//! Live sessions.

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use serde::Serialize;
use thulium_ebpf::{
    abi::{
        Address, Address4, Address6, Endpoint, FlowEntry, FlowKey, NO_SLOT, Path, Port, Side, TcpState, nanoseconds,
        ticks, ticks_since,
    },
    parse::protocol,
    session::has_expired,
};

use super::{
    Slots, VERSION,
    quantity::{count, duration},
    table::{Align, Table},
};

/// A directed entry of a family's flow table.
pub type Half<A> = (FlowKey<A>, FlowEntry<A>);

/// The directed entries of both families, in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Halves {
    /// Those of IPv4.
    pub ipv4: Vec<Half<Address4>>,
    /// Those of IPv6.
    pub ipv6: Vec<Half<Address6>>,
}

/// Which sessions to show; both must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Those of this client.
    pub client: Option<IpAddr>,
    /// Those of this flow.
    pub flow: Option<String>,
}

impl Filter {
    fn admits(&self, session: &Session) -> bool {
        self.client.is_none_or(|client| session.client.ip() == client)
            && self.flow.as_ref().is_none_or(|flow| session.flow.as_ref() == Some(flow))
    }
}

/// Names by slot.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// Of flows.
    pub flows: &'a Slots,
    /// Of hosts.
    pub hosts: &'a Slots,
    /// Of uplinks.
    pub uplinks: &'a Slots,
}

/// A session. Times are seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Session {
    /// The client's endpoint; of ICMP the port is the identifier.
    pub client: SocketAddr,
    /// The endpoint that the world sees.
    pub mapped: SocketAddr,
    /// The uplink that it goes by.
    pub uplink: String,
    /// The server's endpoint; of ICMP the port is 0.
    pub remote: SocketAddr,
    /// The hosts that the remote address belonged to when the session was opened.
    pub hosts: Vec<String>,
    /// The flow that admits it.
    pub flow: Option<String>,
    /// `udp`, `tcp`, `icmp` or `icmpv6`.
    pub protocol: &'static str,
    /// TCP: the state of the connection. Others: `one-way` until a reply comes, then `two-way`.
    pub state: &'static str,
    /// From the client.
    pub out: Carried,
    /// To the client.
    #[serde(rename = "in")]
    pub inward: Carried,
    /// Since the opening.
    pub age: u64,
    /// Since the last packet in either direction.
    pub idle: u64,
    /// Until it ends if no packet comes.
    pub remaining: u64,
    /// Generation of the policy that last admitted it.
    pub generation: u32,
}

/// What a direction of a session has carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Carried {
    /// Packets; a GSO packet counts as its segments.
    pub packets: u64,
    /// IP bytes.
    pub bytes: u64,
    /// The path of its last packet: `xdp`, `tc` or `kernel`; `None`: there was none.
    pub path: Option<&'static str>,
}

/// All sessions that were asked for, by client, then by flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// [`VERSION`].
    pub version: u32,
    /// The sessions.
    pub sessions: Vec<Session>,
}

/// Joins the directed entries to sessions and leaves out those that have ended by `now` (`CLOCK_MONOTONIC`, nanoseconds).
/// `lifetime` tells how long a session of a protocol (its IANA number) lives idle in a state, nanoseconds.
pub fn report(
    halves: &Halves,
    names: Names<'_>,
    now: u64,
    lifetime: impl Fn(u8, TcpState) -> u64,
    filter: &Filter,
) -> Report {
    let mut sessions = sessions(&halves.ipv4, names, now, &lifetime);
    sessions.extend(self::sessions(&halves.ipv6, names, now, &lifetime));
    sessions.retain(|session| filter.admits(session));
    sessions.sort_by(|a, b| {
        let place =
            |session: &Session| (session.client.ip(), session.flow.clone(), session.client.port(), session.remote);
        place(a).cmp(&place(b))
    });
    Report { version: VERSION, sessions }
}

/// How many live sessions each remote address has, as [`report`] counts them.
pub fn by_remote(halves: &Halves, now: u64, lifetime: impl Fn(u8, TcpState) -> u64) -> HashMap<IpAddr, u64> {
    let mut count = HashMap::new();
    count_remotes(&halves.ipv4, now, &lifetime, &mut count);
    count_remotes(&halves.ipv6, now, &lifetime, &mut count);
    count
}

fn count_remotes<A: Address + Into<IpAddr>>(
    halves: &[Half<A>],
    now: u64,
    lifetime: impl Fn(u8, TcpState) -> u64,
    count: &mut HashMap<IpAddr, u64>,
) {
    let table: HashMap<FlowKey<A>, &FlowEntry<A>> = halves.iter().map(|(key, entry)| (*key, entry)).collect();
    for pair in halves.iter().filter_map(|(key, entry)| pair(key, entry, &table)) {
        if life(&pair, now, &lifetime).is_some() {
            *count.entry(pair.key.destination.into()).or_default() += 1;
        }
    }
}

/// The live sessions of a family.
fn sessions<A: Address + Into<IpAddr>>(
    halves: &[Half<A>],
    names: Names<'_>,
    now: u64,
    lifetime: impl Fn(u8, TcpState) -> u64,
) -> Vec<Session> {
    let table: HashMap<FlowKey<A>, &FlowEntry<A>> = halves.iter().map(|(key, entry)| (*key, entry)).collect();
    let pairs = halves.iter().filter_map(|(key, entry)| pair(key, entry, &table));
    pairs.filter_map(|pair| session(&pair, names, now, &lifetime)).collect()
}

/// Both directions of a session. One of them can be missing for a moment, while the pair is being filled or swept.
struct Pair<'a, A: Address> {
    /// The key of the direction from the client.
    key: FlowKey<A>,
    mapped: Endpoint<A>,
    out: Option<&'a FlowEntry<A>>,
    inward: Option<&'a FlowEntry<A>>,
}

/// The pair that a half belongs to; `None` for an inward half whose outward half is there, so that each session comes once.
fn pair<'a, A: Address>(
    key: &FlowKey<A>,
    entry: &'a FlowEntry<A>,
    table: &HashMap<FlowKey<A>, &'a FlowEntry<A>>,
) -> Option<Pair<'a, A>> {
    let other = key.pair(&entry.rewrite);
    let partner = table.get(&other).copied();
    if key.side == Side::Lan as u8 {
        return Some(Pair { key: *key, mapped: entry.rewrite, out: Some(entry), inward: partner });
    }
    let mapped = Endpoint::new(key.destination, key.destination_port);
    partner.is_none().then_some(Pair { key: other, mapped, out: None, inward: Some(entry) })
}

/// How a live session fares, in nanoseconds.
struct Life {
    state: TcpState,
    idle: u64,
    remaining: u64,
}

/// `None`: the session has ended.
fn life<A: Address>(pair: &Pair<'_, A>, now: u64, lifetime: impl Fn(u8, TcpState) -> u64) -> Option<Life> {
    let halves = || pair.out.into_iter().chain(pair.inward);
    let state = TcpState::from_number(halves().next()?.state);
    let lifetime = lifetime(pair.key.protocol, state);
    if halves().all(|half| has_expired(ticks(now), half.last_seen, lifetime)) {
        return None;
    }
    let last_tick = halves().map(|half| ticks_since(ticks(now), half.last_seen)).min()?;
    let idle = nanoseconds(last_tick) + now % nanoseconds(1);
    Some(Life { state, idle, remaining: lifetime.saturating_sub(idle) })
}

fn session<A: Address + Into<IpAddr>>(
    pair: &Pair<'_, A>,
    names: Names<'_>,
    now: u64,
    lifetime: impl Fn(u8, TcpState) -> u64,
) -> Option<Session> {
    let halves = || pair.out.into_iter().chain(pair.inward);
    let first = halves().next()?;
    let Life { state, idle, remaining } = life(pair, now, lifetime)?;
    let (out, inward) = (carried(pair.out), carried(pair.inward));
    let seconds = |nanoseconds: u64| Duration::from_nanos(nanoseconds).as_secs();
    Some(Session {
        client: socket(pair.key.source, pair.key.source_port),
        mapped: socket(pair.mapped.address, pair.mapped.port),
        uplink: name_of(first.uplink, names.uplinks),
        remote: socket(pair.key.destination, pair.key.destination_port),
        hosts: names_of(first.hosts, names.hosts),
        flow: (first.flow != NO_SLOT).then(|| name_of(first.flow, names.flows)),
        protocol: protocol_name(pair.key.protocol),
        state: state_name(state, inward.packets > 0),
        out,
        inward,
        age: seconds(now.saturating_sub(halves().map(|half| half.opened).min()?)),
        idle: seconds(idle),
        remaining: seconds(remaining),
        generation: first.generation,
    })
}

const fn protocol_name(number: u8) -> &'static str {
    match number {
        protocol::TCP => "tcp",
        protocol::ICMP => "icmp",
        protocol::ICMPV6 => "icmpv6",
        _ => "udp",
    }
}

fn socket(address: impl Into<IpAddr>, port: Port) -> SocketAddr {
    SocketAddr::new(address.into(), port.number())
}

fn carried<A: Address>(half: Option<&FlowEntry<A>>) -> Carried {
    half.map_or(Carried::default(), |half| Carried {
        packets: half.packets,
        bytes: half.bytes,
        path: (half.packets > 0).then(|| path_name(Path::from_number(half.path))),
    })
}

const fn path_name(path: Path) -> &'static str {
    match path {
        Path::Xdp => "xdp",
        Path::Tc => "tc",
        Path::Kernel => "kernel",
    }
}

fn name_of(slot: u8, names: &Slots) -> String {
    names.get(&slot).cloned().unwrap_or_else(|| format!("#{slot}"))
}

fn names_of(slots: u64, names: &Slots) -> Vec<String> {
    (0..64).filter(|slot| slots >> slot & 1 == 1).map(|slot| name_of(slot, names)).collect()
}

fn state_name(state: TcpState, answered: bool) -> &'static str {
    match state {
        TcpState::None if answered => "two-way",
        TcpState::None => "one-way",
        TcpState::SynSent => "syn-sent",
        TcpState::SynReceived => "syn-received",
        TcpState::Established => "established",
        TcpState::FinClient => "fin-client",
        TcpState::FinServer => "fin-server",
        TcpState::Closing => "closing",
        TcpState::Reset => "reset",
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.sessions.is_empty() {
            return writeln!(f, "No live sessions.");
        }
        let mut table = Table::new([
            ("CLIENT", Align::Left),
            ("MAPPED", Align::Left),
            ("UPLINK", Align::Left),
            ("REMOTE", Align::Left),
            ("FLOW", Align::Left),
            ("STATE", Align::Left),
            ("PATH", Align::Left),
            ("OUT", Align::Right),
            ("IN", Align::Right),
            ("ENDS IN", Align::Right),
        ]);
        for session in &self.sessions {
            table.push(cells(session));
        }
        write!(f, "{table}")?;
        writeln!(f, "\n{}. {COLUMNS}", count(self.sessions.len() as u64, "session"))
    }
}

/// The remote's endpoint with its protocol, as policies write ports; ICMP has none.
fn remote(session: &Session) -> String {
    match session.protocol {
        "icmp" | "icmpv6" => format!("{}/{}", session.remote.ip(), session.protocol),
        protocol => format!("{}/{protocol}", session.remote),
    }
}

const COLUMNS: &str = "OUT and IN are packets. PATH is that of the last packet, a/b: out/in.";

/// The path of both directions, or of each where they differ.
fn path(session: &Session) -> String {
    match (session.out.path, session.inward.path) {
        (Some(out), Some(inward)) if out != inward => format!("{out}/{inward}"),
        (Some(path), _) | (None, Some(path)) => path.to_owned(),
        (None, None) => "-".to_owned(),
    }
}

/// The columns of the text; what is too much for a terminal's width is in the JSON.
fn cells(session: &Session) -> [String; 10] {
    [
        session.client.to_string(),
        session.mapped.to_string(),
        session.uplink.clone(),
        remote(session),
        session.flow.clone().unwrap_or_else(|| "-".to_owned()),
        session.state.to_owned(),
        path(session),
        session.out.packets.to_string(),
        session.inward.packets.to_string(),
        duration(Duration::from_secs(session.remaining)),
    ]
}

#[cfg(test)]
mod tests;
