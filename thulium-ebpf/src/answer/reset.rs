//! A TCP reset (RFC 9293 §3.10.7).

use super::{
    Answer,
    unfinished::{is_unfinished, pseudo_header},
};
use crate::{
    abi::Endpoint,
    checksum::fold,
    frame::Edit,
    parse::{
        Packet, Segment, protocol,
        tcp_flags::{ACK, RST},
    },
};

/// Bytes of a TCP header without options.
const LENGTH: usize = 20;
/// Offset of the checksum in it, bytes.
const CHECKSUM: usize = 16;

/// A reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reset<A> {
    from: Endpoint<A>,
    to: Endpoint<A>,
    /// Host byte order.
    sequence: u32,
    /// Host byte order.
    acknowledgment: u32,
    flags: u8,
}

impl<A: Answer> Reset<A> {
    /// What the receiver of this packet would answer, had it no such connection (§3.10.7.1).
    #[inline(always)]
    pub fn answering(packet: &Packet<A>, segment: &Segment) -> Self {
        let acknowledges = segment.has(ACK);
        Self {
            from: Endpoint::new(packet.destination, packet.destination_port),
            to: Endpoint::new(packet.source, packet.source_port),
            sequence: if acknowledges { segment.acknowledgment } else { 0 },
            acknowledgment: if acknowledges { 0 } else { segment.end() },
            flags: if acknowledges { RST } else { RST | ACK },
        }
    }

    /// What ends the connection in place of this packet. It goes to `receiver`, whose next awaited byte is number `sequence`.
    #[inline(always)]
    pub fn in_place_of(packet: &Packet<A>, segment: &Segment, receiver: &Endpoint<A>, sequence: u32) -> Self {
        Self {
            from: Endpoint::new(packet.source, packet.source_port),
            to: *receiver,
            sequence,
            acknowledgment: segment.acknowledgment,
            flags: RST | (segment.flags & ACK),
        }
    }

    /// Turns the TCP packet in the frame into this reset. None if that cannot be: it has IP options or extension headers, or
    /// the frame could not be written.
    #[inline(never)]
    pub fn write<F: Edit>(&self, frame: &mut F, packet: &Packet<A>) -> Option<()> {
        let transport = frame.network() + A::HEADER;
        if transport != usize::from(packet.transport) {
            return None;
        }
        let is_unfinished = is_unfinished(frame, packet);
        let pseudo = pseudo_header(&self.from.address, &self.to.address, protocol::TCP, LENGTH as u32);
        let header = self.header();
        let sum = if is_unfinished {
            fold(pseudo)
        } else {
            !fold(header.iter().fold(pseudo, |sum, word| sum + u32::from(*word)))
        };
        frame.resize(transport + LENGTH)?;
        A::write_header(frame, &self.from.address, &self.to.address, protocol::TCP, LENGTH as u16)?;
        frame.write(transport, header)?;
        frame.write(transport + CHECKSUM, [sum])
    }

    /// The TCP header as it stands in the packet, without a checksum.
    #[inline(always)]
    fn header(&self) -> [u16; LENGTH / 2] {
        const WORDS: u16 = 5 << 12;
        let halves = |number: u32| [(number >> 16) as u16, number as u16].map(u16::to_be);
        let ([first, second], [third, fourth]) = (halves(self.sequence), halves(self.acknowledgment));
        let control = (WORDS | u16::from(self.flags)).to_be();
        [self.from.port.be16(), self.to.port.be16(), first, second, third, fourth, control, 0, 0, 0]
    }
}
