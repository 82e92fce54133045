//! Uplink ingress: what the world sends. Replies of sessions go to their clients; what is for a mapping or a client without
//! a session is refused; the rest is not ours.

use super::{Forward, Hook, Moment, keep_ports, recall_ports, rejudge};
use crate::{
    abi::{Address4, Endpoint, Reason, Role, Side},
    frame::Frame,
    judge,
    maps::FOREIGN,
    parse::{Fragment, Kind, Packet, kind, parse, protocol},
    ports,
    route::{Way, way6},
    session::{self, table},
    translate::{self, Part},
    verdict::{Outcome, Refusal, Verdict},
};

/// A packet that TC and XDP agree on so far.
pub enum Screened {
    /// Not ours: up, untouched.
    Foreign,
    /// Of a live session.
    Session(Packet<Address4>, table::Entry),
}

/// What TC decides: it translates and sends packets of sessions to their clients.
#[inline(always)]
pub fn receive<F: Forward>(frame: &mut F, moment: &Moment) -> Outcome {
    let Screened::Session(packet, entry) = screen(frame, moment)? else { return Ok(Verdict::Pass) };
    let key = packet.key(Side::Uplink);
    rejudge(&key, entry, moment)?;
    // SAFETY: `entry` is a live map value of plain words.
    let (rewrite, interface) = unsafe { ((*entry).rewrite, (*entry).interface) };
    let needs_kernel = packet.ttl <= 1 || frame.exceeds_mtu(interface);
    table::touch(&key, entry, &packet, frame.segments(), moment);
    keep_ports(&packet, Side::Uplink, moment);
    if !needs_kernel {
        translate::decrement_ttl(frame, &packet).ok_or(Reason::Malformed)?;
    }
    translate::rewrite(frame, &packet, Part::Destination, &rewrite).ok_or(Reason::Malformed)?;
    Ok(if needs_kernel { Verdict::Onward } else { Verdict::Redirect(interface) })
}

/// What XDP decides: it refuses what TC would refuse, and passes the rest up.
#[inline(always)]
pub fn refuse<H: Hook>(frame: &H, moment: &Moment) -> Outcome {
    screen(frame, moment).map(|_| Verdict::Pass)
}

#[inline(always)]
fn screen<H: Hook>(frame: &H, moment: &Moment) -> Result<Screened, Refusal> {
    match kind(frame) {
        Kind::Ipv4 => {}
        Kind::Ipv6 => return screen6(frame),
        Kind::Other => return Ok(Screened::Foreign),
    }
    let mut packet = parse(frame);
    recall_ports(&mut packet, Side::Uplink, moment);
    match packet.fault {
        None => {
            if let Some(entry) = table::find(&packet.key(Side::Uplink), moment) {
                return Ok(Screened::Session(packet, entry));
            }
        }
        Some(Reason::Malformed) => return Err(Reason::Malformed.into()),
        Some(_) => {}
    }
    if judge::is_client(moment, packet.destination) {
        return Err(packet.fault.unwrap_or(Reason::Unsolicited).into());
    }
    let has_ports = packet.fragment != Fragment::Later && matches!(packet.protocol, protocol::TCP | protocol::UDP);
    if has_ports && ports::is_mapped(&packet.destination_port_key()) && !is_kernels(frame, &packet, moment) {
        return Err(packet.fault.unwrap_or(Reason::NoSession).into());
    }
    Ok(Screened::Foreign)
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
fn screen6<H: Hook>(frame: &H) -> Result<Screened, Refusal> {
    const ADDRESSES: usize = 14 + 8;
    let (Some(source), Some(destination)) = (words(frame, ADDRESSES), words(frame, ADDRESSES + 16)) else {
        return Ok(Screened::Foreign);
    };
    // Multicast (neighbour discovery, router advertisements) is for the gateway.
    if destination[0].to_ne_bytes()[0] != 0xff && way6(frame, &source, &destination) == Way::By(Role::Lan) {
        return Err(Reason::Ipv6Unsupported.into());
    }
    Ok(Screened::Foreign)
}

#[inline(always)]
fn words<F: Frame>(frame: &F, offset: usize) -> Option<[u32; 4]> {
    frame.read(offset)
}
