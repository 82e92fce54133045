//! ICMP errors. Each belongs to the session whose packet it quotes (RFC 5508 §4, RFC 4443), is translated with its quote, and
//! neither refreshes nor ends anything. One that belongs to none is the gateway's own affair, unless it is about a client.

use super::{
    Network,
    guard::onward,
    rejudge,
    uplink::{is_for_client, is_for_ungoverned_ipv6},
};
use crate::{
    abi::{Address4, Endpoint, Family, Port, Reason, Side},
    frame::{Edit, Forward, Hook, TcFrame},
    lans,
    moment::Moment,
    parse::{Fragment, Packet, protocol, read_quote},
    session::table::{self, Entry},
    translate::Part,
    uplinks,
    verdict::{Outcome, Verdict},
};

/// From the world, about a packet that left by us.
#[inline(never)]
pub(super) fn deliver<F: Forward, A: Network>(
    frame: &mut F,
    packet: &Packet<A>,
    moment: &Moment,
    outcome: &mut Outcome,
) {
    *outcome = try_deliver(frame, packet, moment);
}

#[inline(always)]
fn try_deliver<F: Forward, A: Network>(frame: &mut F, packet: &Packet<A>, moment: &Moment) -> Outcome {
    if packet.source.is_link_scoped() || packet.destination.is_link_scoped() {
        // Neighbours and routers talk to the gateway itself.
        return Ok(Verdict::PASS);
    }
    let quote = quote_of(frame, packet)?;
    let Some(entry) = session_of(quote, Side::Uplink, moment) else {
        return match stray(frame, packet, quote, moment) {
            Some(reason) => Err(reason.into()),
            None => Ok(Verdict::PASS),
        };
    };
    vet(frame, packet, quote)?;
    rejudge(frame, &quote.key(Side::Uplink), entry, moment)?;
    // SAFETY: `entry` is a live map value of plain words.
    let (client, lan, slot) = unsafe { (&(*entry).rewrite, (*entry).lan, (*entry).uplink) };
    let interface = lans::interface_of(lan);
    let needs_kernel = interface == 0 || packet.ttl <= 1 || frame.exceeds_mtu(interface, packet.length);
    if !needs_kernel {
        A::decrement_ttl(frame, packet).ok_or(Reason::Malformed)?;
    }
    A::rewrite_quote(frame, packet, quote, Part::Source, client).ok_or(Reason::Malformed)?;
    readdress(frame, packet, Part::Destination, client).ok_or(Reason::Malformed)?;
    Ok(if needs_kernel { Verdict::pass_to(slot) } else { Verdict::redirect(interface) })
}

/// From the LAN, about a packet that came in by us: from a client, or from a router in front of it. If it is about none of ours,
/// or needs the kernel, the outcome stays what it is.
#[inline(never)]
pub(super) fn send<F: Forward, A: Network>(frame: &mut F, packet: &Packet<A>, moment: &Moment, outcome: &mut Outcome) {
    match try_send(frame, packet, moment) {
        Ok(Verdict::PASS) => {}
        decided => *outcome = decided,
    }
}

#[inline(always)]
fn try_send<F: Forward, A: Network>(frame: &mut F, packet: &Packet<A>, moment: &Moment) -> Outcome {
    let quote = quote_of(frame, packet)?;
    let Some(entry) = session_of(quote, Side::Lan, moment) else { return Ok(Verdict::PASS) };
    vet(frame, packet, quote)?;
    rejudge(frame, &quote.key(Side::Lan), entry, moment)?;
    // SAFETY: `entry` is a live map value of plain words.
    let slot = unsafe { (*entry).uplink };
    if packet.ttl <= 1 || frame.exceeds_mtu(uplinks::interface_of(slot), packet.length) {
        return Ok(Verdict::pass_to(slot));
    }
    A::decrement_ttl(frame, packet).ok_or(Reason::Malformed)?;
    hide_client(frame, packet, quote, entry).ok_or(Reason::Malformed)?;
    Ok(Verdict::leave_by(slot))
}

/// From a client, forwarded by the kernel to an uplink.
#[inline(never)]
pub(super) fn forward<A: Network>(frame: &mut TcFrame, packet: &Packet<A>, moment: &Moment, outcome: &mut Outcome) {
    *outcome = try_forward(frame, packet, moment);
}

#[inline(always)]
fn try_forward<A: Network>(frame: &mut TcFrame, packet: &Packet<A>, moment: &Moment) -> Outcome {
    let quote = quote_of(frame, packet)?;
    let entry = session_of(quote, Side::Lan, moment).ok_or(Reason::IcmpUnmatched)?;
    vet(frame, packet, quote)?;
    rejudge(frame, &quote.key(Side::Lan), entry, moment)?;
    hide_client(frame, packet, quote, entry).ok_or(Reason::Malformed)?;
    // SAFETY: `entry` is a live map value of plain words.
    Ok(onward(frame, unsafe { (*entry).uplink }))
}

/// From the gateway itself: about a packet from the world that it could not forward to its client (TTL 1, larger than the LAN's
/// MTU). It was translated when that happened, so the client's address is what the kernel quotes. IPv6 has nothing to hide.
#[inline(never)]
pub(super) fn leave(frame: &mut TcFrame, packet: &Packet<Address4>, moment: &Moment, outcome: &mut Outcome) {
    let Ok(quote) = quote_of(frame, packet) else { return };
    let Some(entry) = session_of(quote, Side::Lan, moment) else { return };
    // SAFETY: `entry` is a live map value of plain words.
    let external = unsafe { &(*entry).rewrite };
    if rewrite_destination(frame, packet, quote, external).is_none() {
        return;
    }
    // SAFETY: as above.
    *outcome = Ok(onward(frame, unsafe { (*entry).uplink }));
    if *outcome != Ok(Verdict::ONWARD) && readdress(frame, packet, Part::Source, external).is_none() {
        *outcome = Err(Reason::Malformed.into());
    }
}

/// Reads the quote of an error into this CPU's scratch.
#[inline(always)]
fn quote_of<'a, H: Hook, A: Network>(frame: &H, packet: &Packet<A>) -> Result<&'a Packet<A>, Reason> {
    // SAFETY: this CPU's alone until the program ends, and filled before it is read.
    let Some(scratch) = (unsafe { A::scratch().as_mut() }) else { return Err(Reason::Malformed) };
    let quote = &mut scratch.quote;
    read_quote(frame, packet, quote);
    if quote.fault == Some(Reason::Malformed) { Err(Reason::Malformed) } else { Ok(quote) }
}

/// The live session that has sent, or got, what an error quotes.
#[inline(always)]
fn session_of<A: Network>(quote: &Packet<A>, side: Side, moment: &Moment) -> Option<Entry<A>> {
    if quote.fault.is_some() {
        return None;
    }
    table::find(&quote.key(side), moment)
}

/// Refuses an error about a session that cannot be genuine: it goes to another than the sender of what it quotes, or its checksum
/// is wrong (RFC 5508 REQ-3). None is so long that it has to be fragmented (RFC 1812 §4.3.2.3). In IPv6, where nothing is rewritten,
/// the checksum is for the client to verify.
#[inline(always)]
fn vet<F: Edit, A: Network>(frame: &F, packet: &Packet<A>, quote: &Packet<A>) -> Result<(), Reason> {
    let message = (u32::from(packet.network) + packet.length).saturating_sub(u32::from(packet.transport));
    let is_genuine = packet.fragment == Fragment::Whole
        && packet.destination == quote.destination
        && (A::FAMILY == Family::Ipv6 || frame.is_intact(usize::from(packet.transport), message as usize));
    if is_genuine { Ok(()) } else { Err(Reason::IcmpForged) }
}

/// Why an error from the world that quotes no session is refused. None: the gateway's own, or its NAT's.
#[inline(always)]
fn stray<H: Hook, A: Network>(frame: &H, packet: &Packet<A>, quote: &Packet<A>, moment: &Moment) -> Option<Reason> {
    let is_for_client = is_for_client(frame, packet, moment);
    if packet.destination != quote.destination && (is_for_client || A::is_external(&packet.destination)) {
        return Some(Reason::IcmpForged);
    }
    if is_for_client {
        return Some(Reason::IcmpUnmatched);
    }
    if is_for_ungoverned_ipv6(frame, packet, moment) {
        return Some(Reason::Ipv6Unsupported);
    }
    let has_ports = quote.fault.is_none() && matches!(quote.protocol, protocol::TCP | protocol::UDP);
    if has_ports && A::is_claimed(frame, quote, moment) { Some(Reason::IcmpUnmatched) } else { None }
}

/// Shows the world its own view of the packet that a client, or a router in front of it, complains about.
#[inline(always)]
fn hide_client<F: Edit, A: Network>(
    frame: &mut F,
    packet: &Packet<A>,
    quote: &Packet<A>,
    entry: Entry<A>,
) -> Option<()> {
    // SAFETY: `entry` is a live map value of plain words.
    let external = unsafe { &(*entry).rewrite };
    rewrite_destination(frame, packet, quote, external)?;
    readdress(frame, packet, Part::Source, external)
}

/// Replaces the destination of the quoted packet.
#[inline(always)]
fn rewrite_destination<F: Edit, A: Network>(
    frame: &mut F,
    packet: &Packet<A>,
    quote: &Packet<A>,
    to: &Endpoint<A>,
) -> Option<()> {
    A::rewrite_quote(frame, packet, quote, Part::Destination, to)
}

/// Replaces an address of the error itself.
#[inline(always)]
fn readdress<F: Edit, A: Network>(frame: &mut F, packet: &Packet<A>, part: Part, to: &Endpoint<A>) -> Option<()> {
    A::rewrite(frame, packet, part, &Endpoint::new(to.address, Port::default()))
}
