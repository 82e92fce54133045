//! The question of a message: which name, and what of it.

use super::{
    INTERNET,
    message::HEADER,
    name::{NameWalk, Turn},
    record,
};
use crate::abi::{Name, Reply};

/// FNV-1a, 64 bits.
const DIGEST: (u64, u64) = (0xcbf2_9ce4_8422_2325, 0x0000_0100_0000_01b3);

/// The question, as far as it was read.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    digest: u64,
    walk: NameWalk,
    /// Length of the first label.
    first: u32,
    /// What is asked for: a type of [`record`].
    kind: u32,
    /// Offset of what is behind the question; 0 while it was not read, or is no ordinary one.
    behind: u32,
}

impl Question {
    /// A question of which nothing was read. It takes no more than 255 steps.
    #[inline(always)]
    pub const fn new() -> Self {
        Self { digest: DIGEST.0, walk: NameWalk::new(HEADER), first: 0, kind: 0, behind: 0 }
    }

    /// One step: writes into `name`, and into the wildcard that covers it; both are to be empty at first. False when there is
    /// none left to take.
    #[inline(always)]
    pub const fn step(&mut self, message: &Reply, name: &mut Name, wildcard: &mut Name) -> bool {
        let place = self.walk.place();
        // There is nothing yet that a pointer could lead to.
        let Turn::Byte(byte) = self.walk.step(message) else { return false };
        self.add(byte);
        name.set(place, byte);
        if place == 0 {
            self.first = byte as u32;
            wildcard.set(0, 1);
            wildcard.set(1, b'*');
        } else if place > self.first {
            wildcard.set(place - self.first + 1, byte);
        }
        if self.walk.has_ended() {
            self.finish(message);
            return false;
        }
        true
    }

    /// Reads type and class.
    #[inline(always)]
    const fn finish(&mut self, message: &Reply) {
        let at = self.walk.behind();
        if !message.has(at, 4) || self.first == 0 {
            return;
        }
        let (kind, class) = (message.word(at), message.word(at + 2));
        if class != INTERNET || !matches!(kind, record::A | record::AAAA) {
            return;
        }
        self.add((kind >> 8) as u8);
        self.add(kind as u8);
        self.add((class >> 8) as u8);
        self.add(class as u8);
        self.kind = kind as u32;
        self.behind = at + 4;
    }

    #[inline(always)]
    const fn add(&mut self, byte: u8) {
        self.digest = (self.digest ^ byte as u64).wrapping_mul(DIGEST.1);
    }

    /// True if it asks for the addresses of a name, and was read to its end.
    #[inline(always)]
    pub const fn is_complete(&self) -> bool {
        self.behind != 0
    }

    /// A digest of the name in lower case, type and class.
    #[inline(always)]
    pub const fn digest(&self) -> u64 {
        self.digest
    }

    /// What is asked for: [`record::A`] or [`record::AAAA`].
    #[inline(always)]
    pub const fn kind(&self) -> u16 {
        self.kind as u16
    }

    /// Offset of what is behind it.
    #[inline(always)]
    pub(super) const fn behind(&self) -> u32 {
        self.behind
    }
}

impl Default for Question {
    fn default() -> Self {
        Self::new()
    }
}
