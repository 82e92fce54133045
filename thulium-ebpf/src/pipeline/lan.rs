//! LAN ingress: what clients send. Admitted traffic leaves from here; everything else reaches the kernel untouched.

use super::{Network, clamp_mss, complete, error, floor, read_packet, rejudge};
use crate::{
    abi::{Address4, Address6, Path, Reason, Role, Side, UPLINK_SLOTS, UplinkState},
    fragment,
    frame::{Forward, Hook},
    judge,
    moment::Moment,
    parse::{Kind, Packet, kind},
    route::Way,
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
    let left_to_kernel = match sender(frame, packet, moment) {
        Sender::Client => Verdict::PASS_GOVERNED,
        Sender::Neighbour => return Ok(Verdict::PASS),
        Sender::Foreign => Verdict::PASS_FOREIGN,
        Sender::Spoofed => return Err(Reason::SpoofedSource.into()),
    };
    if packet.is_error() {
        let mut outcome = Ok(left_to_kernel);
        error::send(frame, packet, moment, &mut outcome);
        return outcome;
    }
    if left_to_kernel == Verdict::PASS_FOREIGN {
        return Ok(left_to_kernel);
    }
    if let Some(reason) = packet.flaw() {
        return Err(reason.into());
    }
    let admission = match admitted(frame, packet, moment) {
        Ok(admission) => admission,
        Err(refusal) => {
            let mut outcome = Ok(Verdict::PASS_GOVERNED);
            leave_to_kernel(frame, packet, refusal, moment, &mut outcome);
            return outcome;
        }
    };
    session::open(frame, packet, &admission, uplinks::slot_of(frame.interface()), moment)
        .map_err(|reason| Refusal::of_flow(reason, admission.flow))?;
    match table::find(&key, moment) {
        Some(entry) => send(frame, packet, entry, moment),
        None => Err(Reason::SessionsFull.into()),
    }
}

/// Why a client's packet may open a session here, or why it would be refused. Local and LAN routes, and those of a VPN, come first:
/// [`Reason::NoFlow`] stands for these, too.
#[inline(always)]
fn admitted<H: Hook, A: Network>(frame: &H, packet: &Packet<A>, moment: &Moment) -> Result<judge::Admission, Refusal> {
    if packet.fault.is_some() || packet.ttl <= 1 {
        return Err(Reason::NoFlow.into());
    }
    let admission = judge::admit(moment, packet)?;
    let leaves = matches!(A::way(frame, packet.source, packet.destination), Way::By(Role::Uplink) | Way::Unknown);
    if leaves { Ok(admission) } else { Err(Reason::NoFlow.into()) }
}

/// A client's packet that is not admitted here: the kernel's to handle, and the guard's to refuse. The outcome stays what it is
/// unless nobody would refuse it there, or the client could not be told.
#[inline(never)]
fn leave_to_kernel<F: Forward, A: Network>(
    frame: &F,
    packet: &Packet<A>,
    refusal: Refusal,
    moment: &Moment,
    outcome: &mut Outcome,
) {
    let way = A::way(frame, packet.source, packet.destination);
    if way == Way::New && is_any_gone(frame) {
        // The kernel may have a new uplink already, on which no guard stands yet.
        *outcome = Err(Reason::NoUplinkAddress.into());
        return;
    }
    // On its way to the guard, a NAT rule of the gateway may hide who is to be told.
    let is_told = moment.settings.reject == 1 && moment.settings.pass_unmatched == 0 && packet.ttl > 1;
    if is_told && packet.fault.is_none() && way == Way::By(Role::Uplink) {
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
    if packet.source.is_unspecified() || packet.source.is_link_scoped() || packet.destination.is_link_scoped() {
        return Sender::Neighbour;
    }
    if matches!(
        A::way(frame, packet.destination, packet.source),
        Way::Elsewhere | Way::Other | Way::New | Way::By(Role::Uplink)
    ) {
        return Sender::Spoofed;
    }
    if judge::is_client(moment, &packet.source) { Sender::Client } else { Sender::Foreign }
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
