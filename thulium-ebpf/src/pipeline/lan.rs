//! LAN ingress: what clients send. Admitted traffic leaves from here; everything else reaches the kernel untouched.

use super::{Network, clamp_mss, complete, error, floor, read_packet, rejudge};
use crate::{
    abi::{Address4, Address6, NO_SLOT, Path, Reason, Role, Side, UPLINK_SLOTS, UplinkState},
    fragment,
    frame::{Forward, Hook},
    judge::{self, Admission},
    moment::Moment,
    parse::{Kind, Packet, kind},
    route::{RoundTrip, Way},
    session::{
        self,
        table::{self, Passage},
    },
    translate::Part,
    uplinks,
    verdict::{Outcome, Refusal, Verdict},
};

/// What TC decides: it opens sessions and sends admitted packets out of their uplink.
#[inline(always)]
pub fn receive<F: Forward>(frame: &mut F, moment: &Moment) -> Outcome {
    let mut outcome = Ok(Verdict::PASS);
    match kind(frame) {
        Kind::Ipv4 => receive_from::<F, Address4>(frame, moment, &mut outcome),
        Kind::Ipv6 => receive_from::<F, Address6>(frame, moment, &mut outcome),
        Kind::Other => {}
    }
    outcome
}

#[inline(never)]
fn receive_from<F: Forward, A: Network>(frame: &mut F, moment: &Moment, outcome: &mut Outcome) {
    if let Some(packet) = read_packet::<F, A>(frame) {
        *outcome = judge_packet(frame, packet, moment);
    }
}

#[inline(always)]
fn judge_packet<F: Forward, A: Network>(frame: &mut F, packet: &mut Packet<A>, moment: &Moment) -> Outcome {
    complete(packet, Side::Lan, moment);
    let key = packet.key(Side::Lan);
    if packet.fault.is_none()
        && !packet.is_error()
        && let Some(entry) = table::find(&key, moment)
    {
        rejudge(frame, &key, entry, moment)?;
        return send(frame, packet, entry, moment);
    }
    let mut admission = Admission { hosts: 0, flow: NO_SLOT };
    if may_open(frame, packet, moment, &mut admission) {
        session::open(frame, packet, &admission, uplinks::slot_of(frame.interface()), moment)
            .map_err(|reason| Refusal::of_flow(reason, admission.flow))?;
        return match table::find(&key, moment) {
            Some(entry) => send(frame, packet, entry, moment),
            None => Err(Reason::SessionsFull.into()),
        };
    }
    let left_to_kernel = match sender(frame, packet, moment) {
        Sender::Client => Verdict::PASS_GOVERNED,
        Sender::Neighbour => return Ok(Verdict::PASS),
        Sender::Foreign => Verdict::PASS_FOREIGN,
        Sender::Spoofed => return Err(Reason::SpoofedSource.into()),
    };
    let mut outcome = Ok(left_to_kernel);
    if packet.is_error() {
        error::send(frame, packet, moment, &mut outcome);
    } else if left_to_kernel != Verdict::PASS_FOREIGN {
        if let Some(reason) = packet.flaw() {
            return Err(reason.into());
        }
        leave_to_kernel(frame, packet, moment, &mut outcome);
    }
    outcome
}

/// True if a packet may open a session here: then `admission` is filled in. Local and LAN routes, and those of a VPN, come first. A
/// function of its own for the sake of the stack.
#[inline(never)]
fn may_open<H: Hook, A: Network>(frame: &H, packet: &Packet<A>, moment: &Moment, admission: &mut Admission) -> bool {
    if packet.fault.is_some() || packet.is_error() || packet.ttl <= 1 || is_neighbours(packet) {
        return false;
    }
    // Who is governed is who a flow admits. The routes are asked last: most packets that are not admitted are of somebody who is not.
    match judge::admit(moment, packet) {
        Ok(admitted) => *admission = admitted,
        Err(_) => return false,
    }
    leads_there_and_back(frame, packet, moment)
}

/// Opens the session of an ordinary packet in XDP, if it may have one and there is room, and returns its entry. Else it is TC's to judge, as if it had not
/// been looked at.
#[inline(never)]
pub fn open_early<H: Hook, A: Network>(frame: &H) -> Option<table::Entry<A>> {
    let moment = Moment::read()?;
    let packet = read_packet::<H, A>(frame)?;
    let mut admission = Admission { hosts: 0, flow: NO_SLOT };
    if !may_open(frame, packet, &moment, &mut admission) {
        return None;
    }
    session::open_new(frame, packet, &admission, uplinks::slot_of(frame.interface()), &moment).ok()?;
    session::newest()
}

/// True if the kernel's routes lead a client's packet out, and what answers it back to the LAN: they did a moment ago, or do now.
#[inline(never)]
fn leads_there_and_back<H: Hook, A: Network>(frame: &H, packet: &Packet<A>, moment: &Moment) -> bool {
    let trip = RoundTrip::new(packet.source, packet.destination, frame.interface(), moment.ticks());
    let Some(place) = A::trips().get_ptr_mut(trip.place()) else { return false };
    // SAFETY: this CPU's alone until the program ends.
    let known = unsafe { &mut *place };
    if known.says(&trip) {
        return true;
    }
    if !leaves(frame, packet) || is_spoofed(frame, packet) {
        return false;
    }
    *known = trip;
    true
}

/// True if the kernel's routes lead a client's packet to an uplink.
#[inline(always)]
fn leaves<H: Hook, A: Network>(frame: &H, packet: &Packet<A>) -> bool {
    matches!(A::way(frame, packet.source, packet.destination), Way::By(Role::Uplink) | Way::Unknown)
}

/// A client's packet that is not admitted here: the kernel's to handle, and the guard's to refuse. The outcome stays what it is
/// unless nobody would refuse it there, or the client could not be told.
#[inline(never)]
fn leave_to_kernel<F: Forward, A: Network>(frame: &F, packet: &Packet<A>, moment: &Moment, outcome: &mut Outcome) {
    let way = A::way(frame, packet.source, packet.destination);
    if way == Way::New && is_any_gone(frame) {
        // The kernel may have a new uplink already, on which no guard stands yet.
        *outcome = Err(Reason::NoUplinkAddress.into());
        return;
    }
    // On its way to the guard, a NAT rule of the gateway may hide who is to be told.
    let is_told = moment.settings.reject == 1 && moment.settings.pass_unmatched == 0 && packet.ttl > 1;
    if is_told
        && packet.fault.is_none()
        && way == Way::By(Role::Uplink)
        && let Err(refusal) = judge::admit(moment, packet)
    {
        *outcome = Err(refusal);
    }
}

/// What XDP decides: it refuses what TC would refuse without a session, and passes the rest up.
#[inline(always)]
pub fn refuse<H: Hook>(frame: &H, moment: &Moment) -> Outcome {
    let mut outcome = Ok(Verdict::PASS);
    match kind(frame) {
        Kind::Ipv4 => refuse_from::<H, Address4>(frame, moment, &mut outcome),
        Kind::Ipv6 => refuse_from::<H, Address6>(frame, moment, &mut outcome),
        Kind::Other => {}
    }
    outcome
}

#[inline(never)]
fn refuse_from<H: Hook, A: Network>(frame: &H, moment: &Moment, outcome: &mut Outcome) {
    let Some(packet) = read_packet::<H, A>(frame) else { return };
    let Some(reason) = packet.flaw() else { return };
    match sender(frame, packet, moment) {
        Sender::Client => *outcome = Err(reason.into()),
        Sender::Spoofed => *outcome = Err(Reason::SpoofedSource.into()),
        Sender::Neighbour | Sender::Foreign => {}
    }
}

/// Who a packet of the LAN is from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sender {
    /// A client whom the policy governs.
    Client,
    /// A host that has no address yet, or talks within the link: that never reaches an uplink.
    Neighbour,
    /// Somebody on the LAN who is not governed.
    Foreign,
    /// Its source leads nowhere, or out of another interface.
    Spoofed,
}

#[inline(never)]
fn sender<H: Hook, A: Network>(frame: &H, packet: &Packet<A>, moment: &Moment) -> Sender {
    if is_neighbours(packet) {
        return Sender::Neighbour;
    }
    if is_spoofed(frame, packet) {
        return Sender::Spoofed;
    }
    if judge::is_client(moment, &packet.source) { Sender::Client } else { Sender::Foreign }
}

/// True for a packet of a [`Sender::Neighbour`].
#[inline(always)]
fn is_neighbours<A: Network>(packet: &Packet<A>) -> bool {
    packet.source.is_unspecified() || packet.source.is_link_scoped() || packet.destination.is_link_scoped()
}

/// True for a packet that the kernel's routes would not answer to the LAN.
#[inline(always)]
fn is_spoofed<H: Hook, A: Network>(frame: &H, packet: &Packet<A>) -> bool {
    !matches!(A::way(frame, packet.destination, packet.source), Way::By(Role::Lan) | Way::Unknown)
}

/// True if an uplink's interface is not there any more: it was made anew, as PPP does, and the daemon has not attached to it yet.
#[inline(always)]
fn is_gone<F: Forward>(frame: &F, interface: u32) -> bool {
    interface == 0 || frame.mtu(interface) == 0
}

/// True if that is so of any uplink of the policy.
#[inline(never)]
fn is_any_gone<F: Forward>(frame: &F) -> bool {
    (0..UPLINK_SLOTS as u8).any(|slot| {
        !matches!(uplinks::state_of(slot), UplinkState::Unused) && is_gone(frame, uplinks::interface_of(slot))
    })
}

/// Translates and sends a packet of a session out of its uplink, unless it needs the kernel.
#[inline(always)]
fn send<F: Forward, A: Network>(frame: &mut F, packet: &Packet<A>, entry: table::Entry<A>, moment: &Moment) -> Outcome {
    let mut outcome = Ok(Verdict::PASS_GOVERNED);
    send_out(frame, packet, entry, moment, &mut outcome);
    outcome
}

#[inline(never)]
fn send_out<F: Forward, A: Network>(
    frame: &mut F,
    packet: &Packet<A>,
    entry: table::Entry<A>,
    moment: &Moment,
    outcome: &mut Outcome,
) {
    // SAFETY: `entry` is a live map value of plain words.
    let (rewrite, flow) = unsafe { (&(*entry).rewrite, (*entry).flow) };
    let key = packet.key(Side::Lan);
    let slot = match table::uplink(&key, entry) {
        Ok(slot) => slot,
        Err(reason) => {
            *outcome = Err(Refusal::of_flow(reason, flow));
            return;
        }
    };
    let interface = uplinks::interface_of(slot);
    if packet.ttl <= 1 || packet.needs_kernel || frame.exceeds_mtu(interface, packet.length) {
        // The kernel answers with ICMP, or fragments it and meets the guard; there is none where the uplink was.
        *outcome = if is_gone(frame, interface) {
            Err(Refusal::of_flow(Reason::NoUplinkAddress, flow))
        } else {
            Ok(Verdict::pass_to(slot))
        };
        return;
    }
    if let Some(reason) = fragment::send(packet, Side::Lan, Path::Tc, moment) {
        *outcome = Err(Refusal::of_flow(reason, flow));
        return;
    }
    note(frame, packet, entry, moment);
    if let Some(refusal) = floor::stop(frame, packet, (entry, Side::Lan), moment) {
        *outcome = Err(refusal);
        return;
    }
    let edited = A::decrement_ttl(frame, packet)
        .and_then(|()| clamp_mss(frame, packet, interface, moment))
        .and_then(|()| A::rewrite(frame, packet, Part::Source, rewrite));
    *outcome = edited.map(|()| Verdict::leave_by(slot)).ok_or(Reason::Malformed.into());
}

/// Notes that a client's packet of a session leaves. A function of its own for the sake of the stack.
#[inline(never)]
fn note<F: Forward, A: Network>(frame: &F, packet: &Packet<A>, entry: table::Entry<A>, moment: &Moment) {
    let key = packet.key(Side::Lan);
    table::follow_client(&key, entry, frame.interface());
    let passage = Passage { side: Side::Lan, path: Path::Tc, packets: frame.segments(), bytes: packet.length };
    table::touch(entry, passage, moment.ticks());
    table::step(&key, entry, packet);
}
