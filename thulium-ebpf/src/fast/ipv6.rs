//! Ordinary IPv6 packets (RFC 8200). They are not translated.

use super::{
    Ordinary, Span,
    transport::{self, SHORTEST},
};
use crate::{
    abi::{Address6, Endpoint, FlowKey, Side},
    frame::ETHERNET,
    translate::Part,
};

/// Bytes of the header.
const HEADER: usize = 40;
/// Version 6, in the upper half of the first byte.
const VERSION: u8 = 6;

impl Ordinary for Address6 {
    #[inline(always)]
    fn recognize(frame: Span, side: Side) -> Option<(FlowKey<Self>, u32)> {
        if !frame.holds(ETHERNET + HEADER + SHORTEST) {
            return None;
        }
        // SAFETY: it was checked.
        let (version, words) = unsafe { (frame.load8::<14>() >> 4, frame.load32::<18>()) };
        let [high, low, protocol, hops] = words.to_ne_bytes();
        // An extension header has a number where UDP and TCP have theirs.
        if version != VERSION || hops <= 1 {
            return None;
        }
        let available = u32::from(u16::from_be_bytes([high, low]));
        let length = HEADER as u32 + available;
        if !frame.holds(ETHERNET + length as usize) {
            return None;
        }
        // SAFETY: it was checked.
        let (source_port, destination_port) =
            unsafe { transport::ports(frame.skip(ETHERNET + HEADER), protocol, available, side) }?;
        // SAFETY: it was checked.
        let key = unsafe {
            FlowKey {
                source: Self::from_words([
                    frame.load32::<22>(),
                    frame.load32::<26>(),
                    frame.load32::<30>(),
                    frame.load32::<34>(),
                ]),
                destination: Self::from_words([
                    frame.load32::<38>(),
                    frame.load32::<42>(),
                    frame.load32::<46>(),
                    frame.load32::<50>(),
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
    unsafe fn translate(frame: Span, _: Part, _: &FlowKey<Self>, _: &Endpoint<Self>) {
        // SAFETY: the caller's.
        unsafe { frame.store8::<21>(frame.load8::<21>() - 1) };
    }
}
