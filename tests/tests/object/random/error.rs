//! ICMP errors: one passes if it quotes a packet of an open session, and is translated with its quote (RFC 5508 §4).

use std::net::{IpAddr, SocketAddr};

use thulium_tests::packet::random::Talk;

use super::{
    ledger::Ledger,
    reading::{NETWORK, Place, Read, network, sum, word},
};

/// Length of an ICMP header, bytes.
const HEADER: usize = 8;

/// Who tells of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Teller {
    /// A client, or a router in front of it: the world must not see which.
    Lan,
    /// The gateway, about a packet for a client.
    Gateway,
    /// A server, or a router on the way to it.
    World,
}

/// An error that nothing is wrong with, and the packet that it quotes. Offsets are from the start of the frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Error {
    pub(super) read: Read,
    quoted: Talk,
    /// True if its checksum is right, or (IPv6) the receiver's alone to verify, because nothing of it is rewritten.
    is_intact: bool,
    /// The quote's IP header, and the transport header behind it.
    quote: usize,
    transport: usize,
}

/// Reads an error that quotes TCP or UDP up to eight bytes behind its IP header.
pub(super) fn read_error(frame: &[u8]) -> Option<Error> {
    let read = network(frame).filter(|read| read.place == Place::Whole)?;
    let message = frame.get(read.transport..read.end).filter(|message| message.len() > HEADER)?;
    let is_v4 = read.source.is_ipv4();
    let is_error = match (is_v4, read.protocol) {
        (true, 1) => matches!(message[0], 3 | 11 | 12),
        (false, 58) => matches!(message[0], 1..=4),
        _ => false,
    };
    if !is_error {
        return None;
    }
    let quote = read.transport + HEADER;
    let quoted = &message[HEADER..];
    let (header, protocol, source, destination) = if is_v4 {
        let header = usize::from(quoted[0] & 0xf) * 4;
        let at = |at: usize| Some(IpAddr::from(<[u8; 4]>::try_from(quoted.get(at..at + 4)?).ok()?));
        (header, *quoted.get(9)?, at(12)?, at(16)?)
    } else {
        let at = |at: usize| Some(IpAddr::from(<[u8; 16]>::try_from(quoted.get(at..at + 16)?).ok()?));
        (40, *quoted.get(6)?, at(8)?, at(24)?)
    };
    let ports = quoted.get(header..header + 8)?;
    let is_right = quoted[0] >> 4 == if is_v4 { 4 } else { 6 } && header >= 20 && matches!(protocol, 6 | 17);
    let quoted = Talk {
        source: SocketAddr::new(source, word(ports, 0)?),
        destination: SocketAddr::new(destination, word(ports, 2)?),
        protocol,
    };
    let is_intact = !is_v4 || sum(message) == 0;
    is_right.then_some(Error { read, quoted, is_intact, quote, transport: quote + header })
}

impl Error {
    /// The open session that it belongs to, as its client sees it.
    pub(super) fn session(&self, ledger: &Ledger, teller: Teller) -> Option<Talk> {
        let outside = self.quoted.source;
        let session = match teller {
            Teller::Lan | Teller::Gateway => self.quoted.reversed(),
            Teller::World => Talk { source: ledger.owner(outside, self.quoted.protocol)?, ..self.quoted },
        };
        // It goes to the sender of what it quotes, and its checksum is right (RFC 5508 REQ-3). The gateway's own are as it made them.
        let is_genuine = self.is_intact && self.read.destination.ip() == outside.ip();
        ((is_genuine || teller == Teller::Gateway) && ledger.is_open(&session)).then_some(session)
    }

    /// Says what differs from a right translation. `to` is what becomes of the endpoint of the side that is translated.
    pub(super) fn check(
        &self,
        before: &[u8],
        after: &[u8],
        teller: Teller,
        to: SocketAddr,
        hop: bool,
    ) -> Result<(), String> {
        let mut expected = before.to_vec();
        if before.len() != after.len() {
            return Err(format!("{} bytes became {}", before.len(), after.len()));
        }
        let is_v4 = self.read.source.is_ipv4();
        expected[NETWORK + if is_v4 { 8 } else { 7 }] -= u8::from(hop);
        if let IpAddr::V4(address) = to.ip() {
            let (outer, inner, port) = match teller {
                Teller::Lan => (Some(12), 16, 2),
                Teller::Gateway => (None, 16, 2),
                Teller::World => (Some(16), 12, 0),
            };
            if let Some(outer) = outer {
                expected[NETWORK + outer..NETWORK + outer + 4].copy_from_slice(&address.octets());
            }
            expected[self.quote + inner..self.quote + inner + 4].copy_from_slice(&address.octets());
            expected[self.transport + port..self.transport + port + 2].copy_from_slice(&to.port().to_be_bytes());
            for at in self.checksums() {
                expected[at..at + 2].copy_from_slice(&after[at..at + 2]);
            }
        }
        if let Some(at) = (0..after.len()).find(|at| expected[*at] != after[*at]) {
            return Err(format!("byte {at} of an ICMP error is {:#x}, not {:#x}", after[at], expected[at]));
        }
        let message = |frame: &[u8]| sum(&frame[self.read.transport..self.read.end]);
        if is_v4 && (sum(&after[NETWORK..NETWORK + 20]) != 0 || message(before) != message(after)) {
            return Err("a checksum of an ICMP error is wrong".to_owned());
        }
        let header = |frame: &[u8]| sum(&frame[self.quote..self.transport]);
        if is_v4 && header(before) != header(after) {
            return Err("the checksum of the quoted header is off".to_owned());
        }
        Ok(())
    }

    /// Where checksums of IPv4 stand: its header's, the error's, the quoted header's, and the quoted transport header's if it is there.
    fn checksums(&self) -> Vec<usize> {
        let quoted = self.transport + if self.quoted.protocol == 6 { 16 } else { 6 };
        let mut all = vec![NETWORK + 10, self.read.transport + 2, self.quote + 10];
        all.extend((quoted + 2 <= self.read.end).then_some(quoted));
        all
    }
}
