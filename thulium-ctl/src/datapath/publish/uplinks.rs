//! What the daemon knows of uplinks → the maps.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr},
};

use anyhow::Context;
use aya::maps::lpm_trie::Key;
use ipnet::Ipv6Net;
use thulium_ebpf::abi::{Address4, Address6, Choices, Port, RemotePrefix, SlotName, UPLINK_SLOTS, Uplink, UplinkState};

use crate::{datapath::tables::Tables, observe::Source as _, uplinks::Outside};

/// An uplink of the policy, as the datapath is to have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UplinkEntry {
    /// Its slot.
    pub slot: u8,
    /// Index of its interface; `None`: it is gone.
    pub interface: Option<u32>,
    /// What its sessions are translated to.
    pub outside: Outside,
    /// The IPv4 router behind it, if the kernel's routes do not lead there.
    pub next_hop4: Option<Ipv4Addr>,
    /// The IPv6 router behind it, if the kernel's routes do not lead there.
    pub next_hop6: Option<Ipv6Addr>,
    /// What it can do for clients.
    pub state: UplinkState,
}

impl UplinkEntry {
    /// What comes after `old`. What is gone for a moment may come back the same: it stays as far as it is not known. Another address, the
    /// end or beginning of translation, or that its clients lose it, raises the epoch: what was opened there is absent at once.
    fn after(&self, old: &Uplink) -> Uplink {
        let (address, translates) = match self.outside {
            Outside::Untranslated => (Address4::default(), 0),
            Outside::Unknown => (old.address, 1),
            Outside::Address(address) => (address.into(), 1),
        };
        let has_another_address = (old.address, old.translates) != (address, translates);
        let is_lost = self.state == UplinkState::Lost && has_sessions(old);
        Uplink {
            interface: self.interface.unwrap_or(old.interface),
            epoch: old.epoch.wrapping_add(u32::from(has_another_address || is_lost)),
            address,
            translates,
            state: self.state as u32,
            next_hop4: self.next_hop4.map(Address4::from).unwrap_or_default(),
            next_hop6: self.next_hop6.map(Address6::from).unwrap_or_default(),
            ..*old
        }
    }

    /// Whether clients' packets go out by it: then it is written before new clients are sent there, else after they are sent
    /// elsewhere.
    const fn carries(&self) -> bool {
        matches!(self.state, UplinkState::Up)
    }
}

/// Whether there can be sessions.
const fn has_sessions(uplink: &Uplink) -> bool {
    uplink.state == UplinkState::Up as u32 || uplink.state == UplinkState::Held as u32
}

impl Tables {
    /// The uplinks that an earlier run left, by name.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn uplinks_in_force(&self) -> anyhow::Result<BTreeMap<String, Uplink>> {
        let names = self.names()?.uplinks;
        let named = names.iter().zip(self.uplinks()?).filter(|(name, _)| **name != SlotName::FREE);
        Ok(named.map(|(name, uplink)| (name.as_str().to_owned(), uplink)).collect())
    }

    /// How many clients are pinned to an uplink.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn pinned_clients(&self, slot: u8) -> anyhow::Result<usize> {
        Ok(self.clients()?.iter().filter(|(_, client)| client.pinned != 0 && client.uplink == u32::from(slot)).count())
    }

    /// Makes the uplinks those of the policy, and sends new IPv4 clients by these `choices`. Whoever loses an uplink finds another
    /// already chosen; an uplink that left the policy has neither sessions nor clients any more.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn publish_uplinks(&mut self, entries: &[UplinkEntry], choices: Choices) -> anyhow::Result<()> {
        for entry in entries.iter().filter(|entry| entry.carries()) {
            self.publish_uplink(entry)?;
        }
        if self.choices.get(&0, 0)? != choices {
            self.choices.set(0, choices, 0)?;
        }
        for entry in entries.iter().filter(|entry| !entry.carries()) {
            self.publish_uplink(entry)?;
        }
        for slot in 0..UPLINK_SLOTS as u32 {
            let is_of_policy = entries.iter().any(|entry| u32::from(entry.slot) == slot);
            let old = self.uplinks.get(&slot, 0)?;
            if !is_of_policy && old.state != UplinkState::Unused as u32 {
                let epoch = old.epoch.wrapping_add(1);
                self.replace_uplink(slot, &old, Uplink { epoch, state: UplinkState::Unused as u32, ..old })?;
            }
        }
        Ok(())
    }

    fn publish_uplink(&mut self, entry: &UplinkEntry) -> anyhow::Result<()> {
        let slot = u32::from(entry.slot);
        let old = self.uplinks.get(&slot, 0)?;
        let new = entry.after(&old);
        if new == old { Ok(()) } else { self.replace_uplink(slot, &old, new) }
    }

    /// The epoch comes last (see `session::open` of the programs): a session that is opened between the two is absent at once.
    fn replace_uplink(&mut self, slot: u32, old: &Uplink, new: Uplink) -> anyhow::Result<()> {
        self.uplinks.set(slot, Uplink { epoch: old.epoch, ..new }, 0)?;
        Ok(self.uplinks.set(slot, new, 0)?)
    }

    /// Notes the local port of the probe that is under way through an uplink; 0: none is.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn publish_probe(&mut self, slot: u8, port: u16) -> anyhow::Result<()> {
        let old = self.uplinks.get(&slot.into(), 0)?;
        Ok(self.uplinks.set(slot.into(), Uplink { probe: Port::new(port), ..old }, 0)?)
    }

    /// Makes these the prefixes of IPv6 clients, with the slots of the uplinks that they belong to. A prefix stays in the map while it
    /// changes.
    ///
    /// # Errors
    /// If there are too many, or the kernel refuses.
    pub fn publish_homes(&mut self, homes: &BTreeMap<Ipv6Net, u8>) -> anyhow::Result<()> {
        let key = |prefix: &Ipv6Net| {
            let length = u32::BITS + u32::from(prefix.prefix_len());
            Key::new(length, RemotePrefix::new(Address6::from(prefix.network())))
        };
        let old: Vec<_> = self.homes6.keys().collect::<Result<_, _>>()?;
        for (prefix, slot) in homes {
            self.homes6.insert(&key(prefix), u64::from(*slot), 0).context("the uplinks have too many IPv6 prefixes")?;
        }
        let is_left = |old: &&Key<RemotePrefix<Address6>>| {
            let is_same = |new: Key<RemotePrefix<Address6>>| {
                (new.prefix_len(), new.data().address) == (old.prefix_len(), old.data().address)
            };
            !homes.keys().any(|prefix| is_same(key(prefix)))
        };
        for key in old.iter().filter(is_left) {
            self.homes6.remove(key)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

    fn entry(state: UplinkState) -> UplinkEntry {
        let outside = Outside::Address(ADDRESS);
        UplinkEntry { slot: 0, interface: Some(2), outside, next_hop4: None, next_hop6: None, state }
    }

    fn in_force(state: UplinkState) -> Uplink {
        Uplink { epoch: 7, ..entry(state).after(&Uplink::default()) }
    }

    #[test]
    fn what_stays_the_same_moves_nobody() {
        for state in [UplinkState::Up, UplinkState::Lost, UplinkState::Held] {
            assert_eq!(entry(state).after(&in_force(state)), in_force(state), "a daemon that starts again");
        }
    }

    #[test]
    fn only_a_loss_or_another_address_ends_sessions() {
        let epoch = |was, entry: UplinkEntry| entry.after(&in_force(was)).epoch;
        use UplinkState::{Held, Lost, Up};
        assert_eq!((epoch(Up, entry(Lost)), epoch(Held, entry(Lost))), (8, 8));
        assert_eq!((epoch(Up, entry(Held)), epoch(Held, entry(Up)), epoch(Lost, entry(Up))), (7, 7, 7));
        let moved = UplinkEntry { outside: Outside::Address(Ipv4Addr::new(198, 51, 100, 9)), ..entry(Up) };
        assert_eq!(epoch(Up, moved), 8);
        let hop = UplinkEntry { next_hop4: Some(ADDRESS), interface: Some(9), ..entry(Up) };
        assert_eq!(epoch(Up, hop), 7, "the same address by another interface or router");
    }

    #[test]
    fn what_is_gone_for_a_moment_stays() {
        let gone = UplinkEntry { interface: None, outside: Outside::Unknown, ..entry(UplinkState::Up) };
        assert_eq!(gone.after(&in_force(UplinkState::Up)), in_force(UplinkState::Up));
    }
}
