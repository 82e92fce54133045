//! A packet's place in its datagram, the same for both families.

use super::{Fragment, Packet};
use crate::abi::{Extent, Reason};

/// Most bytes of an IP packet (RFC 791 §3.1), and of what follows an IPv6 header (RFC 8200 §3).
pub(super) const LARGEST: usize = 65_535;

impl Fragment {
    /// The place of a packet that has an offset in its datagram or has none, and is followed by more fragments or is not.
    #[inline(always)]
    pub(super) const fn at(has_offset: bool, has_more: bool) -> Self {
        match (has_offset, has_more) {
            (true, _) => Self::Later,
            (false, true) => Self::First,
            (false, false) => Self::Whole,
        }
    }
}

/// Takes over that the packet begins `offset` bytes into its datagram and has `available` bytes of it. What is wrong with that:
/// it has none, more follow behind a broken unit of eight, or the datagram has more than `most` bytes.
#[inline(always)]
pub(super) fn fault<A: Copy>(
    packet: &mut Packet<A>,
    (offset, has_more): (usize, bool),
    available: usize,
    most: usize,
) -> Option<Reason> {
    packet.fragment = Fragment::at(offset != 0, has_more);
    if packet.fragment == Fragment::Whole {
        return None;
    }
    let end = offset + available;
    packet.extent = Extent { start: offset as u16, end: end as u16 };
    packet.is_last = !has_more;
    let is_broken = has_more && !available.is_multiple_of(8);
    if is_broken || end > most || end == offset { Some(Reason::Malformed) } else { None }
}
