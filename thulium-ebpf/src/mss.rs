//! The largest segment that a TCP peer may send, made to fit the path on SYN (`mss_clamp`): where the network loses ICMP's
//! "packet too big", connections through a PPPoE link hang without it. The one thing in a packet, beside addresses, ports and
//! hops, that is ever changed; and only if it promises more than the links can carry.

use core::hint::black_box;

use crate::{
    abi::{Address, Family, MSS_AUTO, MSS_OFF, Port},
    frame::Edit,
    parse::{Packet, protocol, tcp_flags},
};

/// Options of one segment that are looked at before the search ends; a SYN has about five.
const OPTIONS: usize = 10;

/// Option kinds (RFC 9293 §3.1).
const END: u8 = 0;
const NO_OPERATION: u8 = 1;
const MSS: u8 = 2;

/// The largest segment that fits the smaller of two MTUs (RFC 6691), as the setting wants it. None: it is left alone.
pub fn limit<A: Address>(setting: u32, mtus: impl FnOnce() -> (u32, u32)) -> Option<u16> {
    let headers = match A::FAMILY {
        Family::Ipv4 => 40,
        Family::Ipv6 => 60,
    };
    match setting {
        MSS_OFF => None,
        MSS_AUTO => {
            let (one, other) = mtus();
            let mtu = if one < other { one } else { other };
            // An interface that does not tell its MTU is no reason to clamp; nor is one that carries no sane packet.
            if mtu <= 576 { None } else { Some((mtu - headers).min(0xffff) as u16) }
        }
        number => Some(number as u16),
    }
}

/// True for a segment that can carry the option: a SYN, whole or first.
pub fn is_concerned<A>(packet: &Packet<A>) -> bool {
    packet.protocol == protocol::TCP && packet.tcp_flags & tcp_flags::SYN != 0
}

/// Lowers the option of a SYN to `limit`. One that says less, or a segment without the option, stays as it is.
/// Returns None if the frame could not be written.
#[inline(never)]
pub fn clamp<F: Edit, A: Copy>(frame: &mut F, packet: &Packet<A>, limit: u16) -> Option<()> {
    let Some(at) = find(frame, packet) else { return Some(()) };
    let value = u16::from_be_bytes(frame.read::<[u8; 2]>(at)?);
    if value <= limit {
        return Some(());
    }
    let (high, low) = (limit.to_be_bytes()[0], limit.to_be_bytes()[1]);
    if (at - usize::from(packet.transport & 0xff)) % 2 == 0 {
        return replace(frame, packet, at, [high, low]);
    }
    // It lies across two of the words that the checksum sums up.
    let [before, _, _, after] = frame.read::<[u8; 4]>(at - 1)?;
    replace(frame, packet, at - 1, [before, high])?;
    replace(frame, packet, at + 1, [low, after])
}

/// Replaces the word at `at`, which the checksum sums up as a whole.
#[inline(always)]
fn replace<F: Edit, A: Copy>(frame: &mut F, packet: &Packet<A>, at: usize, new: [u8; 2]) -> Option<()> {
    let old = Port::from_be16(frame.read::<u16>(at)?);
    frame.replace_port(at, packet.transport_checksum()?, old, Port::from_be16(u16::from_ne_bytes(new)))
}

/// Offset of the option's value in the frame.
#[inline(always)]
fn find<F: Edit, A: Copy>(frame: &F, packet: &Packet<A>) -> Option<usize> {
    const HEADER: usize = 20;
    // All headers together are short; the masks show the verifier that.
    let transport = usize::from(packet.transport & 0xff);
    let end = usize::from(frame.read::<u8>(transport + 12)? >> 4) * 4;
    let mut at = HEADER;
    for _ in 0..OPTIONS {
        if at + 4 > end {
            return None;
        }
        match frame.read::<[u8; 2]>(transport + (black_box(at) & 0x3f))? {
            [END, _] => return None,
            [NO_OPERATION, _] => at += 1,
            [MSS, 4] => return Some(transport + (black_box(at) & 0x3f) + 2),
            [_, 0 | 1] => return None,
            // One that is longer than the header ends the search.
            [_, length] => at += usize::from(length),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        abi::{Address4, Address6},
        checksum::fold,
        frame::{Bytes, Frame as _},
        parse::{parse, tests as craft},
    };

    /// A SYN with these options, padded, and its checksum.
    fn syn(options: &[u8]) -> Bytes {
        let mut segment =
            vec![0xc3, 0x50, 0x01, 0xbb, 0, 0, 0, 1, 0, 0, 0, 0, 0, tcp_flags::SYN, 0xff, 0xff, 0, 0, 0, 0];
        segment.extend(options);
        segment.resize(segment.len().next_multiple_of(4), 0);
        segment[12] = (segment.len() as u8 / 4) << 4;
        let mut frame = craft::ipv4(protocol::TCP, 0, &segment);
        let sum = whole_checksum(&frame);
        frame[50..52].copy_from_slice(&sum.to_be_bytes());
        Bytes(frame)
    }

    fn whole_checksum(frame: &[u8]) -> u16 {
        let segment = &frame[34..];
        let length = (segment.len() as u16).to_be_bytes();
        let bytes = [&frame[26..34], &[0, 6], &length, &segment[..16], &[0, 0], &segment[18..]].concat();
        !fold(bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum())
    }

    fn clamped(options: &[u8], limit: u16) -> Bytes {
        let mut frame = syn(options);
        let packet: Packet<Address4> = parse(&frame);
        clamp(&mut frame, &packet, limit).unwrap();
        assert_eq!(frame.read::<u16>(50).map(u16::from_be), Some(whole_checksum(&frame.0)), "the checksum is right");
        frame
    }

    #[test]
    fn what_is_too_large_is_lowered_wherever_it_stands() {
        assert_eq!(clamped(&[2, 4, 5, 180], 1400), syn(&[2, 4, 5, 120]));
        assert_eq!(clamped(&[1, 2, 4, 5, 180], 1400), syn(&[1, 2, 4, 5, 120]), "at an odd place");
        assert_eq!(clamped(&[4, 2, 3, 3, 7, 2, 4, 5, 180, 1], 1400), syn(&[4, 2, 3, 3, 7, 2, 4, 5, 120, 1]));
    }

    #[test]
    fn what_fits_or_says_nothing_stays() {
        for options in [[2, 4, 5, 180].as_slice(), &[1, 1, 4, 2], &[]] {
            assert_eq!(clamped(options, 1460), syn(options));
        }
    }

    #[test]
    fn what_is_no_option_stays() {
        let behind_a_long_one = [8, 0x80 | 10, 1, 2, 3, 4, 0, 0, 0, 0, 2, 4, 5, 180, 0, 0];
        for options in [behind_a_long_one.as_slice(), &[0, 2, 4, 5, 180], &[2, 3, 5, 180], &[7, 0, 2, 4, 5, 180]] {
            assert_eq!(clamped(options, 1400), syn(options));
        }
    }

    #[test]
    fn the_limit_follows_the_setting() {
        let mtus = || (1500, 1492);
        assert_eq!(limit::<Address4>(MSS_AUTO, mtus), Some(1452));
        assert_eq!(limit::<Address6>(MSS_AUTO, mtus), Some(1432));
        assert_eq!(limit::<Address4>(MSS_OFF, mtus), None);
        assert_eq!(limit::<Address4>(1200, mtus), Some(1200));
        assert_eq!(limit::<Address4>(MSS_AUTO, || (1500, 0)), None, "an MTU that is not known");
        assert_eq!(limit::<Address4>(MSS_AUTO, || (65_575, 70_000)), Some(65_535));
    }

    proptest! {
        #[test]
        fn any_options_leave_the_checksum_right(options in prop::collection::vec(any::<u8>(), 0..40), limit in 536_u16..) {
            clamped(&options, limit);
        }
    }
}
