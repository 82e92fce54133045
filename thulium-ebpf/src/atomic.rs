//! Words in map values that several CPUs change. `core::sync::atomic` has no read-modify-write on the BPF target.

use core::intrinsics::{AtomicOrdering, atomic_cxchg, atomic_xadd, atomic_xchg};

/// Tries to count one more while other CPUs do the same.
const TRIES: u32 = 8;

/// Adds to a counter.
///
/// # Safety
///
/// `counter` points into a map value.
#[inline(always)]
pub unsafe fn add(counter: *mut u64, more: u64) {
    // SAFETY: the caller's.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(counter, more) };
}

/// Adds one to a counter and returns what it was before.
///
/// # Safety
///
/// `counter` points into a map value.
#[inline(always)]
pub unsafe fn add_one(counter: *mut u64) -> u64 {
    // Not relaxed: see `take_one`.
    // SAFETY: the caller's.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::SeqCst }>(counter, 1) }
}

/// Reads a word. Whatever is read after it is at least as new.
///
/// # Safety
///
/// `word` points into a map value.
#[inline(always)]
pub unsafe fn read(word: *mut u32) -> u32 {
    // SAFETY: the caller's.
    unsafe { atomic_xadd::<u32, u32, { AtomicOrdering::SeqCst }>(word, 0) }
}

/// Writes a word. Who sees it also sees what was written before it.
///
/// # Safety
///
/// `word` points into a map value.
#[inline(always)]
pub unsafe fn put(word: *mut u32, new: u32) {
    // SAFETY: the caller's.
    unsafe { atomic_xchg::<u32, { AtomicOrdering::SeqCst }>(word, new) };
}

/// Takes one off a counter and returns what it was before.
///
/// # Safety
///
/// `counter` points into a map value.
#[inline(always)]
pub unsafe fn take_one(counter: *mut u64) -> u64 {
    // Not relaxed: for a relaxed addition LLVM's BPF backend emits the instruction that fetches nothing, even where the
    // former value is used.
    // SAFETY: the caller's.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::SeqCst }>(counter, u64::MAX) }
}

/// Takes one off a counter that is not zero.
///
/// # Safety
///
/// `counter` points into a map value.
#[inline(always)]
pub unsafe fn take_one_unless_none(counter: *mut u64) {
    // SAFETY: the caller's.
    if unsafe { take_one(counter) } == 0 {
        // SAFETY: the caller's.
        unsafe { add(counter, 1) };
    }
}

/// Adds one to a counter that is not zero. False if it is: whoever took the last one is about to remove the value.
///
/// # Safety
///
/// `counter` points into a map value.
#[inline(always)]
pub unsafe fn add_one_unless_none(counter: *mut u64) -> bool {
    for _ in 0..TRIES {
        // SAFETY: the caller's.
        let count = unsafe { counter.read_volatile() };
        if count == 0 {
            return false;
        }
        // SAFETY: the caller's.
        if unsafe { exchange(counter, count, count + 1) } {
            return true;
        }
    }
    false
}

/// Changes a word from `old` to `new`. False if it was not `old`: of several CPUs only one changes it.
///
/// # Safety
///
/// `word` points into a map value.
#[inline(always)]
pub unsafe fn exchange(word: *mut u64, old: u64, new: u64) -> bool {
    // SAFETY: the caller's.
    unsafe { atomic_cxchg::<u64, { AtomicOrdering::SeqCst }, { AtomicOrdering::SeqCst }>(word, old, new) }.1
}
