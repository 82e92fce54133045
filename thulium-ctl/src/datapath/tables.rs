//! The pinned maps of an instance, typed.

use anyhow::Context;
use aya::maps::{Array, HashMap, Map, MapData, PerCpuArray, PerCpuHashMap, lpm_trie::LpmTrie};
use thulium_ebpf::{
    abi::{
        Address4, Address6, Choices, Client, ClientKey, ClientPrefix, Counter, DropKey, FlowEntry, FlowKey, FlowRecord,
        FlowTable, Interface, Name, NameEntry, PortPrefix, RemoteAddress, RemotePrefix, Settings, SlotName, Station,
        Traffic, Uplink, UplinkLosses,
    },
    capacity,
    directory::Numbers,
};

use super::pins::Pins;

/// The maps that user space reads and writes; `thulium_ebpf::maps` says what each holds.
pub struct Tables {
    pub(super) pins: Pins,
    pub(super) flows4: Array<MapData, FlowRecord>,
    pub(super) numbers4: Array<MapData, Numbers>,
    pub(super) flows6: HashMap<MapData, FlowKey<Address6>, FlowEntry<Address6>>,
    pub(super) shares4: HashMap<MapData, ClientKey<Address4>, Client>,
    pub(super) shares6: HashMap<MapData, ClientKey<Address6>, Client>,
    pub(super) uplinks: Array<MapData, Uplink>,
    pub(super) choices: Array<MapData, Choices>,
    pub(super) homes6: LpmTrie<MapData, RemotePrefix<Address6>, u64>,
    pub(super) losses: PerCpuArray<MapData, UplinkLosses>,
    pub(super) lans: Array<MapData, u32>,
    pub(super) traffic: PerCpuArray<MapData, Traffic>,
    pub(super) interfaces: HashMap<MapData, u32, Interface>,
    pub(super) stations: Array<MapData, Station>,
    pub(super) newest: Array<MapData, u32>,
    pub(super) generation: Array<MapData, u32>,
    pub(super) settings: Array<MapData, Settings>,
    pub(super) flow_tables: Array<MapData, FlowTable>,
    pub(super) clients4: LpmTrie<MapData, ClientPrefix<Address4>, u64>,
    pub(super) clients6: LpmTrie<MapData, ClientPrefix<Address6>, u64>,
    pub(super) port_prefixes: LpmTrie<MapData, PortPrefix, u64>,
    pub(super) remotes4: LpmTrie<MapData, RemotePrefix<Address4>, RemoteAddress>,
    pub(super) remotes6: LpmTrie<MapData, RemotePrefix<Address6>, RemoteAddress>,
    pub(super) learned4: HashMap<MapData, Address4, RemoteAddress>,
    pub(super) learned6: HashMap<MapData, Address6, RemoteAddress>,
    pub(super) names: HashMap<MapData, Name, NameEntry>,
    pub(super) resolvers4: HashMap<MapData, Address4, u32>,
    pub(super) resolvers6: HashMap<MapData, Address6, u32>,
    pub(super) slot_names: Array<MapData, SlotName>,
    pub(super) drops: PerCpuHashMap<MapData, DropKey, Counter>,
    /// IPv4 sessions that there is room for: the `capacity` that the tables were made for.
    pub(super) capacity: u32,
    /// Clients that each family has room for.
    pub(super) client_capacity: u32,
}

impl Tables {
    /// Opens the maps of an instance; `None` if it has none.
    ///
    /// # Errors
    /// If they are there but cannot be opened.
    pub fn open(pins: &Pins) -> anyhow::Result<Option<Self>> {
        if !pins.exist()? {
            return Ok(None);
        }
        let pin = |name: &str| {
            let path = pins.map(name);
            MapData::from_pin(&path).with_context(|| format!("cannot open the pinned map {}", path.display()))
        };
        let flows = pin("flows4")?;
        let capacity = capacity::sessions(flows.info().context("flows4")?.max_entries());
        let clients = pin("clients4")?;
        let client_capacity = clients.info().context("clients4")?.max_entries();
        Ok(Some(Self {
            pins: pins.clone(),
            flows4: Map::Array(flows).try_into()?,
            numbers4: Map::Array(pin("numbers4")?).try_into()?,
            flows6: Map::HashMap(pin("flows6")?).try_into()?,
            shares4: Map::HashMap(clients).try_into()?,
            shares6: Map::HashMap(pin("clients6")?).try_into()?,
            uplinks: Map::Array(pin("uplinks")?).try_into()?,
            choices: Map::Array(pin("choices")?).try_into()?,
            homes6: Map::LpmTrie(pin("homes6")?).try_into()?,
            losses: Map::PerCpuArray(pin("uplink_losses")?).try_into()?,
            lans: Map::Array(pin("lans")?).try_into()?,
            traffic: Map::PerCpuArray(pin("traffic")?).try_into()?,
            interfaces: Map::HashMap(pin("interfaces")?).try_into()?,
            stations: Map::Array(pin("stations")?).try_into()?,
            newest: Map::Array(pin("newest")?).try_into()?,
            generation: Map::Array(pin("generation")?).try_into()?,
            settings: Map::Array(pin("settings")?).try_into()?,
            flow_tables: Map::Array(pin("flow_tables")?).try_into()?,
            clients4: Map::LpmTrie(pin("prefixes4")?).try_into()?,
            clients6: Map::LpmTrie(pin("prefixes6")?).try_into()?,
            port_prefixes: Map::LpmTrie(pin("port_prefixes")?).try_into()?,
            remotes4: Map::LpmTrie(pin("remotes4")?).try_into()?,
            remotes6: Map::LpmTrie(pin("remotes6")?).try_into()?,
            learned4: Map::LruHashMap(pin("learned4")?).try_into()?,
            learned6: Map::LruHashMap(pin("learned6")?).try_into()?,
            names: Map::HashMap(pin("names")?).try_into()?,
            resolvers4: Map::HashMap(pin("resolvers4")?).try_into()?,
            resolvers6: Map::HashMap(pin("resolvers6")?).try_into()?,
            slot_names: Map::Array(pin("slot_names")?).try_into()?,
            drops: Map::PerCpuHashMap(pin("drops")?).try_into()?,
            capacity,
            client_capacity,
        }))
    }

    /// Clients that each family has room for.
    pub const fn client_capacity(&self) -> usize {
        self.client_capacity as usize
    }
}

/// `CLOCK_MONOTONIC`, nanoseconds: the clock of the datapath.
pub fn monotonic() -> u64 {
    // The clock is always there.
    let now =
        nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).unwrap_or(nix::sys::time::TimeSpec::new(0, 0));
    now.tv_sec().unsigned_abs() * 1_000_000_000 + now.tv_nsec().unsigned_abs()
}
