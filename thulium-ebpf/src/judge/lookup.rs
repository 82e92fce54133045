//! The vectors, looked up in the maps of a generation.

use aya_ebpf::btf_maps::lpm_trie::Key;

use super::{first, flows_to};
use crate::{
    abi::{ClientPrefix, GENERATIONS, NO_SLOT, Port, PortPrefix, Reason, RemoteAddress, RemotePrefix},
    maps::{FLOW_TABLES, PORT_PREFIXES, Tables},
    moment::Moment,
    parse::Packet,
    verdict::Refusal,
};

/// Why a packet is admitted.
#[derive(Clone, Copy, Debug)]
pub struct Admission {
    /// The hosts that named its remote address, a bit each.
    pub hosts: u64,
    /// Slot of the flow that names it.
    pub flow: u8,
}

/// The flow that a client's packet to the world belongs to.
#[inline(never)]
pub fn admit<A: Tables>(moment: &Moment, packet: &Packet<A>) -> Result<Admission, Refusal> {
    let flows = client_flows(moment, &packet.source);
    if flows == 0 {
        return Err(Reason::NoFlow.into());
    }
    let hosts = hosts_of(moment, &packet.destination);
    match choose(moment, flows, hosts, packet.protocol, packet.destination_port) {
        Some(flow) => Ok(Admission { hosts, flow }),
        None => Err(unmatched(moment, packet, flows)),
    }
}

/// Why no flow of `client`, a vector, names a packet: an admin tells trouble with names by it. Address and port can be those of two
/// different flows; then it is nobody's.
#[inline(never)]
fn unmatched<A: Tables>(moment: &Moment, packet: &Packet<A>, client: u64) -> Refusal {
    let flows = client & port_flows(moment, packet.protocol, packet.destination_port);
    if flows == 0 || hosts_of(moment, &packet.destination) != 0 {
        return Reason::NoFlow.into();
    }
    let flow = FLOW_TABLES.get(moment.generation % GENERATIONS).and_then(|table| first(flows, table));
    let reason = if was_named(&packet.destination) { Reason::AddressExpired } else { Reason::AddressUnknown };
    Refusal::of_flow(reason, flow.unwrap_or(NO_SLOT))
}

/// The flow that a packet would belong to if a client had sent it: for packets whose source says no more who sent them.
#[inline(never)]
pub fn admit_any_client<A: Tables>(moment: &Moment, packet: &Packet<A>) -> Result<u8, Refusal> {
    let hosts = hosts_of(moment, &packet.destination);
    match choose(moment, u64::MAX, hosts, packet.protocol, packet.destination_port) {
        Some(flow) => Ok(flow),
        None => Err(unmatched(moment, packet, u64::MAX)),
    }
}

/// The flow by which the present generation admits a session that was opened for `hosts`. The remote's address is not
/// looked up again: a session never depends on a name once it is admitted.
#[inline(always)]
pub fn readmit<A: Tables>(moment: &Moment, client: &A, hosts: u64, protocol: u8, remote_port: Port) -> Option<u8> {
    choose(moment, client_flows(moment, client), hosts, protocol, remote_port)
}

/// True if the policy governs this client.
#[inline(never)]
pub fn is_client<A: Tables>(moment: &Moment, address: &A) -> bool {
    client_flows(moment, address) != 0
}

#[inline(always)]
fn choose(moment: &Moment, client: u64, hosts: u64, protocol: u8, remote_port: Port) -> Option<u8> {
    let table = FLOW_TABLES.get(moment.generation % GENERATIONS)?;
    let flows = client & port_flows(moment, protocol, remote_port);
    if flows == 0 {
        return None;
    }
    first(flows & flows_to(hosts, table), table)
}

#[inline(always)]
fn client_flows<A: Tables>(moment: &Moment, address: &A) -> u64 {
    let key = Key::new(32 + A::BITS, ClientPrefix::new(moment.generation, *address));
    A::client_prefixes().get(&key).copied().unwrap_or(0)
}

#[inline(always)]
fn port_flows(moment: &Moment, protocol: u8, port: Port) -> u64 {
    let port = port.number().to_be_bytes();
    let key = Key::new(56, PortPrefix { generation: moment.generation, protocol, port, pad: 0 });
    PORT_PREFIXES.get(&key).copied().unwrap_or(0)
}

/// The hosts that name an address at present.
#[inline(always)]
fn hosts_of<A: Tables>(moment: &Moment, address: &A) -> u64 {
    named(A::remotes().get(&Key::new(32 + A::BITS, RemotePrefix::new(*address))), moment)
        | named(learned(address), moment)
}

#[inline(always)]
fn learned<A: Tables>(address: &A) -> Option<&'static RemoteAddress> {
    // SAFETY: values of a hash map stay readable until the program ends; this one is two words.
    A::learned().get_ptr(address).map(|remote| unsafe { &*remote })
}

#[inline(always)]
fn named(remote: Option<&RemoteAddress>, moment: &Moment) -> u64 {
    match remote {
        Some(remote) if remote.until > moment.now => remote.hosts,
        _ => 0,
    }
}

/// True if a host named it once; it does not any more.
#[inline(always)]
fn was_named<A: Tables>(address: &A) -> bool {
    A::remotes().get(&Key::new(32 + A::BITS, RemotePrefix::new(*address))).is_some() || learned(address).is_some()
}
