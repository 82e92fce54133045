//! A strict reader of frames, written from the RFCs: what it does not read is no packet of a session.

use std::net::{IpAddr, SocketAddr};

use crate::network::HARDWARE;

/// Where the IP header begins.
pub(super) const NETWORK: usize = 14;

/// Place of a packet in its datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Whole,
    First,
    Later,
}

/// What is known of a packet that contradicts itself nowhere. Offsets are from the start of the frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Read {
    /// Port 0 in a later fragment.
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) protocol: u8,
    pub(super) place: Place,
    pub(super) id: u32,
    pub(super) hops: u8,
    /// Control bits of TCP.
    pub(super) flags: u8,
    pub(super) transport: usize,
    /// Behind the packet's last byte; what follows is padding.
    pub(super) end: usize,
    /// True if nothing stands between the IP header and the transport header.
    pub(super) is_plain: bool,
}

/// The 16-bit word at this offset.
pub(super) fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

/// The sum of RFC 1071 over these bytes, as a number below 65535: all ones are zero.
pub(super) fn sum(bytes: &[u8]) -> u64 {
    bytes.chunks(2).map(|pair| u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0))).sum::<u64>() % 65535
}

/// Source and destination of whatever is IP at first sight and for the gateway's station.
pub(super) fn addresses(frame: &[u8]) -> Option<(IpAddr, IpAddr)> {
    let packet = frame.get(NETWORK..).filter(|_| frame[..6] == HARDWARE)?;
    match word(frame, 12)? {
        0x0800 if packet.len() >= 20 => {
            let at = |at: usize| IpAddr::from(<[u8; 4]>::try_from(&packet[at..at + 4]).unwrap());
            Some((at(12), at(16)))
        }
        0x86dd if packet.len() >= 40 => {
            let at = |at: usize| IpAddr::from(<[u8; 16]>::try_from(&packet[at..at + 16]).unwrap());
            Some((at(8), at(24)))
        }
        _ => None,
    }
}

/// Reads the IP headers of a frame for the gateway; ports are 0. None: something is wrong.
pub(super) fn network(frame: &[u8]) -> Option<Read> {
    let (source, destination) = addresses(frame)?;
    let unread = Read {
        source: SocketAddr::new(source, 0),
        destination: SocketAddr::new(destination, 0),
        protocol: 0,
        place: Place::Whole,
        id: 0,
        hops: 0,
        flags: 0,
        transport: 0,
        end: 0,
        is_plain: true,
    };
    if source.is_ipv4() { read_ipv4(frame, unread) } else { read_ipv6(frame, unread) }
}

/// Reads a frame for the gateway with TCP or UDP in it. None: something is wrong, or it is something else.
pub(super) fn read(frame: &[u8]) -> Option<Read> {
    let read = network(frame)?;
    if read.place == Place::Later {
        return matches!(read.protocol, 6 | 17).then_some(read);
    }
    read_transport(frame, read)
}

/// RFC 791: no options, since no flow has them.
fn read_ipv4(frame: &[u8], mut read: Read) -> Option<Read> {
    let length = usize::from(word(frame, NETWORK + 2)?);
    if frame[NETWORK] != 0x45 || length < 20 || sum(&frame[NETWORK..NETWORK + 20]) != 0 {
        return None;
    }
    let fragment = word(frame, NETWORK + 6)?;
    read.place = place(fragment & 0x1fff != 0, fragment & 0x2000 != 0);
    read.id = u32::from(word(frame, NETWORK + 4)?);
    (read.hops, read.protocol) = (frame[NETWORK + 8], frame[NETWORK + 9]);
    (read.transport, read.end) = (NETWORK + 20, NETWORK + length);
    (read.end <= frame.len()).then_some(read)
}

/// RFC 8200: hop-by-hop options come first, destination options anywhere, a fragment header once.
fn read_ipv6(frame: &[u8], mut read: Read) -> Option<Read> {
    const HEADER: usize = 40;
    if frame[NETWORK] >> 4 != 6 {
        return None;
    }
    read.end = NETWORK + HEADER + usize::from(word(frame, NETWORK + 4)?);
    read.hops = frame[NETWORK + 7];
    let (mut next, mut at) = (frame[NETWORK + 6], NETWORK + HEADER);
    let mut is_fragment = false;
    while let 0 | 44 | 60 = next {
        let header = frame.get(at..at + 8)?;
        if next == 44 {
            if is_fragment {
                return None;
            }
            is_fragment = true;
            let fragment = word(header, 2)?;
            read.place = place(fragment & 0xfff8 != 0, fragment & 1 != 0);
            read.id = u32::from_be_bytes(header[4..].try_into().unwrap());
        } else if next == 0 && at != NETWORK + HEADER {
            return None;
        }
        at += if next == 44 { 8 } else { 8 * (usize::from(header[1]) + 1) };
        next = header[0];
        read.is_plain = false;
        if read.place == Place::Later {
            break;
        }
    }
    (read.protocol, read.transport) = (next, at);
    (at <= read.end && read.end <= frame.len()).then_some(read)
}

fn place(has_offset: bool, has_more: bool) -> Place {
    match (has_offset, has_more) {
        (true, _) => Place::Later,
        (false, true) => Place::First,
        (false, false) => Place::Whole,
    }
}

/// RFC 768, RFC 9293: the header is there, within the packet, and has ports.
fn read_transport(frame: &[u8], mut read: Read) -> Option<Read> {
    let message = frame.get(read.transport..read.end)?;
    let (source, destination) = (word(message, 0)?, word(message, 2)?);
    match read.protocol {
        17 => {
            let length = usize::from(word(message, 4)?);
            let is_cut = length > message.len() && read.place == Place::Whole;
            if message.len() < 8 || length < 8 || is_cut {
                return None;
            }
        }
        6 => {
            let header = usize::from(*message.get(12)? >> 4) * 4;
            if header < 20 || header > message.len() {
                return None;
            }
            read.flags = message[13];
        }
        _ => return None,
    }
    if source == 0 || destination == 0 {
        return None;
    }
    read.source.set_port(source);
    read.destination.set_port(destination);
    Some(read)
}

/// Where a SYN says the largest segment, if it says it.
pub(super) fn segment_size(frame: &[u8], read: &Read) -> Option<usize> {
    let options = read.transport + 20..read.transport + usize::from(frame[read.transport + 12] >> 4) * 4;
    let mut at = options.start;
    while at < options.end {
        match frame[at] {
            0 => return None,
            1 => at += 1,
            2 if frame.get(at + 1) == Some(&4) && at + 4 <= options.end => return Some(at + 2),
            _ => at += usize::from(*frame.get(at + 1)?).max(2),
        }
    }
    None
}
