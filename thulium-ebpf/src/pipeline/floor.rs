//! The TLS floor of a flow: a session that breaks it ends, and its client is told by a reset.

use super::{Network, count, read_packet};
use crate::{
    abi::{Address4, Address6, Direction, Reason, Side},
    answer::reset::Reset,
    frame::{Forward, Hook},
    lans,
    moment::Moment,
    parse::{Kind, Packet, Segment, kind},
    session::{
        flows::FlowMap as _,
        hello::{self, Watched},
        table::{self, Entry},
    },
    tls::{Judgement, Phase},
    verdict::Refusal,
};

/// Why a session's packet breaks the floor of its flow; none for one that goes on. In audit mode it is counted here, once, and
/// the session goes on unwatched.
#[inline(always)]
pub(super) fn stop<H: Hook, A: Network>(
    frame: &H,
    packet: &Packet<A>,
    (entry, side): (Entry<A>, Side),
    moment: &Moment,
) -> Option<Refusal> {
    let watched = Watched { packet, entry, side };
    if !watched.is_due() {
        return None;
    }
    let reason = match hello::watch(frame, &watched, moment) {
        Some(no_room) => no_room,
        None => match hello::judge(frame, &watched) {
            Judgement::Undecided => return None,
            Judgement::Settled => {
                watched.release();
                return None;
            }
            Judgement::NotTls => Reason::TlsNotTls,
            Judgement::TooOld => Reason::TlsTooOld,
            Judgement::Downgraded => Reason::TlsDowngraded,
        },
    };
    // SAFETY: `entry` is a live map value of plain words.
    let refusal = Refusal::of_flow(reason, unsafe { (*entry).flow });
    if moment.settings.audit == 0 {
        return Some(refusal);
    }
    watched.release();
    let direction = if matches!(side, Side::Lan) { Direction::Out } else { Direction::In };
    let _ = count::refuse(frame, direction, &refusal, moment);
    None
}

/// Ends the session of a packet that was refused because of its flow's floor, and makes the packet a reset for the client. Returns
/// the interface that leads there; none if it was refused for another reason, or cannot be made one.
#[inline(always)]
pub fn tell<F: Forward>(frame: &mut F, direction: Direction, refusal: Refusal, moment: &Moment) -> Option<u32> {
    if !refusal.ends_session() {
        return None;
    }
    let side = if matches!(direction, Direction::Out) { Side::Lan } else { Side::Uplink };
    let interface = match kind(frame) {
        Kind::Ipv4 => tell_and_end::<F, Address4>(frame, side, moment),
        Kind::Ipv6 => tell_and_end::<F, Address6>(frame, side, moment),
        Kind::Other => 0,
    };
    if interface == 0 { None } else { Some(interface) }
}

/// The client's interface, or 0.
#[inline(never)]
fn tell_and_end<F: Forward, A: Network>(frame: &mut F, side: Side, moment: &Moment) -> u32 {
    let Some(packet) = read_packet::<F, A>(frame) else { return 0 };
    let Some(entry) = A::flows().get_ptr_mut(packet.key(side)) else { return 0 };
    // SAFETY: `entry` is a live map value of plain words.
    let interface = lans::interface_of(unsafe { (*entry).lan });
    let told = tell_client(frame, &Watched { packet, entry, side });
    end(&Watched { packet, entry, side }, moment);
    if told { interface } else { 0 }
}

/// Makes the packet a reset for the client: a client's own as its server would answer it, a server's in the name of that server. False
/// if it cannot be made one.
#[inline(never)]
fn tell_client<F: Forward, A: Network>(frame: &mut F, watched: &Watched<'_, A>) -> bool {
    let packet = watched.packet;
    let Some(segment) = Segment::read(frame, packet) else { return false };
    // SAFETY: this CPU's alone until the program ends, and filled before it is read.
    let Some(scratch) = (unsafe { A::scratch().as_mut() }) else { return false };
    scratch.reset = match watched.side {
        Side::Lan => Reset::answering(packet, &segment),
        Side::Uplink => {
            // SAFETY: as in `tell_and_end`.
            let client = unsafe { &(*watched.entry).rewrite };
            Reset::in_place_of(packet, &segment, client, awaited(watched, &segment))
        }
    };
    scratch.reset.write(frame, packet).is_some()
}

/// The number of the server's byte that the client awaits: it takes a reset with no other (RFC 5961 §3.2).
#[inline(never)]
fn awaited<A: Network>(watched: &Watched<'_, A>, segment: &Segment) -> u32 {
    match watched.hellos() {
        // SAFETY: a live map value of plain words.
        Some(hellos) if unsafe { (*hellos).server.is(Phase::Open) } => unsafe { (*hellos).server.next },
        _ => segment.sequence,
    }
}

/// Ends the session in both directions.
#[inline(never)]
fn end<A: Network>(watched: &Watched<'_, A>, moment: &Moment) {
    let session = watched.session();
    if let Some(entry) = A::flows().get_ptr_mut(session) {
        table::end(&session, entry, table::opened(entry), moment);
    }
}
