//! Checksums that a sender left to the hardware (CHECKSUM_PARTIAL), as a local bridge port or a virtual machine does.
//!
//! The field holds the sum of the pseudo-header, and whatever sends the packet on puts the complement of the sum of everything
//! from the transport header on there: at an offset that the kernel knows and no program can change.

use super::Answer;
use crate::{checksum::fold, frame::Frame, parse::Packet};

/// True if the packet's checksum is unfinished. Nothing tells a program so but the field itself: one finished checksum in
/// 65,536 looks the same.
#[inline(always)]
pub(super) fn is_unfinished<F: Frame, A: Answer>(frame: &F, packet: &Packet<A>) -> bool {
    let Some(checksum) = packet.transport_checksum() else { return false };
    // All headers together are short; the mask shows the verifier that.
    let offset = checksum.offset & 0xff;
    let length = (u32::from(packet.network) + packet.length).saturating_sub(u32::from(packet.transport));
    let pseudo = pseudo_header(&packet.source, &packet.destination, packet.protocol, length);
    frame.segments() > 1 || frame.read::<u16>(offset) == Some(fold(pseudo))
}

/// The sum of a pseudo-header's words as they stand in the packet (RFC 9293 §3.1, RFC 8200 §8.1).
#[inline(always)]
pub(super) fn pseudo_header<A: Answer>(from: &A, to: &A, protocol: u8, length: u32) -> u32 {
    let word = |number: u16| u32::from(number.to_be());
    from.sum() + to.sum() + word(u16::from(protocol)) + word((length >> 16) as u16) + word(length as u16)
}
