//! Mappings: the same external endpoint for all sessions of a client's endpoint (RFC 4787 REQ-1).

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
    let client = Endpoint::new(packet.source, packet.source_port);
    let key = MappingKey { client, epoch: ends.epoch, protocol: packet.protocol, uplink: ends.uplink };
    if let Some(external) = MAPPINGS.get_ptr(key) {
        // SAFETY: a live map value of plain words.
        let external = unsafe { *external };
        if hold_port(&external, packet.protocol, &key.client) {
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
                Some(winner) if hold_port(unsafe { &*winner }, packet.protocol, &key.client) => Ok(unsafe { *winner }),
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
    let client = Endpoint::new(key.source, key.source_port);
    let mapping = MappingKey { client, epoch, protocol: key.protocol, uplink };
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
