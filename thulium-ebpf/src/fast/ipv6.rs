//! Ordinary IPv6 packets (RFC 8200). They are not translated.

use super::{
    Ordinary, Span, Sums,
    transport::{self, SHORTEST},
};
use crate::{
    abi::{Address6, Endpoint, FlowKey, Side},
    translate::Part,
};

/// Bytes of the header.
const HEADER: usize = 40;
/// Version 6, in the upper half of the first byte.
const VERSION: u8 = 6;

impl Ordinary for Address6 {
    #[inline(always)]
    fn recognize(ip: Span, present: usize, side: Side) -> Option<(FlowKey<Self>, u32)> {
        if !ip.holds(HEADER + SHORTEST) {
            return None;
        }
        // SAFETY: it was checked.
        let (version, words) = unsafe { (ip.load8::<0>() >> 4, ip.load32::<4>()) };
        let [high, low, protocol, hops] = words.to_ne_bytes();
        // An extension header has a number where UDP and TCP have theirs.
        if version != VERSION || hops <= 1 {
            return None;
        }
        let available = u32::from(u16::from_be_bytes([high, low]));
        let length = HEADER as u32 + available;
        if length as usize > present {
            return None;
        }
        // SAFETY: it was checked.
        let (source_port, destination_port) = unsafe { transport::ports(ip.skip(HEADER), protocol, available, side) }?;
        // SAFETY: it was checked.
        let key = unsafe {
            FlowKey {
                source: Self::from_words([ip.load32::<8>(), ip.load32::<12>(), ip.load32::<16>(), ip.load32::<20>()]),
                destination: Self::from_words([
                    ip.load32::<24>(),
                    ip.load32::<28>(),
                    ip.load32::<32>(),
                    ip.load32::<36>(),
                ]),
                source_port,
                destination_port,
                protocol,
                side: side as u8,
                pad: 0,
            }
        };
        Some((key, length))
    }

    #[inline(always)]
    unsafe fn translate<S: Sums>(ip: Span, sums: &S, _: Part, _: &FlowKey<Self>, _: &Endpoint<Self>) {
        // SAFETY: the caller's.
        unsafe {
            // Next header and hop limit; more than one hop is left, so that nothing is borrowed.
            let old = ip.load16::<6>();
            let new = old.wrapping_sub(u16::from_ne_bytes([0, 1]));
            ip.store16::<6>(new);
            sums.follow_uncovered(old, new);
        }
    }
}
