//! Uplink egress: what leaves by an uplink. The gateway's own traffic passes, and what was judged at the LAN; what the
//! kernel forwarded for a governed client is judged here.

use super::{Moment, keep_ports, recall_ports, rejudge};
use crate::{
    abi::{Address4, Reason, Role, Side},
    constants::{MARK_GOVERNED, MARK_JUDGED},
    frame::Frame as _,
    frame::TcFrame,
    judge,
    maps::FOREIGN,
    parse::{Fragment, Kind, Packet, kind, parse, protocol},
    ports,
    route::role_of,
    session::{self, table},
    translate::{self, Part},
    verdict::{Outcome, Refusal, Verdict},
};

/// Judges what leaves by an uplink.
#[inline(always)]
pub fn leave(frame: &mut TcFrame, moment: &Moment) -> Outcome {
    let mark = frame.mark();
    let (judged, governed) = (MARK_JUDGED.load(), MARK_GOVERNED.load());
    if mark & (judged | governed) != 0 {
        // Nobody behind us sees our bits.
        frame.set_mark(mark & !(judged | governed));
    }
    let lan = frame.ingress_interface();
    if mark & judged != 0 || lan == 0 || role_of(lan) != Some(Role::Lan) {
        return Ok(Verdict::Pass);
    }
    match kind(frame) {
        Kind::Ipv4 => {}
        Kind::Ipv6 => return Err(Reason::Ipv6Unsupported.into()),
        Kind::Other => return Ok(Verdict::Pass),
    }
    let mut packet = parse(frame);
    recall_ports(&mut packet, Side::Lan, moment);
    if judge::is_client(moment, packet.source) {
        return forward(frame, &packet, lan, moment);
    }
    if mark & governed != 0 {
        return Err(translated_by_others(&packet, moment));
    }
    Ok(Verdict::PassForeign)
}

/// A packet that the kernel forwards leaves. If its NAT gave it an external endpoint that one of our mappings has, the reply
/// is the kernel's, not a stranger's.
#[inline(never)]
pub fn expect_reply(frame: &TcFrame, moment: &Moment) {
    if kind(frame) != Kind::Ipv4 {
        return;
    }
    let packet = parse(frame);
    let has_ports = packet.fault.is_none() && matches!(packet.protocol, protocol::TCP | protocol::UDP);
    if has_ports && packet.fragment != Fragment::Later && ports::is_mapped(&packet.source_port_key()) {
        // A full table forgets the oldest: only its next packet brings it back.
        let _ = FOREIGN.insert(packet.reply_key(), moment.now, 0);
    }
}

/// A client's packet with its own source: the same pipeline, but the kernel has routed it already.
#[inline(always)]
fn forward(frame: &mut TcFrame, packet: &Packet<Address4>, lan: u32, moment: &Moment) -> Outcome {
    if let Some(reason) = packet.fault {
        return Err(reason.into());
    }
    let key = packet.key(Side::Lan);
    let entry = match table::find(&key, moment) {
        Some(entry) => {
            rejudge(&key, entry, moment)?;
            entry
        }
        None => {
            let admission = judge::admit(moment, packet)?;
            session::open(frame, packet, &admission, lan, moment)
                .map_err(|reason| Refusal::of_flow(reason, admission.flow))?;
            table::find(&key, moment).ok_or(Reason::SessionsFull)?
        }
    };
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
