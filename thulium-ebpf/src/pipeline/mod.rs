//! The packet's way through each hook: parse → session → (judge → open) → translate → route → verdict.
//!
//! * [`lan`]: what clients send, where it comes in; who opens sessions, in TC and in XDP.
//! * [`uplink`]: what the world sends, where it comes in.
//! * [`guard`]: what the kernel forwarded to an uplink, where it goes out.
//! * [`floor`]: the TLS floor of a flow, and what becomes of a session that breaks it.
//! * `error`: ICMP errors, on all three ways.
//! * [`reject`]: telling a client that its packet was refused.
//! * [`count`]: the one way of a refusal into the counters.

pub mod count;
mod error;
pub mod floor;
pub mod guard;
pub mod lan;
pub mod reject;
pub mod uplink;

use crate::{
    abi::{Direction, FlowKey, Reason, Side},
    answer::Answer,
    fragment,
    frame::{Forward, Hook},
    judge,
    moment::Moment,
    mss,
    parse::{Icmp, Packet},
    ports::Outside,
    route::Routed,
    session::table::Entry,
    translate::Rewrite,
    verdict::Refusal,
};

/// An address family, as the pipeline sees it: one code path serves both.
pub trait Network: Rewrite + Outside + Routed + Answer {}

impl<A: Rewrite + Outside + Routed + Answer> Network for A {}

/// Reads the headers of a frame of family `A` into this CPU's scratch.
#[inline(always)]
pub(crate) fn read_packet<'a, H: Hook, A: Network>(frame: &H) -> Option<&'a mut Packet<A>> {
    // SAFETY: this CPU's alone until the program ends, and filled before it is read.
    let packet = unsafe { &raw mut (*A::scratch().as_mut()?).packet };
    unsafe { packet.write(Packet::nothing(frame.network())) };
    let packet = unsafe { &mut *packet };
    A::read(frame, packet);
    Some(packet)
}

/// Makes the segment size that a SYN announces fit the way between this interface and `other` (`mss_clamp`).
/// Returns None if the frame could not be written.
#[inline(always)]
fn clamp_mss<F: Forward, A: Network>(frame: &mut F, packet: &Packet<A>, other: u32, moment: &Moment) -> Option<()> {
    if !mss::is_concerned(packet) {
        return Some(());
    }
    match mss::limit::<A>(moment.settings.mss_clamp, || (frame.mtu(frame.interface()), frame.mtu(other))) {
        Some(limit) => mss::clamp(frame, packet, limit),
        None => Some(()),
    }
}

/// What a packet is on this side, beyond what it says itself.
#[inline(always)]
fn complete<A: Network>(packet: &mut Packet<A>, side: Side, moment: &Moment) {
    fragment::recall(packet, side, moment);
    let is_strange = match (packet.icmp, side) {
        (Icmp::Other, _) | (Icmp::Reply, Side::Lan) | (Icmp::Request, Side::Uplink) => true,
        (Icmp::None | Icmp::Error | Icmp::Request | Icmp::Reply, _) => false,
    };
    if is_strange && packet.fault.is_none() {
        // Sessions begin with an echo request of a client; these belong to none.
        packet.fault = Some(match side {
            Side::Lan => Reason::NoFlow,
            Side::Uplink => Reason::Unsolicited,
        });
    }
}

/// Asks a new generation of the policy whether it admits a session that an older one opened. Where it does not, but refusals are
/// spared (audit mode, `unmatched: pass`), this one is counted and the session goes on: without its translation it would be cut.
#[inline(always)]
fn rejudge<H: Hook, A: Network>(frame: &H, key: &FlowKey<A>, entry: Entry<A>, moment: &Moment) -> Result<(), Refusal> {
    let Err(refusal) = readmit(key, entry, moment) else { return Ok(()) };
    if moment.settings.audit == 0 && moment.settings.pass_unmatched == 0 {
        return Err(refusal);
    }
    let direction = if key.side == Side::Lan as u8 { Direction::Out } else { Direction::In };
    let _ = count::refuse(frame, direction, &refusal, moment);
    Ok(())
}

#[inline(never)]
fn readmit<A: Network>(key: &FlowKey<A>, entry: Entry<A>, moment: &Moment) -> Result<(), Refusal> {
    // SAFETY: `entry` is a live map value of plain words.
    let known = unsafe { &*entry };
    if known.generation == moment.generation {
        return Ok(());
    }
    let (client, remote_port) = if key.side == Side::Lan as u8 {
        (&key.source, key.destination_port)
    } else {
        (&known.rewrite.address, key.source_port)
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
