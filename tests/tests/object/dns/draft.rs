//! DNS messages in the making, wrong ones too (RFC 1035 §4.1).

use std::net::IpAddr;

use super::TTL;

/// A pointer to the name in the question.
pub(super) const ASKED: [u8; 2] = [0xc0, 12];

/// Types of records.
pub(super) const A: u16 = 1;
pub(super) const CNAME: u16 = 5;
pub(super) const AAAA: u16 = 28;

/// The number of the queries.
pub(super) const ID: u16 = 0xbeef;

/// A name, written out.
pub(super) fn name(text: &str) -> Vec<u8> {
    let labels = text.split('.').filter(|label| !label.is_empty());
    let mut bytes: Vec<u8> = labels.flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat()).collect();
    bytes.push(0);
    bytes
}

/// A message.
#[derive(Clone)]
pub(super) struct Draft(pub(super) Vec<u8>);

impl Draft {
    /// The query for records of a type.
    pub(super) fn query(asked: &str, kind: u16) -> Self {
        let header = [ID, 0x0100, 1, 0, 0, 0];
        let mut bytes: Vec<u8> = header.iter().flat_map(|word| word.to_be_bytes()).collect();
        bytes.extend(name(asked));
        bytes.extend([kind.to_be_bytes(), [0, 1]].concat());
        Self(bytes)
    }

    /// A reply to that, without answers yet.
    pub(super) fn reply(asked: &str, kind: u16) -> Self {
        Self::query(asked, kind).word(1, 0x8180)
    }

    /// With a word of the header changed.
    pub(super) fn word(mut self, at: usize, word: u16) -> Self {
        self.0[2 * at..2 * at + 2].copy_from_slice(&word.to_be_bytes());
        self
    }

    /// With an answer.
    pub(super) fn record(mut self, owner: &[u8], kind: u16, ttl: u32, data: &[u8]) -> Self {
        self.0.extend(owner);
        self.0.extend([kind.to_be_bytes(), [0, 1]].concat());
        self.0.extend(ttl.to_be_bytes());
        self.0.extend((data.len() as u16).to_be_bytes());
        self.0.extend(data);
        let answers = u16::from_be_bytes([self.0[6], self.0[7]]) + 1;
        self.word(3, answers)
    }

    /// With an address of the name that was asked for.
    pub(super) fn address(self, address: IpAddr) -> Self {
        self.address_of(&ASKED, address)
    }

    /// With an address of a name.
    pub(super) fn address_of(self, owner: &[u8], address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => self.record(owner, A, TTL, &address.octets()),
            IpAddr::V6(address) => self.record(owner, AAAA, TTL, &address.octets()),
        }
    }

    /// With EDNS in its additional section (RFC 6891 §6.1.2).
    pub(super) fn edns(mut self) -> Self {
        self.0.extend([0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0]);
        self.word(5, 1)
    }
}
