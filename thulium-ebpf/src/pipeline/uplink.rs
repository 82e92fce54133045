//! Uplink ingress: what the world sends. Replies of sessions go to their clients; what is for a mapping or a client without
//! a session is refused; the rest is not ours.

use super::{Network, clamp_mss, complete, error, floor, read_packet, rejudge};
use crate::{
    abi::{Address4, Address6, Family, Path, Port, Reason, Role, Side},
    fragment,
    frame::{Forward, Hook},
    judge, lans,
    maps::UPLINKS,
    moment::Moment,
    parse::{Fragment, Kind, Packet, kind, protocol},
    route::Way,
    session::table::{self, Passage},
    translate::Part,
    uplinks,
    verdict::{Outcome, Refusal, Verdict},
};

/// What TC decides: it translates and sends packets of sessions to their clients.
#[inline(always)]
pub fn receive<F: Forward>(frame: &mut F, moment: &Moment) -> Outcome {
    let mut outcome = Ok(Verdict::PASS);
    match kind(frame) {
        Kind::Ipv4 => receive_for::<F, Address4>(frame, moment, &mut outcome),
        Kind::Ipv6 => receive_for::<F, Address6>(frame, moment, &mut outcome),
        Kind::Other => {}
    }
    outcome
}

#[inline(never)]
fn receive_for<F: Forward, A: Network>(frame: &mut F, moment: &Moment, outcome: &mut Outcome) {
    let Some(packet) = read_packet::<F, A>(frame) else { return };
    if packet.is_error() {
        error::deliver(frame, packet, moment, outcome);
    } else if let Some(entry) = session_of(packet, moment) {
        deliver(frame, packet, entry, moment, outcome);
    } else if let Some(reason) = stranger(frame, packet, moment) {
        *outcome = Err(reason.into());
    } else if is_of_probe(frame, packet) {
        *outcome = Ok(Verdict::pass_to(uplinks::slot_of(frame.interface())));
    }
}

/// True if it answers the probe by which the daemon finds out whether this uplink carries anything.
#[inline(never)]
fn is_of_probe<H: Hook, A: Network>(frame: &H, packet: &Packet<A>) -> bool {
    let Some(uplink) = UPLINKS.get(u32::from(uplinks::slot_of(frame.interface()))) else { return false };
    packet.protocol == protocol::TCP && packet.destination_port == uplink.probe && uplink.probe != Port::default()
}

/// What XDP decides: it refuses what TC would refuse, and passes the rest up.
#[inline(always)]
pub fn refuse<H: Hook>(frame: &mut H, moment: &Moment) -> Outcome {
    let mut outcome = Ok(Verdict::PASS);
    match kind(frame) {
        Kind::Ipv4 => refuse_for::<H, Address4>(frame, moment, &mut outcome),
        Kind::Ipv6 => refuse_for::<H, Address6>(frame, moment, &mut outcome),
        Kind::Other => {}
    }
    outcome
}

#[inline(never)]
fn refuse_for<H: Hook, A: Network>(frame: &mut H, moment: &Moment, outcome: &mut Outcome) {
    let Some(packet) = read_packet::<H, A>(frame) else { return };
    // Errors are for TC to judge.
    if !packet.is_error()
        && session_of(packet, moment).is_none()
        && let Some(reason) = stranger(frame, packet, moment)
    {
        *outcome = Err(reason.into());
    }
}

/// The live session that a packet belongs to.
#[inline(always)]
fn session_of<A: Network>(packet: &mut Packet<A>, moment: &Moment) -> Option<table::Entry<A>> {
    complete(packet, Side::Uplink, moment);
    if packet.fault.is_some() {
        return None;
    }
    table::find(&packet.key(Side::Uplink), moment).or_else(|| table::heal(packet, moment))
}

/// Translates a packet of a session and sends it to its client, unless it needs the kernel.
#[inline(never)]
fn deliver<F: Forward, A: Network>(
    frame: &mut F,
    packet: &Packet<A>,
    entry: table::Entry<A>,
    moment: &Moment,
    outcome: &mut Outcome,
) {
    *outcome = try_deliver(frame, packet, entry, moment);
}

#[inline(always)]
fn try_deliver<F: Forward, A: Network>(
    frame: &mut F,
    packet: &Packet<A>,
    entry: table::Entry<A>,
    moment: &Moment,
) -> Outcome {
    let key = packet.key(Side::Uplink);
    rejudge(frame, &key, entry, moment)?;
    // SAFETY: `entry` is a live map value of plain words.
    let (rewrite, lan) = unsafe { (&(*entry).rewrite, (*entry).lan) };
    // SAFETY: as above.
    let (flow, slot) = unsafe { ((*entry).flow, (*entry).uplink) };
    let interface = lans::interface_of(lan);
    let needs_kernel =
        interface == 0 || packet.ttl <= 1 || packet.needs_kernel || frame.exceeds_mtu(interface, packet.length);
    let path = if needs_kernel { Path::Kernel } else { Path::Tc };
    if let Some(reason) = fragment::send(packet, Side::Uplink, path, moment) {
        return Err(Refusal::of_flow(reason, flow));
    }
    let passage = Passage { side: Side::Uplink, path, packets: frame.segments(), bytes: packet.length };
    table::touch(entry, passage, moment.ticks());
    table::step(&key, entry, packet);
    if let Some(refusal) = floor::stop(frame, packet, (entry, Side::Uplink), moment) {
        return Err(refusal);
    }
    if !needs_kernel {
        A::decrement_ttl(frame, packet).ok_or(Reason::Malformed)?;
    }
    clamp_mss(frame, packet, interface, moment).ok_or(Reason::Malformed)?;
    A::rewrite(frame, packet, Part::Destination, rewrite).ok_or(Reason::Malformed)?;
    Ok(if needs_kernel { Verdict::pass_to(slot) } else { Verdict::redirect(interface) })
}

/// Why a packet without a session is refused: it is malformed, for a client or for a mapping. None: it is not ours.
#[inline(never)]
fn stranger<H: Hook, A: Network>(frame: &H, packet: &Packet<A>, moment: &Moment) -> Option<Reason> {
    if packet.source.is_link_scoped() || packet.destination.is_link_scoped() {
        // Neighbours and routers talk to the gateway itself.
        return None;
    }
    if let Some(reason) = packet.flaw() {
        return Some(reason);
    }
    if is_for_client(frame, packet, moment) {
        return Some(packet.fault.unwrap_or(Reason::Unsolicited));
    }
    if is_for_ungoverned_ipv6(frame, packet, moment) {
        return Some(Reason::Ipv6Unsupported);
    }
    let has_ports = packet.fragment != Fragment::Later && matches!(packet.protocol, protocol::TCP | protocol::UDP);
    if has_ports && A::is_claimed(frame, packet, moment) {
        fragment::refuse(packet, Side::Uplink, moment);
        return Some(packet.fault.unwrap_or(Reason::NoSession));
    }
    None
}

/// True if it is for a client. The gateway's own address on the LAN is nobody's whom the policy governs.
#[inline(always)]
pub(super) fn is_for_client<H: Hook, A: Network>(frame: &H, packet: &Packet<A>, moment: &Moment) -> bool {
    judge::is_client(moment, &packet.destination)
        && matches!(A::way(frame, packet.source, packet.destination), Way::By(_) | Way::Unknown)
}

/// True if it is IPv6 for the LAN, of which the policy governs nobody: it fails closed, as in the other direction.
#[inline(always)]
pub(super) fn is_for_ungoverned_ipv6<H: Hook, A: Network>(frame: &H, packet: &Packet<A>, moment: &Moment) -> bool {
    A::FAMILY == Family::Ipv6
        && moment.settings.governs_ipv6 == 0
        && A::way(frame, packet.source, packet.destination) == Way::By(Role::Lan)
}
