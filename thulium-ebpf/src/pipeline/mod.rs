//! The packet's way through each hook: parse → session → (judge → open) → translate → route → verdict.
//!
//! * [`lan`]: what clients send, where it comes in.
//! * [`uplink`]: what the world sends, where it comes in.
//! * [`guard`]: what the kernel forwarded to an uplink, where it goes out.
//! * [`count`]: the one way of a refusal into the counters.

pub mod count;
pub mod guard;
pub mod lan;
pub mod uplink;

use crate::{
    abi::{Address4, FlowKey, FragmentPorts, Reason, Side},
    judge,
    maps::FRAGMENTS,
    moment::Moment,
    parse::{Fragment, Packet},
    session::{self, table::Entry},
    verdict::Refusal,
};

/// Gives a later fragment the ports of its first one.
#[inline(always)]
fn recall_ports(packet: &mut Packet<Address4>, side: Side, moment: &Moment) {
    if packet.fragment != Fragment::Later || packet.fault.is_some() {
        return;
    }
    match FRAGMENTS.get_ptr(packet.fragment_key(side)) {
        // SAFETY: a live map value of plain words.
        Some(known) if !session::is_stale(moment.now, unsafe { (*known).seen }, session::FRAGMENT) => {
            // SAFETY: as above.
            let known = unsafe { *known };
            packet.source_port = known.source_port;
            packet.destination_port = known.destination_port;
        }
        _ => packet.fault = Some(Reason::FragmentNoState),
    }
}

/// Keeps the ports of an admitted first fragment for the later ones.
#[inline(always)]
fn keep_ports(packet: &Packet<Address4>, side: Side, moment: &Moment) {
    if packet.fragment == Fragment::First {
        let ports = FragmentPorts {
            seen: moment.now,
            source_port: packet.source_port,
            destination_port: packet.destination_port,
            pad: 0,
        };
        // A full table evicts the oldest hint: that datagram's rest is refused, and counted.
        let _ = FRAGMENTS.insert(packet.fragment_key(side), ports, 0);
    }
}

/// Asks a new generation of the policy whether it admits a session that an older one opened.
#[inline(never)]
fn rejudge(key: &FlowKey<Address4>, entry: Entry, moment: &Moment) -> Result<(), Refusal> {
    // SAFETY: `entry` is a live map value of plain words.
    let known = unsafe { *entry };
    if known.generation == moment.generation {
        return Ok(());
    }
    let (client, remote_port) = if key.side == Side::Lan as u8 {
        (key.source, key.destination_port)
    } else {
        (known.rewrite.address, key.source_port)
    };
    let Some(flow) = judge::readmit(moment, client, known.hosts, key.protocol, remote_port) else {
        return Err(Refusal::of_flow(Reason::PolicyChanged, known.flow));
    };
    // SAFETY: as above.
    unsafe {
        (&raw mut (*entry).flow).write_volatile(flow);
        (&raw mut (*entry).generation).write_volatile(moment.generation);
    }
    Ok(())
}
