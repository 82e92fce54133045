//! LAN ingress: what clients send. Admitted traffic leaves from here; everything else reaches the kernel untouched.

use super::{keep_ports, recall_ports, rejudge};
use crate::{
    abi::{Address4, Reason, Role, Side},
    frame::{Forward, Hook},
    judge,
    maps::UPLINKS,
    moment::Moment,
    parse::{Kind, Packet, kind, parse},
    route::{Way, way4},
    session::{self, table},
    translate::{self, Part},
    verdict::{Outcome, Refusal, Verdict},
};

/// What TC decides: it opens sessions and sends admitted packets out of their uplink.
#[inline(always)]
pub fn receive<F: Forward>(frame: &mut F, moment: &Moment) -> Outcome {
    if kind(frame) != Kind::Ipv4 {
        return Ok(Verdict::Pass);
    }
    let mut packet = parse(frame);
    recall_ports(&mut packet, Side::Lan, moment);
    let key = packet.key(Side::Lan);
    if packet.fault.is_none()
        && let Some(entry) = table::find(&key, moment)
    {
        rejudge(&key, entry, moment)?;
        return send(frame, &packet, entry, moment);
    }
    if let Some(verdict) = screen(frame, &packet, moment)? {
        return Ok(verdict);
    }
    if packet.fault.is_some() {
        return Ok(Verdict::PassGoverned);
    }
    let Ok(admission) = judge::admit(moment, &packet) else { return Ok(Verdict::PassGoverned) };
    // Local and LAN routes, and those of a VPN, come first.
    let leaves = matches!(way4(frame, packet.source, packet.destination), Way::By(Role::Uplink) | Way::Unknown);
    if !leaves || packet.ttl <= 1 {
        return Ok(Verdict::PassGoverned);
    }
    session::open(frame, &packet, &admission, frame.interface(), moment)
        .map_err(|reason| Refusal::of_flow(reason, admission.flow))?;
    match table::find(&key, moment) {
        Some(entry) => send(frame, &packet, entry, moment),
        None => Err(Reason::SessionsFull.into()),
    }
}

/// What XDP decides: it refuses what TC would refuse without a session, and passes the rest up.
#[inline(always)]
pub fn refuse<H: Hook>(frame: &H, moment: &Moment) -> Outcome {
    if kind(frame) != Kind::Ipv4 {
        return Ok(Verdict::Pass);
    }
    let packet = parse(frame);
    if packet.fault != Some(Reason::Malformed) {
        return Ok(Verdict::Pass);
    }
    screen(frame, &packet, moment)?;
    Ok(Verdict::Pass)
}

/// Who sent it? A verdict if that settles it; none for a packet of a governed client.
#[inline(never)]
fn screen<H: Hook>(frame: &H, packet: &Packet<Address4>, moment: &Moment) -> Result<Option<Verdict>, Refusal> {
    // A host that has no address yet, and traffic within the link, never reach an uplink.
    if packet.source.is_unspecified() || packet.destination.is_multicast_or_broadcast() {
        return Ok(Some(Verdict::Pass));
    }
    // A source that leads nowhere, or out of another interface, is spoofed.
    if matches!(way4(frame, packet.destination, packet.source), Way::Elsewhere | Way::By(Role::Uplink)) {
        return Err(Reason::SpoofedSource.into());
    }
    if !judge::is_client(moment, packet.source) {
        return Ok(Some(Verdict::PassForeign));
    }
    match packet.fault {
        Some(Reason::Malformed) => Err(Reason::Malformed.into()),
        _ => Ok(None),
    }
}

/// Translates and sends a packet of a session out of its uplink, unless it needs the kernel.
#[inline(never)]
fn send<F: Forward>(frame: &mut F, packet: &Packet<Address4>, entry: table::Entry, moment: &Moment) -> Outcome {
    // SAFETY: `entry` is a live map value of plain words.
    let (rewrite, slot) = unsafe { ((*entry).rewrite, (*entry).uplink) };
    let interface = UPLINKS.get(u32::from(slot)).map_or(0, |uplink| uplink.interface);
    if packet.ttl <= 1 || frame.exceeds_mtu(interface) {
        // The kernel answers with ICMP, or fragments it and meets the guard.
        return Ok(Verdict::PassGoverned);
    }
    let key = packet.key(Side::Lan);
    table::follow_client(&key, entry, frame.interface());
    table::touch(&key, entry, packet, frame.segments(), moment);
    keep_ports(packet, Side::Lan, moment);
    translate::decrement_ttl(frame, packet).ok_or(Reason::Malformed)?;
    translate::rewrite(frame, packet, Part::Source, &rewrite).ok_or(Reason::Malformed)?;
    Ok(Verdict::Redirect(interface))
}
