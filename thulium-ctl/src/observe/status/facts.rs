//! What `status` is judged from.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};
use thulium_ebpf::capacity::{Memory, ipv6_sessions, memory};

use crate::observe::{clients::ClientUse, drops::Sum, traffic::InterfacePaths};
use crate::{
    names::HostReport,
    policy,
    uplinks::{UplinkCondition, UplinkReport},
};

/// Everything that is known of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Its name.
    pub instance: String,
    /// What the kernel holds; `None`: there are no pins of it.
    pub datapath: Option<DatapathFacts>,
    /// The process that serves it.
    pub daemon: DaemonState,
}

/// What became of asking the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DaemonState {
    /// It answered.
    Serving(Box<DaemonFacts>),
    /// There is none.
    None,
    /// There is one, but it did not answer: why.
    Broken(String),
}

/// What a refused packet meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It is refused.
    Enforce,
    /// It is counted, and left to the kernel.
    Audit,
}

impl From<policy::Mode> for Mode {
    fn from(mode: policy::Mode) -> Self {
        match mode {
            policy::Mode::Enforce => Self::Enforce,
            policy::Mode::Audit => Self::Audit,
        }
    }
}

/// What the daemon says of itself, over its socket. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonFacts {
    /// Its process.
    pub pid: u32,
    /// When it became ready.
    pub since: u64,
    /// Version of thulium-ctl.
    pub release: String,
    /// The policy's file.
    pub policy: PathBuf,
    /// The policy's `system`.
    pub system: String,
    /// The policy's mode.
    pub mode: Mode,
    /// How it attached each interface, and why so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<Attachment>,
    /// The uplinks by their interfaces.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub uplinks: BTreeMap<String, UplinkNow>,
    /// What the uplinks do for clients, by their interfaces.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub conditions: BTreeMap<String, UplinkHealth>,
    /// What is wrong with several uplinks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uplink_warnings: Vec<Warning>,
    /// Names that do not resolve.
    pub unresolved: Vec<TroubledName>,
    /// The policy's other warnings, and what went wrong since.
    pub warnings: Vec<Warning>,
}

/// What the daemon sees of an uplink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UplinkNow {
    /// Its name in the policy.
    pub name: String,
    /// Whether anything can get out by it.
    pub link: Link,
    /// The address that IPv4 sessions are translated to; `None`: there is none, or they are not translated.
    pub address: Option<Ipv4Addr>,
    /// True if the interface has that address. One that the policy names may be elsewhere.
    pub is_own: bool,
    /// The first of its IPv6 addresses that lead beyond the link.
    pub ipv6: Option<Ipv6Addr>,
}

/// What an uplink does for clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UplinkHealth {
    /// In a word.
    pub state: UplinkCondition,
    /// Since when, as far as this run of the daemon has seen it; seconds since 1970.
    pub since: u64,
    /// What is wrong with it, a part of a sentence; `None`: nothing.
    pub why: Option<String>,
}

impl From<&UplinkReport> for UplinkHealth {
    fn from(report: &UplinkReport) -> Self {
        Self { state: report.state, since: report.since, why: report.why.clone() }
    }
}

/// Whether an interface carries anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Link {
    /// It does.
    Up,
    /// It is switched on, but the cable is out, or the other end is off.
    NoCarrier,
    /// It is switched off.
    Down,
    /// It is not there.
    Gone,
}

/// How an interface is attached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The interface's name.
    pub name: String,
    /// What it is to the gateway.
    pub role: Role,
    /// The hook of its TC programs.
    pub tc: Hook,
    /// The hook of its XDP program.
    pub xdp: Hook,
    /// True if XDP forwards sessions from and to it; otherwise it refuses at most.
    #[serde(default)]
    pub forwards: bool,
    /// Why XDP is off there or does not forward, or what speaks against it; may be empty.
    pub why: String,
}

/// What an interface is to the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Clients are behind it.
    Lan,
    /// The world is behind it.
    Uplink,
}

/// Where a program is hooked in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hook {
    /// TCX (Linux 6.6).
    Tcx,
    /// The clsact qdisc.
    Clsact,
    /// XDP in the driver.
    Native,
    /// Nowhere.
    None,
}

/// A name of the policy that does not resolve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TroubledName {
    /// The name.
    pub name: String,
    /// The host it belongs to.
    pub host: String,
    /// Why it does not resolve.
    pub why: String,
    /// Since when; seconds since 1970.
    pub since: u64,
    /// Addresses that the host still has: with none, nothing can be opened to it.
    pub addresses: u64,
}

/// What is wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// One sentence.
    pub what: String,
    /// What to do; may be empty.
    pub remedy: String,
}

impl Warning {
    /// A warning.
    pub fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into() }
    }
}

/// What the kernel holds of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DatapathFacts {
    /// What refused packets meet; `None`: it cannot be told without the daemon.
    pub mode: Option<Mode>,
    /// Generation of the policy in force.
    pub generation: u32,
    /// Its interfaces.
    pub interfaces: Vec<Attachment>,
    /// By which path what came in by these interfaces went on.
    pub paths: Vec<InterfacePaths>,
    /// Its uplinks.
    pub uplinks: Vec<UplinkFacts>,
    /// Sessions.
    pub sessions: SessionUse,
    /// Clients.
    pub clients: ClientUse,
    /// What was refused.
    pub dropped: Sum,
    /// What audit mode would have refused.
    pub would_drop: Sum,
}

impl DatapathFacts {
    /// True if there are interfaces, and the programs are on each of them.
    pub fn is_attached(&self) -> bool {
        !self.interfaces.is_empty() && self.detached().next().is_none()
    }

    /// The interfaces that the TC programs are not on.
    pub fn detached(&self) -> impl Iterator<Item = &Attachment> {
        self.interfaces.iter().filter(|interface| interface.tc == Hook::None)
    }
}

/// An uplink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UplinkFacts {
    /// Its name in the policy.
    pub name: String,
    /// Its interface.
    pub interface: String,
    /// What it does for clients; `None` (null): no daemon tells.
    pub state: Option<UplinkCondition>,
    /// What it did when a daemon watched it last (`up`, `lost` or `held`), if none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_known: Option<UplinkCondition>,
    /// The address that its IPv4 sessions are translated to, or were until it went away.
    pub address: Option<Ipv4Addr>,
    /// True if it has no address now.
    pub lost_address: bool,
    /// True if the policy names an address that the interface does not have.
    pub foreign_address: bool,
    /// The first of its IPv6 addresses that lead beyond the link.
    pub ipv6: Option<Ipv6Addr>,
    /// Whether it carries anything; `None`: it cannot be told without the daemon.
    pub link: Option<Link>,
    /// Whether they are translated (see `source_nat` of the policy).
    pub translates: bool,
    /// Since when, as far as this run of the daemon has seen it; seconds since 1970.
    pub since: Option<u64>,
    /// What is wrong with it, a part of a sentence; `None`: nothing that is known.
    pub why: Option<String>,
}

/// How full the flow tables are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SessionUse {
    /// Sessions of both families, those included that ended but are not swept yet.
    pub used: u64,
    /// Those of them that are IPv6's.
    pub ipv6: u64,
    /// IPv4 sessions that there is room for.
    pub capacity: u64,
    /// IPv6 sessions that there is room for.
    pub ipv6_capacity: u64,
    /// Memory of the kernel that the tables take from the start, bytes.
    pub memory: u64,
    /// What they take when all are full, bytes.
    pub memory_full: u64,
}

impl SessionUse {
    /// With so many sessions, in tables that were made for this `capacity` of a policy.
    pub fn of(ipv4: u64, ipv6: u64, capacity: u32) -> Self {
        let Memory { empty, full } = memory(capacity);
        Self {
            used: ipv4 + ipv6,
            ipv6,
            capacity: capacity.into(),
            ipv6_capacity: ipv6_sessions(capacity).into(),
            memory: empty,
            memory_full: full,
        }
    }

    /// The family whose table has less room left, how many sessions it has, and how many it has room for.
    pub const fn fuller(self) -> (&'static str, u64, u64) {
        let ipv4 = self.used.saturating_sub(self.ipv6);
        if self.capacity.saturating_sub(ipv4) > self.ipv6_capacity.saturating_sub(self.ipv6) && self.ipv6 > 0 {
            ("IPv6", self.ipv6, self.ipv6_capacity)
        } else {
            ("IPv4", ipv4, self.capacity)
        }
    }

    /// True if a family has no room for another session.
    pub const fn is_full(self) -> bool {
        let (_, used, capacity) = self.fuller();
        capacity > 0 && used >= capacity
    }
}

impl UplinkFacts {
    /// Takes over what the daemon sees of it.
    pub fn update(&mut self, now: UplinkNow) {
        self.name = now.name;
        self.last_known = None;
        self.link = Some(now.link);
        self.ipv6 = now.ipv6;
        self.lost_address = self.translates && now.address.is_none();
        self.foreign_address = now.address.is_some() && !now.is_own;
    }

    /// Takes over what the daemon says of its health.
    pub fn judge(&mut self, health: UplinkHealth) {
        self.state = Some(health.state);
        self.since = Some(health.since);
        self.why = health.why;
    }
}

/// The names that do not resolve, with their hosts.
pub fn unresolved(hosts: &[HostReport]) -> Vec<TroubledName> {
    let all = hosts.iter().flat_map(|host| host.names.iter().map(move |name| (host, name)));
    let troubled = all.filter_map(|(host, name)| {
        Some(TroubledName {
            name: name.name.clone(),
            host: host.name.clone(),
            why: name.why.clone()?,
            since: name.since.unwrap_or_default(),
            addresses: host.admitting(),
        })
    });
    troubled.collect()
}
