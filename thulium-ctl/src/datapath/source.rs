//! The maps as the reading commands see them.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::Add,
};

use aya::maps::MapError;
use ipnet::IpNet;
use thulium_ebpf::abi::{
    Client, Counter, DropKey, FLOW_SLOTS, FlowRecord, GENERATIONS, HOST_SLOTS, Interface, LAN_SLOTS, RemoteAddress,
    Settings, Side, TRAFFIC_SLOTS, Traffic, UPLINK_SLOTS, Uplink, UplinkLosses,
};

use super::{attach, tables::Tables};
use crate::{
    observe::{
        ByFamily, Slots, Source,
        flows::Halves,
        slot_names,
        status::{Attachment, Hook, Mode},
    },
    policy::{Host, image::SlotNames},
};

impl Tables {
    /// The names in the slots.
    pub(super) fn names(&self) -> anyhow::Result<SlotNames> {
        let mut names = Vec::with_capacity(FLOW_SLOTS + HOST_SLOTS + UPLINK_SLOTS + LAN_SLOTS);
        for slot in 0..self.slot_names.len() {
            names.push(self.slot_names.get(&slot, 0)?);
        }
        let lans = names.split_off(FLOW_SLOTS + HOST_SLOTS + UPLINK_SLOTS);
        let uplinks = names.split_off(FLOW_SLOTS + HOST_SLOTS);
        let hosts = names.split_off(FLOW_SLOTS);
        Ok(SlotNames { flows: names, hosts, uplinks, lans })
    }

    /// The directions of IPv4 sessions that arrive on a side.
    fn records(&self, side: Side) -> Result<impl Iterator<Item = Result<FlowRecord, MapError>>, MapError> {
        let first = side as u32 * self.capacity;
        // One too many is counted for a moment where there is no room.
        let fresh = self.numbers4.get(&(side as u32), 0)?.fresh.min(self.capacity.into()) as u32;
        let records = (first..first + fresh).map(|place| self.flows4.get(&place, 0));
        Ok(records.filter(|record| record.as_ref().map_or(true, FlowRecord::is_used)))
    }
}

/// Entries can vanish while a map is read: what is gone is gone.
pub(super) fn present<T>(entry: Result<T, MapError>) -> Option<Result<T, MapError>> {
    match entry {
        Err(MapError::KeyNotFound) => None,
        entry => Some(entry),
    }
}

impl Source for Tables {
    fn drops(&self) -> anyhow::Result<Vec<(DropKey, Counter)>> {
        let mut rows = Vec::new();
        for entry in self.drops.iter().filter_map(present) {
            let (key, per_cpu) = entry?;
            rows.push((key, per_cpu.iter().copied().fold(Counter::default(), Counter::add)));
        }
        Ok(rows)
    }

    fn flows(&self) -> anyhow::Result<Halves> {
        let ipv4 = self.records(Side::Lan)?.chain(self.records(Side::Uplink)?);
        let ipv4 = ipv4.map(|record| record.map(|FlowRecord { key, entry }| (key, entry))).collect::<Result<_, _>>()?;
        let ipv6 = self.flows6.iter().filter_map(present).collect::<Result<_, _>>()?;
        Ok(Halves { ipv4, ipv6 })
    }

    fn sessions(&self) -> anyhow::Result<ByFamily> {
        let ipv4 = self.records(Side::Lan)?.try_fold(0, |count, record| record.map(|_| count + 1))?;
        let ipv6 = self.flows6.keys().filter_map(present).count();
        Ok(ByFamily { ipv4, ipv6: ipv6.div_ceil(2) as u64 })
    }

    fn clients(&self) -> anyhow::Result<Vec<(IpAddr, Client)>> {
        let ipv4 = self.shares4.iter().filter_map(present);
        let ipv4 = ipv4.map(|entry| entry.map(|(key, client)| (Ipv4Addr::from(key.address).into(), client)));
        let ipv6 = self.shares6.iter().filter_map(present);
        let ipv6 = ipv6.map(|entry| entry.map(|(key, client)| (Ipv6Addr::from(key.address).into(), client)));
        Ok(ipv4.chain(ipv6).collect::<Result<_, _>>()?)
    }

    fn capacity(&self) -> anyhow::Result<u32> {
        Ok(self.capacity)
    }

    fn interfaces(&self) -> anyhow::Result<HashMap<u32, Interface>> {
        Ok(self.interfaces.iter().filter_map(present).collect::<Result<_, _>>()?)
    }

    fn attachments(&self) -> anyhow::Result<Vec<Attachment>> {
        let mut attachments = Vec::new();
        for (index, interface) in self.interfaces()? {
            let Some(attachment) = attach::attachment(&self.pins, index, &interface) else { continue };
            let forwards = attachment.xdp == Hook::Native && self.forwards_by(index)?;
            attachments.push(Attachment { forwards, ..attachment });
        }
        attachments.sort_by(|a, b| (a.role as u8, &a.name).cmp(&(b.role as u8, &b.name)));
        Ok(attachments)
    }

    fn flow_names(&self) -> anyhow::Result<Slots> {
        Ok(slot_names(&self.names()?.flows))
    }

    fn host_names(&self) -> anyhow::Result<Slots> {
        Ok(slot_names(&self.names()?.hosts))
    }

    fn hosts(&self) -> anyhow::Result<Vec<(u8, Host)>> {
        self.known_hosts(&self.host_names()?)
    }

    fn remotes(&self) -> anyhow::Result<Vec<(IpNet, RemoteAddress)>> {
        self.known_remotes()
    }

    fn uplink_names(&self) -> anyhow::Result<Slots> {
        Ok(slot_names(&self.names()?.uplinks))
    }

    fn settings(&self) -> anyhow::Result<Settings> {
        Ok(self.settings.get(&(self.generation()? % GENERATIONS), 0)?)
    }

    fn uplinks(&self) -> anyhow::Result<Vec<Uplink>> {
        (0..UPLINK_SLOTS as u32).map(|slot| Ok(self.uplinks.get(&slot, 0)?)).collect()
    }

    fn uplink_losses(&self) -> anyhow::Result<Vec<UplinkLosses>> {
        let sum = |sum: UplinkLosses, one: &UplinkLosses| UplinkLosses {
            lost_sessions: sum.lost_sessions + one.lost_sessions,
            moved_clients: sum.moved_clients + one.moved_clients,
        };
        let slots = 0..UPLINK_SLOTS as u32;
        slots.map(|slot| Ok(self.losses.get(&slot, 0)?.iter().fold(UplinkLosses::default(), sum))).collect()
    }

    fn traffic(&self) -> anyhow::Result<Vec<Traffic>> {
        let sum = |per_cpu: &[Traffic]| per_cpu.iter().copied().fold(Traffic::default(), Traffic::add);
        (0..TRAFFIC_SLOTS as u32).map(|place| Ok(sum(&self.traffic.get(&place, 0)?))).collect()
    }

    fn generation(&self) -> anyhow::Result<u32> {
        Ok(self.generation.get(&0, 0)?)
    }

    fn mode(&self) -> anyhow::Result<Option<Mode>> {
        Ok(Some(if self.settings()?.audit == 1 { Mode::Audit } else { Mode::Enforce }))
    }
}
