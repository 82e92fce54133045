//! The gateways, one a contender, each between a source and a sink of its own; and the measuring.
//!
//! * [`site`]: one contender's gateway. [`conntrack`]: what nftables needs; [`policy`](mod@policy): what they all enforce.
//! * [`traffic`]: source and sink. [`cpu`]: the time that they and the gateway take.
//!
//! ```text
//!   lan                     gateway              internet
//!   source ──── eth0 ────── lan0    wan0 ─────── eth0 ──── sink      Direction::Out
//!   sink                                                   source    Direction::Back
//! ```
//!
//! All of a packet's way is on one CPU. What it costs is CPU time, less what source and sink alone cost in the same round:
//! there the sink is where the gateway would be.

mod conntrack;
mod cpu;
mod policy;
mod site;
mod traffic;

use std::ops::Range;

use anyhow::{Context, Result};
use thulium_tests::lab::{Gateway, Lab};

use self::{
    site::Site,
    traffic::{Passage, Traffic},
};
use crate::sample::{Contender, Direction, Sample};

pub(crate) use self::{
    conntrack::set_up as set_nftables_up,
    cpu::Cpu,
    policy::{CAPACITY, bulk, text as policy},
};

/// The namespaces of all contenders. They outlive the [`Rig`] that uses them, and are removed when dropped.
pub(crate) struct Labs(Vec<(Option<Contender>, Lab)>);

impl Labs {
    /// Builds them for `contenders`, and some with no gateway.
    ///
    /// # Errors
    /// When a namespace or a link cannot be made.
    pub(crate) fn build(contenders: &[Contender]) -> Result<Self> {
        let all = [None].into_iter().chain(contenders.iter().copied().map(Some));
        Ok(Self(all.map(|contender| Ok((contender, Lab::new()?))).collect::<Result<_>>()?))
    }
}

/// Whether a contender can be compared.
pub(crate) enum Opened {
    /// It has as many sessions as were asked for.
    Ready,
    /// This machine does not let it have them: why, and what would help.
    Impossible(String),
}

/// All contenders' gateways, ready to forward, with source and sink.
pub(crate) struct Rig<'labs> {
    traffic: Traffic,
    /// Without a gateway.
    wire: Site<'labs>,
    sites: Vec<Site<'labs>>,
}

impl<'labs> Rig<'labs> {
    /// Sets the gateways up: rules, daemons, programs; offloads and neighbours the same for all. Packets of established sessions
    /// take the flows in the order in which they were opened, or `scattered`.
    ///
    /// # Errors
    /// When a step fails; the error says whose.
    pub(crate) fn set_up(labs: &'labs Labs, scattered: bool) -> Result<Self> {
        let mut traffic = Traffic::load(scattered)?;
        let mut sites = Vec::new();
        for (contender, lab) in &labs.0 {
            let name = contender.map_or("no gateway", Contender::name);
            let site = Site::set_up(lab, *contender, &mut traffic);
            sites.push(site.with_context(|| format!("setting up: {name}"))?);
        }
        let wire = sites.remove(0);
        Ok(Self { traffic, wire, sites })
    }

    /// Opens sessions so that a contender has `flows`, and checks both ways that what arrives is right: addresses, ports, TTL,
    /// checksums.
    ///
    /// # Errors
    /// When it delivers less, or something else.
    pub(crate) fn open(&mut self, contender: Contender, flows: u32) -> Result<Opened> {
        if contender == Contender::Nftables
            && let Some(shortage) = conntrack::shortage(flows)?
        {
            return Ok(Opened::Impossible(shortage));
        }
        let Self { traffic, sites, .. } = self;
        let site = find(sites, contender)?;
        site.open(traffic, flows).with_context(|| format!("opening {flows} flows: {}", contender.name()))?;
        Ok(Opened::Ready)
    }

    /// One round over `flows`: first without a gateway, then every contender that has opened so many, `packets` each.
    ///
    /// # Errors
    /// When the source cannot be run.
    pub(crate) fn round(&mut self, direction: Direction, flows: u32, round: u32, packets: u32) -> Result<Vec<Sample>> {
        let Self { traffic, wire, sites } = self;
        let wire = wire.send(traffic, direction, flows, packets, false)?;
        let wire_lost = wire.lost();
        let mut samples = Vec::new();
        for site in sites {
            let Some(contender) = site.contender.filter(|_| site.flows >= flows) else { continue };
            let passage = site.send(traffic, direction, flows, packets, false)?;
            let Passage { sent, delivered, .. } = passage;
            let (whole, wire) = (each(passage), each(wire));
            samples.push(Sample { contender, direction, flows, round, sent, delivered, wire_lost, whole, wire });
        }
        Ok(samples)
    }

    /// What the first packets of these flows cost a contender's gateway, nanoseconds each. None if it has no room for them, or if
    /// some were lost.
    ///
    /// # Errors
    /// When the source cannot be run.
    pub(crate) fn first_packets(&mut self, contender: Contender, flows: Range<u32>) -> Result<Option<f64>> {
        if contender == Contender::Nftables && conntrack::shortage(flows.end)?.is_some() {
            return Ok(None);
        }
        let Self { traffic, wire, sites } = self;
        let wire = wire.begin(traffic, flows.clone())?;
        let passage = find(sites, contender)?.begin(traffic, flows)?;
        Ok((passage.lost() + wire.lost() == 0).then(|| each(passage) - each(wire)))
    }

    /// What packets out over `flows` cost a contender's gateway now, nanoseconds each, whatever else the machine does. None if some
    /// were lost.
    ///
    /// # Errors
    /// When the source cannot be run.
    pub(crate) fn cost(&mut self, contender: Contender, flows: u32, packets: u32) -> Result<Option<f64>> {
        let Self { traffic, wire, sites } = self;
        let wire = wire.send(traffic, Direction::Out, flows, packets, false)?;
        let passage = find(sites, contender)?.send(traffic, Direction::Out, flows, packets, false)?;
        Ok((passage.lost() + wire.lost() == 0).then(|| each(passage) - each(wire)))
    }

    /// The CPU that all of it is on.
    pub(crate) const fn cpu(&self) -> Cpu {
        self.traffic.cpu()
    }

    /// A contender's namespaces: the source of `Out` is in `lan`, that of `Back` in `internet`.
    ///
    /// # Errors
    /// When it is not among those that are compared.
    pub(crate) fn lab(&mut self, contender: Contender) -> Result<&'labs Lab> {
        Ok(find(&mut self.sites, contender)?.lab)
    }

    /// The daemon of a contender that is this product.
    ///
    /// # Errors
    /// When it is another, or not among those that are compared.
    pub(crate) fn gateway(&mut self, contender: Contender) -> Result<&mut Gateway<'labs>> {
        let gateway = find(&mut self.sites, contender)?.gateway.as_mut();
        gateway.with_context(|| format!("{} has no daemon", contender.name()))
    }
}

fn find<'rig, 'labs>(sites: &'rig mut [Site<'labs>], contender: Contender) -> Result<&'rig mut Site<'labs>> {
    let site = sites.iter_mut().find(|site| site.contender == Some(contender));
    site.with_context(|| format!("{} is not compared", contender.name()))
}

/// CPU time per delivered packet, nanoseconds.
fn each(passage: Passage) -> f64 {
    passage.time as f64 / passage.delivered.max(1) as f64
}
