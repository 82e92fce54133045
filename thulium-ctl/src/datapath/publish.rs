//! An image of the policy → the maps. A generation is complete before one word is flipped to it; no packet sees a half.

mod uplinks;

use std::collections::{BTreeMap, HashSet};

use anyhow::Context;
use aya::{
    Pod,
    maps::{MapData, lpm_trie::Key, lpm_trie::LpmTrie},
};
use ipnet::IpNet;
use thulium_ebpf::abi::{GENERATIONS, Interface};

pub use self::uplinks::UplinkEntry;
use super::{attach::Target, host::Ports, tables::Tables};
use crate::{
    exit::{Exit, Failure},
    observe::Source,
    policy::{
        Policy,
        image::{PrefixEntry, Slots, compile},
    },
};

impl Tables {
    /// Gives every flow and host of `policy` its slot, the one it had before if it had one, and writes the names down.
    ///
    /// # Errors
    /// If this and earlier policies together name more flows, hosts or uplinks than there are slots.
    pub fn assign_slots(&mut self, policy: &Policy) -> anyhow::Result<Slots> {
        let [flows, hosts, uplinks] = self.names()?;
        let slots = Slots::assign(&flows, &hosts, &uplinks, policy);
        if slots.reused_flows | slots.reused_hosts | slots.reused_uplinks != 0 {
            return Err(Failure::new(
                Exit::Policy,
                "this policy and earlier ones name more than 64 flows or hosts, or 8 uplinks, and counters and sessions remember each",
                "Keep names where you can, or forget the old ones with `thulium-ctl down` (it ends all sessions).",
            )
            .into());
        }
        for (slot, name) in slots.flows.iter().chain(&slots.hosts).chain(&slots.uplinks).enumerate() {
            self.slot_names.set(slot as u32, name, 0)?;
        }
        Ok(slots)
    }

    /// Puts a policy in force for these clients, as the next generation.
    ///
    /// # Errors
    /// If a map is full or the kernel refuses; the generation in force stays.
    pub fn publish(&mut self, policy: &Policy, slots: &Slots, clients: &[IpNet], ports: Ports) -> anyhow::Result<u32> {
        let generation = self.generation()?.wrapping_add(1).max(1);
        let mut image = compile(policy, slots, clients, generation)?;
        ports.fill(&mut image.settings);
        self.forget_generations(|one| one != generation.wrapping_sub(1))?;
        let too_many = "the policy has too many client prefixes";
        fill(&mut self.clients4, &image.clients4).context(too_many)?;
        fill(&mut self.clients6, &image.clients6).context(too_many)?;
        fill(&mut self.port_prefixes, &image.ports).context("the policy has too many port ranges")?;
        self.flow_tables.set(generation % GENERATIONS, image.flows, 0)?;
        self.settings.set(generation % GENERATIONS, image.settings, 0)?;
        self.generation.set(0, generation, 0)?;
        Ok(generation)
    }

    /// Removes what generations left behind for which `is_past` holds.
    fn forget_generations(&mut self, is_past: impl Fn(u32) -> bool) -> anyhow::Result<()> {
        forget(&mut self.clients4, |client| is_past(client.generation))?;
        forget(&mut self.clients6, |client| is_past(client.generation))?;
        forget(&mut self.port_prefixes, |port| is_past(port.generation))
    }

    /// Lets the programs know the links of interfaces to which they are about to be attached. Those that are new have no role yet: while no
    /// guard stands there, they lead nowhere that clients may go.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn announce_interfaces(&mut self, interfaces: &[Target], slots: &BTreeMap<String, u8>) -> anyhow::Result<()> {
        for target in interfaces {
            if self.interfaces.get(&target.index, 0).is_err() {
                self.interfaces.insert(target.index, Interface { role: 0, ..entry_of(target, slots) }, 0)?;
            }
        }
        Ok(())
    }

    /// Notes the index of the newest interface that was there when the programs were attached.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn publish_newest(&mut self, interface: u32) -> anyhow::Result<()> {
        Ok(self.newest.set(0, interface, 0)?)
    }

    /// Names the interfaces of the policy. Former ones that refused something keep their names for the counters' sake, but have no
    /// role. `slots` are those of the uplinks' interfaces by name.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn publish_interfaces(&mut self, interfaces: &[Target], slots: &BTreeMap<String, u8>) -> anyhow::Result<()> {
        let counted: HashSet<u32> = self.drops()?.iter().map(|(key, _)| key.interface).collect();
        for (index, mut former) in self.interfaces()? {
            if interfaces.iter().any(|present| present.index == index) {
                continue;
            }
            if !counted.contains(&index) {
                // PPP makes its interface anew whenever it dials: the map would fill up with them.
                self.interfaces.remove(&index)?;
            } else if former.role != 0 {
                former.role = 0;
                self.interfaces.insert(index, former, 0)?;
            }
        }
        for target in interfaces {
            self.interfaces.insert(target.index, entry_of(target, slots), 0)?;
        }
        Ok(())
    }
}

fn entry_of(target: &Target, slots: &BTreeMap<String, u8>) -> Interface {
    let Target { name, role, link_header, .. } = target;
    let uplink = slots.get(name).copied().unwrap_or_default().into();
    let mut entry = Interface { role: *role as u32, uplink, link_header: *link_header, name: [0; 16] };
    entry.name.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
    entry
}

/// Adds the entries of a generation.
fn fill<D: Pod + Copy>(map: &mut LpmTrie<MapData, D, u64>, entries: &[PrefixEntry<D>]) -> anyhow::Result<()> {
    for entry in entries {
        map.insert(&Key::new(entry.prefix_len, entry.data), entry.vector, 0)?;
    }
    Ok(())
}

/// Removes the entries of generations that are past.
fn forget<D: Pod>(map: &mut LpmTrie<MapData, D, u64>, is_past: impl Fn(D) -> bool) -> anyhow::Result<()> {
    let keys: Vec<_> = map.keys().collect::<Result<_, _>>()?;
    for key in keys.into_iter().filter(|key| is_past(key.data())) {
        map.remove(&key)?;
    }
    Ok(())
}
