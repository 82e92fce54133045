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
    let client = Endpoint::new(packet.source, packet.source_port);
    let own = Endpoint::new(uplink.address, packet.source_port);
    if hold_port(&own, packet.protocol, &client) {
        return Ok(own);
    }
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
    if external == own {
        return Ok(own);
    }
    match MAPPINGS.insert(key, external, u64::from(BPF_NOEXIST)) {
        Ok(()) if hold_port(&own, packet.protocol, &key.client) => {
            // Another CPU was faster, and got the client's own port, which was somebody else's a moment ago.
            let _ = MAPPINGS.remove(key);
            discard(&external, packet.protocol);
            Ok(own)
        }
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
