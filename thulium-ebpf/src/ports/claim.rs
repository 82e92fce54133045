//! Claiming, holding and giving back external ports.

use aya_ebpf::{
    bindings::{
        BPF_F_CURRENT_NETNS, BPF_NOEXIST, bpf_sock_tuple, bpf_sock_tuple__bindgen_ty_1,
        bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1,
    },
    helpers::generated::{bpf_get_prandom_u32, bpf_sk_lookup_tcp, bpf_sk_lookup_udp, bpf_sk_release},
};

use super::{
    PROBES, candidate, may_keep,
    outside::UNUSED,
    rest::{lay_down, remove, remove_if_rested, take_back},
};
use crate::{
    abi::{Address, Address4, Endpoint, FlowKey, MappingKey, Port, PortKey, PortOwner, Reason, Uplink},
    atomic,
    frame::Hook,
    maps::{MAPPINGS, PORTS, UPLINKS},
    moment::Moment,
    parse::{Packet, protocol},
    session::client,
};

/// `EEXIST`, as the map helpers return it.
pub const EXISTS: i32 = -17;

/// The outcome of one try to claim a port.
enum Claim {
    Won,
    Taken,
    Full,
}

/// The external endpoint of the packet's client endpoint, held for one more session. The same for all its sessions,
/// whatever their remote (RFC 4787 REQ-1).
#[inline(never)]
pub(super) fn hold_mapping<H: Hook>(
    frame: &H,
    packet: &Packet<Address4>,
    slot: u8,
    moment: &Moment,
) -> Result<Endpoint<Address4>, Reason> {
    let uplink = UPLINKS.get(u32::from(slot)).ok_or(Reason::NoUplinkAddress)?;
    let client = Endpoint::new(packet.source, packet.source_port);
    if uplink.translates == 0 {
        return Ok(client);
    }
    if uplink.interface == 0 || uplink.address.is_unspecified() {
        return Err(Reason::NoUplinkAddress);
    }
    let key = MappingKey { client, epoch: uplink.epoch, protocol: packet.protocol, uplink: slot, pad: 0 };
    if let Some(external) = MAPPINGS.get_ptr(key) {
        // SAFETY: a live map value of plain words.
        let external = unsafe { *external };
        if hold(&external, packet.protocol, &client) {
            return Ok(external);
        }
        // Its last session ended this very moment: the mapping is made anew.
        let _ = MAPPINGS.remove(key);
    }
    let external = claim(frame, packet, uplink, moment)?;
    match MAPPINGS.insert(key, external, u64::from(BPF_NOEXIST)) {
        Ok(()) => Ok(external),
        Err(EXISTS) => {
            // Another CPU was faster: its mapping is the client's.
            discard(&external, packet.protocol);
            match MAPPINGS.get_ptr(key) {
                // SAFETY: as above.
                Some(winner) if hold(unsafe { &*winner }, packet.protocol, &client) => Ok(unsafe { *winner }),
                _ => Err(Reason::PortsExhausted),
            }
        }
        Err(_) => {
            discard(&external, packet.protocol);
            Err(Reason::SessionsFull)
        }
    }
}

/// Counts one more session on an external endpoint that `client` owns. False if it does not own it, or not any more.
#[inline(always)]
fn hold(external: &Endpoint<Address4>, protocol: u8, client: &Endpoint<Address4>) -> bool {
    let key = PortKey { address: external.address, port: external.port, protocol, pad: 0 };
    let Some(owner) = PORTS.get_ptr_mut(key) else { return false };
    // SAFETY: a live map value.
    unsafe { (*owner).client == *client && atomic::add_one_unless_none(&raw mut (*owner).sessions) }
}

/// Claims an external port: the client's own if it may be kept and is free or rests since the client had it, else one of the
/// range.
#[inline(always)]
fn claim<H: Hook>(
    frame: &H,
    packet: &Packet<Address4>,
    uplink: &Uplink,
    moment: &Moment,
) -> Result<Endpoint<Address4>, Reason> {
    let own = packet.source_port;
    if may_keep(own, moment.settings) && take_own_back(frame, packet, uplink.address, moment) {
        return Ok(Endpoint::new(uplink.address, own));
    }
    if !client::may_map(&packet.source, moment) {
        return Err(Reason::ClientPorts);
    }
    for attempt in 0..PROBES {
        let port = if attempt > 0 {
            // SAFETY: no arguments, no failure.
            candidate(own, unsafe { bpf_get_prandom_u32() }, moment.settings)
        } else if may_keep(own, moment.settings) {
            own
        } else {
            continue;
        };
        match claim_port(frame, packet, uplink.address, port, moment) {
            Claim::Won => return Ok(Endpoint::new(uplink.address, port)),
            Claim::Taken => {}
            Claim::Full => return Err(Reason::SessionsFull),
        }
    }
    Err(Reason::PortsExhausted)
}

/// Gives a client its own port again that rests. It counts in the client's share still.
#[inline(never)]
fn take_own_back<H: Hook>(frame: &H, packet: &Packet<Address4>, address: Address4, moment: &Moment) -> bool {
    let key = PortKey { address, port: packet.source_port, protocol: packet.protocol, pad: 0 };
    if !take_back(&key, &Endpoint::new(packet.source, packet.source_port)) {
        return false;
    }
    if !host_owns_port(frame, packet, &key) {
        return true;
    }
    if let Some(owner) = take_last(&key) {
        lay_down(&key, owner, moment.now);
    }
    false
}

#[inline(never)]
fn claim_port<H: Hook>(frame: &H, packet: &Packet<Address4>, address: Address4, port: Port, moment: &Moment) -> Claim {
    let key = PortKey { address, port, protocol: packet.protocol, pad: 0 };
    let owner = PortOwner { client: Endpoint::new(packet.source, packet.source_port), sessions: 1, freed: 0 };
    let inserted = match PORTS.insert(key, owner, u64::from(BPF_NOEXIST)) {
        Err(EXISTS) if remove_if_rested(&key, moment.now) => PORTS.insert(key, owner, u64::from(BPF_NOEXIST)),
        other => other,
    };
    match inserted {
        Ok(()) => {}
        Err(EXISTS) => return Claim::Taken,
        Err(_) => return Claim::Full,
    }
    // Asked after the claim: for an instant a port of the host may be claimed, but it is never used.
    if host_owns_port(frame, packet, &key) {
        let _ = PORTS.remove(key);
        return Claim::Taken;
    }
    client::add_port(&packet.source);
    Claim::Won
}

/// True if a socket of the gateway itself receives what the packet's destination sends to this port.
#[inline(always)]
fn host_owns_port<H: Hook>(frame: &H, packet: &Packet<Address4>, key: &PortKey<Address4>) -> bool {
    let remote = Endpoint::new(packet.destination, packet.destination_port);
    host_owns(frame, key.protocol, remote, Endpoint::new(key.address, key.port))
}

/// True if a socket of the gateway itself receives what `remote` sends to `local`.
#[inline(always)]
pub(super) fn host_owns<H: Hook>(
    frame: &H,
    protocol: u8,
    remote: Endpoint<Address4>,
    local: Endpoint<Address4>,
) -> bool {
    let mut tuple = bpf_sock_tuple {
        __bindgen_anon_1: bpf_sock_tuple__bindgen_ty_1 {
            ipv4: bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1 {
                saddr: remote.address.be32(),
                daddr: local.address.be32(),
                sport: remote.port.be16(),
                dport: local.port.be16(),
            },
        },
    };
    let size = size_of::<bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1>() as u32;
    let netns = BPF_F_CURRENT_NETNS as i64 as u64;
    // SAFETY: the tuple lives through the call, and every socket that is found is released.
    unsafe {
        let socket = if protocol == protocol::TCP {
            bpf_sk_lookup_tcp(frame.context(), &raw mut tuple, size, netns, 0)
        } else {
            bpf_sk_lookup_udp(frame.context(), &raw mut tuple, size, netns, 0)
        };
        if socket.is_null() {
            return false;
        }
        bpf_sk_release(socket.cast());
    }
    true
}

/// Gives back what a session held of its mapping; the last session's end frees port and mapping.
#[inline(never)]
pub(super) fn release(key: &FlowKey<Address4>, held: &Endpoint<Address4>, epoch: u32, uplink: u8, now: u64) {
    let port = PortKey { address: held.address, port: held.port, protocol: key.protocol, pad: 0 };
    let Some(owner) = take_last(&port) else { return };
    let client = Endpoint::new(key.source, key.source_port);
    let mapping = MappingKey { client, epoch, protocol: key.protocol, uplink, pad: 0 };
    if let Some(external) = MAPPINGS.get_ptr(mapping) {
        // SAFETY: a live map value of plain words.
        if unsafe { *external } == *held {
            let _ = MAPPINGS.remove(mapping);
        }
    }
    // The port comes last: until then nobody can have it, and no new mapping can lead to it.
    if now == UNUSED {
        remove(&port, owner);
    } else {
        lay_down(&port, owner, now);
    }
}

/// Gives back a claim that no session has used.
#[inline(always)]
fn discard(external: &Endpoint<Address4>, protocol: u8) {
    let key = PortKey { address: external.address, port: external.port, protocol, pad: 0 };
    if let Some(owner) = take_last(&key) {
        remove(&key, owner);
    }
}

/// Takes one session off an external endpoint. If that was the last one, the entry is the caller's to remove or to lay down.
#[inline(always)]
fn take_last(key: &PortKey<Address4>) -> Option<*mut PortOwner<Address4>> {
    let owner = PORTS.get_ptr_mut(key)?;
    // SAFETY: a live map value.
    let before = unsafe { atomic::take_one(&raw mut (*owner).sessions) };
    if before == 1 { Some(owner) } else { None }
}
