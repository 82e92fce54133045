//! Ordinary IPv4 packets (RFC 791).

use super::{
    Ordinary, Span, Sums,
    transport::{self, SHORTEST},
};
use crate::{
    abi::{Address4, Endpoint, FlowKey, Port, Side},
    checksum::{self, Change},
    translate::Part,
};

/// Bytes of a header without options.
pub(super) const HEADER: usize = 20;
/// Version 4, and a header without options.
const VERSION_AND_LENGTH: u8 = 0x45;
/// More fragments follow, or this is a later one.
const FRAGMENT: u16 = 0x3fff;

impl Ordinary for Address4 {
    #[inline(always)]
    fn recognize(ip: Span, present: usize, side: Side) -> Option<(FlowKey<Self>, u32)> {
        if !ip.holds(HEADER + SHORTEST) {
            return None;
        }
        // SAFETY: it was checked.
        let words =
            unsafe { [ip.load32::<0>(), ip.load32::<4>(), ip.load32::<8>(), ip.load32::<12>(), ip.load32::<16>()] };
        let [version_and_length, _, high, low] = words[0].to_ne_bytes();
        let [_, _, fragment @ ..] = words[1].to_ne_bytes();
        let [ttl, protocol, _, _] = words[2].to_ne_bytes();
        if version_and_length != VERSION_AND_LENGTH || u16::from_be_bytes(fragment) & FRAGMENT != 0 || ttl <= 1 {
            return None;
        }
        if !checksum::is_valid_words(&words) {
            return None;
        }
        let length = u32::from(u16::from_be_bytes([high, low]));
        let available = length.checked_sub(HEADER as u32)?;
        if length as usize > present {
            return None;
        }
        // SAFETY: it was checked.
        let (source_port, destination_port) = unsafe { transport::ports(ip.skip(HEADER), protocol, available, side) }?;
        let key = FlowKey {
            source: Self::from_be32(words[3]),
            destination: Self::from_be32(words[4]),
            source_port,
            destination_port,
            protocol,
            side: side as u8,
            pad: 0,
        };
        Some((key, length))
    }

    #[inline(always)]
    unsafe fn translate<S: Sums>(ip: Span, sums: &S, part: Part, key: &FlowKey<Self>, to: &Endpoint<Self>) {
        let (address, port) = match part {
            Part::Source => (key.source, key.source_port),
            Part::Destination => (key.destination, key.destination_port),
        };
        let change = Change::of32(address.be32(), to.address.be32());
        // SAFETY: the caller's.
        unsafe {
            let old = ip.load16::<8>();
            // TTL and protocol; more than one hop is left, so that nothing is borrowed.
            let new = old.wrapping_sub(u16::from_ne_bytes([1, 0]));
            ip.store16::<8>(new);
            ip.store16::<10>(change.and16(old, new).apply(ip.load16::<10>()));
            let transport = ip.skip(HEADER);
            put(ip, transport, part, to.address, to.port);
            let (address, port) = ([address.be32(), to.address.be32()], [port.be16(), to.port.be16()]);
            sums.follow(transport, key.protocol, address, port);
        }
    }
}

/// # Safety
///
/// As [`Ordinary::translate`].
#[inline(always)]
unsafe fn put(ip: Span, transport: Span, part: Part, address: Address4, port: Port) {
    // SAFETY: the caller's.
    unsafe {
        match part {
            Part::Source => {
                ip.store32::<12>(address.be32());
                transport.store16::<0>(port.be16());
            }
            Part::Destination => {
                ip.store32::<16>(address.be32());
                transport.store16::<2>(port.be16());
            }
        }
    }
}
