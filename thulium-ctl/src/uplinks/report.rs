//! The uplinks as `uplinks` and `status` show them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::{
    Ground, UplinkGround, Way,
    event::hardware,
    health::{Condition, Fault, Standing, Trial},
    kernel::Presence,
    watch::{Moment, Probed, Watch, Watched},
};
use crate::{
    names::unix_seconds,
    observe::status::{Link, Warning},
};

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
    /// How many of 64 new IPv4 clients take it: 0 none, 48 three quarters, 64 all.
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

impl Watch {
    /// The uplinks in the policy's order. `untested`: why no probe asks anybody.
    pub fn reports(&self, ground: &Ground, untested: Option<&str>, now: Moment) -> Vec<UplinkReport> {
        let places = self.choices(ground).slots;
        let report = |(watched, seen): (&Watched, &UplinkGround)| {
            let share = places.iter().filter(|slot| **slot == watched.slot).count();
            watched.report(seen, u8::try_from(share).unwrap_or(u8::MAX), untested, now)
        };
        self.uplinks().iter().zip(&ground.uplinks).map(report).collect()
    }
}

impl Watched {
    fn report(&self, seen: &UplinkGround, share: u8, untested: Option<&str>, now: Moment) -> UplinkReport {
        UplinkReport {
            name: self.name.clone(),
            slot: self.slot,
            interface: seen.interface.clone(),
            link: seen.link,
            state: self.in_a_word(),
            since: unix_seconds(self.since),
            why: self.why(now.instant),
            remedy: self.fault_to_mend().and_then(|fault| remedy(fault, seen)),
            waits_for: self.health.waits_for(now.instant),
            address: seen.address(),
            translates: seen.outside != super::Outside::Untranslated,
            ipv6: seen.ipv6,
            next_hops: [&seen.way4, &seen.way6].into_iter().filter_map(next_hop).collect(),
            weight: self.weight,
            share,
            probe: self.probe(untested),
        }
    }

    /// What is wrong, unless it is a probe that was lost by chance for all that is known.
    fn fault_to_mend(&self) -> Option<Fault> {
        let may_be_chance = self.health.condition() == Condition::Failing;
        self.health.fault().filter(|fault| !may_be_chance || *fault != Fault::NoAnswer)
    }

    fn in_a_word(&self) -> UplinkCondition {
        match (self.standing, self.health.condition()) {
            (Standing::Lost, _) => UplinkCondition::Lost,
            (Standing::Held, _) => UplinkCondition::Held,
            (Standing::Up | Standing::Spared, Condition::Down) => UplinkCondition::Down,
            (_, Condition::Failing) => UplinkCondition::Failing,
            (_, Condition::Up) => UplinkCondition::Up,
        }
    }

    fn probe(&self, untested: Option<&str>) -> ProbeReport {
        let last = self.probed.as_ref();
        let (answered, round_trip) = match last.map(|probed| &probed.trial) {
            Some(Trial::Answered(after)) => (Some(true), u64::try_from(after.as_micros()).ok()),
            Some(Trial::Silent) => (Some(false), None),
            Some(Trial::NotRun(_)) | None => (None, None),
        };
        let could_not = last.and_then(|probed| match &probed.trial {
            Trial::NotRun(why) => Some(why.clone()),
            Trial::Answered(_) | Trial::Silent => None,
        });
        ProbeReport {
            target: last.and_then(|probed| probed.target),
            untested: could_not.or_else(|| untested.map(str::to_owned)),
            answered,
            at: last.map(|Probed { at, .. }| unix_seconds(*at)),
            round_trip,
            failures: self.health.failures(),
        }
    }
}

fn next_hop(way: &Way) -> Option<NextHopReport> {
    let hop = way.next_hop()?;
    Some(NextHopReport {
        address: hop.address,
        from_policy: hop.from_policy,
        hardware: hop.hardware.as_deref().map(hardware),
        silent: hop.presence == Presence::Silent,
    })
}

/// What the admin can do about a fault.
fn remedy(fault: Fault, seen: &UplinkGround) -> Option<String> {
    let interface = &seen.interface;
    Some(match fault {
        Fault::Gone => "`ip link show` lists what is there; it is taken up as soon as it is back.".to_owned(),
        Fault::Off => format!("`ip link set {interface} up`"),
        Fault::NoCarrier => "Check the cable, and the device at its other end.".to_owned(),
        Fault::NoAddress => format!(
            "`ip -4 address show {interface}`; with DHCP, look at its lease. It is taken up as soon as it is there."
        ),
        Fault::NoWay => format!(
            "Write its router as `next_hop` in the policy, or give it a default route beside the others: \
             `ip route add default via ROUTER dev {interface} metric 2000`."
        ),
        Fault::NextHopSilent => format!("`ip neighbour show dev {interface}`: check the router and what lies between."),
        Fault::NoAnswer => "Its link is up, but nothing comes back by it: ask the provider.".to_owned(),
        Fault::Unproven => return None,
    })
}

/// What `status` warns of where there are several uplinks.
pub fn warnings_of(reports: &[UplinkReport]) -> Vec<Warning> {
    if reports.len() < 2 {
        return Vec::new();
    }
    let warning = |report: &UplinkReport| {
        let (is, so) = match report.state {
            UplinkCondition::Up | UplinkCondition::Failing => return None,
            UplinkCondition::Down => ("carries nothing", "its clients stay there"),
            UplinkCondition::Lost => ("is lost", "its IPv4 clients take another"),
            UplinkCondition::Held => ("is lost", "its clients wait for it, as the policy says"),
        };
        let why = report.why.as_deref().or(report.waits_for.as_deref()).unwrap_or("it must prove itself");
        let what = format!("uplink {} {is}: {why}; {so}", report.name);
        Some(Warning::new(what, report.remedy.clone().unwrap_or_default()))
    };
    reports.iter().filter_map(warning).collect()
}
