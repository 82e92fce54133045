//! Model → image: what the datapath's maps hold for one generation. Pure.
//!
//! Each field of a packet gives the vector of the flows that it matches: client prefix, host, (protocol, port). The lowest bit
//! of their AND is the packet's flow. A flow's bit is its rank in the policy; a host's bit is its slot, as an address
//! keeps its hosts across generations. Addresses are no part of an image: they change with DNS, not with the policy.

mod address;
mod port;
mod slot;

use ipnet::IpNet;
use thulium_ebpf::abi::{
    Address4, Address6, ClientPrefix, FLOW_SLOTS, FlowTable, HOST_SLOTS, MSS_AUTO, MSS_OFF, NO_SLOT, PortPrefix,
    Settings,
};

pub use self::{
    address::{Family, with_surrounding},
    slot::{SlotNames, Slots},
};
use super::{Mode, MssClamp, Policy, Refuse, TlsVersion, Unmatched};

/// An entry of a longest-prefix map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixEntry<D> {
    /// Bits of `data` that are matched, the generation (or padding) at its front included.
    pub prefix_len: u32,
    /// Data of the key.
    pub data: D,
    /// A vector of flows by rank, or of hosts by slot.
    pub vector: u64,
}

/// What the maps hold for one generation of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The generation that the keys carry.
    pub generation: u32,
    /// IPv4 client prefix → vector of flows.
    pub clients4: Vec<PrefixEntry<ClientPrefix<Address4>>>,
    /// IPv6 client prefix → vector of flows.
    pub clients6: Vec<PrefixEntry<ClientPrefix<Address6>>>,
    /// (protocol, port) → vector of flows.
    pub ports: Vec<PrefixEntry<PortPrefix>>,
    /// Host → vector of flows; rank of a flow → its slot.
    pub flows: FlowTable,
    /// Lifetimes and limits. The port ranges in it are zero: the datapath knows them.
    pub settings: Settings,
}

/// Client prefixes that an image holds at most.
pub const MAX_CLIENT_PREFIXES: usize = 256;
/// Prefixes of ports that an image holds at most: a policy that needs more is refused.
pub const MAX_PORT_PREFIXES: usize = 4096;
/// Fixed addresses and prefixes that a policy's hosts have at most: a policy that has more is refused.
pub const MAX_ADDRESS_PREFIXES: usize = 4096;
/// DNS names, wildcards among them, that a policy's hosts have at most: a policy that has more is refused.
pub const MAX_NAMES: usize = 4096;

/// A policy cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageError {
    /// A flow or a host has no slot: the slots were assigned for another policy, or there are more than 64.
    NoSlot(String),
}

impl std::fmt::Display for ImageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self::NoSlot(name) = self;
        write!(f, "`{name}` has no slot in the datapath")
    }
}

impl std::error::Error for ImageError {}

/// Compiles `policy` for `clients` (prefixes of those who are governed) as this generation.
///
/// # Errors
/// `slots` lacks a flow or a host of the policy.
pub fn compile(policy: &Policy, slots: &Slots, clients: &[IpNet], generation: u32) -> Result<Image, ImageError> {
    Ok(Image {
        generation,
        clients4: client_prefixes(policy, clients, generation),
        clients6: client_prefixes(policy, clients, generation),
        ports: port::prefixes(&policy.flows, generation),
        flows: flow_table(policy, slots)?,
        settings: settings(policy, clients),
    })
}

/// How many prefixes of ports an image with these flows holds.
pub(super) fn port_prefixes(flows: &[super::Flow]) -> usize {
    port::prefixes(flows, 0).len()
}

/// The prefixes of one family. Every client may open every flow.
fn client_prefixes<A: Family>(
    policy: &Policy,
    clients: &[IpNet],
    generation: u32,
) -> Vec<PrefixEntry<ClientPrefix<A>>> {
    let vector = (0..policy.flows.len()).fold(0, |vector, rank| vector | 1 << rank);
    let entry = |prefix: IpNet| {
        Some(PrefixEntry {
            prefix_len: u32::BITS + u32::from(prefix.prefix_len()),
            data: ClientPrefix::new(generation, A::network(&prefix)?),
            vector,
        })
    };
    let mut prefixes = clients.iter().map(IpNet::trunc).collect::<Vec<_>>();
    prefixes.sort_unstable();
    prefixes.dedup();
    prefixes.into_iter().filter_map(entry).collect()
}

fn flow_table(policy: &Policy, slots: &Slots) -> Result<FlowTable, ImageError> {
    let mut table = FlowTable { hosts: [0; HOST_SLOTS], slots: [NO_SLOT; FLOW_SLOTS], tls_min: [0; FLOW_SLOTS] };
    for (rank, flow) in policy.flows.iter().enumerate() {
        let no_slot = |name: &str| ImageError::NoSlot(name.to_owned());
        let host = slots.host(&flow.host).ok_or_else(|| no_slot(&flow.host))?;
        let slot = slots.flow(&flow.name).ok_or_else(|| no_slot(&flow.name))?;
        *table.slots.get_mut(rank).ok_or_else(|| no_slot(&flow.name))? = slot;
        table.hosts[usize::from(host)] |= 1 << rank;
        table.tls_min[usize::from(slot)] = flow.tls_min.map_or(0, TlsVersion::minor);
    }
    Ok(table)
}

fn settings(policy: &Policy, clients: &[IpNet]) -> Settings {
    let nanoseconds = |duration: std::time::Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    Settings {
        udp_idle: nanoseconds(policy.sessions.udp_idle),
        tcp_idle: nanoseconds(policy.sessions.tcp_idle),
        per_client: u64::from(policy.sessions.per_client),
        ports_per_client: u64::from(policy.sessions.ports_per_client),
        release_after_idle: nanoseconds(policy.release_after_idle),
        session_cost: 1_000_000_000 / u64::from(policy.sessions.new_per_client.max(1)),
        pass_unmatched: u32::from(policy.unmatched == Unmatched::Pass),
        audit: u32::from(policy.mode == Mode::Audit),
        reject: u32::from(policy.refuse == Refuse::Reject),
        mss_clamp: match policy.mss_clamp {
            MssClamp::Auto => MSS_AUTO,
            MssClamp::Off => MSS_OFF,
            MssClamp::Bytes(bytes) => bytes,
        },
        governs_ipv6: u32::from(clients.iter().any(|prefix| matches!(prefix, IpNet::V6(_)))),
        ..Settings::default()
    }
}

#[cfg(test)]
mod tests;
