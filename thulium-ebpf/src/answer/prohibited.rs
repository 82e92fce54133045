//! An ICMP "communication administratively prohibited" (RFC 1812 §5.2.7.1, RFC 4443 §3.1).

use super::{
    Answer,
    unfinished::{is_unfinished, pseudo_header},
};
use crate::{
    checksum::fold,
    frame::Edit,
    parse::{Packet, protocol},
};

/// Bytes of an ICMP header, and of what is quoted behind the IP header.
const LENGTH: usize = 8;

/// Turns the packet in the frame into an error that quotes its IP header and eight bytes behind that: all that a sender needs to
/// tell which of its sockets is meant. It comes from the destination that was not reached. None if that cannot be: the packet has
/// IP options or extension headers, or is TCP with an unfinished checksum, or the frame could not be written.
#[inline(never)]
pub fn write<F: Edit, A: Answer>(frame: &mut F, packet: &Packet<A>) -> Option<()> {
    let network = frame.network();
    let transport = network + A::HEADER;
    let quoted = A::HEADER + LENGTH;
    let is_unfinished = is_unfinished(frame, packet);
    // TCP's would be finished within the quote.
    let is_possible = transport == usize::from(packet.transport)
        && packet.length as usize >= quoted
        && !(is_unfinished && packet.protocol == protocol::TCP);
    if !is_possible {
        return None;
    }
    frame.resize(transport + LENGTH + quoted)?;
    let mut sum = u32::from(A::PROHIBITED.to_be());
    for offset in (0..quoted).step_by(4) {
        let words = frame.read::<[u16; 2]>(network + offset)?;
        frame.write(network + quoted + offset, words)?;
        sum += u32::from(words[0]) + u32::from(words[1]);
    }
    finish(frame, packet, sum, is_unfinished)
}

/// Writes the headers in front of the quote; `sum` is that of its words and the first of the message.
#[inline(never)]
fn finish<F: Edit, A: Answer>(frame: &mut F, packet: &Packet<A>, sum: u32, is_unfinished: bool) -> Option<()> {
    let length = (A::HEADER + 2 * LENGTH) as u16;
    let (from, to) = (&packet.destination, &packet.source);
    let pseudo = if A::IS_SUM_OF_PSEUDO_HEADER { pseudo_header(from, to, A::ICMP, u32::from(length)) } else { 0 };
    // UDP's is finished in the second half of an unused word, such that the message has a right sum if this starts it.
    let start = if is_unfinished { fold(pseudo) } else { 0 };
    let header = [A::PROHIBITED.to_be(), !fold(sum + pseudo + u32::from(start)), 0, start];
    A::write_header(frame, from, to, A::ICMP, length)?;
    frame.write(frame.network() + A::HEADER, header)
}
