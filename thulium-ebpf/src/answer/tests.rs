use super::{prohibited, reset::Reset};
use crate::{
    abi::{Address4, Address6, Endpoint, Port},
    checksum::fold,
    frame::Bytes,
    parse::{
        Segment, parse, protocol,
        tcp_flags::{ACK, FIN, RST, SYN},
        tests as craft,
    },
};

const CLIENT: u16 = 50000;
const SERVER: u16 = 443;

/// A segment of a client with options in its TCP header.
fn segment(flags: u8, data: &[u8]) -> Vec<u8> {
    let mut segment = [CLIENT.to_be_bytes(), SERVER.to_be_bytes()].concat();
    segment.extend([0, 0, 0x10, 0, 0, 0, 0x20, 0, 0x60, flags, 0xff, 0xff, 0, 0, 0, 0, 1, 1, 1, 1]);
    segment.extend(data);
    segment
}

fn words(bytes: &[u8]) -> u32 {
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().next_multiple_of(2), 0);
    bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum()
}

/// The sum of the pseudo-header of a frame with `length` bytes of TCP.
fn pseudo_header(frame: &[u8], length: usize) -> u32 {
    let addresses = if frame[14] >> 4 == 4 { &frame[26..34] } else { &frame[22..54] };
    words(addresses) + u32::from(protocol::TCP) + length as u32
}

/// Sequence, acknowledgment, and what is left of the first four words of the header.
fn numbers(frame: &[u8], transport: usize) -> (u32, u32, u8) {
    let word = |at: usize| u32::from_be_bytes(frame[at..at + 4].try_into().unwrap());
    (word(transport + 4), word(transport + 8), frame[transport + 13])
}

#[test]
fn a_segment_becomes_the_reset_that_answers_it() {
    let mut frame = Bytes(craft::ipv4(protocol::TCP, 0, &segment(ACK, b"GET / HTTP/1.1")));
    let packet = parse::<_, Address4>(&frame);
    Reset::answering(&packet, &Segment::read(&frame, &packet).unwrap()).write(&mut frame, &packet).unwrap();
    assert_eq!(frame.0.len(), 14 + 40);
    let answer = parse::<_, Address4>(&frame);
    assert_eq!((answer.fault, answer.length, answer.ttl, answer.tcp_flags), (None, 40, 64, RST));
    assert_eq!((answer.source, answer.source_port), (packet.destination, Port::new(SERVER)));
    assert_eq!((answer.destination, answer.destination_port), (packet.source, Port::new(CLIENT)));
    assert_eq!(numbers(&frame.0, 34), (0x2000, 0, RST), "the number that the client awaits");
    assert_eq!(fold(pseudo_header(&frame.0, 20) + words(&frame.0[34..])), 0xffff, "the checksum is right");
}

#[test]
fn what_acknowledges_nothing_is_acknowledged() {
    for (flags, data, end) in [(SYN, &b"hello"[..], 0x1006), (FIN, b"", 0x1001)] {
        let frame = Bytes(craft::ipv4(protocol::TCP, 0, &segment(flags, data)));
        let packet = parse::<_, Address4>(&frame);
        let read = Segment::read(&frame, &packet).unwrap();
        let mut answered = frame.clone();
        Reset::answering(&packet, &read).write(&mut answered, &packet).unwrap();
        assert_eq!(numbers(&answered.0, 34), (0, end, RST | ACK));
    }
}

#[test]
fn a_servers_segment_becomes_a_reset_with_the_number_that_its_client_awaits() {
    let mut frame = Bytes(craft::ipv4(protocol::TCP, 0, &segment(ACK, b"SSH-2.0")));
    let packet = parse(&frame);
    let to = Endpoint::new(Address4::new([192, 168, 20, 77]), Port::new(51000));
    let read = Segment::read(&frame, &packet).unwrap();
    Reset::in_place_of(&packet, &read, &to, 0x1003).write(&mut frame, &packet).unwrap();
    let answer = parse::<_, Address4>(&frame);
    assert_eq!((answer.source, answer.source_port), (packet.source, packet.source_port));
    assert_eq!((answer.destination, answer.destination_port), (to.address, to.port));
    assert_eq!(numbers(&frame.0, 34), (0x1003, 0x2000, RST | ACK));
    assert_eq!(fold(pseudo_header(&frame.0, 20) + words(&frame.0[34..])), 0xffff);
}

#[test]
fn an_unfinished_checksum_stays_unfinished() {
    let data = segment(ACK, b"an odd length");
    let mut before = craft::ipv4(protocol::TCP, 0, &data);
    let sum = fold(pseudo_header(&before, data.len()));
    before[50..52].copy_from_slice(&sum.to_be_bytes());
    let mut frame = Bytes(before);
    let packet = parse::<_, Address4>(&frame);
    Reset::answering(&packet, &Segment::read(&frame, &packet).unwrap()).write(&mut frame, &packet).unwrap();
    assert_eq!(u16::from_be_bytes([frame.0[50], frame.0[51]]), fold(pseudo_header(&frame.0, 20)));
}

#[test]
fn ipv6_is_answered_alike() {
    let data = segment(ACK, b"GET / HTTP/1.1");
    let mut before = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd, 0x60, 0, 0, 0];
    before.extend((data.len() as u16).to_be_bytes());
    before.extend([protocol::TCP, 63]);
    before.extend(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0x20, 0, 0, 0, 0, 0x10).octets());
    before.extend(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0x99, 0, 0, 0, 0, 0x10).octets());
    before.extend(data);
    let mut frame = Bytes(before);
    let packet = parse::<_, Address6>(&frame);
    assert_eq!(packet.fault, None);
    Reset::answering(&packet, &Segment::read(&frame, &packet).unwrap()).write(&mut frame, &packet).unwrap();
    let answer = parse::<_, Address6>(&frame);
    assert_eq!((answer.fault, answer.length, answer.ttl), (None, 60, 64));
    assert_eq!((answer.source, answer.destination), (packet.destination, packet.source));
    assert_eq!(numbers(&frame.0, 54), (0x2000, 0, RST));
    assert_eq!(fold(pseudo_header(&frame.0, 20) + words(&frame.0[54..])), 0xffff);
}

/// An IPv6 frame with a UDP datagram whose checksum is left to the hardware.
fn unfinished_ipv6_datagram() -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd, 0x60, 0, 0, 0];
    let mut datagram = craft::udp(b"INVITE of an odd length");
    frame.extend((datagram.len() as u16).to_be_bytes());
    frame.extend([protocol::UDP, 63]);
    frame.extend(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0x20, 0, 0, 0, 0, 0x10).octets());
    frame.extend(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0x99, 0, 0, 0, 0, 0x10).octets());
    let sum = fold(words(&frame[22..54]) + u32::from(protocol::UDP) + datagram.len() as u32);
    datagram[6..8].copy_from_slice(&sum.to_be_bytes());
    frame.extend(datagram);
    frame
}

#[test]
fn an_error_is_intact_though_its_checksum_is_finished_as_the_datagrams_would_be() {
    let mut frame = Bytes(unfinished_ipv6_datagram());
    let packet = parse::<_, Address6>(&frame);
    prohibited::write(&mut frame, &packet).unwrap();
    let (header, message) = frame.0.split_at_mut(54);
    assert_eq!(message.len(), 8 + 48);
    // What the interface does: it puts the complement of the sum of all there is at the offset of UDP's checksum.
    let sum = !fold(words(message));
    message[6..8].copy_from_slice(&sum.to_be_bytes());
    let pseudo = words(&header[22..54]) + u32::from(protocol::ICMPV6) + message.len() as u32;
    assert_eq!(fold(pseudo + words(message)), 0xffff);
}

#[test]
fn tcp_with_an_unfinished_checksum_gets_no_error_for_it_would_be_finished_in_the_quote() {
    let data = segment(SYN, b"");
    let mut frame = craft::ipv4(protocol::TCP, 0, &data);
    let sum = fold(pseudo_header(&frame, data.len()));
    frame[50..52].copy_from_slice(&sum.to_be_bytes());
    let mut frame = Bytes(frame);
    let packet = parse::<_, Address4>(&frame);
    assert_eq!(prohibited::write(&mut frame, &packet), None);
}
