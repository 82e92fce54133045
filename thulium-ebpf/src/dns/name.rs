//! A name in a message, read a byte at a time through its compression (RFC 1035 §4.1.4).

use super::message::HEADER;
use crate::abi::Reply;

/// Bytes that a name can have with the lengths of its labels and the root's zero (RFC 1035 §2.3.4).
const LONGEST: u32 = 255;

/// What a step over a name came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// The next byte of the name, in lower case: the length of a label, or a letter.
    Byte(u8),
    /// A pointer was followed.
    Leap,
    /// It is no name.
    Fault,
}

/// A walk over a name. A pointer leads to a name that stands before the part that it ends, as a whole: so pointers end.
#[derive(Clone, Copy, Debug)]
pub(super) struct NameWalk {
    /// Offset of the byte that comes next.
    at: u32,
    /// Where the part began that is being read: the next pointer leads to before that.
    part: u32,
    /// Where the part before that one began, and this one has to have ended.
    limit: u32,
    /// Bytes left of the label that is being read.
    left: u32,
    /// Bytes of the name so far.
    length: u32,
    /// Offset of what is behind the name where it began; 0 while no pointer was met.
    behind: u32,
    /// 1: the root was reached.
    ended: u32,
}

impl NameWalk {
    /// A walk over the name at `at`.
    #[inline(always)]
    pub(super) const fn new(at: u32) -> Self {
        Self { at, part: at, limit: u32::MAX, left: 0, length: 0, behind: 0, ended: 0 }
    }

    /// True when the whole name was read.
    #[inline(always)]
    pub(super) const fn has_ended(&self) -> bool {
        self.ended == 1
    }

    /// Place in the name of the byte that comes next.
    #[inline(always)]
    pub(super) const fn place(&self) -> u32 {
        self.length
    }

    /// Offset of what is behind the name, when the whole name was read.
    #[inline(always)]
    pub(super) const fn behind(&self) -> u32 {
        if self.behind != 0 { self.behind } else { self.at }
    }

    /// One step.
    #[inline(always)]
    pub(super) const fn step(&mut self, message: &Reply) -> Turn {
        if self.at >= self.limit || !message.has(self.at, 1) {
            return Turn::Fault;
        }
        let byte = message.byte(self.at);
        if self.left > 0 {
            self.left -= 1;
            return self.take(byte.to_ascii_lowercase());
        }
        match byte & 0xc0 {
            0 => {
                self.left = byte as u32;
                self.ended = (byte == 0) as u32;
                self.take(byte)
            }
            0xc0 => self.leap(message),
            // Reserved (RFC 6891 §5).
            _ => Turn::Fault,
        }
    }

    #[inline(always)]
    const fn take(&mut self, byte: u8) -> Turn {
        if self.length >= LONGEST {
            return Turn::Fault;
        }
        self.at += 1;
        self.length += 1;
        Turn::Byte(byte)
    }

    /// Follows the pointer that comes next.
    #[inline(always)]
    const fn leap(&mut self, message: &Reply) -> Turn {
        let to = message.word(self.at) as u32 & 0x3fff;
        if !message.has(self.at, 2) || to < HEADER || to >= self.part {
            return Turn::Fault;
        }
        if self.behind == 0 {
            self.behind = self.at + 2;
        }
        self.limit = self.part;
        self.at = to;
        self.part = to;
        Turn::Leap
    }
}
