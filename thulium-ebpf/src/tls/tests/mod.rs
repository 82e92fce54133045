//! What is judged right and wrong: hellos that OpenSSL wrote (`captures.txt`), and ones made here.

mod content;
mod segments;

use super::*;
use crate::abi::Side::{self, Lan, Uplink};
use crate::parse::{
    Segment,
    tcp_flags::{ACK, SYN},
};

/// The client's initial sequence number; its bytes cross the end of the number space.
const CLIENT: u32 = u32::MAX - 20;
/// The server's.
const SERVER: u32 = 5000;

/// The first record that OpenSSL 3.0 sent as a client or a server of some version.
fn capture(name: &str) -> Vec<u8> {
    let line = include_str!("captures.txt").lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let digits = line.expect("a capture of this name").as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// A client's hello as browsers send it: with a post-quantum key share, larger than a segment.
fn post_quantum() -> Vec<u8> {
    let mut body = capture("client-1.3")[9..].to_vec();
    let extensions = 2 + 32 + 1 + 32 + 2 + usize::from(u16::from_be_bytes([body[67], body[68]])) + 2;
    // X25519MLKEM768 has a share of 1216 bytes.
    body.extend([0, 51, 0x04, 0xc6, 0x04, 0xc4, 0x11, 0xec, 0x04, 0xc0]);
    body.resize(body.len() + 1216, 0x5a);
    let length = (body.len() - extensions - 2) as u16;
    body[extensions..extensions + 2].copy_from_slice(&length.to_be_bytes());
    records(&message(1, &body), &[])
}

/// A handshake message.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], &(body.len() as u32).to_be_bytes()[1..], body].concat()
}

/// A message in records: each of these lengths, and one for the rest.
fn records(message: &[u8], lengths: &[usize]) -> Vec<u8> {
    let mut rest = message;
    let mut bytes = Vec::new();
    for length in lengths.iter().copied().chain([message.len()]) {
        let (part, behind) = rest.split_at(length.min(rest.len()));
        if !part.is_empty() {
            bytes.extend([22, 3, 1]);
            bytes.extend((part.len() as u16).to_be_bytes());
            bytes.extend(part);
        }
        rest = behind;
    }
    bytes
}

/// A server's hello with these extensions.
fn server_hello(version: u16, extensions: &[(u16, &[u8])]) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    body.extend([7; 32]);
    body.extend([0, 0x13, 0x01, 0]);
    let list = extensions
        .iter()
        .map(|(kind, content)| [&kind.to_be_bytes()[..], &(content.len() as u16).to_be_bytes(), content].concat());
    let list = list.collect::<Vec<_>>().concat();
    body.extend((list.len() as u16).to_be_bytes());
    body.extend(list);
    message(2, &body)
}

/// A connection with a floor, as the gateway sees it.
struct Connection(Hellos);

impl Connection {
    /// One whose handshake is done.
    fn established(floor: u16) -> Self {
        let mut connection = Self(Hellos::opened(&segment(CLIENT, 0, SYN, 0), floor));
        assert_eq!(connection.send(Uplink, SERVER, CLIENT.wrapping_add(1), SYN | ACK, &[]), Judgement::Undecided);
        assert_eq!(connection.send(Lan, CLIENT.wrapping_add(1), SERVER + 1, ACK, &[]), Judgement::Undecided);
        connection
    }

    /// Judges one segment.
    fn send(&mut self, sender: Side, sequence: u32, acknowledgment: u32, flags: u8, data: &[u8]) -> Judgement {
        let segment = segment(sequence, acknowledgment, flags, data.len());
        let seen = self.0.observe(sender, &segment);
        if seen != Judgement::Undecided {
            return seen;
        }
        let Some(position) = self.0.expected(sender, &segment) else { return Judgement::Undecided };
        let mut walk = Walk::new(&mut self.0, sender, position, segment.length);
        for _ in 0..STEPS {
            if !walk.step(|offset| data.get(offset as usize).copied()) {
                break;
            }
        }
        walk.finish(&mut self.0)
    }

    /// Judges data that begins `offset` bytes into what the side sends.
    fn data(&mut self, sender: Side, offset: usize, data: &[u8]) -> Judgement {
        let (own, other) = match sender {
            Lan => (CLIENT, SERVER),
            Uplink => (SERVER, CLIENT),
        };
        self.send(sender, own.wrapping_add(1 + offset as u32), other.wrapping_add(1), ACK, data)
    }

    /// Judges a side's bytes in segments, each of one of these sizes in turn, until they are decided.
    fn stream(&mut self, sender: Side, bytes: &[u8], sizes: &[usize]) -> Judgement {
        let mut offset = 0;
        for size in sizes.iter().cycle() {
            let end = bytes.len().min(offset + size);
            let judgement = self.data(sender, offset, &bytes[offset..end]);
            if judgement != Judgement::Undecided || end == bytes.len() {
                return judgement;
            }
            offset = end;
        }
        Judgement::Undecided
    }
}

fn segment(sequence: u32, acknowledgment: u32, flags: u8, length: usize) -> Segment {
    Segment { sequence, acknowledgment, length: length as u32, flags, ..Segment::default() }
}

/// What a side's bytes are judged as under a floor.
fn judge(sender: Side, bytes: &[u8], floor: u16) -> Judgement {
    Connection::established(floor).stream(sender, bytes, &[bytes.len()])
}
