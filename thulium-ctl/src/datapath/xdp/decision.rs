//! Whether XDP is right on an interface: pure functions from facts to a decision and its reason, a part of a sentence.
//!
//! There are two levels. A program that is attached refuses what TC would refuse. Between interfaces that are also *stations*
//! ([`thulium_ebpf::abi::Station`]) it forwards sessions.

use thulium_ebpf::abi::{Role, Station};

use super::facts::Facts;
use crate::policy::XdpMode;

/// Drivers that already in Linux 6.1 transmit what XDP redirects to them once a program is attached: older kernels than 6.3 do not
/// tell. Not veth: there it depends on the other end.
const TRANSMITTING: [&str; 12] =
    ["bnxt_en", "ena", "i40e", "ice", "igb", "igc", "ixgbe", "mlx5_core", "mvneta", "mvpp2", "sfc", "virtio_net"];

/// Whether to do something, and what is to be said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    /// Whether to.
    pub(super) is_yes: bool,
    /// Why not, or what speaks against it though it is done; empty: nothing.
    pub(super) why: String,
}

impl Decision {
    fn yes(why: impl Into<String>) -> Self {
        Self { is_yes: true, why: why.into() }
    }

    fn no(why: impl Into<String>) -> Self {
        Self { is_yes: false, why: why.into() }
    }

    /// What `native` does all the same, and `auto` does not.
    fn unless_auto(mode: XdpMode, objection: Option<String>) -> Self {
        match (mode, objection) {
            (_, None) => Self::yes(""),
            (XdpMode::Native, Some(why)) => Self::yes(why),
            (_, Some(why)) => Self::no(why),
        }
    }
}

/// Whether a program is attached to an interface.
pub(super) fn attaches(mode: XdpMode, facts: &Facts) -> Decision {
    if mode == XdpMode::Off {
        return Decision::no("XDP is off in the policy");
    }
    Decision::unless_auto(mode, misplaced(facts).or_else(|| mistaken_tags(facts)))
}

/// Why a program could not do its work there, or has no place.
fn misplaced(facts: &Facts) -> Option<String> {
    if facts.is_loopback {
        return Some("the loopback interface has no packets of others".to_owned());
    }
    match facts.driver.as_str() {
        "veth" => return Some("veth carries frames with unfinished checksums, which XDP cannot see".to_owned()),
        "tun" => return Some("tun and tap carry frames with unfinished checksums, which XDP cannot see".to_owned()),
        "bridge" | "bonding" | "team" | "802.1Q VLAN Support" | "" => {
            return Some("the interface has no driver of its own: XDP belongs on the ports below it".to_owned());
        }
        _ => {}
    }
    let runs_none = facts.features.is_some_and(|features| !features.runs);
    runs_none.then(|| without_xdp(facts))
}

/// A driver that knows XDP may be kept from it by what its hardware does: mlx5's joins packets.
fn without_xdp(Facts { name, driver, .. }: &Facts) -> String {
    if TRANSMITTING.contains(&driver.as_str()) {
        return format!(
            "its driver ({driver}) offers no native XDP at present; it may after `ethtool -K {name} lro off rx-gro-hw off`"
        );
    }
    format!("its driver ({driver}) has no native XDP")
}

/// Frames of a VLAN device would look like the interface's own.
fn mistaken_tags(facts: &Facts) -> Option<String> {
    let Facts { name, vlans, .. } = facts;
    let is_mistaken = facts.strips_tags && !vlans.is_empty();
    is_mistaken.then(|| {
        let vlans = vlans.join(", ");
        format!(
            "its hardware takes off the VLAN tags by which {vlans} is known; `ethtool -K {name} rxvlan off` leaves them"
        )
    })
}

/// An interface to which a program may be attached.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate<'a> {
    /// What is known of it.
    pub(super) facts: &'a Facts,
    /// What it is to the gateway.
    pub(super) role: Role,
    /// True if the program is attached.
    pub(super) is_attached: bool,
}

/// Which interfaces XDP forwards between, in the order of the candidates. Those without a program have nothing to say.
pub(super) fn forwards(mode: XdpMode, candidates: &[Candidate<'_>]) -> Vec<Decision> {
    let decided_alone: Vec<Decision> =
        candidates.iter().map(|candidate| forwards_alone(mode, candidate, candidates)).collect();
    let together = |(candidate, alone): (&Candidate<'_>, &Decision)| {
        let others = candidates.iter().zip(&decided_alone);
        let others = others.filter(|(other, _)| other.role as u32 != candidate.role as u32);
        let (with, without): (Vec<_>, Vec<_>) = others.partition(|(_, other)| other.is_yes);
        let without: Vec<&str> = without.iter().map(|(other, _)| other.facts.name.as_str()).collect();
        if alone.is_yes { beside(&alone.why, !with.is_empty(), &without) } else { alone.clone() }
    };
    candidates.iter().zip(&decided_alone).map(together).collect()
}

/// What becomes of an interface by which XDP could forward, beside those of the other role: `any` that could, too, and those `without`.
fn beside(why: &str, any: bool, without: &[&str]) -> Decision {
    let limit = if without.is_empty() { String::new() } else { format!("not to {}", without.join(", ")) };
    match (any, limit.is_empty()) {
        (true, _) => Decision::yes(joined(&limit, why)),
        (false, false) => Decision::no(limit),
        (false, true) => Decision::no("there is no interface to forward to"),
    }
}

/// Both reasons, as far as there are.
fn joined(one: &str, other: &str) -> String {
    let reasons: Vec<&str> = [one, other].into_iter().filter(|why| !why.is_empty()).collect();
    reasons.join("; ")
}

/// Whether XDP could forward by this interface, if the others let it.
fn forwards_alone(mode: XdpMode, candidate: &Candidate<'_>, all: &[Candidate<'_>]) -> Decision {
    let Candidate { facts, is_attached, .. } = *candidate;
    if !is_attached {
        return Decision::no("");
    }
    if let Some(why) = no_way_out(facts).or_else(|| taken_place(facts, all)) {
        return Decision::no(why);
    }
    let bypassed = facts.shaper.as_ref().map(|kind| format!("XDP sends past its queueing ({kind})"));
    match Decision::unless_auto(mode, bypassed) {
        Decision { is_yes: true, why } => Decision::yes(joined(&attaches(mode, facts).why, &why)),
        decision => decision,
    }
}

/// Why a frame that is redirected to the interface would be lost, or might be: nobody can want that.
fn no_way_out(facts: &Facts) -> Option<String> {
    let Facts { driver, .. } = facts;
    if facts.address.is_none() {
        return Some("its frames have no Ethernet header".to_owned());
    }
    match facts.features {
        Some(features) if features.transmits => None,
        Some(_) if driver == "veth" => Some(
            "the other end of its veth pair takes no frames from XDP: that takes `ethtool -K … gro on` there"
                .to_owned(),
        ),
        Some(_) => Some(format!("its driver ({driver}) cannot transmit what XDP redirects")),
        None if TRANSMITTING.contains(&driver.as_str()) => None,
        None => Some(format!(
            "this kernel does not tell whether its driver ({driver}) transmits what XDP redirects; Linux 6.3 does"
        )),
    }
}

/// Stations have places by the last digits of the interface's index: the first one of the policy counts.
fn taken_place(facts: &Facts, all: &[Candidate<'_>]) -> Option<String> {
    let place = Station::place(facts.index);
    let first = all.iter().find(|other| other.is_attached && Station::place(other.facts.index) == place)?;
    (first.facts.index != facts.index).then(|| {
        let (index, other) = (facts.index, &first.facts);
        format!("its index ({index}) ends like that of {} ({})", other.name, other.index)
    })
}

#[cfg(test)]
mod tests;
