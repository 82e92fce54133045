//! Where XDP is right, its programs there, and the interfaces between which it forwards.
//!
//! * `facts`: what the kernel says of an interface; `netdev`: what drivers say that they can do (by `generic` netlink).
//! * `decision`: whether to attach, and whether to forward, and why not. Pure.
//! * `attach`: programs → interfaces; `refusal`: why a driver takes none.
//! * `stations`: the map by which the programs know where they may forward.
//!
//! Nothing is lost on the way from one to the other: programs are attached before they forward, and forward no more before they are
//! taken off.

mod attach;
mod decision;
mod facts;
mod generic;
mod netdev;
mod refusal;
mod stations;

use aya::Ebpf;
use thulium_ebpf::abi::Station;

pub(super) use attach::program;
pub use netdev::FeatureChanges;

use self::{
    decision::{Candidate, Decision, attaches, forwards},
    facts::Facts,
};
use super::{
    attach::{Fresh, Target},
    pins::Pins,
    tables::Tables,
};
use crate::{
    observe::status::{Attachment, Hook},
    policy::XdpMode,
};

/// What was known of the interfaces of a policy when it was last decided what XDP does there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known(Vec<Facts>);

impl Known {
    /// Asks the kernel.
    ///
    /// # Errors
    /// If it refuses.
    pub fn look(targets: &[Target]) -> anyhow::Result<Self> {
        facts::look(targets.iter().map(|target| (target.name.as_str(), target.index))).map(Self)
    }

    /// Ends forwarding where a program is going to be taken off.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(super) fn withdraw(&self, mode: XdpMode, tables: &mut Tables) -> anyhow::Result<()> {
        let stays = |facts: &Facts| attaches(mode, facts).is_yes;
        tables.withdraw_stations(|index| self.0.iter().any(|facts| facts.index == index && stays(facts)))
    }

    /// Attaches the program of a target, or takes it off. Returns the hook, and why it is that one.
    ///
    /// # Errors
    /// If the kernel refuses, or the driver does what the policy wants to be native.
    pub(super) fn attach(
        &self,
        ebpf: &mut Ebpf,
        mode: XdpMode,
        target: &Target,
        pins: &Pins,
        fresh: &mut Fresh,
    ) -> anyhow::Result<(Hook, String)> {
        let gone = Facts { name: target.name.clone(), index: target.index, ..Facts::default() };
        let facts = self.0.iter().find(|facts| facts.index == target.index).unwrap_or(&gone);
        attach::attach(ebpf, mode, (target, facts), pins, fresh)
    }
}

/// Lets XDP forward where it is attached and right, and nowhere else, and says so in the attachments. Returns what was known then: drivers
/// can do more when a program is attached.
///
/// # Errors
/// If the kernel refuses.
pub fn forward(
    mode: XdpMode,
    targets: &[Target],
    attachments: &mut [Attachment],
    tables: &mut Tables,
) -> anyhow::Result<Known> {
    let known = Known::look(targets)?;
    let is_attached = |target: &Target| {
        attachments.iter().any(|attachment| attachment.name == target.name && attachment.xdp == Hook::Native)
    };
    let candidates: Vec<Candidate<'_>> = targets
        .iter()
        .zip(&known.0)
        .map(|(target, facts)| Candidate { facts, role: target.role, is_attached: is_attached(target) })
        .collect();
    let decided = forwards(mode, &candidates);
    let stations = candidates.iter().zip(&decided).filter(|(candidate, _)| candidate.is_attached);
    let stations: Vec<Station> = stations.map(|(candidate, decision)| station(candidate.facts, decision)).collect();
    tables.publish_stations(&stations)?;
    for (candidate, decision) in candidates.iter().zip(decided).filter(|(candidate, _)| candidate.is_attached) {
        let of_interface = |attachment: &&mut Attachment| attachment.name == candidate.facts.name;
        if let Some(attachment) = attachments.iter_mut().find(of_interface) {
            attachment.forwards = decision.is_yes;
            attachment.why = decision.why;
        }
    }
    Ok(known)
}

fn station(facts: &Facts, decision: &Decision) -> Station {
    Station {
        interface: facts.index,
        address: facts.address.unwrap_or_default(),
        forwards: decision.is_yes.into(),
        pad: 0,
    }
}

/// What `mode` would make of an interface, by name: whether a program is attached, and what speaks against it.
///
/// # Errors
/// If the kernel refuses.
pub fn outlook(mode: XdpMode, interface: &str) -> anyhow::Result<(bool, Option<String>)> {
    let index = nix::net::if_::if_nametoindex(interface).unwrap_or_default();
    let facts = facts::look([(interface, index)].into_iter())?;
    let Decision { is_yes, why } = attaches(mode, facts.first().unwrap_or(&Facts::default()));
    Ok((is_yes, Some(why).filter(|why| !why.is_empty())))
}
