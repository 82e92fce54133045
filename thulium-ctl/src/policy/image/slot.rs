//! Slots: the numbers of flows, hosts, uplinks and LAN interfaces, which stay the same across generations.

use std::collections::HashSet;

use thulium_ebpf::abi::{FLOW_SLOTS, HOST_SLOTS, LAN_SLOTS, SlotName, UPLINK_SLOTS};

use crate::policy::Policy;

/// The names that the slots have in the datapath; empty at the first start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlotNames {
    /// Of flows.
    pub flows: Vec<SlotName>,
    /// Of hosts.
    pub hosts: Vec<SlotName>,
    /// Of uplinks.
    pub uplinks: Vec<SlotName>,
    /// Of LAN interfaces.
    pub lans: Vec<SlotName>,
}

/// Who has which slot. Names that left the policy keep theirs, until no slot is left that was never used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slots {
    /// Names of flows by slot, for the datapath to keep.
    pub flows: [SlotName; FLOW_SLOTS],
    /// Names of hosts by slot, for the datapath to keep.
    pub hosts: [SlotName; HOST_SLOTS],
    /// Names of uplinks by slot, for the datapath to keep.
    pub uplinks: [SlotName; UPLINK_SLOTS],
    /// Names of LAN interfaces by slot, for the datapath to keep.
    pub lans: [SlotName; LAN_SLOTS],
    /// Slots, a bit each, that went from a flow of the past to a new one: their counters begin anew.
    pub reused_flows: u64,
    /// The same for hosts: addresses and sessions that carry the bit belong to the old host.
    pub reused_hosts: u64,
    /// The same for uplinks: clients that are pinned to the slot belong to the old one.
    pub reused_uplinks: u64,
    /// The same for LAN interfaces: sessions that carry the slot have their clients at the old one.
    pub reused_lans: u64,
}

impl Slots {
    /// Gives every flow, host, uplink and LAN interface of `policy` a slot: the one it had in the `previous` names, else one that was
    /// never used, else one whose name left the policy.
    pub fn assign(previous: &SlotNames, policy: &Policy) -> Self {
        let flows = policy.flows.iter().map(|flow| flow.name.as_str()).collect::<Vec<_>>();
        let hosts = policy.hosts.iter().map(|host| host.name.as_str()).collect::<Vec<_>>();
        let (flows, reused_flows) = assign(&previous.flows, &flows);
        let (hosts, reused_hosts) = assign(&previous.hosts, &hosts);
        let names = policy.uplinks.iter().map(|uplink| uplink.name.as_str()).collect::<Vec<_>>();
        let (uplinks, reused_uplinks) = assign(&previous.uplinks, &names);
        let names = policy.lan.interfaces.iter().map(String::as_str).collect::<Vec<_>>();
        let (lans, reused_lans) = assign(&previous.lans, &names);
        Self { flows, hosts, uplinks, lans, reused_flows, reused_hosts, reused_uplinks, reused_lans }
    }

    /// The names, for whoever assigns slots next.
    pub fn names(&self) -> SlotNames {
        SlotNames {
            flows: self.flows.to_vec(),
            hosts: self.hosts.to_vec(),
            uplinks: self.uplinks.to_vec(),
            lans: self.lans.to_vec(),
        }
    }

    /// The slot of a flow.
    pub fn flow(&self, name: &str) -> Option<u8> {
        find(&self.flows, name)
    }

    /// The slot of an uplink.
    pub fn uplink(&self, name: &str) -> Option<u8> {
        find(&self.uplinks, name)
    }

    /// The slot of a LAN interface.
    pub fn lan(&self, name: &str) -> Option<u8> {
        find(&self.lans, name)
    }

    /// The slot of a host.
    pub fn host(&self, name: &str) -> Option<u8> {
        find(&self.hosts, name)
    }
}

fn find(slots: &[SlotName], name: &str) -> Option<u8> {
    let slot = slots.iter().position(|slot| slot.as_str() == name)?;
    u8::try_from(slot).ok()
}

/// Names by slot, and the slots whose name was replaced. Names for which there is no slot are left out.
fn assign<const N: usize>(previous: &[SlotName], names: &[&str]) -> ([SlotName; N], u64) {
    let mut slots = [SlotName::FREE; N];
    slots.iter_mut().zip(previous).for_each(|(slot, previous)| *slot = *previous);
    let wanted = names.iter().copied().collect::<HashSet<_>>();
    let mut reused = 0;
    for name in names {
        if find(&slots, name).is_some() {
            continue;
        }
        let free = slots.iter().position(|slot| *slot == SlotName::FREE);
        let left = || slots.iter().position(|slot| !wanted.contains(slot.as_str()));
        let Some(slot) = free.or_else(left) else { continue };
        if free.is_none() {
            reused |= 1 << slot;
        }
        slots[slot] = SlotName::new(name);
    }
    (slots, reused)
}
