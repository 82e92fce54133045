//! The bytes of a segment, from the expected one on: read one by one, or passed over in leaps.

use super::{
    hello::{Hello, Judgement},
    stream::Hellos,
};
use crate::abi::Side;

/// Steps that one segment may take. No sane hello needs a quarter of them, so one that needs more is none.
pub const STEPS: u32 = 256;

/// A walk over a segment's data.
#[derive(Clone, Copy, Debug)]
pub struct Walk {
    hello: Hello,
    sender: Side,
    floor: u16,
    /// Offset in the data of the byte that comes next.
    position: u32,
    /// Bytes of data.
    length: u32,
    judgement: Judgement,
}

impl Walk {
    /// A walk over `length` bytes of data, from `position` on.
    #[inline(always)]
    pub const fn new(hellos: &mut Hellos, sender: Side, position: u32, length: u32) -> Self {
        let floor = hellos.floor;
        Self { hello: *hellos.of(sender), sender, floor, position, length, judgement: Judgement::Undecided }
    }

    /// One step; `read` reads the byte at an offset of the data. False when there is none left to take.
    #[inline(always)]
    pub fn step(&mut self, read: impl FnOnce(u32) -> Option<u8>) -> bool {
        let leapt = self.hello.leap(self.length - self.position);
        self.advance(leapt);
        if self.position >= self.length {
            return false;
        }
        let Some(byte) = read(self.position) else { return false };
        self.advance(1);
        self.judgement = self.hello.step(byte, self.sender, self.floor);
        matches!(self.judgement, Judgement::Undecided)
    }

    /// Ends the walk after at most [`STEPS`] steps: what the data say, and how far the hello has come.
    #[inline(always)]
    pub const fn finish(mut self, hellos: &mut Hellos) -> Judgement {
        match self.judgement {
            // Bytes that were not read must not pass.
            Judgement::Undecided if self.position < self.length => return Judgement::NotTls,
            Judgement::Undecided => {}
            Judgement::Settled => self.hello.settle(),
            // The receiver never gets these bytes: it still awaits the first of them.
            bad => return bad,
        }
        *hellos.of(self.sender) = self.hello;
        self.judgement
    }

    #[inline(always)]
    const fn advance(&mut self, bytes: u32) {
        self.position += bytes;
        self.hello.next = self.hello.next.wrapping_add(bytes);
    }
}
