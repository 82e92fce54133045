//! Uplink ingress: what the world sends. Replies of sessions go to their clients; what is for a mapping or a client without
//! a session is refused; the rest is not ours.

use super::{keep_ports, recall_ports, rejudge};
use crate::{
    abi::{Address4, Endpoint, Reason, Role, Side},
    frame::{Forward, Frame, Hook},
    judge,
    maps::FOREIGN,
    moment::Moment,
    parse::{Fragment, Kind, Packet, kind, parse, protocol},
    ports,
    route::{Way, way6},
    session::{self, table},
    translate::{self, Part},
    verdict::{Outcome, Verdict},
};

/// What TC decides: it translates and sends packets of sessions to their clients.
#[inline(always)]
pub fn receive<F: Forward>(frame: &mut F, moment: &Moment) -> Outcome {
    judge_packet(frame, moment, |frame, packet, entry| deliver(frame, packet, entry, moment))
}

/// What XDP decides: it refuses what TC would refuse, and passes the rest up.
#[inline(always)]
pub fn refuse<H: Hook>(frame: &mut H, moment: &Moment) -> Outcome {
    judge_packet(frame, moment, |_, _, _| Ok(Verdict::Pass))
}

/// Hands a packet of a session to `serve`, and refuses a stranger's.
#[inline(always)]
fn judge_packet<H: Hook>(
    frame: &mut H,
    moment: &Moment,
    serve: impl FnOnce(&mut H, &Packet<Address4>, table::Entry) -> Outcome,
) -> Outcome {
    match kind(frame) {
        Kind::Ipv4 => {}
        Kind::Ipv6 => return screen6(frame),
        Kind::Other => return Ok(Verdict::Pass),
    }
    let mut packet = parse(frame);
    recall_ports(&mut packet, Side::Uplink, moment);
    match session_of(&packet, moment) {
        Some(entry) => serve(frame, &packet, entry),
        None => stranger(frame, &packet, moment).map_or(Ok(Verdict::Pass), |reason| Err(reason.into())),
    }
}

#[inline(always)]
fn session_of(packet: &Packet<Address4>, moment: &Moment) -> Option<table::Entry> {
    if packet.fault.is_some() {
        return None;
    }
    table::find(&packet.key(Side::Uplink), moment).or_else(|| table::heal(packet, moment))
}

/// Translates a packet of a session and sends it to its client, unless it needs the kernel.
#[inline(never)]
fn deliver<F: Forward>(frame: &mut F, packet: &Packet<Address4>, entry: table::Entry, moment: &Moment) -> Outcome {
    let key = packet.key(Side::Uplink);
    rejudge(&key, entry, moment)?;
    // SAFETY: `entry` is a live map value of plain words.
    let (rewrite, interface) = unsafe { ((*entry).rewrite, (*entry).interface) };
    let needs_kernel = packet.ttl <= 1 || frame.exceeds_mtu(interface);
    table::touch(&key, entry, packet, frame.segments(), moment);
    keep_ports(packet, Side::Uplink, moment);
    if !needs_kernel {
        translate::decrement_ttl(frame, packet).ok_or(Reason::Malformed)?;
    }
    translate::rewrite(frame, packet, Part::Destination, &rewrite).ok_or(Reason::Malformed)?;
    Ok(if needs_kernel { Verdict::Onward } else { Verdict::Redirect(interface) })
}

/// Why a packet without a session is refused: it is malformed, for a client or for a mapping. None: it is not ours.
#[inline(never)]
fn stranger<H: Hook>(frame: &H, packet: &Packet<Address4>, moment: &Moment) -> Option<Reason> {
    if packet.fault == Some(Reason::Malformed) {
        return packet.fault;
    }
    if judge::is_client(moment, packet.destination) {
        return Some(packet.fault.unwrap_or(Reason::Unsolicited));
    }
    let has_ports = packet.fragment != Fragment::Later && matches!(packet.protocol, protocol::TCP | protocol::UDP);
    if has_ports && ports::is_mapped(&packet.destination_port_key()) && !is_kernels(frame, packet, moment) {
        return Some(packet.fault.unwrap_or(Reason::NoSession));
    }
    None
}

/// True if the kernel awaits it: it answers a packet of the kernel's own NAT, or the gateway itself has a socket for it,
/// opened after the port was mapped.
#[inline(always)]
fn is_kernels<H: Hook>(frame: &H, packet: &Packet<Address4>, moment: &Moment) -> bool {
    if let Some(asked) = FOREIGN.get_ptr(packet.key(Side::Uplink))
        // SAFETY: a live map value, a word.
        && !session::is_stale(moment.now, unsafe { *asked }, session::FOREIGN)
    {
        return true;
    }
    let remote = Endpoint::new(packet.source, packet.source_port);
    ports::host_owns(frame, packet.protocol, remote, Endpoint::new(packet.destination, packet.destination_port))
}

/// IPv6 to the LAN is refused until it is supported; the gateway's own passes.
#[inline(always)]
fn screen6<H: Hook>(frame: &H) -> Outcome {
    const ADDRESSES: usize = 14 + 8;
    let (Some(source), Some(destination)) = (words(frame, ADDRESSES), words(frame, ADDRESSES + 16)) else {
        return Ok(Verdict::Pass);
    };
    // Multicast (neighbour discovery, router advertisements) is for the gateway.
    if destination[0].to_ne_bytes()[0] != 0xff && way6(frame, &source, &destination) == Way::By(Role::Lan) {
        return Err(Reason::Ipv6Unsupported.into());
    }
    Ok(Verdict::Pass)
}

#[inline(always)]
fn words<F: Frame>(frame: &F, offset: usize) -> Option<[u32; 4]> {
    frame.read(offset)
}
