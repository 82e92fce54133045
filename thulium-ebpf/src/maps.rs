//! All state of the datapath but the table of IPv4 sessions (`directory/parts.rs`). `docs/architecture.md` tells each map's meaning; sizes that depend on the policy are set by
//! the loader. Truth never evicts: only what are hints are LRUs.

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    btf_maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, PerCpuHashMap, Queue, RingBuf},
    cty::c_void,
    helpers::generated::{bpf_map_peek_elem, bpf_map_pop_elem},
    macros::btf_map,
};

use crate::{
    abi::{
        Address, Address4, Address6, Choices, Client, ClientKey, ClientPrefix, Counter, Datagram, DropKey, Endpoint,
        FLOW_SLOTS, FlowEntry, FlowKey, FlowTable, FragmentKey, GENERATIONS, HOST_SLOTS, Interface, LAN_SLOTS,
        MappingKey, Name, NameEntry, PortKey, PortOwner, PortPrefix, Query, QueryKey, RESTING_PORTS, RemoteAddress,
        RemotePrefix, Reply, RestingPort, STATION_PLACES, Settings, SlotName, Station, SweepItem, TRAFFIC_SLOTS,
        Traffic, UPLINK_SLOTS, Uplink, UplinkLosses,
    },
    answer::reset::Reset,
    dns::Room,
    fast::{HOPS, Hop},
    parse::Packet,
    route::{RoundTrip, TRIPS},
    session::flows::{FlowMap, FlowMap4, FlowMap6},
    tls::{Hellos, Walk},
    verdict::Refusal,
};

const LAZY: usize = BPF_F_NO_PREALLOC as usize;

/// Sessions of IPv6: two directed entries each. Made as they come: many a gateway has no IPv6.
pub type Flows6 = HashMap<FlowKey<Address6>, FlowEntry<Address6>, 524_288, LAZY>;
/// Sessions in the order in which the sweeper looks at them. One may be gone from the sessions: these are hints, the sessions
/// themselves are the truth.
pub type Sweep<A> = Queue<SweepItem<A>, 266_240>;
/// Clients with live sessions.
pub type Clients<A> = HashMap<ClientKey<A>, Client, 65_536, LAZY>;
/// Sessions whose hellos of TLS are awaited, by their LAN-side keys.
pub type Awaited<A> = HashMap<FlowKey<A>, Hellos, 262_144, LAZY>;
/// Fragmented datagrams.
pub type Fragments<A> = LruHashMap<FragmentKey<A>, Datagram, 4096>;
/// (Generation, client prefix) → vector of flows.
pub type ClientPrefixes<A> = LpmTrie<ClientPrefix<A>, u64, 4096>;
/// Remote address or prefix → the hosts that named it.
pub type Remotes<A> = LpmTrie<RemotePrefix<A>, RemoteAddress, 65_536>;

/// Addresses that DNS replies have just taught: remote address → the hosts that it was named for, until when. An LRU, since they
/// are hints: the daemon puts what it learns into [`Remotes`].
pub type Learned<A> = LruHashMap<A, RemoteAddress, 16_384>;

/// Clients' queries for names of the policy whose replies have not come yet.
pub type Queries<A> = LruHashMap<QueryKey<A>, Query, 16_384>;
/// The resolvers whose replies teach → 1.
pub type Resolvers<A> = HashMap<A, u32, 256, LAZY>;

/// Next hops, each at its [`Hop::place`].
pub type Hops<A> = PerCpuArray<Hop<A>, HOPS>;

/// Ways there and back, each at its [`RoundTrip::place`].
pub type Trips<A> = PerCpuArray<RoundTrip<A>, TRIPS>;

/// Takes the next item out of a [`Sweep`] into `item`, if it has been there for `age` nanoseconds at `now`. False if there is none such.
/// The map's own methods need room for two of them on the stack.
#[inline(always)]
pub fn next_to_sweep<A: Tables>(item: &mut SweepItem<A>, age: u64, now: u64) -> bool {
    let map: *mut c_void = core::ptr::from_ref(A::sweep()).cast_mut().cast();
    let room: *mut c_void = (&raw mut *item).cast();
    // SAFETY: a map of the kernel is known by the address of its definition, and the kernel fills the item in. Another CPU may be
    // faster between the two: then this is the next one, and a little early.
    unsafe { bpf_map_peek_elem(map, room) == 0 && item.has_waited(age, now) && bpf_map_pop_elem(map, room) == 0 }
}

/// The [`Scratch`] of programs that packets run.
pub const ROOM_OF_PACKETS: u32 = 0;
/// The [`Scratch`] of programs that user space runs: packets interrupt them before Linux 6.3 (kernel: `bpf_test_run`).
pub const ROOM_OF_ORDERS: u32 = 1;

/// What a packet is worked on with, beside the 512 bytes that a chain of calls has on the stack. Each CPU has its own, and no
/// program of ours interrupts another on the same CPU but one that user space runs, which has a room of its own.
pub struct Scratch<A: Address> {
    /// The packet.
    pub packet: Packet<A>,
    /// The one that it quotes, if it is an ICMP error.
    pub quote: Packet<A>,
    /// The keys of a session that is being opened: of its client's direction, and of the other one.
    pub keys: [FlowKey<A>; 2],
    /// Where the first of them is in the table.
    pub place: u32,
    /// Its entry.
    pub entry: FlowEntry<A>,
    /// The session that the sweeper looks at.
    pub swept: SweepItem<A>,
    /// The hello that is being read. Here, the verifier does not try to follow it through every turn.
    pub walk: Walk,
    /// The hellos of a session that is to be watched.
    pub hellos: Hellos,
    /// What a client is told.
    pub reset: Reset<A>,
}

/// Room for a [`Scratch`]. The kernel wants types that it can describe, and Rust's enums are none.
type ScratchRoom<const WORDS: usize> = PerCpuArray<[u64; WORDS], 2>;

/// The maps whose keys are addresses: each family has its own, so that its keys are no longer than they must be.
pub trait Tables: Address {
    /// The table of sessions.
    type Flows: FlowMap<Self> + 'static;
    /// Sessions.
    fn flows() -> &'static Self::Flows;
    /// What to sweep next.
    fn sweep() -> &'static Sweep<Self>;
    /// Clients.
    fn clients() -> &'static Clients<Self>;
    /// Hellos that are awaited.
    fn hellos() -> &'static Awaited<Self>;
    /// Fragmented datagrams.
    fn fragments() -> &'static Fragments<Self>;
    /// Who is governed.
    fn client_prefixes() -> &'static ClientPrefixes<Self>;
    /// Hosts by address.
    fn remotes() -> &'static Remotes<Self>;
    /// Hosts by address, as DNS replies have just taught.
    fn learned() -> &'static Learned<Self>;
    /// Queries whose replies are awaited.
    fn queries() -> &'static Queries<Self>;
    /// Resolvers whose replies teach.
    fn resolvers() -> &'static Resolvers<Self>;
    /// Next hops.
    fn hops() -> &'static Hops<Self>;
    /// Ways there and back.
    fn trips() -> &'static Trips<Self>;
    /// This CPU's scratch for packets; never null, but the verifier has to see it checked.
    #[inline(always)]
    fn scratch() -> *mut Scratch<Self> {
        Self::scratch_in(ROOM_OF_PACKETS)
    }
    /// This CPU's scratch of a room.
    fn scratch_in(room: u32) -> *mut Scratch<Self>;
}

/// The maps of a family.
macro_rules! tables {
    (
        $module:ident, $address:ty, $flows:ident, $sweep:literal, $clients:literal, $hellos:literal, $fragments:literal,
        $client_prefixes:literal, $remotes:literal, $learned:literal, $queries:literal,
        $resolvers:literal, $hops:literal, $trips:literal, $scratch:literal
    ) => {
        mod $module {
            use super::*;

            #[btf_map(name = $sweep)]
            static SWEEP: Sweep<$address> = Queue::new();
            #[btf_map(name = $clients)]
            static CLIENTS: Clients<$address> = HashMap::new();
            #[btf_map(name = $hellos)]
            static HELLOS: Awaited<$address> = HashMap::new();
            #[btf_map(name = $fragments)]
            static FRAGMENTS: Fragments<$address> = LruHashMap::new();
            #[btf_map(name = $client_prefixes)]
            static CLIENT_PREFIXES: ClientPrefixes<$address> = LpmTrie::new();
            #[btf_map(name = $remotes)]
            static REMOTES: Remotes<$address> = LpmTrie::new();
            #[btf_map(name = $learned)]
            static LEARNED: Learned<$address> = LruHashMap::new();
            #[btf_map(name = $queries)]
            static QUERIES: Queries<$address> = LruHashMap::new();
            #[btf_map(name = $resolvers)]
            static RESOLVERS: Resolvers<$address> = HashMap::new();
            #[btf_map(name = $hops)]
            static NEXT_HOPS: Hops<$address> = PerCpuArray::new();
            #[btf_map(name = $trips)]
            static ROUND_TRIPS: Trips<$address> = PerCpuArray::new();
            #[btf_map(name = $scratch)]
            static SCRATCH: ScratchRoom<{ size_of::<Scratch<$address>>().div_ceil(8) }> = PerCpuArray::new();

            impl Tables for $address {
                type Flows = $flows;

                #[inline(always)]
                fn flows() -> &'static $flows {
                    &$flows
                }

                #[inline(always)]
                fn sweep() -> &'static Sweep<Self> {
                    &SWEEP
                }

                #[inline(always)]
                fn clients() -> &'static Clients<Self> {
                    &CLIENTS
                }

                #[inline(always)]
                fn hellos() -> &'static Awaited<Self> {
                    &HELLOS
                }

                #[inline(always)]
                fn fragments() -> &'static Fragments<Self> {
                    &FRAGMENTS
                }

                #[inline(always)]
                fn client_prefixes() -> &'static ClientPrefixes<Self> {
                    &CLIENT_PREFIXES
                }

                #[inline(always)]
                fn remotes() -> &'static Remotes<Self> {
                    &REMOTES
                }

                #[inline(always)]
                fn learned() -> &'static Learned<Self> {
                    &LEARNED
                }

                #[inline(always)]
                fn queries() -> &'static Queries<Self> {
                    &QUERIES
                }

                #[inline(always)]
                fn resolvers() -> &'static Resolvers<Self> {
                    &RESOLVERS
                }

                #[inline(always)]
                fn hops() -> &'static Hops<Self> {
                    &NEXT_HOPS
                }

                #[inline(always)]
                fn trips() -> &'static Trips<Self> {
                    &ROUND_TRIPS
                }

                #[inline(always)]
                fn scratch_in(room: u32) -> *mut Scratch<Self> {
                    SCRATCH.get_ptr_mut(room).map_or(core::ptr::null_mut(), |room| room.cast())
                }
            }
        }
    };
}

tables!(
    ipv4,
    Address4,
    FlowMap4,
    "sweep4",
    "clients4",
    "hellos4",
    "fragments4",
    "prefixes4",
    "remotes4",
    "learned4",
    "queries4",
    "resolvers4",
    "hops4",
    "trips4",
    "scratch4"
);
tables!(
    ipv6,
    Address6,
    FlowMap6,
    "sweep6",
    "clients6",
    "hellos6",
    "fragments6",
    "prefixes6",
    "remotes6",
    "learned6",
    "queries6",
    "resolvers6",
    "hops6",
    "trips6",
    "scratch6"
);

/// Sessions of IPv6, both directions.
#[btf_map(name = "flows6")]
pub static FLOWS6: Flows6 = HashMap::new();

/// Client endpoint on an uplink → external endpoint, where it has another port outside than its own. Only IPv4 is translated.
#[btf_map(name = "mappings4")]
pub static MAPPINGS: HashMap<MappingKey<Address4>, Endpoint<Address4>, 262_144, LAZY> = HashMap::new();

/// Ports that rest, in the order in which they were freed. Hints: the truth is [`PORTS`].
#[btf_map(name = "resting4")]
pub static RESTING: Queue<RestingPort, RESTING_PORTS> = Queue::new();

/// External endpoint → the client endpoint that owns it, or owned it until it began to rest.
#[btf_map(name = "ports4")]
pub static PORTS: HashMap<PortKey<Address4>, PortOwner<Address4>, 262_144> = HashMap::new();

/// Replies that the kernel's own NAT awaits at our external address, where a mapping may have the same port. As they arrive at
/// the uplink → `CLOCK_MONOTONIC` of the last packet that asked for them, nanoseconds.
#[btf_map(name = "foreign4")]
pub static FOREIGN: LruHashMap<FlowKey<Address4>, u64, 65_536> = LruHashMap::new();

/// Uplinks by slot.
#[btf_map(name = "uplinks")]
pub static UPLINKS: Array<Uplink, UPLINK_SLOTS> = Array::new();

/// Which uplink a new client takes.
#[btf_map(name = "choices")]
pub static CHOICES: Array<Choices, 1> = Array::new();

/// IPv6 source prefix → slot of the uplink that it belongs to.
#[btf_map(name = "homes6")]
pub static HOMES: LpmTrie<RemotePrefix<Address6>, u64, 256> = LpmTrie::new();

/// What was lost with each uplink, by slot.
#[btf_map(name = "uplink_losses")]
pub static UPLINK_LOSSES: PerCpuArray<UplinkLosses, UPLINK_SLOTS> = PerCpuArray::new();

/// Index of each LAN interface, by slot; 0: it is gone. Slots belong to names, so that the sessions of an interface that is made anew
/// go on.
#[btf_map(name = "lans")]
pub static LANS: Array<u32, LAN_SLOTS> = Array::new();

/// What sessions have carried between each LAN interface and each uplink: [`Traffic::place`].
#[btf_map(name = "traffic")]
pub static TRAFFIC: PerCpuArray<Traffic, TRAFFIC_SLOTS> = PerCpuArray::new();

/// The policy's names, wildcards among them → what a DNS reply about them teaches.
#[btf_map(name = "names")]
pub static NAMES: HashMap<Name, NameEntry, 4096> = HashMap::new();

/// Where a DNS message is read: filled anew by each program that reads one.
#[btf_map(name = "dns")]
pub static DNS: PerCpuArray<[u64; size_of::<Room>().div_ceil(8)], 1> = PerCpuArray::new();

/// Replies about names of the policy, for the daemon. Without a reader it fills up, and no more come in; what they taught is in
/// [`Learned`].
#[btf_map(name = "replies")]
pub static REPLIES: RingBuf<Reply, 262_144> = RingBuf::new();

/// Interfaces of the policy by index.
#[btf_map(name = "interfaces")]
pub static INTERFACES: HashMap<u32, Interface, 256> = HashMap::new();

/// Interfaces that XDP may forward between, each at its [`Station::place`].
#[btf_map(name = "stations")]
pub static STATIONS: Array<Station, STATION_PLACES> = Array::new();

/// Index of the newest interface that was there when the daemon last attached the programs: one with a higher index may be an uplink that
/// was made anew, on which no program stands yet.
#[btf_map(name = "newest")]
pub static NEWEST: Array<u32, 1> = Array::new();

/// The generation in force. Flipping this word publishes a policy.
#[btf_map(name = "generation")]
pub static GENERATION: Array<u32, 1> = Array::new();

/// Generation % GENERATIONS → its settings.
#[btf_map(name = "settings")]
pub static SETTINGS: Array<Settings, { GENERATIONS as usize }> = Array::new();

/// Generation % GENERATIONS → its flows.
#[btf_map(name = "flow_tables")]
pub static FLOW_TABLES: Array<FlowTable, { GENERATIONS as usize }> = Array::new();

/// (Generation, protocol, remote port) → vector of flows.
#[btf_map(name = "port_prefixes")]
pub static PORT_PREFIXES: LpmTrie<PortPrefix, u64, 16_384> = LpmTrie::new();

/// `CLOCK_MONOTONIC` up to which a CPU's bucket of answers has been spent, nanoseconds (see [`crate::answer::limit`]).
#[btf_map(name = "answers")]
pub static ANSWERS: PerCpuArray<u64, 1> = PerCpuArray::new();

/// Where a refusal goes through on its way to the counters: what follows is the same for the verifier then, whatever the reason is.
#[btf_map(name = "refusal")]
pub static REFUSAL: PerCpuArray<Refusal, 1> = PerCpuArray::new();

/// Where a message is put whose checksum is verified.
#[btf_map(name = "summed")]
pub static SUMMED: PerCpuArray<[u32; 128], 1> = PerCpuArray::new();

/// Names by slot, of flows, then hosts, then uplinks, then LAN interfaces, so that the datapath explains itself without the daemon.
#[btf_map(name = "slot_names")]
pub static SLOT_NAMES: Array<SlotName, { FLOW_SLOTS + HOST_SLOTS + UPLINK_SLOTS + LAN_SLOTS }> = Array::new();

/// Counters of refused packets.
#[btf_map(name = "drops")]
pub static DROPS: PerCpuHashMap<DropKey, Counter, 16_384> = PerCpuHashMap::new();
