//! Looking a key up, and a free slot for it.

use core::hint::black_box;

use super::{GROUP_SLOTS, LINE_SLOTS, Level, SPARE_LINES, Shape, Store, Wanted};

/// A slot: those of groups by their position, those of lines behind them by the line's number and the position.
pub type Place = u32;

/// The [`Place`] of a line's first slot.
#[inline(always)]
pub(super) const fn first_place(line: u32) -> Place {
    (line + 1) * LINE_SLOTS
}

/// The slot and the record of a key: [`place`](Found::place) and [`number`](Found::number) in one word, which the verifier follows through a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found(pub u64);

impl Found {
    /// It is not there.
    pub const NOTHING: Self = Self(0);

    #[inline(always)]
    const fn at(place: Place, number: u32) -> Self {
        Self((place as u64) << 32 | number as u64)
    }

    /// Where its slot is.
    #[inline(always)]
    pub const fn place(self) -> Place {
        (self.0 >> 32) as u32
    }

    /// The number of its record, from 1 on; 0: there is none.
    #[inline(always)]
    pub const fn number(self) -> u32 {
        self.0 as u32
    }
}

/// The place of a side's record among all.
#[inline(always)]
pub const fn record_place(half: u32, number: u32, shape: Shape) -> u32 {
    half * shape.capacity + number - 1
}

/// Finds a key.
#[inline(always)]
pub fn search<S: Store>(store: &S, wanted: &Wanted) -> Found {
    let Some(group) = store.group(wanted.group()) else { return Found::NOTHING };
    // SAFETY: a live group; its words change under us.
    let (slots, beyond) = unsafe { ((&raw const (*group).slots).cast(), (&raw const (*group).beyond).read_volatile()) };
    let found = scan(store, slots, GROUP_SLOTS, 0, wanted);
    if found != Found::NOTHING || !Level::Near.is_reached(beyond) {
        return found;
    }
    let wanted = &wanted.anew();
    let found = search_line(store, wanted.near(store.shape()), wanted);
    if found != Found::NOTHING || !Level::Far.is_reached(beyond) {
        return found;
    }
    let wanted = &wanted.anew();
    let found = search_line(store, wanted.far(store.shape()), wanted);
    if found != Found::NOTHING || !Level::Spare.is_reached(beyond) {
        return found;
    }
    for which in 0..SPARE_LINES {
        let wanted = &wanted.anew();
        let found = search_line(store, wanted.spare(which, store.shape()), wanted);
        if found != Found::NOTHING {
            return found;
        }
    }
    Found::NOTHING
}

#[inline(always)]
fn search_line<S: Store>(store: &S, line: u32, wanted: &Wanted) -> Found {
    let Some(slots) = store.line(line) else { return Found::NOTHING };
    scan(store, slots.cast_const().cast(), LINE_SLOTS, first_place(line), wanted)
}

/// Finds a key among slots, the first of which is at `place`. Nothing is called in the inner loop, so that all of it is in registers; what
/// it needs is worked out anew after a record of another key, which is rare, so that little is on the stack.
#[inline(always)]
fn scan<S: Store>(store: &S, slots: *const u32, count: u32, place: Place, wanted: &Wanted) -> Found {
    let mut position = 0;
    while position < count {
        let shape = store.shape();
        let tag = wanted.tag(shape);
        let mut number;
        loop {
            // SAFETY: `slots` are that many.
            number = unsafe { slots.add(position as usize).read_volatile() } ^ tag;
            // An empty slot's is 0, or has a tag in it.
            if number.wrapping_sub(1) < shape.numbers {
                break;
            }
            position += 1;
            if position == count {
                return Found::NOTHING;
            }
        }
        if is_record_of(store, number, &wanted.anew()) {
            return Found::at(place + position, number);
        }
        position += 1;
    }
    Found::NOTHING
}

#[inline(always)]
fn is_record_of<S: Store>(store: &S, number: u32, wanted: &Wanted) -> bool {
    store.record(record_place(wanted.half(), number, store.shape())).is_some_and(|record| {
        let words: *const u64 = record.cast_const().cast();
        // SAFETY: a live record, which begins with its key.
        unsafe { words.read_volatile() == wanted.words[0] && words.add(1).read_volatile() == wanted.words[1] }
    })
}

/// The first free slot on a key's way.
#[inline(always)]
pub fn vacancy<S: Store>(store: &S, wanted: &Wanted) -> Option<Place> {
    let shape = store.shape();
    let group = store.group(wanted.group())?;
    // SAFETY: a live group.
    let slots = unsafe { (&raw const (*group).slots).cast() };
    if let Some(position) = first_free(slots, GROUP_SLOTS) {
        return Some(position);
    }
    if let Some(place) = first_free_of(store, wanted.near(shape)) {
        return Some(place);
    }
    if let Some(place) = first_free_of(store, wanted.far(shape)) {
        return Some(place);
    }
    (0..SPARE_LINES).find_map(|which| first_free_of(store, wanted.spare(which, shape)))
}

#[inline(always)]
fn first_free_of<S: Store>(store: &S, line: u32) -> Option<Place> {
    let slots = store.line(line)?;
    first_free(slots.cast_const().cast(), LINE_SLOTS).map(|position| first_place(line) + position)
}

#[inline(always)]
fn first_free(slots: *const u32, count: u32) -> Option<u32> {
    let mut position = 0;
    while position < count {
        // SAFETY: `slots` are that many.
        if unsafe { slots.add(position as usize).read_volatile() } == 0 {
            return Some(position);
        }
        position += 1;
    }
    None
}

/// The level that a [`Place`] on a key's way is at.
#[inline(always)]
pub(super) const fn level_of(place: Place, wanted: &Wanted, shape: Shape) -> Level {
    if place < LINE_SLOTS {
        Level::Group
    } else if place / LINE_SLOTS - 1 == wanted.near(shape) {
        Level::Near
    } else if place / LINE_SLOTS - 1 == wanted.far(shape) {
        Level::Far
    } else {
        Level::Spare
    }
}

/// Where a [`Place`] lies.
#[inline(always)]
pub(super) fn slot<S: Store>(store: &S, wanted: &Wanted, place: Place) -> Option<*mut u32> {
    if place < LINE_SLOTS {
        let group = store.group(wanted.group())?;
        // The verifier knows no bound but that of the very number that is added.
        let position = black_box(place as usize);
        if position >= GROUP_SLOTS as usize {
            return None;
        }
        // SAFETY: a live group, and the position is checked.
        return Some(unsafe { (&raw mut (*group).slots).cast::<u32>().add(position) });
    }
    let line = store.line((place / LINE_SLOTS).wrapping_sub(1))?;
    // SAFETY: a live line, and the position is in it.
    Some(unsafe { line.cast::<u32>().add((place % LINE_SLOTS) as usize) })
}
