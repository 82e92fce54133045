//! Which records are nobody's: those that never were in use, and a list of those that were.
//!
//! Each record of the list has the number of the next one where its key was. A lock is not needed: whoever changes the list also changes
//! the count beside its first number, so that nobody changes a list that is another than the one they have looked at.

use super::{Store, find::record_place};

/// How often the list is tried to be changed: each time that it fails, another CPU has changed it meanwhile.
const TRIES: u32 = 32;

/// The numbers of a side's records that are free.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// The list: its first number in the lower half, 0 if it is empty; how often it was changed in the upper half.
    pub list: u64,
    /// How many numbers were ever taken that were not in the list; where there is no room, one more for a moment.
    pub fresh: u64,
}

/// Takes a number. `None`: all are in use.
#[inline(always)]
pub fn take<S: Store>(store: &S, half: u32) -> Option<u32> {
    let numbers = store.numbers(half)?;
    for _ in 0..TRIES {
        // SAFETY: live words.
        let list = unsafe { (&raw const (*numbers).list).read_volatile() };
        let number = list as u32;
        if number == 0 {
            break;
        }
        // SAFETY: a live record. Another CPU may have taken it meanwhile: then this is no number, and the list another one.
        let next = unsafe { link(store, half, number)?.read_volatile() };
        // SAFETY: a live word.
        if unsafe { store.exchange(&raw mut (*numbers).list, list, changed(list, next as u32)) } {
            return Some(number);
        }
    }
    // SAFETY: live words.
    unsafe {
        let fresh = &raw mut (*numbers).fresh;
        let taken = store.add_one(fresh);
        if taken < u64::from(store.shape().capacity) {
            return Some(taken as u32 + 1);
        }
        store.take_one(fresh);
    }
    None
}

/// Reads the record that is likely to be taken next, and forgets it.
#[inline(always)]
pub fn expect<S: Store>(store: &S, half: u32) {
    let Some(numbers) = store.numbers(half) else { return };
    // SAFETY: live words.
    let (list, fresh) =
        unsafe { ((&raw const (*numbers).list).read_volatile(), (&raw const (*numbers).fresh).read_volatile()) };
    let number = if list as u32 == 0 { fresh as u32 + 1 } else { list as u32 };
    if let Some(words) = link(store, half, number) {
        // SAFETY: a live record, of nine words, which are parts of two lines of the cache.
        unsafe {
            words.read_volatile();
            words.add(8).read_volatile();
        }
    }
}

/// Gives a number back whose record nobody finds any more.
#[inline(always)]
pub fn give_back<S: Store>(store: &S, half: u32, number: u32) {
    let (Some(numbers), Some(link)) = (store.numbers(half), link(store, half, number)) else { return };
    // SAFETY: nobody else has this record; for those who read all of them, it is nobody's.
    unsafe { link.add(1).write_volatile(0) };
    for _ in 0..TRIES {
        // SAFETY: live words.
        unsafe {
            let list = (&raw const (*numbers).list).read_volatile();
            link.write_volatile(u64::from(list as u32));
            if store.exchange(&raw mut (*numbers).list, list, changed(list, number)) {
                return;
            }
        }
    }
}

/// The list with another first number.
#[inline(always)]
const fn changed(list: u64, first: u32) -> u64 {
    ((list >> 32) + 1) << 32 | first as u64
}

/// The two words of a record's key. In a free record, the first one is the number of the next.
#[inline(always)]
fn link<S: Store>(store: &S, half: u32, number: u32) -> Option<*mut u64> {
    store.record(record_place(half, number, store.shape())).map(<*mut _>::cast)
}
