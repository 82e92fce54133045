//! Later fragments follow the first one of their datagram.
//!
//! Two CPUs may have fragments of one datagram at the same time: then bytes that overlap may both pass, or what is known of the
//! datagram stays until it is stale. A fragment without an admitted first one never passes.

use super::{LIFETIME, MEMORY, Misfit};
use crate::{
    abi::{Datagram, Extent, Extents, NOWHERE, Path, Reason, Side},
    maps::Tables,
    moment::Moment,
    parse::{Fragment, Packet},
    session::is_stale,
};

/// Gives a later fragment the ports of its first one, and the way it went. Where there is none, that is its fault.
#[inline(always)]
pub fn recall<A: Tables>(packet: &mut Packet<A>, side: Side, moment: &Moment) {
    if packet.fragment != Fragment::Later || packet.fault.is_some() {
        return;
    }
    packet.fault = match A::fragments().get_ptr(packet.fragment_key(side)) {
        // SAFETY: a live map value of plain words.
        Some(known) => unsafe { follow(packet, &*known, moment) },
        None => Some(Reason::FragmentNoState),
    };
}

#[inline(always)]
fn follow<A: Tables>(packet: &mut Packet<A>, known: &Datagram, moment: &Moment) -> Option<Reason> {
    if is_stale(moment.now, known.seen, MEMORY) {
        return Some(Reason::FragmentNoState);
    }
    if is_stale(moment.now, known.seen, LIFETIME) {
        return Some(Reason::FragmentStale);
    }
    if known.path == NOWHERE {
        return Some(Reason::NoSession);
    }
    packet.source_port = known.source_port;
    packet.destination_port = known.destination_port;
    packet.needs_kernel = known.path == Path::Kernel as u16;
    None
}

/// A fragment of a session is about to be sent on. Why it is refused, if it does not fit those that have passed.
#[inline(always)]
pub fn send<A: Tables>(packet: &Packet<A>, side: Side, path: Path, moment: &Moment) -> Option<Reason> {
    match packet.fragment {
        Fragment::Whole => None,
        Fragment::First => begin(packet, side, path as u16, moment),
        Fragment::Later => add(packet, side),
    }
}

/// A first fragment that no session awaits is refused: those behind it are, too.
#[inline(always)]
pub fn refuse<A: Tables>(packet: &Packet<A>, side: Side, moment: &Moment) {
    if packet.fragment == Fragment::First {
        begin(packet, side, NOWHERE, moment);
    }
}

/// Keeps what the later fragments need of the first one. `path`: the one it takes, as in [`Datagram::path`].
#[inline(never)]
fn begin<A: Tables>(packet: &Packet<A>, side: Side, path: u16, moment: &Moment) -> Option<Reason> {
    let key = packet.fragment_key(side);
    if let Some(known) = A::fragments().get_ptr(&key) {
        // SAFETY: a live map value of plain words.
        let (seen, path) = unsafe { ((*known).seen, (*known).path) };
        if !is_stale(moment.now, seen, LIFETIME) && path != NOWHERE {
            return Some(Reason::FragmentOverlap);
        }
    }
    let mut passed = Extents::default();
    passed.stretches[0] = packet.extent;
    let datagram = Datagram {
        seen: moment.now,
        source_port: packet.source_port,
        destination_port: packet.destination_port,
        path,
        passed,
    };
    // A full table forgets the oldest datagram: its rest is refused, and counted.
    let _ = A::fragments().insert(&key, &datagram, 0);
    None
}

/// Adds a later fragment to its datagram, and forgets the datagram when it is complete.
#[inline(never)]
fn add<A: Tables>(packet: &Packet<A>, side: Side) -> Option<Reason> {
    let key = packet.fragment_key(side);
    let Some(known) = A::fragments().get_ptr_mut(&key) else { return Some(Reason::FragmentNoState) };
    let Extent { start, end } = packet.extent;
    // SAFETY: a live map value of plain words; what other CPUs write meanwhile can only be misjudged (see above).
    match unsafe { (*known).passed.add(Extent { start, end }, packet.is_last) } {
        Ok(true) => {
            let _ = A::fragments().remove(&key);
            None
        }
        Ok(false) => None,
        Err(Misfit::Overlap) => Some(Reason::FragmentOverlap),
        Err(Misfit::Gaps) => Some(Reason::FragmentDisorder),
    }
}
