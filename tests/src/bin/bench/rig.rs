//! The gateways, one a contender, between a source and a sink; and the measuring.

use anyhow::Result;
use thulium_tests::lab::{Gateway, Lab};

use crate::sample::{Contender, Direction, Sample};

/// The namespaces of all contenders. They outlive the [`Rig`] that uses them, and are removed when dropped.
pub(crate) struct Labs;

impl Labs {
    /// Builds them for `contenders`, and a pair of namespaces with no gateway between them.
    ///
    /// # Errors
    /// When a namespace or a link cannot be made.
    pub(crate) fn build(contenders: &[Contender]) -> Result<Self>;
}

/// All contenders' gateways, ready to forward, with source and sink programs loaded.
pub(crate) struct Rig<'labs>;

impl<'labs> Rig<'labs> {
    /// Sets the gateways up: routes, rules, daemons, programs; offloads the same for all.
    ///
    /// # Errors
    /// When a step fails; it is named.
    pub(crate) fn set_up(labs: &'labs Labs) -> Result<Self>;

    /// Opens sessions so that all have `flows`, and checks in both directions that what arrives is right: addresses, TTL, checksums.
    ///
    /// # Errors
    /// When a contender delivers less, or something else.
    pub(crate) fn open(&mut self, flows: u32) -> Result<()>;

    /// One round over `flows`, which were opened: first without a gateway, then every contender; `packets` each.
    ///
    /// # Errors
    /// When the source cannot be run.
    pub(crate) fn round(&mut self, direction: Direction, flows: u32, round: u32, packets: u64) -> Result<Vec<Sample>>;

    /// A contender's namespaces: source of `Out` is `lan`, source of `Back` is `internet`.
    pub(crate) fn lab(&self, contender: Contender) -> &'labs Lab;

    /// The daemon of a contender that is this product.
    pub(crate) fn gateway(&mut self, contender: Contender) -> Option<&mut Gateway<'labs>>;
}
