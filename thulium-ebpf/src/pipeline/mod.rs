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

use aya_ebpf::{cty::c_void, helpers::generated::bpf_ktime_get_ns};

use crate::{
    abi::{Address4, FlowKey, FragmentPorts, GENERATIONS, Reason, Settings, Side},
    frame::{Edit, Frame},
    judge,
    maps::{FRAGMENTS, GENERATION, SETTINGS},
    parse::{Fragment, Packet},
    session::{self, table::Entry},
    verdict::Refusal,
};

/// A frame at a hook of the kernel.
pub trait Hook: Frame {
    /// The program's context, for helpers.
    fn context(&self) -> *mut c_void;

    /// Index of the interface it is at.
    fn interface(&self) -> u32;
}

/// A frame at a hook that can send it on.
pub trait Forward: Hook + Edit {
    /// True if it, or a segment of it, does not fit out of the interface.
    fn exceeds_mtu(&self, interface: u32) -> bool;
}

/// What holds while a packet is on its way: it sees one generation of the policy and one point in time.
#[derive(Clone, Copy)]
pub struct Moment {
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub now: u64,
    /// The generation in force.
    pub generation: u32,
    /// Its settings.
    pub settings: &'static Settings,
}

impl Moment {
    /// Now. None cannot happen: both maps are arrays.
    #[inline(always)]
    pub fn read() -> Option<Self> {
        let generation = *GENERATION.get(0)?;
        let settings = SETTINGS.get(generation % GENERATIONS)?;
        // SAFETY: no arguments, no failure.
        Some(Self { now: unsafe { bpf_ktime_get_ns() }, generation, settings })
    }
}

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
