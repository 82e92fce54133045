//! An image of the policy → the maps. A generation is complete before one word is flipped to it; no packet sees a half.

use std::{
    collections::{BTreeMap, HashSet},
    net::Ipv4Addr,
    time::Duration,
};

use anyhow::Context;
use aya::maps::lpm_trie::Key;
use ipnet::{IpNet, Ipv4Net};
use thulium_ebpf::abi::{Address4, GENERATIONS, Interface, RemoteAddress, RemotePrefix, Uplink};

use super::{
    attach::Target,
    host::Ports,
    tables::{Tables, monotonic},
};
use crate::{
    exit::{Exit, Failure},
    names::Snapshot,
    observe::Source,
    policy::{
        Policy,
        image::{Slots, compile, with_surrounding},
    },
};

impl Tables {
    /// Gives every flow and host of `policy` its slot, the one it had before if it had one, and writes the names down.
    ///
    /// # Errors
    /// If this and earlier policies together name more flows or hosts than there are slots.
    pub fn assign_slots(&mut self, policy: &Policy) -> anyhow::Result<Slots> {
        let (flows, hosts) = self.names()?;
        let slots = Slots::assign(&flows, &hosts, policy);
        if slots.reused_flows | slots.reused_hosts != 0 {
            return Err(Failure::new(
                Exit::Policy,
                "this policy and earlier ones name more than 64 flows or hosts, and counters and sessions remember each",
                "Keep names where you can, or forget the old ones with `thulium-ctl down` (it ends all sessions).",
            )
            .into());
        }
        for (slot, name) in slots.flows.iter().chain(&slots.hosts).enumerate() {
            self.slot_names.set(slot as u32, name, 0)?;
        }
        Ok(slots)
    }

    /// Puts a policy in force for these clients, as the next generation.
    ///
    /// # Errors
    /// If a map is full or the kernel refuses; the generation in force stays.
    pub fn publish(
        &mut self,
        policy: &Policy,
        slots: &Slots,
        clients: &[Ipv4Net],
        ports: Ports,
    ) -> anyhow::Result<u32> {
        let generation = self.generation()?.wrapping_add(1).max(1);
        let mut image = compile(policy, slots, clients, generation)?;
        ports.fill(&mut image.settings);
        self.forget_generations(|one| one != generation.wrapping_sub(1))?;
        for entry in &image.clients {
            self.client_prefixes
                .insert(&Key::new(entry.prefix_len, entry.data), entry.vector, 0)
                .context("the policy has too many client prefixes")?;
        }
        for entry in &image.ports {
            self.port_prefixes
                .insert(&Key::new(entry.prefix_len, entry.data), entry.vector, 0)
                .context("the policy has too many port ranges")?;
        }
        self.flow_tables.set(generation % GENERATIONS, image.flows, 0)?;
        self.settings.set(generation % GENERATIONS, image.settings, 0)?;
        self.generation.set(0, generation, 0)?;
        Ok(generation)
    }

    /// Removes what generations left behind for which `is_past` holds.
    fn forget_generations(&mut self, is_past: impl Fn(u32) -> bool) -> anyhow::Result<()> {
        let clients: Vec<_> = self.client_prefixes.keys().collect::<Result<_, _>>()?;
        for key in clients.into_iter().filter(|key| is_past(key.data().generation)) {
            self.client_prefixes.remove(&key)?;
        }
        let ports: Vec<_> = self.port_prefixes.keys().collect::<Result<_, _>>()?;
        for key in ports.into_iter().filter(|key| is_past(key.data().generation)) {
            self.port_prefixes.remove(&key)?;
        }
        Ok(())
    }

    /// Makes the remote addresses those of the snapshot. An address stays in the map while it changes.
    ///
    /// # Errors
    /// If the map is full or the kernel refuses.
    pub fn publish_remotes(&mut self, snapshot: &Snapshot, slots: &Slots) -> anyhow::Result<()> {
        let remotes = remotes(snapshot, slots, monotonic());
        let old: HashSet<_> = self
            .remotes
            .keys()
            .map(|key| key.map(|key| (key.prefix_len(), key.data().address)))
            .collect::<Result<_, _>>()?;
        let mut new = HashSet::new();
        for (prefix, remote) in remotes {
            let address = Address4::from(prefix.network());
            let length = u32::BITS + u32::from(prefix.prefix_len());
            new.insert((length, address));
            self.remotes
                .insert(&Key::new(length, RemotePrefix::new(address)), remote, 0)
                .context("the hosts of the policy have too many addresses")?;
        }
        for (length, address) in old.difference(&new) {
            self.remotes.remove(&Key::new(*length, RemotePrefix::new(*address)))?;
        }
        Ok(())
    }

    /// Sets an uplink's interface and address, as far as they are known: one that is gone for a moment may come back the same.
    /// Another address raises the epoch: what was opened under the old one is absent at once. True if there was a change.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn publish_uplink(
        &mut self,
        slot: u32,
        interface: Option<u32>,
        address: Option<Ipv4Addr>,
    ) -> anyhow::Result<bool> {
        let old = self.uplinks.get(&slot, 0)?;
        let interface = interface.unwrap_or(old.interface);
        let address = address.map_or(old.address, Address4::from);
        if (old.interface, old.address) == (interface, address) {
            return Ok(false);
        }
        let epoch = old.epoch.wrapping_add(u32::from(old.address != address));
        let new = Uplink { interface, epoch, address, translates: 1 };
        self.uplinks.set(slot, new, 0)?;
        Ok(true)
    }

    /// Names the interfaces of the policy. Former ones keep their names for the counters' sake, but have no role.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn publish_interfaces(&mut self, interfaces: &[Target]) -> anyhow::Result<()> {
        for (index, mut former) in self.interfaces()? {
            if !interfaces.iter().any(|present| present.index == index) && former.role != 0 {
                former.role = 0;
                self.interfaces.insert(index, former, 0)?;
            }
        }
        for Target { name, index, role, link_header } in interfaces {
            let mut entry = Interface { role: *role as u32, uplink: 0, link_header: *link_header, name: [0; 16] };
            entry.name.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
            self.interfaces.insert(index, entry, 0)?;
        }
        Ok(())
    }
}

/// What admits new sessions, for the datapath's clock `now`.
fn remotes(snapshot: &Snapshot, slots: &Slots, now: u64) -> BTreeMap<Ipv4Net, RemoteAddress> {
    let mut own: BTreeMap<Ipv4Net, RemoteAddress> = BTreeMap::new();
    for (prefix, entry) in &snapshot.entries {
        let IpNet::V4(prefix) = prefix else { continue };
        let hosts = entry.hosts.iter().filter_map(|name| slots.host(name)).fold(0, |hosts, slot| hosts | 1 << slot);
        let until = snapshot.remaining(entry).map_or(u64::MAX, |left| now.saturating_add(nanoseconds(left)));
        own.insert(prefix.trunc(), RemoteAddress { hosts, until });
    }
    with_surrounding(&own)
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
