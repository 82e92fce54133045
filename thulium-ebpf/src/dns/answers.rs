//! The answers to a question: aliases from the name that was asked for to the one that has the addresses, and these.

use super::{
    INTERNET, Question,
    name::{NameWalk, Turn},
    record,
};
use crate::abi::{Name, Reply};

/// Records that a section of answers may have to be followed.
pub const ANSWERS: usize = 32;

/// Steps that the answers of one message may take: enough for 32 records whose names are written out.
pub const STEPS: u32 = 4096;

const SECOND: u64 = 1_000_000_000;

/// An address that was found.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Of an IPv4 address the first four.
    pub octets: [u8; 16],
    /// How long it may be used, seconds.
    pub ttl: u32,
}

/// What is being read of a record.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Whose it is.
    Owner,
    /// Which name it is an alias of.
    Target,
    /// Nothing any more: all of it was read.
    End,
    /// Nothing any more: it has no ordinary shape.
    Fault,
}

/// The answers, as far as they were read.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Answers {
    /// Of which [`Self::count`] are filled in.
    found: [Found; ANSWERS],
    count: u32,
    walk: NameWalk,
    place: Place,
    /// 1: the owner is another one than the name that is followed.
    differs: u32,
    /// What is looked for: a type of [`record`].
    kind: u32,
    /// Records that were not read to their end.
    left: u32,
    /// Offset of what is behind the record.
    end: u32,
}

impl Answers {
    /// Begins to read the `answers` records behind a question.
    #[inline(always)]
    pub fn begin(&mut self, question: &Question, answers: u16) {
        self.count = 0;
        self.walk = NameWalk::new(question.behind());
        self.differs = 0;
        self.kind = u32::from(question.kind());
        self.left = u32::from(answers);
        self.place = match answers {
            0 => Place::End,
            _ if usize::from(answers) > ANSWERS => Place::Fault,
            _ => Place::Owner,
        };
    }

    /// One step; `name` is the one that was asked for at first, and then the last alias. False when there is none left to take.
    #[inline(always)]
    pub fn step(&mut self, message: &Reply, name: &mut Name) -> bool {
        if !matches!(self.place, Place::Owner | Place::Target) {
            return false;
        }
        let at = self.walk.place();
        match self.walk.step(message) {
            Turn::Leap => return true,
            Turn::Fault => return self.give_up(),
            Turn::Byte(byte) if self.place == Place::Target => name.set(at, byte),
            Turn::Byte(byte) if byte != name.byte(at) => self.differs = 1,
            Turn::Byte(_) => {}
        }
        if !self.walk.has_ended() {
            return true;
        }
        if self.place == Place::Owner { self.read(message) } else { self.moved() }
    }

    /// Reads what is behind the owner of a record.
    #[inline(always)]
    fn read(&mut self, message: &Reply) -> bool {
        let at = self.walk.behind();
        if !message.has(at, 10) {
            return self.give_up();
        }
        let (kind, class, length) = (message.word(at), message.word(at + 2), u32::from(message.word(at + 8)));
        let data = at + 10;
        if !message.has(data, length) {
            return self.give_up();
        }
        self.end = data + length;
        if self.differs == 1 || class != INTERNET {
            return self.turn();
        }
        if kind == record::CNAME {
            // A name with addresses has no alias (RFC 1034 §3.6.2).
            if self.count > 0 {
                return self.give_up();
            }
            self.walk = NameWalk::new(data);
            self.place = Place::Target;
            return true;
        }
        if u32::from(kind) == self.kind {
            let expected = if kind == record::A { 4 } else { 16 };
            if length != expected {
                return self.give_up();
            }
            self.find(message, data, message.double_word(at + 4));
        }
        self.turn()
    }

    /// Takes up the address at `data`. Of an IPv4 address the octets behind it are taken along, and never looked at.
    #[inline(always)]
    fn find(&mut self, message: &Reply, data: u32, ttl: u32) {
        let found = &mut self.found[self.count as usize % ANSWERS];
        let mut octet = 0;
        while octet < 16 {
            found.octets[octet] = message.byte(data + octet as u32);
            octet += 1;
        }
        found.ttl = ttl;
        self.count += 1;
    }

    /// An alias was read: it is followed from now on.
    #[inline(always)]
    fn moved(&mut self) -> bool {
        if self.walk.behind() == self.end { self.turn() } else { self.give_up() }
    }

    /// On to the next record.
    #[inline(always)]
    fn turn(&mut self) -> bool {
        self.left -= 1;
        self.walk = NameWalk::new(self.end);
        self.differs = 0;
        self.place = if self.left == 0 { Place::End } else { Place::Owner };
        self.left != 0
    }

    #[inline(always)]
    fn give_up(&mut self) -> bool {
        self.place = Place::Fault;
        false
    }

    /// How many addresses were found: none in answers that were not read to their end.
    #[inline(always)]
    pub const fn count(&self) -> u32 {
        if matches!(self.place, Place::End) { self.count } else { 0 }
    }

    /// The address numbered `at`, which wraps around.
    #[inline(always)]
    pub const fn get(&self, at: u32) -> &Found {
        &self.found[at as usize % ANSWERS]
    }

    /// What is looked for: [`record::A`] or [`record::AAAA`].
    #[inline(always)]
    pub const fn kind(&self) -> u16 {
        self.kind as u16
    }
}

/// How long an address with this TTL (seconds) teaches, nanoseconds: 30 seconds at least, a day at most. One with its highest bit
/// set is none (RFC 2181 §8).
#[inline(always)]
pub const fn lifetime(ttl: u32) -> u64 {
    let seconds = match ttl {
        30..=86_400 => ttl,
        86_401..=0x7fff_ffff => 86_400,
        _ => 30,
    };
    seconds as u64 * SECOND
}
