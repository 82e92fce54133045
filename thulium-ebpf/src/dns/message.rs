//! A message: bytes that were copied out of a packet, and its header (RFC 1035 §4.1.1).

use crate::abi::{MESSAGE_BYTES, Reply};

/// Bytes of a header.
pub(super) const HEADER: u32 = 12;

/// Bits of the header's second word.
mod flag {
    /// A reply.
    pub(super) const REPLY: u16 = 0x8000;
    /// What is asked for; 0 is an ordinary query.
    pub(super) const OPCODE: u16 = 0x7800;
    /// There was more.
    pub(super) const TRUNCATED: u16 = 0x0200;
    /// What went wrong; 0: nothing.
    pub(super) const CODE: u16 = 0x000f;
}

/// A message's header.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// The query's number, as it stands in the message.
    pub id: u16,
    flags: u16,
    questions: u16,
    /// Records in the section of answers.
    pub answers: u16,
}

impl Header {
    /// The header of a message; none if it has not even that.
    #[inline(always)]
    pub fn read(message: &Reply) -> Option<Self> {
        if message.length < HEADER || message.length > MESSAGE_BYTES as u32 {
            return None;
        }
        Some(Self {
            id: message.word(0).to_be(),
            flags: message.word(2),
            questions: message.word(4),
            answers: message.word(6),
        })
    }

    /// True for an ordinary query with one question.
    #[inline(always)]
    pub const fn is_query(&self) -> bool {
        self.flags & (flag::REPLY | flag::OPCODE | flag::TRUNCATED) == 0 && self.questions == 1
    }

    /// True for a complete and successful reply to such a query.
    #[inline(always)]
    pub const fn is_good_reply(&self) -> bool {
        let bits = flag::REPLY | flag::OPCODE | flag::TRUNCATED | flag::CODE;
        self.flags & bits == flag::REPLY && self.questions == 1
    }
}

impl Reply {
    /// The byte at `at`, which wraps around. The verifier sees that it lies within.
    #[inline(always)]
    pub(super) const fn byte(&self, at: u32) -> u8 {
        self.message[at as usize % MESSAGE_BYTES]
    }

    /// The two bytes at `at`, high byte first.
    #[inline(always)]
    pub(super) const fn word(&self, at: u32) -> u16 {
        u16::from_be_bytes([self.byte(at), self.byte(at + 1)])
    }

    /// The four bytes at `at`, high byte first.
    #[inline(always)]
    pub(super) const fn double_word(&self, at: u32) -> u32 {
        (self.word(at) as u32) << 16 | self.word(at + 2) as u32
    }

    /// True if there are `count` bytes from `at` on.
    #[inline(always)]
    pub(super) const fn has(&self, at: u32, count: u32) -> bool {
        at <= self.length && count <= self.length - at
    }
}
