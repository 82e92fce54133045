//! What the daemon does for the pins.

use std::{
    collections::HashSet,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context;
use thulium_ebpf::abi::{Address4, Client, ClientKey};

use super::{
    Clocks, Pin, SavedPins,
    idle::{Candidate, room, to_forget},
    moves::moves,
    pin,
};
use crate::{
    datapath::{clients::Orders, tables::Tables},
    observe::{Slots, Source},
};

/// The file is not written more often than this.
const INTERVAL: Duration = Duration::from_secs(30);

/// The file of an instance's pins, in its state folder.
pub fn pins_file(state: &Path) -> PathBuf {
    state.join("pins.json")
}

/// Keeps the pins on disk, and forgets clients that were idle for too long.
pub struct PinKeeper {
    file: PathBuf,
    /// As they are on disk.
    saved: SavedPins,
    /// As they were at the last look.
    seen: SavedPins,
    release_after_idle: Duration,
    orders: Orders,
    written: Option<Instant>,
}

impl PinKeeper {
    /// A keeper of the pins in `file`; what is wrong with the file, too: its pins are lost then, but nothing else is.
    pub fn open(file: PathBuf, release_after_idle: Duration, orders: Orders) -> (Self, Option<anyhow::Error>) {
        let loaded = SavedPins::load(&file).with_context(|| format!("{} cannot be read", file.display()));
        let (saved, trouble) = match loaded {
            Ok(saved) => (saved, None),
            Err(error) => (SavedPins::default(), Some(error)),
        };
        let seen = saved.clone();
        (Self { file, saved, seen, release_after_idle, orders, written: None }, trouble)
    }

    /// Puts the pins of an earlier boot into maps that are new. Returns how many there were.
    ///
    /// # Errors
    /// If the map is full or the kernel refuses.
    pub fn restore(&self, tables: &mut Tables) -> anyhow::Result<usize> {
        let names = tables.uplink_names()?;
        let mut restored = 0;
        for (address, client) in restorable(&self.saved, &names, self.release_after_idle, Clocks::read()) {
            restored += usize::from(tables.enter_client(address, &client)?);
        }
        Ok(restored)
    }

    /// Forgets clients that were idle for too long, and writes the pins down if they changed and it is time to. Returns what the log
    /// should hear: who moved.
    ///
    /// # Errors
    /// If the kernel or the disk refuses; it is tried again.
    pub fn keep(&mut self, tables: &Tables) -> anyhow::Result<Vec<String>> {
        let present = self.tidy(tables)?;
        let news = moves(&self.seen, &present);
        self.seen = present;
        if self.written.is_none_or(|written| written.elapsed() >= INTERVAL) {
            self.write()?;
        }
        Ok(news)
    }

    /// Writes the pins down, for the daemon ends.
    ///
    /// # Errors
    /// If the kernel or the disk refuses.
    pub fn finish(&mut self, tables: &Tables) -> anyhow::Result<()> {
        self.seen = self.tidy(tables)?;
        self.write()
    }

    /// Forgets clients that were idle for too long. Returns the pins of the others.
    fn tidy(&self, tables: &Tables) -> anyhow::Result<SavedPins> {
        let clocks = Clocks::read();
        let clients = known(&tables.clients()?, &tables.uplink_names()?, clocks, &self.seen);
        let candidates: Vec<Candidate> = clients.iter().map(|known| candidate(known, clocks)).collect();
        let forgotten = to_forget(&candidates, self.release_after_idle, room(tables.client_capacity()));
        for order in &forgotten {
            self.orders.forget(order)?;
        }
        let forgotten: HashSet<ClientKey<Address4>> = forgotten.iter().map(|order| order.client).collect();
        let kept = clients.into_iter().filter(|known| !forgotten.contains(&known.key));
        let pins = kept.filter_map(|known| Some((known.key.address.into(), known.pin?))).collect();
        Ok(SavedPins { pins, ..SavedPins::default() })
    }

    fn write(&mut self) -> anyhow::Result<()> {
        if self.seen.is_like(&self.saved) {
            return Ok(());
        }
        self.written = Some(Instant::now());
        self.seen.store(&self.file).with_context(|| format!("{} cannot be written", self.file.display()))?;
        self.saved.clone_from(&self.seen);
        Ok(())
    }
}

/// An IPv4 client of the map.
struct Known {
    key: ClientKey<Address4>,
    client: Client,
    pin: Option<Pin>,
}

/// The IPv4 clients with their pins. IPv6's are not pinned: they follow their prefix.
fn known(clients: &[(IpAddr, Client)], names: &Slots, clocks: Clocks, saved: &SavedPins) -> Vec<Known> {
    let ipv4 = clients.iter().filter_map(|(address, client)| match address {
        IpAddr::V4(address) => Some((*address, *client)),
        IpAddr::V6(_) => None,
    });
    let known = |(address, client): (Ipv4Addr, Client)| Known {
        key: ClientKey { address: address.into() },
        client,
        pin: pin(&client, names, clocks, saved.pins.get(&address)),
    };
    ipv4.map(known).collect()
}

fn candidate(known: &Known, clocks: Clocks) -> Candidate {
    let idle = |pin: &Pin| Duration::from_secs(pin.idle.map_or(0, |idle| clocks.wall.saturating_sub(idle)));
    Candidate { key: known.key, client: known.client, idle: known.pin.as_ref().map(idle) }
}

/// The clients that the maps are to begin with: those whose uplink the policy still has, and whose pin has not come to its end. One that
/// had sessions when it was last written has been idle since now.
fn restorable(saved: &SavedPins, names: &Slots, release_after: Duration, clocks: Clocks) -> Vec<(Ipv4Addr, Client)> {
    let slot = |pin: &Pin| names.iter().find(|(_, name)| **name == pin.uplink).map(|(slot, _)| *slot);
    let is_over = |pin: &Pin| pin.idle.is_some_and(|idle| clocks.wall.saturating_sub(idle) > release_after.as_secs());
    let client = |slot: u8, pin: &Pin| Client {
        uplink: u32::from(slot),
        since: clocks.datapath,
        pinned: clocks.datapath(pin.since),
        idle: pin.idle.map_or(clocks.datapath, |idle| clocks.datapath(idle)),
        cause: pin.cause.number(),
        ..Client::default()
    };
    let pins = saved.pins.iter().filter(|(_, pin)| !is_over(pin));
    pins.filter_map(|(address, pin)| Some((*address, client(slot(pin)?, pin)))).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::Cause, *};

    const SECOND: u64 = 1_000_000_000;
    const HOURS_12: Duration = Duration::from_secs(12 * 3600);
    /// 100 s after the boot.
    const NOW: Clocks = Clocks { wall: 1_800_000_000, datapath: 100 * SECOND };

    fn names() -> Slots {
        [(3, "isp-a".to_owned()), (5, "isp-b".to_owned())].into()
    }

    fn saved(uplink: &str, idle: Option<u64>) -> SavedPins {
        let pin = Pin {
            uplink: uplink.to_owned(),
            since: NOW.wall - 50_000,
            idle: idle.map(|ago| NOW.wall - ago),
            cause: Cause::Moved,
            from: Some("isp-a".to_owned()),
        };
        SavedPins { pins: [(Ipv4Addr::new(192, 168, 20, 10), pin)].into(), ..SavedPins::default() }
    }

    #[test]
    fn a_pin_comes_back_after_a_boot_as_it_was() {
        let before = saved("isp-b", Some(7200));
        let restored = restorable(&before, &names(), HOURS_12, NOW);
        let [(address, client)] = restored.as_slice() else { panic!("{restored:?}") };
        assert_eq!((client.uplink, client.sessions, client.cause), (5, 0, 1));
        let later = Clocks { wall: NOW.wall + 60, datapath: NOW.datapath + 60 * SECOND };
        let known = known(&[((*address).into(), *client)], &names(), later, &before);
        assert_eq!(known[0].pin.as_ref(), before.pins.get(address), "the file says what the kernel's clock cannot");
        assert_eq!(candidate(&known[0], later).idle, Some(Duration::from_secs(7260)));
    }

    #[test]
    fn a_pin_that_came_to_its_end_or_whose_uplink_is_gone_does_not_come_back() {
        assert_eq!(restorable(&saved("isp-b", Some(12 * 3600 + 1)), &names(), HOURS_12, NOW), []);
        assert_eq!(restorable(&saved("isp-c", Some(1)), &names(), HOURS_12, NOW), []);
    }

    #[test]
    fn a_client_that_had_sessions_is_idle_from_now_on() {
        let restored = restorable(&saved("isp-a", None), &names(), HOURS_12, NOW);
        assert_eq!((restored[0].1.uplink, restored[0].1.idle), (3, NOW.datapath));
    }

    #[test]
    fn clients_of_ipv6_are_not_pinned() {
        let address = IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]);
        assert!(known(&[(address, Client::default())], &names(), NOW, &SavedPins::default()).is_empty());
    }
}
