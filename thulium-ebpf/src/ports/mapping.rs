//! Mappings: the same external endpoint for all sessions of a client's endpoint (RFC 4787 REQ-1).
//!
//! Where a client's endpoint has its own port outside, as most do, the port's owner says it, and that is the mapping. Another port
//! stands in [`MAPPINGS`].

use aya_ebpf::bindings::BPF_NOEXIST;

use super::{
    claim::{EXISTS, claim, discard, take_last},
    outside::UNUSED,
    rest::{lay_down, remove},
};
use crate::{
    abi::{Address as _, Address4, Endpoint, FlowKey, MappingKey, PortKey, Reason},
    atomic,
    frame::Hook,
    maps::{MAPPINGS, PORTS, UPLINKS},
    moment::Moment,
    parse::Packet,
    session::Ends,
};

/// The external endpoint of the packet's client endpoint, held for one more session. The same for all its sessions,
/// whatever their remote (RFC 4787 REQ-1).
#[inline(never)]
pub(super) fn hold<H: Hook>(
    frame: &H,
    packet: &Packet<Address4>,
    ends: &Ends,
    moment: &Moment,
) -> Result<Endpoint<Address4>, Reason> {
    let uplink = UPLINKS.get(u32::from(ends.uplink)).ok_or(Reason::NoUplinkAddress)?;
    if uplink.translates == 0 {
        return Ok(Endpoint::new(packet.source, packet.source_port));
    }
    if uplink.interface == 0 || uplink.address.is_unspecified() {
        return Err(Reason::NoUplinkAddress);
    }
    let mut external = Endpoint::new(uplink.address, packet.source_port);
    if hold_port(&external, packet.protocol, &client(packet)) || hold_mapped(packet, ends, &mut external) {
        return Ok(external);
    }
    external = claim(frame, packet, uplink, moment)?;
    if external.port == packet.source_port {
        return Ok(external);
    }
    match map(packet, ends, &mut external) {
        0 => Ok(external),
        EXISTS if hold_mapped(packet, ends, &mut external) => Ok(external),
        EXISTS => Err(Reason::PortsExhausted),
        _ => Err(Reason::SessionsFull),
    }
}

/// The endpoint that a packet's sessions share.
#[inline(always)]
const fn client(packet: &Packet<Address4>) -> Endpoint<Address4> {
    Endpoint::new(packet.source, packet.source_port)
}

#[inline(always)]
const fn key(packet: &Packet<Address4>, ends: &Ends) -> MappingKey<Address4> {
    MappingKey { client: client(packet), epoch: ends.epoch, protocol: packet.protocol, uplink: ends.uplink }
}

/// Holds the external endpoint that the client's endpoint is mapped to, if it is. A function of its own for the sake of the stack, as
/// the next one.
#[inline(never)]
fn hold_mapped(packet: &Packet<Address4>, ends: &Ends, external: &mut Endpoint<Address4>) -> bool {
    let key = key(packet, ends);
    let Some(mapped) = MAPPINGS.get_ptr(key) else { return false };
    // SAFETY: a live map value of plain words.
    let mapped = unsafe { *mapped };
    if hold_port(&mapped, key.protocol, &key.client) {
        *external = mapped;
        return true;
    }
    // Its last session ended this very moment: the mapping is made anew.
    let _ = MAPPINGS.remove(key);
    false
}

/// Maps the client's endpoint to the external one that was claimed for it, unless another CPU was faster: what was claimed is given
/// back. Then either that CPU got the client's own port, which was somebody else's a moment ago, and this session shares it; or it
/// mapped the endpoint, and this fails with [`EXISTS`]. 0 is success.
#[inline(never)]
fn map(packet: &Packet<Address4>, ends: &Ends, external: &mut Endpoint<Address4>) -> i32 {
    let inserted = MAPPINGS.insert(key(packet, ends), *external, u64::from(BPF_NOEXIST));
    let own = Endpoint::new(external.address, packet.source_port);
    if inserted.is_ok() && !hold_port(&own, packet.protocol, &client(packet)) {
        return 0;
    }
    discard(external, packet.protocol);
    if let Err(error) = inserted {
        return error;
    }
    let _ = MAPPINGS.remove(key(packet, ends));
    *external = own;
    0
}

/// Counts one more session on an external endpoint that `client` owns. False if it does not own it, or not any more.
#[inline(always)]
fn hold_port(external: &Endpoint<Address4>, protocol: u8, client: &Endpoint<Address4>) -> bool {
    let key = PortKey { address: external.address, port: external.port, protocol, pad: 0 };
    let Some(owner) = PORTS.get_ptr_mut(key) else { return false };
    // SAFETY: a live map value.
    unsafe { (*owner).client == *client && atomic::add_one_unless_none(&raw mut (*owner).sessions) }
}

/// Gives back what a session held of its mapping; the last session's end frees port and mapping.
#[inline(never)]
pub(super) fn release(key: &FlowKey<Address4>, held: &Endpoint<Address4>, epoch: u16, uplink: u8, now: u64) {
    let port = PortKey { address: held.address, port: held.port, protocol: key.protocol, pad: 0 };
    let Some(owner) = take_last(&port) else { return };
    if held.port != key.source_port {
        unmap(key, held, epoch, uplink);
    }
    // The port comes last: until then nobody can have it, and no new mapping can lead to it.
    if now == UNUSED {
        remove(&port, owner);
    } else {
        lay_down(&port, owner, now);
    }
}

/// Removes the mapping of a client's endpoint, given a LAN-side key of it, if it leads to the external endpoint that it `held`.
#[inline(always)]
fn unmap(key: &FlowKey<Address4>, held: &Endpoint<Address4>, epoch: u16, uplink: u8) {
    let client = Endpoint::new(key.source, key.source_port);
    let mapping = MappingKey { client, epoch, protocol: key.protocol, uplink };
    if let Some(external) = MAPPINGS.get_ptr(mapping) {
        // SAFETY: a live map value of plain words.
        if unsafe { *external } == *held {
            let _ = MAPPINGS.remove(mapping);
        }
    }
}
