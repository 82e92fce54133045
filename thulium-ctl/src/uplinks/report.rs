//! The uplinks as `uplinks` and `status` show them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::observe::status::Link;

/// An uplink of the policy, as the daemon sees it. All times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UplinkReport {
    /// Its name in the policy.
    pub name: String,
    /// Its slot: its place in the datapath's maps.
    pub slot: u8,
    /// Its interface.
    pub interface: String,
    /// What the interface says of itself.
    pub link: Link,
    /// What it does for clients.
    pub state: UplinkCondition,
    /// Since when, as far as this run of the daemon has seen it.
    pub since: u64,
    /// What is wrong with it, a part of a sentence ("no answer through it"); `None`: nothing.
    pub why: Option<String>,
    /// What the admin can do about that; `None`: nothing that is known here.
    pub remedy: Option<String>,
    /// What must happen until it carries clients again, a part of a sentence ("2 more answers to its probe").
    pub waits_for: Option<String>,
    /// The address that IPv4 sessions are translated to; `None`: there is none, or they are not translated.
    pub address: Option<Ipv4Addr>,
    /// Whether IPv4 sessions are translated.
    pub translates: bool,
    /// The first of its IPv6 addresses that lead beyond the link.
    pub ipv6: Option<Ipv6Addr>,
    /// The routers behind it: at most one of each family, none where the link needs none (PPP, WireGuard).
    pub next_hops: Vec<NextHopReport>,
    /// Its weight in the policy.
    pub weight: Option<u8>,
    /// How many of 64 new clients take it.
    pub share: u8,
    /// Whether anything is sent through it to find out whether it carries traffic.
    pub probe: ProbeReport,
}

/// What an uplink does for clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UplinkCondition {
    /// It carries traffic, as far as is known.
    Up,
    /// Something is wrong with it, but not for long enough to move anybody.
    Failing,
    /// It carries nothing, but its clients stay: no other uplink is known to be better, or only its probe fails and the policy
    /// says `on_uplink_down: hold`.
    Down,
    /// It carries nothing, and its clients move to other uplinks.
    Lost,
    /// It carries nothing, and its clients wait for it (`on_uplink_down: hold`).
    Held,
}

/// A router behind an uplink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextHopReport {
    /// Its address.
    pub address: IpAddr,
    /// True if the policy names it, false if a route of the kernel does.
    pub from_policy: bool,
    /// Its hardware address, as far as the kernel knows it ("02:00:00:00:51:fe").
    pub hardware: Option<String>,
    /// True if it does not answer when the kernel asks for its hardware address.
    pub silent: bool,
}

/// The probe of an uplink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeReport {
    /// Whom it connects to by TCP; `None`: nobody, [`ProbeReport::untested`] says why.
    pub target: Option<SocketAddr>,
    /// Why there is no result, a part of a sentence ("there is only one uplink"); `None`: there is one, or the first is under way.
    pub untested: Option<String>,
    /// The latest result; `None`: none yet.
    pub answered: Option<bool>,
    /// When it came.
    pub at: Option<u64>,
    /// How long the latest answer took, microseconds.
    pub round_trip: Option<u64>,
    /// Probes in a row that nobody answered.
    pub failures: u32,
}
