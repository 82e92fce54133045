//! The table of IPv4 sessions: an index of small slots in front of records that lie in the order in which they were taken.
//!
//! Why not the kernel's hash map: its bucket and its element are lines of memory that nobody has touched for a while, 128 bytes apart, and
//! with many sessions a packet costs little else. Here a slot is four bytes, and few sessions have few lines of slots.
//!
//! ```text
//!  key ── hash ──► group (12 slots, a lock) ─► near line (16 slots) ─► far line ─► spare lines     slot = tag | number of a record
//!                    1024 of a side               8192                  by capacity                             │
//!                                                                                                               ▼
//!                                                                            records of that side: key, entry   (flows4)
//! ```
//!
//! A session takes the first free slot on its way, and never moves: so the first 12,000 sessions of a side have their slots in 64 KiB, the
//! first 130,000 in 576 KiB, which a core's own cache holds. All lines of one way belong to one group (the group's number is the low bits of
//! theirs), so its lock is the lock of all changes there; who looks something up takes none.
//!
//! Two CPUs that add the same key: each first looks, and then changes only what has the version it has looked at ([`change`]). What is
//! removed may be read by another CPU for a moment and is used again, as an element of the kernel's prepared hash map is.

#[cfg(target_arch = "bpf")]
pub mod bpf;
pub mod change;
pub mod find;
pub mod numbers;
#[cfg(target_arch = "bpf")]
mod parts;
#[cfg(test)]
mod tests;

use core::mem::offset_of;

pub use numbers::Numbers;

use crate::abi::{Address4, FlowKey, FlowRecord};

/// Groups of a side.
pub const GROUPS: u32 = 1024;
/// Slots of a group.
pub const GROUP_SLOTS: u32 = 12;
/// Near lines of a side.
pub const NEAR_LINES: u32 = 8192;
/// Further lines that a key may have its slot in, where its far line is full.
pub const SPARE_LINES: u32 = 3;
/// Slots of a line.
pub const LINE_SLOTS: u32 = 16;

/// Where keys' ways begin: a line of the cache.
#[repr(C)]
pub struct Group<Lock> {
    /// Whoever changes something on the group's ways holds it.
    pub lock: Lock,
    /// Counts the changes.
    pub version: u32,
    /// How many slots are in use beyond those of the group: see [`Level::lanes`].
    pub beyond: u64,
    /// The first slots of all its ways.
    pub slots: [u32; GROUP_SLOTS as usize],
}

/// Further slots: a line of the cache.
pub type Line = [u32; LINE_SLOTS as usize];

/// How far down its way a key's slot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// In the group.
    Group,
    /// In the near line.
    Near,
    /// In the far line.
    Far,
    /// In a spare line.
    Spare,
}

impl Level {
    /// What a slot at this level adds to [`Group::beyond`], which has 16 bits for each level but the first: how many slots are in use there
    /// or further down. Of the largest table, a group's lines have 8,320.
    #[inline(always)]
    pub const fn lanes(self) -> u64 {
        match self {
            Self::Group => 0,
            Self::Near => 1,
            Self::Far => 1 | 1 << 16,
            Self::Spare => 1 | 1 << 16 | 1 << 32,
        }
    }

    /// True if slots at this level or further down are in use, by [`Group::beyond`].
    #[inline(always)]
    pub const fn is_reached(self, beyond: u64) -> bool {
        match self {
            Self::Group => true,
            Self::Near => beyond as u16 != 0,
            Self::Far => (beyond >> 16) as u16 != 0,
            Self::Spare => (beyond >> 32) as u16 != 0,
        }
    }
}

/// How large the table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Records of a side.
    pub capacity: u32,
    /// Far lines of a side, a power of two.
    pub far_lines: u32,
    /// The bits of a slot that are a record's number; the others are the tag.
    pub numbers: u32,
}

impl Shape {
    /// The most records that a side can have: a slot has room for their numbers and a tag of 9 bits.
    pub const MOST: u32 = 1 << 22;

    /// The shape of a table of so many sessions. Where all of them are there, far lines are half full at most, and one in a hundred sessions
    /// has its slot in a spare line.
    pub const fn of(capacity: u32) -> Self {
        let far_lines = capacity.div_ceil(LINE_SLOTS / 2).next_power_of_two();
        let far_lines = if far_lines < NEAR_LINES { NEAR_LINES } else { far_lines };
        Self { capacity, far_lines, numbers: (capacity + 1).next_power_of_two() - 1 }
    }

    /// Lines of both sides.
    pub const fn lines(self) -> u32 {
        2 * (NEAR_LINES + self.far_lines)
    }
}

/// Where the parts of a table lie.
pub trait Store {
    /// The lock of a group, zero while nobody holds it.
    type Lock;

    /// How large it is.
    fn shape(&self) -> Shape;

    /// A group by its number: those of the LAN's side are the first.
    fn group(&self, number: u32) -> Option<*mut Group<Self::Lock>>;

    /// A line by its number: those of the LAN's side are the first.
    fn line(&self, number: u32) -> Option<*mut Line>;

    /// A record by its place: those of the LAN's side are the first.
    fn record(&self, place: u32) -> Option<*mut FlowRecord>;

    /// Which records of a side are free, by the side's number.
    fn numbers(&self, half: u32) -> Option<*mut Numbers>;

    /// Changes a word from `old` to `new`. False if it was not `old`. Who sees it also sees what was written before.
    ///
    /// # Safety
    /// `word` is in one of this table's parts.
    unsafe fn exchange(&self, word: *mut u64, old: u64, new: u64) -> bool;

    /// Adds one to a word, and returns what it was.
    ///
    /// # Safety
    /// `word` is in one of this table's parts.
    unsafe fn add_one(&self, word: *mut u64) -> u64;

    /// Takes one off a word.
    ///
    /// # Safety
    /// `word` is in one of this table's parts.
    unsafe fn take_one(&self, word: *mut u64);

    /// Locks a group. Nothing is called until [`Store::unlock`].
    ///
    /// # Safety
    /// `group` is one of this table's.
    unsafe fn lock(&self, group: *mut Group<Self::Lock>);

    /// Unlocks it.
    ///
    /// # Safety
    /// It was locked.
    unsafe fn unlock(&self, group: *mut Group<Self::Lock>);

    /// Writes a slot. Who sees it also sees what was written before.
    ///
    /// # Safety
    /// `slot` is in one of this table's groups or lines.
    unsafe fn publish(&self, slot: *mut u32, value: u32);

    /// Reads a group's version; what is read after it is at least as new.
    ///
    /// # Safety
    /// `group` is one of this table's.
    unsafe fn version(&self, group: *mut Group<Self::Lock>) -> u32;
}

/// A key, and what is to be known to find it.
#[derive(Clone, Copy)]
pub struct Wanted {
    /// The key as it lies in memory.
    pub words: [u64; 2],
    /// Of the key and the table's seed.
    pub hash: u64,
}

impl Wanted {
    /// A key, with the seed of the table: a number that only this machine knows, so that nobody can choose keys that share their lines.
    #[inline(always)]
    pub fn new(key: &FlowKey<Address4>, seed: u64) -> Self {
        Self::of_words(words_of(key), seed)
    }

    /// The key that lies in memory so.
    #[inline(always)]
    pub fn of_words(words: [u64; 2], seed: u64) -> Self {
        Self { words, hash: hash(words, seed) }
    }

    /// The same, of which the compiler knows nothing: what was worked out of it is not kept on the stack, which has no room for it.
    #[inline(always)]
    pub fn anew(&self) -> Self {
        Self { words: [self.words[0], opaque(self.words[1])], hash: opaque(self.hash) }
    }

    /// The number of the side that it arrives on.
    #[inline(always)]
    pub const fn half(&self) -> u32 {
        self.words[1].to_ne_bytes()[offset_of!(FlowKey<Address4>, side) - size_of::<u64>()] as u32 & 1
    }

    /// The bits of the hash that choose lines.
    #[inline(always)]
    const fn bits(&self) -> u32 {
        self.hash as u32
    }

    /// Number of the group that its way begins at.
    #[inline(always)]
    pub const fn group(&self) -> u32 {
        self.half() * GROUPS + self.bits() % GROUPS
    }

    /// Number of its near line.
    #[inline(always)]
    pub const fn near(&self, shape: Shape) -> u32 {
        self.half() * (NEAR_LINES + shape.far_lines) + self.bits() % NEAR_LINES
    }

    /// Number of its far line.
    #[inline(always)]
    pub const fn far(&self, shape: Shape) -> u32 {
        self.far_from(self.bits(), shape)
    }

    /// Number of one of its [`SPARE_LINES`]: other far lines of the same group.
    #[inline(always)]
    pub const fn spare(&self, which: u32, shape: Shape) -> u32 {
        // Odd numbers, so that each is another line than the far one and the other two.
        let other = ((self.hash >> 40) as u32 | 1) + 2 * which;
        self.far_from(self.bits() ^ other.wrapping_mul(GROUPS), shape)
    }

    #[inline(always)]
    const fn far_from(&self, bits: u32, shape: Shape) -> u32 {
        self.half() * (NEAR_LINES + shape.far_lines) + NEAR_LINES + (bits & (shape.far_lines - 1))
    }

    /// The tag of its slot.
    #[inline(always)]
    pub const fn tag(&self, shape: Shape) -> u32 {
        (self.hash >> 32) as u32 & !shape.numbers
    }
}

#[inline(always)]
#[cfg_attr(not(target_arch = "bpf"), expect(clippy::missing_const_for_fn))]
fn opaque(word: u64) -> u64 {
    #[cfg(target_arch = "bpf")]
    {
        let mut word = word;
        // An instruction there must be: the kernel takes no lines of source that have none.
        // SAFETY: it does nothing.
        unsafe { core::arch::asm!("{0} = {0}", inout(reg) word, options(nomem, nostack, preserves_flags)) };
        word
    }
    #[cfg(not(target_arch = "bpf"))]
    word
}

/// A key as it lies in memory.
#[inline(always)]
pub fn words_of(key: &FlowKey<Address4>) -> [u64; 2] {
    let words: *const u64 = core::ptr::from_ref(key).cast();
    // SAFETY: a key has 16 bytes, none of them undefined.
    unsafe { [words.read_unaligned(), words.add(1).read_unaligned()] }
}

/// Mixes the words of a key so that each bit of them changes every bit of the result half of the time (after Vigna's SplitMix64).
#[inline(always)]
const fn hash(words: [u64; 2], seed: u64) -> u64 {
    let first = (words[0] ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let second = (first ^ (first >> 32) ^ words[1] ^ seed.rotate_left(32)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let third = (second ^ (second >> 29)).wrapping_mul(0x94d0_49bb_1331_11eb);
    third ^ (third >> 32)
}
