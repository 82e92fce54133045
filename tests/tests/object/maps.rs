//! The gateway's maps: the policy that tests start with, and what they look at or change.

use aya::{
    Pod,
    maps::{
        Array, HashMap, MapData, Queue,
        lpm_trie::{Key, LpmTrie},
    },
};
use nix::time::{ClockId, clock_gettime};
use thulium_ebpf::abi::{
    Address4, Address6, Client, ClientKey, ClientPrefix, Datagram, Endpoint, FLOW_SLOTS, FlowEntry, FlowKey, FlowTable,
    FragmentKey, GENERATIONS, HOST_SLOTS, Interface, MappingKey, Port, PortKey, PortOwner, PortPrefix, RemoteAddress,
    RemotePrefix, Role, Settings, Side, SweepItem, Uplink, UplinkState, nanoseconds, ticks,
};

use thulium_ebpf::tls::Hellos;

use crate::{
    gateway::Gateway,
    traffic::{SERVER, STUN_SERVER, UPLINK},
};

/// Slots of the policy's flows. None is the flow's position, so that one is never taken for the other.
pub(crate) const WEB: u8 = 20;
pub(crate) const SIP: u8 = 11;
pub(crate) const MEDIA: u8 = 32;
pub(crate) const STUN: u8 = 3;

/// Slots of its hosts.
pub(crate) const SERVER_HOST: u8 = 7;
pub(crate) const STUN_HOST: u8 = 2;

/// Lifetimes in these tests, in seconds. They are short, so that a machine that has just been started is old enough.
pub(crate) const UDP_IDLE: u64 = 60;
pub(crate) const TCP_IDLE: u64 = 300;

/// Seconds that nobody waits for in vain: so much later than its lifetime a session is gone for certain. The programs note a session's
/// last packet to about a second.
pub(crate) const GRACE: u64 = 2;

const SECOND: u64 = 1_000_000_000;

/// A flow of the test policy: its slot, its host's slot, protocol, and ports as a prefix.
pub(crate) type Flow = (u8, u8, u8, u16, u32);

/// The flows in the order of the policy: web, SIP, media on 16000 to 16007, STUN.
pub(crate) const FLOWS: [Flow; 4] = [
    (WEB, SERVER_HOST, 6, 443, 16),
    (SIP, SERVER_HOST, 17, 15060, 16),
    (MEDIA, SERVER_HOST, 17, 16000, 13),
    (STUN, STUN_HOST, 17, 19302, 16),
];

impl Gateway {
    pub(crate) fn hash<K: Pod, V: Pod>(&mut self, name: &str) -> HashMap<&mut MapData, K, V> {
        self.object().map_mut(name).unwrap().try_into().unwrap()
    }

    pub(crate) fn array<V: Pod>(&mut self, name: &str) -> Array<&mut MapData, V> {
        self.object().map_mut(name).unwrap().try_into().unwrap()
    }

    fn trie<K: Pod, V: Pod>(&mut self, name: &str) -> LpmTrie<&mut MapData, K, V> {
        self.object().map_mut(name).unwrap().try_into().unwrap()
    }

    /// Fills in interfaces, uplink, names and the first generation.
    pub(crate) fn fill(&mut self) {
        let (lan, wan) = (self.lan, self.wan);
        for (index, role) in [(lan, Role::Lan), (wan, Role::Uplink)] {
            self.hash("interfaces")
                .insert(index, Interface { role: role as u32, slot: 0, link_header: 14, name: [0; 16] }, 0)
                .unwrap();
        }
        self.array("lans").set(0, lan, 0).unwrap();
        self.set_uplink(UPLINK.into(), 1);
        self.set_home(Address6::default(), 0, 0);
        self.set_remote(SERVER.into(), 1 << SERVER_HOST, u64::MAX);
        self.set_remote(STUN_SERVER.into(), 1 << STUN_HOST, u64::MAX);
        self.publish(1, &FLOWS);
    }

    /// Puts a generation of the policy with these flows in force.
    pub(crate) fn publish(&mut self, generation: u32, flows: &[Flow]) {
        let mut table = FlowTable { hosts: [0; HOST_SLOTS], slots: [0; FLOW_SLOTS], tls_min: [0; FLOW_SLOTS] };
        for (position, (slot, host, protocol, port, length)) in flows.iter().enumerate() {
            table.slots[position] = *slot;
            table.hosts[usize::from(*host)] |= 1 << position;
            let vector = covering(flows, (*protocol, *port, *length));
            let port = PortPrefix { generation, protocol: *protocol, port: port.to_be_bytes(), pad: 0 };
            self.trie("port_prefixes").insert(&Key::new(40 + length, port), vector, 0).unwrap();
        }
        // Half of the LAN: 192.168.20.0 to .127.
        let clients = ClientPrefix::new(generation, Address4::new([192, 168, 20, 0]));
        self.trie("prefixes4").insert(&Key::new(32 + 25, clients), u64::MAX >> (64 - flows.len()), 0).unwrap();
        let settings = Settings {
            udp_idle: UDP_IDLE * SECOND,
            tcp_idle: TCP_IDLE * SECOND,
            per_client: 1000,
            ports_per_client: 1000,
            release_after_idle: 12 * 3600 * SECOND,
            session_cost: SECOND / 200,
            first_port: 40000,
            last_port: 65535,
            first_ephemeral: 32768,
            last_ephemeral: 39999,
            ..Settings::default()
        };
        self.array("flow_tables").set(generation % GENERATIONS, table, 0).unwrap();
        self.array("settings").set(generation % GENERATIONS, settings, 0).unwrap();
        self.array("generation").set(0, generation, 0).unwrap();
    }

    /// Changes settings of the generation in force.
    pub(crate) fn set(&mut self, change: impl FnOnce(&mut Settings)) {
        let generation: u32 = self.array("generation").get(&0, 0).unwrap();
        let mut map = self.array("settings");
        let mut settings = map.get(&(generation % GENERATIONS), 0).unwrap();
        change(&mut settings);
        map.set(generation % GENERATIONS, settings, 0).unwrap();
    }

    /// Gives a flow of the generation in force a lowest TLS version, by the minor version that hellos write.
    pub(crate) fn set_floor(&mut self, flow: u8, minor: u8) {
        let generation: u32 = self.array("generation").get(&0, 0).unwrap();
        let mut map = self.array("flow_tables");
        let mut table: FlowTable = map.get(&(generation % GENERATIONS), 0).unwrap();
        table.tls_min[usize::from(flow)] = minor;
        map.set(generation % GENERATIONS, table, 0).unwrap();
    }

    /// How many sessions are watched for their hellos: entries there are, and directions that say so.
    pub(crate) fn watched(&mut self) -> (usize, usize) {
        let hellos = self.hash::<FlowKey<Address4>, Hellos>("hellos4").keys().count();
        (hellos, self.flows().iter().filter(|(_, entry)| entry.watched == 1).count())
    }

    /// Gives the uplink another address, or none.
    pub(crate) fn set_uplink(&mut self, address: Address4, epoch: u32) {
        let interface = self.wan;
        self.array("uplinks").set(0, uplink(interface, epoch, address), 0).unwrap();
    }

    /// The IPv6 prefix of this length belongs to the uplink of `slot`.
    pub(crate) fn set_home(&mut self, prefix: Address6, length: u32, slot: u64) {
        let key = Key::new(32 + length, RemotePrefix::new(prefix));
        self.trie("homes6").insert(&key, slot, 0).unwrap();
    }

    /// The uplink's interface goes away, and none is known in its place.
    pub(crate) fn lose_uplink(&mut self) {
        let index = self.wan;
        self.hash::<u32, Interface>("interfaces").remove(&index).unwrap();
        let address = Address4::from(UPLINK);
        self.array("uplinks").set(0, uplink(99_999, 1, address), 0).unwrap();
    }

    /// Items in the sweeper's queue; they are gone then.
    pub(crate) fn queued(&mut self) -> usize {
        let mut queue: Queue<_, SweepItem<Address4>> = self.object().map_mut("sweep4").unwrap().try_into().unwrap();
        std::iter::from_fn(|| queue.pop(0).ok()).count()
    }

    /// Says which hosts (a bit each) name a remote address, and until when (`CLOCK_MONOTONIC`, nanoseconds).
    pub(crate) fn set_remote(&mut self, address: Address4, hosts: u64, until: u64) {
        let key = Key::new(64, RemotePrefix::new(address));
        self.trie("remotes4").insert(&key, RemoteAddress { hosts, until }, 0).unwrap();
    }

    /// Forgets a remote address, as when DNS names it no more.
    pub(crate) fn forget_remote(&mut self, address: Address4) {
        let key = Key::new(64, RemotePrefix::new(address));
        self.trie::<_, RemoteAddress>("remotes4").remove(&key).unwrap();
    }

    /// Lets time pass for one direction of every session: its last packet came that many seconds ago.
    pub(crate) fn age(&mut self, side: Side, seconds: u64) {
        let last_seen = ticks_ago(seconds);
        for (key, mut entry) in self.flows_of(side) {
            entry.last_seen = last_seen;
            self.set_flow(key, entry);
        }
    }

    /// Lets time pass for both directions of every session of a client.
    pub(crate) fn age_client(&mut self, client: Address4, seconds: u64) {
        let last_seen = ticks_ago(seconds);
        for (key, mut entry) in self.flows() {
            let of = if key.side == Side::Lan as u8 { key.source } else { entry.rewrite.address };
            if of == client {
                entry.last_seen = last_seen;
                self.set_flow(key, entry);
            }
        }
        self.age_queue(nanoseconds(last_seen));
    }

    /// Lets time pass for what waits for the sweeper, which was put into its queue then.
    fn age_queue(&mut self, queued: u64) {
        let mut queue: Queue<_, SweepItem<Address4>> = self.object().map_mut("sweep4").unwrap().try_into().unwrap();
        let items: Vec<_> = std::iter::from_fn(|| queue.pop(0).ok()).collect();
        for item in items {
            queue.push(SweepItem::new(&item.key(), u64::from(item.opened), queued), 0).unwrap();
        }
    }

    /// Governs the clients of an IPv6 network of 64 bits, to whom `server` is the host that it is by IPv4.
    pub(crate) fn govern_ipv6(&mut self, network: Address6, server: Address6) {
        self.set(|settings| settings.governs_ipv6 = 1);
        let generation: u32 = self.array("generation").get(&0, 0).unwrap();
        let clients = ClientPrefix::new(generation, network);
        // Of every flow that there is.
        self.trie("prefixes6").insert(&Key::new(32 + 64, clients), u64::MAX, 0).unwrap();
        let remote = RemoteAddress { hosts: 1 << SERVER_HOST, until: u64::MAX };
        self.trie("remotes6").insert(&Key::new(32 + 128, RemotePrefix::new(server)), remote, 0).unwrap();
    }

    /// What is known of fragmented IPv4 datagrams.
    pub(crate) fn datagrams(&mut self) -> Vec<(FragmentKey<Address4>, Datagram)> {
        self.hash("fragments4").iter().map(Result::unwrap).collect()
    }

    /// Lets time pass for them: their first fragments came that many seconds ago.
    pub(crate) fn age_datagrams(&mut self, seconds: u64) {
        let seen = now().checked_sub(seconds * SECOND).expect("the machine was started too short a time ago");
        for (key, mut datagram) in self.datagrams() {
            datagram.seen = seen;
            self.hash("fragments4").insert(key, datagram, 0).unwrap();
        }
    }

    /// How many sessions hold this UDP port of the uplink; 0 if it rests, none if it is free.
    pub(crate) fn holders(&mut self, port: u16) -> Option<u64> {
        let key = PortKey { address: Address4::from(UPLINK), port: Port::new(port), protocol: 17, pad: 0 };
        let owner: Option<PortOwner<Address4>> = self.hash("ports4").get(&key, 0).ok();
        owner.map(|owner| owner.sessions)
    }

    /// How many sessions a client has; none if it has none.
    pub(crate) fn sessions_of(&mut self, client: Address4) -> Option<u64> {
        self.client(client).map(|client| client.sessions).filter(|sessions| *sessions > 0)
    }

    /// What is known of a client.
    pub(crate) fn client(&mut self, client: Address4) -> Option<Client> {
        self.hash("clients4").get(&ClientKey { address: client }, 0).ok()
    }

    /// All clients, those included of whom only ports rest.
    pub(crate) fn clients(&mut self) -> Vec<(ClientKey<Address4>, Client)> {
        self.hash("clients4").iter().map(Result::unwrap).collect()
    }

    /// The owners of all ports, those that rest included.
    pub(crate) fn owners(&mut self) -> Vec<(PortKey<Address4>, PortOwner<Address4>)> {
        self.hash("ports4").iter().map(Result::unwrap).collect()
    }

    /// Entries of the session table, the mappings, the ports that are in use and the clients that have sessions.
    pub(crate) fn sizes(&mut self) -> [usize; 4] {
        let used: Vec<_> = self.owners().into_iter().filter(|(_, owner)| owner.sessions > 0).collect();
        // A port of its own needs no entry among the mappings.
        let own = used.iter().filter(|(key, owner)| key.port == owner.client.port).count();
        [
            self.flows().len(),
            own + self.hash::<MappingKey<Address4>, Endpoint<Address4>>("mappings4").keys().count(),
            used.len(),
            self.clients().iter().filter(|(_, client)| client.sessions > 0).count(),
        ]
    }

    /// All directions of all IPv6 sessions.
    pub(crate) fn flows6(&mut self) -> Vec<(FlowKey<Address6>, FlowEntry<Address6>)> {
        self.hash("flows6").iter().map(Result::unwrap).collect()
    }

    /// How many clients have IPv6 sessions.
    pub(crate) fn clients6(&mut self) -> usize {
        self.hash::<ClientKey<Address6>, Client>("clients6").keys().count()
    }

    /// Lets time pass for one direction of every IPv6 session.
    pub(crate) fn age6(&mut self, side: Side, seconds: u64) {
        let last_seen = ticks_ago(seconds);
        for (key, mut entry) in self.flows6().into_iter().filter(|(key, _)| key.side == side as u8) {
            entry.last_seen = last_seen;
            self.hash("flows6").insert(key, entry, 0).unwrap();
        }
    }

    /// Forgets all traffic.
    pub(crate) fn forget_traffic(&mut self) {
        self.forget(Side::Lan);
        self.forget(Side::Uplink);
        let mut queue: Queue<_, SweepItem<Address4>> = self.object().map_mut("sweep4").unwrap().try_into().unwrap();
        while queue.pop(0).is_ok() {}
        self.clear::<MappingKey<Address4>, Endpoint<Address4>>("mappings4");
        self.clear::<PortKey<Address4>, PortOwner<Address4>>("ports4");
        self.clear::<ClientKey<Address4>, Client>("clients4");
        self.clear::<FragmentKey<Address4>, Datagram>("fragments4");
        self.clear::<FlowKey<Address4>, Hellos>("hellos4");
    }

    fn clear<K: Pod, V: Pod>(&mut self, name: &str) {
        let mut map = self.hash::<K, V>(name);
        let keys: Vec<K> = map.keys().map(Result::unwrap).collect();
        for key in keys {
            map.remove(&key).unwrap();
        }
    }
}

/// The flows, a bit each, whose ports include this prefix: the kernel finds the longest prefix alone.
fn covering(flows: &[Flow], (protocol, port, length): (u8, u16, u32)) -> u64 {
    let covers = |flow: &Flow| flow.2 == protocol && flow.4 <= length && (flow.3 ^ port) >> (16 - flow.4) == 0;
    flows.iter().enumerate().filter(|(_, flow)| covers(flow)).fold(0, |vector, (position, _)| vector | 1 << position)
}

/// `CLOCK_MONOTONIC`, nanoseconds: the clock of the datapath.
pub(crate) fn now() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap();
    now.tv_sec().unsigned_abs() * SECOND + now.tv_nsec().unsigned_abs()
}

/// An uplink that is up and translates to `address`.
fn uplink(interface: u32, epoch: u32, address: Address4) -> Uplink {
    Uplink { interface, epoch, address, translates: 1, state: UplinkState::Up as u32, ..Uplink::default() }
}

/// The moment that many seconds ago, by the clock of sessions.
fn ticks_ago(seconds: u64) -> u32 {
    ticks(now().checked_sub(seconds * SECOND).expect("the machine was started too short a time ago"))
}
