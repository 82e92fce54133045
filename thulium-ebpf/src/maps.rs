//! All state of the datapath. `docs/architecture.md` tells each map's meaning; sizes that depend on the policy are set by
//! the loader. Truth never evicts: only `FRAGMENTS` and `FOREIGN`, which
//! are hints, are LRUs.

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    btf_maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuHashMap, Queue},
    macros::btf_map,
};

use crate::abi::{
    Address4, Client, ClientKey, ClientPrefix, Counter, DropKey, Endpoint, FlowEntry, FlowKey, FlowTable, FragmentKey,
    FragmentPorts, GENERATIONS, Interface, MappingKey, PortKey, PortOwner, PortPrefix, RemoteAddress, RemotePrefix,
    Settings, SlotName, UPLINK_SLOTS, Uplink,
};

const LAZY: usize = BPF_F_NO_PREALLOC as usize;

/// Sessions: two directed entries each.
#[btf_map(name = "flows4")]
pub static FLOWS: HashMap<FlowKey<Address4>, FlowEntry<Address4>, 524_288, LAZY> = HashMap::new();

/// LAN-side keys of sessions in the order in which the sweeper looks at them. A key may stand here twice or be gone from
/// `FLOWS`: these are hints, the sessions themselves are the truth.
#[btf_map(name = "sweep4")]
pub static SWEEP: Queue<FlowKey<Address4>, 266_240> = Queue::new();

/// Client endpoint on an uplink → external endpoint.
#[btf_map(name = "mappings4")]
pub static MAPPINGS: HashMap<MappingKey<Address4>, Endpoint<Address4>, 262_144, LAZY> = HashMap::new();

/// External endpoint → the client endpoint that owns it.
#[btf_map(name = "ports4")]
pub static PORTS: HashMap<PortKey<Address4>, PortOwner<Address4>, 262_144, LAZY> = HashMap::new();

/// Clients with live sessions.
#[btf_map(name = "clients4")]
pub static CLIENTS: HashMap<ClientKey<Address4>, Client, 65_536, LAZY> = HashMap::new();

/// Ports of fragmented datagrams.
#[btf_map(name = "fragments4")]
pub static FRAGMENTS: LruHashMap<FragmentKey<Address4>, FragmentPorts, 4096> = LruHashMap::new();

/// Replies that the kernel's own NAT awaits at our external address, where a mapping may have the same port. As they arrive at
/// the uplink → `CLOCK_MONOTONIC` of the last packet that asked for them, nanoseconds.
#[btf_map(name = "foreign4")]
pub static FOREIGN: LruHashMap<FlowKey<Address4>, u64, 65_536> = LruHashMap::new();

/// Uplinks by slot.
#[btf_map(name = "uplinks4")]
pub static UPLINKS: Array<Uplink<Address4>, UPLINK_SLOTS> = Array::new();

/// Interfaces of the policy by index.
#[btf_map(name = "interfaces")]
pub static INTERFACES: HashMap<u32, Interface, 256> = HashMap::new();

/// The generation in force. Flipping this word publishes a policy.
#[btf_map(name = "generation")]
pub static GENERATION: Array<u32, 1> = Array::new();

/// Generation % GENERATIONS → its settings.
#[btf_map(name = "settings")]
pub static SETTINGS: Array<Settings, { GENERATIONS as usize }> = Array::new();

/// Generation % GENERATIONS → its flows.
#[btf_map(name = "flow_tables")]
pub static FLOW_TABLES: Array<FlowTable, { GENERATIONS as usize }> = Array::new();

/// (Generation, client prefix) → vector of flows.
#[btf_map(name = "client_prefixes")]
pub static CLIENT_PREFIXES: LpmTrie<ClientPrefix<Address4>, u64, 4096> = LpmTrie::new();

/// (Generation, protocol, remote port) → vector of flows.
#[btf_map(name = "port_prefixes")]
pub static PORT_PREFIXES: LpmTrie<PortPrefix, u64, 16_384> = LpmTrie::new();

/// Remote address or prefix → the hosts that named it.
#[btf_map(name = "remotes4")]
pub static REMOTES: LpmTrie<RemotePrefix<Address4>, RemoteAddress, 65_536> = LpmTrie::new();

/// Names of flows (first half) and hosts (second half) by slot, so that the datapath explains itself without the daemon.
#[btf_map(name = "slot_names")]
pub static SLOT_NAMES: Array<SlotName, 128> = Array::new();

/// Counters of refused packets.
#[btf_map(name = "drops")]
pub static DROPS: PerCpuHashMap<DropKey, Counter, 16_384> = PerCpuHashMap::new();
