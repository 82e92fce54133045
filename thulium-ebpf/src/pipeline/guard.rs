//! Uplink egress: what leaves by an uplink. The gateway's own traffic passes, and what was judged at the LAN; what the
//! kernel forwarded for a governed client is judged here.

use super::{Network, clamp_mss, complete, error, floor, read_packet, rejudge};
use crate::{
    abi::{Address4, Address6, Family, Path, Reason, Role, Side},
    constants::{MARK_MASK, MARK_SETTLED, MARK_TRANSLATED},
    fragment,
    frame::{Frame as _, Glance, Hook as _, TcFrame},
    judge,
    moment::Moment,
    parse::{Kind, Packet, kind, protocol},
    ports::{self, Outside as _},
    route::role_of,
    session::{
        self,
        table::{self, Passage},
    },
    translate::Part,
    uplinks,
    verdict::{Outcome, Refusal, Verdict},
};

/// True for what was judged and translated before it came here: at the LAN mostly, and then it is most of what comes.
#[inline(always)]
pub fn is_judged(skb: Glance) -> bool {
    skb.mark() & MARK_MASK.load() == MARK_TRANSLATED.load()
}

/// Judges what leaves by an uplink, unless it [is judged](is_judged).
#[inline(always)]
pub fn leave(frame: &mut TcFrame, moment: &Moment) -> Outcome {
    let mut outcome = Ok(Verdict::PASS);
    let is_own = frame.ingress_interface() == 0;
    match kind(frame) {
        Kind::Ipv4 if is_own => leave_own(frame, moment, &mut outcome),
        _ if is_own => {}
        Kind::Ipv4 => leave_by::<Address4>(frame, moment, &mut outcome),
        Kind::Ipv6 => leave_by::<Address6>(frame, moment, &mut outcome),
        Kind::Other => {}
    }
    outcome
}

#[inline(never)]
fn leave_by<A: Network>(frame: &mut TcFrame, moment: &Moment, outcome: &mut Outcome) {
    if let Some(packet) = read_packet::<TcFrame, A>(frame) {
        *outcome = judge_forwarded(frame, packet, moment);
    }
}

/// What the gateway itself sends passes; its errors must not show the world a client's address.
#[inline(never)]
fn leave_own(frame: &mut TcFrame, moment: &Moment, outcome: &mut Outcome) {
    const PROTOCOL: usize = 9; // offset in an IPv4 header
    if frame.read::<u8>(frame.network() + PROTOCOL) != Some(protocol::ICMP) {
        return;
    }
    if let Some(packet) = read_packet::<TcFrame, Address4>(frame)
        && packet.is_error()
    {
        error::leave(frame, packet, moment, outcome);
    }
}

/// Judges what the kernel forwarded.
#[inline(always)]
fn judge_forwarded<A: Network>(frame: &mut TcFrame, packet: &mut Packet<A>, moment: &Moment) -> Outcome {
    let told = frame.mark() & MARK_MASK.load();
    let from_lan = role_of(frame.ingress_interface()) == Some(Role::Lan);
    if from_lan && A::FAMILY == Family::Ipv6 && moment.settings.governs_ipv6 == 0 {
        return Err(Reason::Ipv6Unsupported.into());
    }
    if told == MARK_SETTLED.load() {
        return kernels_own(packet, moment);
    }
    complete(packet, Side::Lan, moment);
    if judge::is_client(moment, &packet.source) {
        // Sessions are opened from the LAN only.
        return if from_lan { forward(frame, packet, moment) } else { Err(Reason::SpoofedSource.into()) };
    }
    // A mark that is gone was overwritten by a rule: then a translated packet of the LAN may be anybody's.
    if told != 0 || (from_lan && A::is_external(&packet.source)) {
        return Err(translated_by_others(packet, moment));
    }
    kernels_own(packet, moment)
}

/// A packet that the kernel forwards for somebody who is not governed. It must not be mixed up with a session of ours.
#[inline(always)]
fn kernels_own<A: Network>(packet: &Packet<A>, moment: &Moment) -> Outcome {
    if packet.fault.is_none() && is_of_session(packet, moment) {
        return Err(Reason::ForeignNat.into());
    }
    Ok(Verdict::PASS_FOREIGN)
}

/// True if the reply to this packet would be taken for one of a session. A function of its own for the sake of the stack.
#[inline(never)]
fn is_of_session<A: Network>(packet: &Packet<A>, moment: &Moment) -> bool {
    table::find(&packet.reply_key(), moment).is_some()
}

/// A packet that the kernel forwards leaves: where its NAT gave it our external address, the kernel awaits the reply.
#[inline(never)]
pub fn expect_reply(frame: &TcFrame, moment: &Moment) {
    if kind(frame) != Kind::Ipv4 {
        return;
    }
    let Some(packet) = read_packet::<TcFrame, Address4>(frame) else { return };
    if Address4::is_external(&packet.source) {
        ports::expect_reply(packet, moment);
    }
}

/// A client's packet with its own source: the same pipeline as at the LAN, but the kernel has routed it already.
#[inline(always)]
fn forward<A: Network>(frame: &mut TcFrame, packet: &Packet<A>, moment: &Moment) -> Outcome {
    if let Some(reason) = packet.fault {
        return Err(reason.into());
    }
    if packet.is_error() {
        let mut outcome = Ok(Verdict::ONWARD);
        error::forward(frame, packet, moment, &mut outcome);
        return outcome;
    }
    let key = packet.key(Side::Lan);
    let entry = match table::find(&key, moment) {
        Some(entry) => {
            rejudge(frame, &key, entry, moment)?;
            entry
        }
        None => {
            let admission = judge::admit(moment, packet)?;
            session::open(frame, packet, &admission, uplinks::slot_of(frame.ingress_interface()), moment)
                .map_err(|reason| Refusal::of_flow(reason, admission.flow))?;
            table::find(&key, moment).ok_or(Reason::SessionsFull)?
        }
    };
    translate(frame, packet, entry, moment)
}

/// Translates a packet of a session, and lets it go on.
#[inline(always)]
fn translate<A: Network>(frame: &mut TcFrame, packet: &Packet<A>, entry: table::Entry<A>, moment: &Moment) -> Outcome {
    let mut outcome = Err(Reason::Malformed.into());
    translate_source(frame, packet, entry, moment, &mut outcome);
    outcome
}

#[inline(never)]
fn translate_source<A: Network>(
    frame: &mut TcFrame,
    packet: &Packet<A>,
    entry: table::Entry<A>,
    moment: &Moment,
    outcome: &mut Outcome,
) {
    if let Some(reason) = fragment::send(packet, Side::Lan, Path::Kernel, moment) {
        // SAFETY: `entry` is a live map value of plain words.
        *outcome = Err(Refusal::of_flow(reason, unsafe { (*entry).flow }));
        return;
    }
    let key = packet.key(Side::Lan);
    table::follow_client(&key, entry, frame.ingress_interface());
    let passage = Passage { side: Side::Lan, path: Path::Kernel, packets: frame.segments(), bytes: packet.length };
    table::touch(entry, passage, moment.ticks());
    table::step(&key, entry, packet);
    if let Some(refusal) = floor::stop(frame, packet, (entry, Side::Lan), moment) {
        *outcome = Err(refusal);
        return;
    }
    // SAFETY: `entry` is a live map value of plain words.
    let rewrite = unsafe { &(*entry).rewrite };
    let edited = clamp_mss(frame, packet, frame.ingress_interface(), moment)
        .and_then(|()| A::rewrite(frame, packet, Part::Source, rewrite));
    if edited.is_some() {
        // SAFETY: `entry` is a live map value of plain words.
        *outcome = Ok(onward(frame, unsafe { (*entry).uplink }));
    }
}

/// The way of a translated packet on: where the kernel's routes lead by another uplink than its client's, it is sent to the right one.
#[inline(always)]
pub(super) fn onward(frame: &TcFrame, slot: u8) -> Verdict {
    if uplinks::slot_of(frame.interface()) == slot { Verdict::ONWARD } else { Verdict::leave_by(slot) }
}

/// A client's packet that a NAT rule of the gateway translated before us: who sent it is lost, so it is refused either way.
#[inline(always)]
fn translated_by_others<A: Network>(packet: &Packet<A>, moment: &Moment) -> Refusal {
    if let Some(reason) = packet.fault {
        return reason.into();
    }
    match judge::admit_any_client(moment, packet) {
        Ok(flow) => Refusal::of_flow(Reason::ForeignNat, flow),
        Err(refusal) => refusal,
    }
}
