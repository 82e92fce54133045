//! Where the data of an attached datapath comes from.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use ipnet::IpNet;
use serde::Serialize;
use thulium_ebpf::abi::{
    Client, Counter, DropKey, Interface, RemoteAddress, Settings, SlotName, Traffic, Uplink, UplinkLosses,
};

use super::{
    flows::Halves,
    status::{Attachment, Mode},
};
use crate::policy::Host;

/// Names by slot.
pub type Slots = BTreeMap<u8, String>;

/// A number of each address family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ByFamily {
    /// Of IPv4.
    pub ipv4: u64,
    /// Of IPv6.
    pub ipv6: u64,
}

/// The maps of an attached datapath, read-only. It needs no daemon.
pub trait Source {
    /// The drop counters, summed over CPUs.
    ///
    /// # Errors
    /// If the kernel refuses; so for all of these.
    fn drops(&self) -> anyhow::Result<Vec<(DropKey, Counter)>>;
    /// Every directed entry of the flow tables, in any order, stale ones included.
    fn flows(&self) -> anyhow::Result<Halves>;
    /// Live and stale sessions of each family, that is half its entries; cheaper than [`Source::flows`] if possible.
    fn sessions(&self) -> anyhow::Result<ByFamily> {
        let Halves { ipv4, ipv6 } = self.flows()?;
        Ok(ByFamily { ipv4: ipv4.len().div_ceil(2) as u64, ipv6: ipv6.len().div_ceil(2) as u64 })
    }
    /// The clients with a pin, sessions or ports, of both families, in any order.
    fn clients(&self) -> anyhow::Result<Vec<(IpAddr, Client)>>;
    /// IPv4 sessions that the flow table has room for: the `capacity` that it was made for.
    fn capacity(&self) -> anyhow::Result<u32>;
    /// The interfaces that are or were attached, by index.
    fn interfaces(&self) -> anyhow::Result<HashMap<u32, Interface>>;
    /// How each interface of the policy is attached; empty: none is.
    fn attachments(&self) -> anyhow::Result<Vec<Attachment>>;
    /// Names of flows by slot.
    fn flow_names(&self) -> anyhow::Result<Slots>;
    /// Names of hosts by slot.
    fn host_names(&self) -> anyhow::Result<Slots>;
    /// The hosts by slot, as far as they are known without the policy: their names, no fixed addresses, and the longest `keep_old`
    /// of all that share a name. Those of earlier policies have no names.
    fn hosts(&self) -> anyhow::Result<Vec<(u8, Host)>>;
    /// What is known of remote addresses and prefixes, in any order; an address can come twice.
    fn remotes(&self) -> anyhow::Result<Vec<(IpNet, RemoteAddress)>>;
    /// Names of uplinks by slot.
    fn uplink_names(&self) -> anyhow::Result<Slots>;
    /// Settings of the generation in force.
    fn settings(&self) -> anyhow::Result<Settings>;
    /// Uplinks by slot; unused slots have interface 0.
    fn uplinks(&self) -> anyhow::Result<Vec<Uplink>>;
    /// What was lost with each uplink, by slot, summed over CPUs.
    fn uplink_losses(&self) -> anyhow::Result<Vec<UplinkLosses>>;
    /// What sessions have carried, by [`Traffic::place`], summed over CPUs.
    fn traffic(&self) -> anyhow::Result<Vec<Traffic>>;
    /// Number of the generation in force.
    fn generation(&self) -> anyhow::Result<u32>;
    /// What the loaded programs do with refused packets; `None`: it cannot be told.
    fn mode(&self) -> anyhow::Result<Option<Mode>>;
}

/// The names of a slot table; free slots are left out.
pub fn slot_names(table: &[SlotName]) -> Slots {
    let named = table.iter().enumerate().filter_map(|(slot, name)| Some((u8::try_from(slot).ok()?, text(&name.name)?)));
    named.collect()
}

/// An interface's name.
pub(super) fn interface_name(interface: &Interface) -> Option<String> {
    text(&interface.name)
}

/// Interface names by index.
pub fn interface_names(interfaces: &HashMap<u32, Interface>) -> HashMap<u32, String> {
    interfaces.iter().filter_map(|(index, interface)| Some((*index, interface_name(interface)?))).collect()
}

/// Zero-padded UTF-8; `None` if it is empty.
fn text(bytes: &[u8]) -> Option<String> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    (end > 0).then(|| String::from_utf8_lossy(&bytes[..end]).into_owned())
}
