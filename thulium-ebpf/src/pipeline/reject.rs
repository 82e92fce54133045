//! Telling a client that its packet was refused, where the policy says `refuse: reject`, there is no room for its session, or the
//! session is lost with its uplink.

use super::{Network, read_packet};
use crate::{
    abi::{Address4, Address6, Direction, Role},
    answer::{limit, prohibited, reset::Reset},
    frame::{Hook as _, TcFrame},
    maps::ANSWERS,
    moment::Moment,
    parse::{Fragment, Icmp, Kind, Packet, Segment, kind, protocol, tcp_flags::RST},
    route::role_of,
    verdict::Refusal,
};

/// Makes a client's refused packet the answer to it: a reset for TCP if the policy rejects, else an ICMP error. Returns the interface
/// that leads to the client; none if it gets no answer.
#[inline(always)]
pub fn tell(frame: &mut TcFrame, direction: Direction, refusal: Refusal, moment: &Moment) -> Option<u32> {
    if matches!(direction, Direction::In) || !refusal.is_told(moment.settings.reject == 1) {
        return None;
    }
    let here = frame.interface();
    let interface = if role_of(here) == Some(Role::Lan) { here } else { frame.ingress_interface() };
    if role_of(interface) != Some(Role::Lan) {
        return None;
    }
    let is_reset = refusal.is_reset() || moment.settings.reject == 1;
    let told = match kind(frame) {
        Kind::Ipv4 => tell_by::<Address4>(frame, is_reset, moment),
        Kind::Ipv6 => tell_by::<Address6>(frame, is_reset, moment),
        Kind::Other => false,
    };
    if told { Some(interface) } else { None }
}

#[inline(never)]
fn tell_by<A: Network>(frame: &mut TcFrame, is_reset: bool, moment: &Moment) -> bool {
    let Some(packet) = read_packet::<TcFrame, A>(frame) else { return false };
    if !is_answered(packet) || !is_within_limit(moment) {
        return false;
    }
    if packet.protocol == protocol::TCP && is_reset {
        reset(frame, packet)
    } else {
        prohibited::write(frame, packet).is_some()
    }
}

/// What must not be answered: errors, resets, what tells no ports, what was not for one receiver (RFC 1122 §3.2.2, RFC 9293 §3.10.7).
#[inline(always)]
fn is_answered<A: Network>(packet: &Packet<A>) -> bool {
    let is_question = match packet.icmp {
        Icmp::None | Icmp::Request => true,
        Icmp::Error | Icmp::Reply | Icmp::Other => false,
    };
    is_question
        && packet.fragment != Fragment::Later
        && packet.tcp_flags & RST == 0
        && !packet.destination.is_link_scoped()
        && !packet.source.is_link_scoped()
        && !packet.source.is_unspecified()
        // A NAT rule of the gateway has hidden who is to be told.
        && !A::is_external(&packet.source)
}

#[inline(always)]
fn is_within_limit(moment: &Moment) -> bool {
    let Some(spent_until) = ANSWERS.get_ptr_mut(0) else { return false };
    // SAFETY: this CPU's own word.
    match limit::admit(unsafe { *spent_until }, moment.now) {
        Some(spent) => {
            // SAFETY: as above.
            unsafe { *spent_until = spent };
            true
        }
        None => false,
    }
}

#[inline(never)]
fn reset<A: Network>(frame: &mut TcFrame, packet: &Packet<A>) -> bool {
    let Some(segment) = Segment::read(frame, packet) else { return false };
    // SAFETY: this CPU's alone until the program ends, and filled before it is read.
    let Some(scratch) = (unsafe { A::scratch().as_mut() }) else { return false };
    scratch.reset = Reset::answering(packet, &segment);
    scratch.reset.write(frame, packet).is_some()
}
