use proptest::prelude::*;

use super::*;
use crate::{
    abi::{Address4, Address6},
    checksum::fold,
    frame::Bytes,
};

/// An Ethernet frame with an IPv4 header in front of `behind`; its checksum is right.
pub(crate) fn ipv4(protocol: u8, fragment: u16, behind: &[u8]) -> Vec<u8> {
    let length = (20 + behind.len()) as u16;
    let mut header = vec![0x45, 0];
    header.extend(length.to_be_bytes());
    header.extend([0x54, 0x68]);
    header.extend(fragment.to_be_bytes());
    header.extend([64, protocol, 0, 0, 192, 168, 20, 10, 203, 0, 113, 10]);
    let sum = !fold(header.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum());
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00];
    frame.extend(header);
    frame.extend(behind);
    frame
}

/// A UDP datagram from port 5060 to port 15060.
pub(crate) fn udp(payload: &[u8]) -> Vec<u8> {
    let mut datagram = vec![0x13, 0xc4, 0x3a, 0xd4];
    datagram.extend((8 + payload.len() as u16).to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    datagram
}

fn parsed(frame: Vec<u8>) -> Packet<Address4> {
    parse(&Bytes(frame))
}

#[test]
fn a_datagram_is_read() {
    let packet = parsed(ipv4(protocol::UDP, 0, &udp(b"INVITE")));
    assert_eq!(packet.fault, None);
    assert_eq!(packet.source, Address4::new([192, 168, 20, 10]));
    assert_eq!(packet.destination, Address4::new([203, 0, 113, 10]));
    assert_eq!((packet.source_port.number(), packet.destination_port.number()), (5060, 15060));
    assert_eq!((packet.length, packet.ttl, packet.fragment), (34, 64, Fragment::Whole));
}

#[test]
fn a_segment_is_read_with_its_control_bits() {
    let mut segment =
        vec![0xc3, 0x50, 0x01, 0xbb, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, tcp_flags::SYN, 0xff, 0xff, 0, 0, 0, 0];
    let packet = parsed(ipv4(protocol::TCP, 0, &segment));
    assert_eq!((packet.fault, packet.tcp_flags), (None, tcp_flags::SYN));
    assert!(packet.is_opening_syn());
    segment[13] = tcp_flags::SYN | tcp_flags::ACK;
    assert!(!parsed(ipv4(protocol::TCP, 0, &segment)).is_opening_syn());
}

#[test]
fn the_place_in_a_datagram_is_told() {
    assert_eq!(parsed(ipv4(protocol::UDP, 0x2000, &udp(b""))).fragment, Fragment::First);
    let later = parsed(ipv4(protocol::UDP, 185, b"more of it"));
    assert_eq!((later.fragment, later.fault, later.source_port.number()), (Fragment::Later, None, 0));
    assert_eq!((later.extent, later.is_last), (Extent { start: 1480, end: 1490 }, true));
}

/// More fragments follow.
const MORE: u16 = 0x2000;

#[test]
fn a_first_fragment_has_the_whole_transport_header() {
    let fault = |protocol, length: usize| {
        let segment = [0xc3, 0x50, 0x01, 0xbb, 0, 0, 0, 1, 0, 0, 0, 0, 0x60, 2, 0xff, 0xff, 0, 0, 0, 0, 1, 1, 1, 1];
        parsed(ipv4(protocol, MORE, &segment[..length])).fault
    };
    for (protocol, length) in [(protocol::UDP, 4), (protocol::TCP, 8), (protocol::TCP, 16), (protocol::TCP, 20)] {
        assert_eq!(fault(protocol, length), Some(Reason::FragmentTiny), "{length} bytes of {protocol}");
    }
    assert_eq!(fault(protocol::TCP, 24), None, "the header and its options");
    let first6 = [[protocol::TCP, 0, 0, 1, 1, 2, 3, 4, 0xc3, 0x50, 0x01, 0xbb].as_slice(), &[0; 12]].concat();
    assert_eq!(parsed6(ipv6(44, &first6)).fault, Some(Reason::FragmentTiny), "RFC 7112");
    let first6 = [protocol::UDP, 0, 0, 1, 1, 2, 3, 4, 0xc3, 0x50, 0x01, 0xbb];
    assert_eq!(parsed6(ipv6(44, &first6)).fault, Some(Reason::FragmentTiny), "RFC 7112");
}

#[test]
fn a_later_fragment_does_not_begin_within_the_tcp_header() {
    for (offset, fault) in [(1, Some(Reason::FragmentTiny)), (2, Some(Reason::FragmentTiny)), (3, None)] {
        assert_eq!(parsed(ipv4(protocol::TCP, offset, &[0; 8])).fault, fault, "offset {offset}");
        assert_eq!(parsed(ipv4(protocol::UDP, offset, &[0; 8])).fault, None, "UDP's header is as long as a unit");
    }
}

#[test]
fn a_fragment_that_cannot_be_put_together_is_malformed() {
    let fault = |place, length| parsed(ipv4(protocol::UDP, place, &vec![0; length])).fault;
    assert_eq!(fault(100 | MORE, 13), Some(Reason::Malformed), "a broken unit with more behind it");
    assert_eq!(fault(100, 0), Some(Reason::Malformed), "nothing");
    assert_eq!(fault(8189, 3), None, "65535 bytes with the header");
    assert_eq!(fault(8189, 4), Some(Reason::Malformed), "the ping of death");
    let fault6 = |length| {
        parsed6(ipv6(44, &[[protocol::UDP, 0, 0xff, 0xf8, 1, 2, 3, 4].as_slice(), &vec![0; length]].concat())).fault
    };
    assert_eq!((fault6(7), fault6(8)), (None, Some(Reason::Malformed)));
}

#[test]
fn other_ether_types_are_told_apart() {
    let mut frame = Bytes(ipv4(protocol::UDP, 0, &udp(b"")));
    assert_eq!(kind(&frame), Kind::Ipv4);
    frame.0[12..14].copy_from_slice(&[0x86, 0xdd]);
    assert_eq!(kind(&frame), Kind::Ipv6);
    frame.0[12..14].copy_from_slice(&[0x81, 0x00]);
    assert_eq!(kind(&frame), Kind::Other);
    assert_eq!(kind(&Bytes(vec![0; 13])), Kind::Other);
}

proptest! {
    #[test]
    fn any_bytes_are_parsed_and_lie_within_the_frame(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        let frame = Bytes(bytes);
        let packet: Packet<Address4> = parse(&frame);
        if packet.fault.is_none() {
            prop_assert!(frame.length() >= 14 + packet.length as usize);
            prop_assert!(usize::from(packet.transport) <= 14 + packet.length as usize);
        }
    }

    #[test]
    fn a_datagram_that_is_cut_short_is_malformed(payload in prop::collection::vec(any::<u8>(), 0..40), cut in 1_usize..60) {
        let mut frame = ipv4(protocol::UDP, 0, &udp(&payload));
        frame.truncate(frame.len().saturating_sub(cut).max(14));
        prop_assert_eq!(parsed(frame).fault, Some(Reason::Malformed));
    }

    #[test]
    fn a_bit_that_flips_in_the_header_is_found(bit in 0_usize..160) {
        let mut frame = ipv4(protocol::UDP, 0, &udp(b"INVITE"));
        frame[14 + bit / 8] ^= 1 << (bit % 8);
        prop_assert!(parsed(frame).fault.is_some());
    }
}

/// An Ethernet frame with an IPv6 header and `behind`, which begins with a header of number `next`.
fn ipv6(next: u8, behind: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd, 0x60, 0, 0, 0];
    frame.extend((behind.len() as u16).to_be_bytes());
    frame.extend([next, 64]);
    frame.extend(SOURCE6.octets());
    frame.extend(DESTINATION6.octets());
    frame.extend(behind);
    frame
}

const SOURCE6: Address6 = Address6::new([0x20, 1, 0xd, 0xb8, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10]);
const DESTINATION6: Address6 = Address6::new([0x20, 1, 0xd, 0xb8, 0, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);

fn parsed6(frame: Vec<u8>) -> Packet<Address6> {
    parse(&Bytes(frame))
}

#[test]
fn an_ipv6_datagram_is_read() {
    let packet = parsed6(ipv6(protocol::UDP, &udp(b"INVITE")));
    assert_eq!((packet.fault, packet.source, packet.destination), (None, SOURCE6, DESTINATION6));
    assert_eq!((packet.source_port.number(), packet.destination_port.number()), (5060, 15060));
    assert_eq!((packet.length, packet.ttl, packet.fragment), (54, 64, Fragment::Whole));
}

#[test]
fn extension_headers_are_walked_up_to_a_bound() {
    let options = |next: u8, more: &[u8]| [&[next, 0, 1, 4, 0, 0, 0, 0], more].concat();
    let two = options(60, &options(protocol::UDP, &udp(b"INVITE")));
    let packet = parsed6(ipv6(0, &two));
    assert_eq!((packet.fault, packet.protocol, packet.destination_port.number()), (None, protocol::UDP, 15060));
    let mut many = udp(b"INVITE");
    for next in [protocol::UDP, 60, 60, 60, 60] {
        many = options(next, &many);
    }
    assert_eq!(parsed6(ipv6(60, &many)).fault, Some(Reason::IpOptions), "more than four");
    let long = [[protocol::UDP, 8].as_slice(), &[0; 70], &udp(b"")].concat();
    assert_eq!(parsed6(ipv6(60, &long)).fault, Some(Reason::IpOptions), "more than 64 bytes");
    for misplaced in [0, 60] {
        let behind = options(0, &options(protocol::UDP, &udp(b"INVITE")));
        assert_eq!(
            parsed6(ipv6(misplaced, &behind)).fault,
            Some(Reason::IpOptions),
            "hop-by-hop options behind others"
        );
    }
    let routed = [[protocol::UDP, 0, 0, 0, 0, 0, 0, 0].as_slice(), &udp(b"")].concat();
    assert_eq!(parsed6(ipv6(43, &routed)).fault, Some(Reason::IpOptions), "a route of the sender's");
    assert_eq!(parsed6(ipv6(0, &[60])).fault, Some(Reason::Malformed), "cut short");
}

#[test]
fn the_place_in_an_ipv6_datagram_is_told() {
    let fragment = |place: u16, behind: &[u8]| {
        let [high, low] = place.to_be_bytes();
        ipv6(44, &[[protocol::UDP, 0, high, low, 1, 2, 3, 4].as_slice(), behind].concat())
    };
    let first = parsed6(fragment(1, &udp(b"INVITE a")));
    assert_eq!((first.fault, first.fragment, first.source_port.number()), (None, Fragment::First, 5060));
    assert_eq!((first.extent, first.is_last), (Extent { start: 0, end: 16 }, false));
    let later = parsed6(fragment(1480, b"more of it"));
    assert_eq!((later.fault, later.fragment, later.source_port.number()), (None, Fragment::Later, 0));
    assert_eq!((later.extent, later.is_last), (Extent { start: 1480, end: 1490 }, true));
    assert_eq!(later.identification, u32::from_ne_bytes([1, 2, 3, 4]));
    assert_eq!(parsed6(fragment(0, &udp(b"all of it"))).fragment, Fragment::Whole, "an atomic fragment (RFC 6946)");
}

proptest! {
    #[test]
    fn whatever_is_sent_as_ipv6_is_read_or_has_a_fault(next: u8, behind in prop::collection::vec(any::<u8>(), 0..200), cut in 0_usize..260) {
        let mut frame = ipv6(next, &behind);
        frame.truncate(frame.len().saturating_sub(cut));
        let packet = parsed6(frame.clone());
        if packet.fault.is_none() {
            prop_assert!(usize::from(packet.transport) <= frame.len());
            prop_assert!(matches!(packet.protocol, protocol::TCP | protocol::UDP | protocol::ICMPV6));
        }
    }
}

/// An ICMP error with a right checksum that quotes `packet`, which begins with its IP header.
pub(crate) fn error(packet: &[u8]) -> Vec<u8> {
    let mut message = [&[3, 3, 0, 0, 0, 0, 0, 0], packet].concat();
    let words = message.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)])));
    let sum = !fold(words.sum());
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    ipv4(protocol::ICMP, 0, &message)
}

fn quoted<A: Headers>(frame: Vec<u8>) -> (Packet<A>, Packet<A>) {
    let frame = Bytes(frame);
    let error = parse(&frame);
    let mut quote = Packet::nothing(0);
    read_quote(&frame, &error, &mut quote);
    (error, quote)
}

#[test]
fn echoes_have_an_identifier_on_the_asking_side() {
    let echo = |kind| parsed(ipv4(protocol::ICMP, 0, &[kind, 0, 0, 0, 0x12, 0x34, 0, 1]));
    let ports = |packet: Packet<Address4>| (packet.icmp, packet.source_port.number(), packet.destination_port.number());
    assert_eq!(ports(echo(8)), (Icmp::Request, 0x1234, 0));
    assert_eq!(ports(echo(0)), (Icmp::Reply, 0, 0x1234));
    assert_eq!(ports(echo(13)), (Icmp::Other, 0, 0));
    assert_eq!(parsed(ipv4(protocol::ICMP, 0, &[8, 0, 0, 0, 0x12, 0x34, 0])).fault, Some(Reason::Malformed));
    let echo = |kind| parsed6(ipv6(protocol::ICMPV6, &[kind, 0, 0, 0, 0x12, 0x34, 0, 1]));
    assert_eq!((echo(128).icmp, echo(129).icmp, echo(135).icmp), (Icmp::Request, Icmp::Reply, Icmp::Other));
    assert!(
        (1..=4).all(|kind| echo(kind).is_error())
            && [3, 11, 12]
                .into_iter()
                .all(|kind| { parsed(ipv4(protocol::ICMP, 0, &[kind, 0, 0, 0, 0, 0, 0, 0])).is_error() })
    );
}

#[test]
fn a_quote_is_read_with_its_ends_exchanged() {
    let inner = ipv4(protocol::UDP, 0, &udp(b"INVITE"))[14..].to_vec();
    for length in [28, 31, inner.len()] {
        let (packet, quote) = quoted::<Address4>(error(&inner[..length]));
        assert!(packet.is_error());
        assert_eq!(quote.fault, None, "{length}");
        assert_eq!((quote.source, quote.source_port.number()), (Address4::new([203, 0, 113, 10]), 15060));
        assert_eq!((quote.destination, quote.destination_port.number()), (Address4::new([192, 168, 20, 10]), 5060));
        assert_eq!((usize::from(quote.network), quote.length as usize), (14 + 20 + 8, length));
    }
    assert_eq!(quoted::<Address4>(error(&inner[..27])).1.fault, Some(Reason::Malformed));
    let mut later = inner.clone();
    later[7] = 1;
    assert_eq!(quoted::<Address4>(error(&later)).1.fault, Some(Reason::FragmentNoState));
    let about_an_error = error(&inner)[14..].to_vec();
    assert_eq!(quoted::<Address4>(error(&about_an_error)).1.fault, Some(Reason::UnknownProtocol));
}

#[test]
fn an_ipv6_quote_is_read_behind_its_extension_headers() {
    let inner = ipv6(60, &[[protocol::UDP, 0, 1, 4, 0, 0, 0, 0].as_slice(), &udp(b"INVITE")].concat())[14..].to_vec();
    let too_big = [&[2, 0, 0, 0, 0, 0, 5, 0], inner.as_slice()].concat();
    let (packet, quote) = quoted::<Address6>(ipv6(protocol::ICMPV6, &too_big));
    assert!(packet.is_error());
    assert_eq!((quote.fault, quote.source, quote.destination), (None, DESTINATION6, SOURCE6));
    assert_eq!((quote.source_port.number(), quote.destination_port.number()), (15060, 5060));
}

proptest! {
    #[test]
    fn whatever_is_quoted_is_read_within_the_error_or_has_a_fault(quote in prop::collection::vec(any::<u8>(), 0..120), padding in 0_usize..20) {
        let mut frame = error(&quote);
        let end = frame.len();
        frame.resize(end + padding, 0x45);
        let (_, quote) = quoted::<Address4>(frame);
        if quote.fault.is_none() {
            prop_assert!(usize::from(quote.transport) + 8 <= end);
            prop_assert_eq!(usize::from(quote.network) + quote.length as usize, end);
        }
    }

    #[test]
    fn whatever_an_ipv6_error_quotes_is_read_within_it_or_has_a_fault(quote in prop::collection::vec(any::<u8>(), 0..200)) {
        let frame = ipv6(protocol::ICMPV6, &[&[1, 4, 0, 0, 0, 0, 0, 0], quote.as_slice()].concat());
        let end = frame.len();
        let (_, quote) = quoted::<Address6>(frame);
        prop_assert!(quote.fault.is_some() || usize::from(quote.transport) + 8 <= end);
    }
}
