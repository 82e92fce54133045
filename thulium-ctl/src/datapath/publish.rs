//! An image of the policy → the maps. A generation is complete before one word is flipped to it; no packet sees a half.

mod uplinks;

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::Context;
use aya::{
    Pod,
    maps::{MapData, lpm_trie::Key, lpm_trie::LpmTrie},
};
use ipnet::IpNet;
use thulium_ebpf::abi::{GENERATIONS, Interface, LAN_SLOTS, NO_SLOT, Role};

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
    /// Gives every flow, host, uplink and LAN interface of `policy` its slot, the one it had before if it had one, and writes the names down.
    ///
    /// # Errors
    /// If this and earlier policies together name more of them than there are slots.
    pub fn assign_slots(&mut self, policy: &Policy) -> anyhow::Result<Slots> {
        let slots = Slots::assign(&self.names()?, policy);
        if slots.reused_flows | slots.reused_hosts | slots.reused_uplinks | slots.reused_lans != 0 {
            return Err(Failure::new(
                Exit::Policy,
                "this policy and earlier ones name more than 64 flows or hosts, 8 uplinks or 16 LAN interfaces, and counters and sessions remember each",
                "Keep names where you can, or forget the old ones with `thulium-ctl down` (it ends all sessions).",
            )
            .into());
        }
        let names = slots.flows.iter().chain(&slots.hosts).chain(&slots.uplinks).chain(&slots.lans);
        for (slot, name) in names.enumerate() {
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
    /// role. `slots` are those of the interfaces by name.
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
        self.publish_lans(interfaces, slots)
    }

    /// Where the LAN interfaces are: a session that knows the slot finds the interface that was made anew.
    fn publish_lans(&mut self, interfaces: &[Target], slots: &BTreeMap<String, u8>) -> anyhow::Result<()> {
        let lans = interfaces.iter().filter(|present| present.role == Role::Lan);
        let by_slot: HashMap<u32, u32> =
            lans.filter_map(|lan| Some((u32::from(*slots.get(&lan.name)?), lan.index))).collect();
        for slot in 0..LAN_SLOTS as u32 {
            self.lans.set(slot, by_slot.get(&slot).copied().unwrap_or(0), 0)?;
        }
        Ok(())
    }
}

fn entry_of(target: &Target, slots: &BTreeMap<String, u8>) -> Interface {
    let Target { name, role, link_header, .. } = target;
    let slot = slots.get(name).copied().unwrap_or(NO_SLOT).into();
    let mut entry = Interface { role: *role as u32, slot, link_header: *link_header, name: [0; 16] };
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
