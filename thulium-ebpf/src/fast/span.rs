//! The bytes of a frame, read and written in words that need not stand aligned.
//!
//! In assembly on the BPF target: LLVM takes an unaligned word apart into bytes there, though every kernel that compiles programs to
//! machine code for a processor that can takes it whole.

/// The part of a frame that can be read and written directly. Offsets are bytes from its start, the first of the link header.
#[derive(Clone, Copy)]
pub struct Span {
    start: usize,
    end: usize,
}

/// A load and a store of a word.
macro_rules! word {
    ($load:ident, $store:ident, $type:ty, $name:literal) => {
        #[doc = concat!("The ", $name, " at `AT`, as it stands there.")]
        ///
        /// # Safety
        ///
        /// [`Span::holds`] has said so.
        #[inline(always)]
        pub unsafe fn $load<const AT: usize>(self) -> $type {
            #[cfg(target_arch = "bpf")]
            {
                let word: u64;
                // SAFETY: the caller's.
                unsafe {
                    core::arch::asm!(
                        concat!("{word} = *(", $name, " *)({start} + {at})"),
                        word = lateout(reg) word,
                        start = in(reg) self.start,
                        at = const AT,
                        options(pure, readonly, nostack, preserves_flags),
                    );
                    // The kernel fills the rest of the register with zeroes.
                    core::hint::assert_unchecked(word <= <$type>::MAX as u64);
                }
                word as $type
            }
            #[cfg(not(target_arch = "bpf"))]
            // SAFETY: the caller's.
            unsafe {
                ((self.start + AT) as *const $type).read_unaligned()
            }
        }

        #[doc = concat!("Puts a ", $name, " at `AT`.")]
        ///
        /// # Safety
        ///
        /// [`Span::holds`] has said so.
        #[inline(always)]
        pub unsafe fn $store<const AT: usize>(self, word: $type) {
            #[cfg(target_arch = "bpf")]
            // SAFETY: the caller's.
            unsafe {
                core::arch::asm!(
                    concat!("*(", $name, " *)({start} + {at}) = {word}"),
                    word = in(reg) word as u64,
                    start = in(reg) self.start,
                    at = const AT,
                    options(nostack, preserves_flags),
                );
            }
            #[cfg(not(target_arch = "bpf"))]
            // SAFETY: the caller's.
            unsafe {
                ((self.start + AT) as *mut $type).write_unaligned(word);
            }
        }
    };
}

impl Span {
    /// The bytes from `start` up to but without `end`.
    ///
    /// # Safety
    ///
    /// They can be read and written, by nobody else meanwhile.
    #[inline(always)]
    pub const unsafe fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// True if it has so many bytes.
    #[inline(always)]
    pub const fn holds(self, bytes: usize) -> bool {
        self.start + bytes <= self.end
    }

    /// How many bytes it has.
    #[inline(always)]
    pub const fn length(self) -> usize {
        self.end - self.start
    }

    /// What is behind the first `bytes`.
    #[inline(always)]
    pub const fn skip(self, bytes: usize) -> Self {
        Self { start: self.start + bytes, end: self.end }
    }

    word!(load8, store8, u8, "u8");
    word!(load16, store16, u16, "u16");
    word!(load32, store32, u32, "u32");
}
