//! The header of an ICMP message (RFC 792, RFC 4443): its kind, and the identifier of an echo, which is to NAT what ports are
//! (RFC 5508 §3).

use super::{Headers, Icmp, Packet};
use crate::{
    abi::{Port, Reason},
    frame::Frame,
};

/// Bytes of an ICMP header: the four of all messages and four whose meaning depends on the type.
pub(super) const LENGTH: usize = 8;

/// Takes over kind and identifier; what is wrong with the header, all of which is there.
#[inline(always)]
pub(super) fn fault<F: Frame, A: Headers>(frame: &F, packet: &mut Packet<A>) -> Option<Reason> {
    // All headers together are short; the mask shows the verifier that.
    let header = frame.read::<[u8; LENGTH]>(usize::from(packet.transport & 0xff));
    let Some([message, _, _, _, high, low, ..]) = header else { return Some(Reason::Malformed) };
    let identifier = Port::new(u16::from_be_bytes([high, low]));
    packet.icmp = A::icmp(message);
    match packet.icmp {
        Icmp::Request => packet.source_port = identifier,
        Icmp::Reply => packet.destination_port = identifier,
        Icmp::None | Icmp::Error | Icmp::Other => {}
    }
    None
}
