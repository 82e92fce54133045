//! Uplink egress: what leaves by an uplink. The gateway's own traffic passes, and what was judged at the LAN; what the
//! kernel forwarded for a governed client is judged here.

use super::{keep_ports, recall_ports, rejudge};
use crate::{
    abi::{Address4, Reason, Role, Side},
    constants::{MARK_GOVERNED, MARK_MASK, MARK_SETTLED, MARK_TRANSLATED},
    frame::Frame as _,
    frame::TcFrame,
    judge,
    maps::{FOREIGN, UPLINKS},
    moment::Moment,
    parse::{Fragment, Kind, Packet, kind, parse, protocol},
    route::role_of,
    session::{self, table},
    translate::{self, Part},
    verdict::{Outcome, Refusal, Verdict},
};

/// Judges what leaves by an uplink.
#[inline(always)]
pub fn leave(frame: &mut TcFrame, moment: &Moment) -> Outcome {
    let told = frame.mark() & MARK_MASK.load();
    let came_by = frame.ingress_interface();
    if told == MARK_TRANSLATED.load() || came_by == 0 {
        return Ok(Verdict::Pass);
    }
    let from_lan = role_of(came_by) == Some(Role::Lan);
    match kind(frame) {
        Kind::Ipv4 => {}
        Kind::Ipv6 if from_lan => return Err(Reason::Ipv6Unsupported.into()),
        Kind::Ipv6 | Kind::Other => return Ok(Verdict::Pass),
    }
    let mut packet = parse(frame);
    if told == MARK_SETTLED.load() {
        return kernels_own(&packet, moment);
    }
    recall_ports(&mut packet, Side::Lan, moment);
    if judge::is_client(moment, packet.source) {
        // Sessions are opened from the LAN only.
        return if from_lan { forward(frame, &packet, moment) } else { Err(Reason::SpoofedSource.into()) };
    }
    // A mark that is gone was overwritten by a rule: then a translated packet of the LAN may be anybody's.
    if told == MARK_GOVERNED.load() || (from_lan && is_external(packet.source)) {
        return Err(translated_by_others(&packet, moment));
    }
    kernels_own(&packet, moment)
}

/// A packet that the kernel forwards for somebody who is not governed. It must not be mixed up with a session of ours.
#[inline(never)]
fn kernels_own(packet: &Packet<Address4>, moment: &Moment) -> Outcome {
    if packet.fault.is_none() && table::find(&packet.reply_key(), moment).is_some() {
        return Err(Reason::ForeignNat.into());
    }
    Ok(Verdict::PassForeign)
}

/// True if sessions are translated to this address.
#[inline(always)]
fn is_external(address: Address4) -> bool {
    UPLINKS.get(0).is_some_and(|uplink| uplink.address == address)
}

/// A packet that the kernel forwards leaves. If its NAT gave it our external address, the reply to it is the kernel's, even
/// where a mapping has, or later gets, the same port.
#[inline(never)]
pub fn expect_reply(frame: &TcFrame, moment: &Moment) {
    if kind(frame) != Kind::Ipv4 {
        return;
    }
    let packet = parse(frame);
    let has_ports = packet.fault.is_none() && matches!(packet.protocol, protocol::TCP | protocol::UDP);
    if has_ports && packet.fragment != Fragment::Later && is_external(packet.source) {
        // A full table forgets the oldest: only its next packet brings it back.
        let _ = FOREIGN.insert(packet.reply_key(), moment.now, 0);
    }
}

/// A client's packet with its own source: the same pipeline as at the LAN, but the kernel has routed it already.
#[inline(never)]
fn forward(frame: &mut TcFrame, packet: &Packet<Address4>, moment: &Moment) -> Outcome {
    if let Some(reason) = packet.fault {
        return Err(reason.into());
    }
    let key = packet.key(Side::Lan);
    if let Some(entry) = table::find(&key, moment) {
        rejudge(&key, entry, moment)?;
        return translate(frame, packet, entry, moment);
    }
    let admission = judge::admit(moment, packet)?;
    session::open(frame, packet, &admission, frame.ingress_interface(), moment)
        .map_err(|reason| Refusal::of_flow(reason, admission.flow))?;
    match table::find(&key, moment) {
        Some(entry) => translate(frame, packet, entry, moment),
        None => Err(Reason::SessionsFull.into()),
    }
}

/// Translates a packet of a session, and lets it go on.
#[inline(never)]
fn translate(frame: &mut TcFrame, packet: &Packet<Address4>, entry: table::Entry, moment: &Moment) -> Outcome {
    let key = packet.key(Side::Lan);
    table::follow_client(&key, entry, frame.ingress_interface());
    table::touch(&key, entry, packet, frame.segments(), moment);
    keep_ports(packet, Side::Lan, moment);
    // SAFETY: `entry` is a live map value of plain words.
    let rewrite = unsafe { (*entry).rewrite };
    translate::rewrite(frame, packet, Part::Source, &rewrite).ok_or(Reason::Malformed)?;
    Ok(Verdict::Onward)
}

/// A client's packet that a NAT rule of the gateway translated before us: who sent it is lost, so it is refused either way.
#[inline(always)]
fn translated_by_others(packet: &Packet<Address4>, moment: &Moment) -> Refusal {
    if let Some(reason) = packet.fault {
        return reason.into();
    }
    match judge::admit_any_client(moment, packet) {
        Some(flow) => Refusal::of_flow(Reason::ForeignNat, flow),
        None => Reason::NoFlow.into(),
    }
}
