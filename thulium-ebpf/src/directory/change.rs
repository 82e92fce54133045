//! Adding and removing keys. Each change is made under the group's lock, and only if nothing else has changed there since it was looked at.

use super::{
    Store, Wanted,
    find::{Found, Place, level_of, record_place, slot},
};
use crate::abi::{Address4, FlowEntry, FlowRecord};

/// How often a change is tried: each time that it fails, another CPU has changed something in the same group meanwhile.
pub const TRIES: u32 = 8;

/// Why a key was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAdded {
    /// It was there already.
    Present,
    /// There is no room.
    Full,
}

/// What [`add`] and [`remove`] consist of: functions of their own in a BPF program, which the verifier looks at once and not at each call.
/// It wants them to be handed plain numbers.
pub trait Steps {
    /// [`search`](super::find::search).
    fn search(&self, wanted: &Wanted) -> Found;
    /// [`vacancy`](super::find::vacancy).
    fn vacancy(&self, wanted: &Wanted) -> Option<Place>;
    /// [`take`](super::numbers::take).
    fn take(&self, half: u32) -> Option<u32>;
    /// [`give_back`](super::numbers::give_back).
    fn give_back(&self, half: u32, number: u32);
}

/// A key that is being added. It lies in memory of its own: on a BPF program's stack there is no room for it.
pub struct Adding {
    /// The key.
    pub wanted: Wanted,
    /// What is to be known of it.
    pub entry: FlowEntry<Address4>,
    /// If it is there, its entry is exchanged.
    pub overwrite: bool,
    /// The number of its record; 0: it has none yet.
    number: u32,
    /// How it is entered into the index.
    change: Change,
}

impl Adding {
    /// One that is to be filled in.
    #[cfg(test)]
    pub(super) fn unprepared() -> Self {
        let wanted = Wanted { words: [0; 2], hash: 0 };
        let change = Change { version: 0, place: 0, value: 0 };
        Self { wanted, entry: FlowEntry::default(), overwrite: false, number: 0, change }
    }

    /// Fills it in, to add a key, or exchange its entry if it is there and `overwrite`. Field by field, since a whole would be made on the stack.
    #[inline(always)]
    pub fn prepare(&mut self, wanted: Wanted, entry: &FlowEntry<Address4>, overwrite: bool) {
        self.wanted = wanted;
        // SAFETY: two places.
        unsafe { (&raw mut self.entry).copy_from_nonoverlapping(entry, 1) };
        self.overwrite = overwrite;
        self.number = 0;
    }
}

/// Adds a key. Returns the number of its record.
#[inline(always)]
pub fn add<S: Store + Steps>(store: &S, adding: &mut Adding) -> Result<u32, NotAdded> {
    let mut why = NotAdded::Full;
    for _ in 0..TRIES {
        let Some(group) = store.group(adding.wanted.group()) else { break };
        // SAFETY: a group of this table.
        adding.change.version = unsafe { store.version(group) };
        let found = store.search(&adding.wanted);
        if found != Found::NOTHING {
            if adding.overwrite
                && let Some(record) = record_of(store, &adding.wanted, found.number())
            {
                // SAFETY: a live record; each of its fields is a word.
                unsafe { (&raw mut (*record).entry).copy_from_nonoverlapping(&raw const adding.entry, 1) };
            }
            why = NotAdded::Present;
            break;
        }
        let Some(place) = store.vacancy(&adding.wanted) else { break };
        adding.change.place = place;
        if adding.number == 0 && !fill_in(store, adding) {
            break;
        }
        if exchange(store, &adding.wanted, &adding.change) {
            return Ok(adding.number);
        }
    }
    if adding.number != 0 {
        store.give_back(adding.wanted.half(), adding.number);
    }
    Err(why)
}

/// Takes a record for the key, and fills it in. False if there is none.
#[inline(always)]
fn fill_in<S: Store + Steps>(store: &S, adding: &mut Adding) -> bool {
    let Some(number) = store.take(adding.wanted.half()) else { return false };
    adding.number = number;
    adding.change.value = adding.wanted.tag(store.shape()) | number;
    let Some(record) = record_of(store, &adding.wanted, number) else { return false };
    // SAFETY: nobody else has this record.
    unsafe {
        (&raw mut (*record).entry).copy_from_nonoverlapping(&raw const adding.entry, 1);
        let words: *mut u64 = record.cast();
        words.write_volatile(adding.wanted.words[0]);
        words.add(1).write_volatile(adding.wanted.words[1]);
    }
    true
}

/// Removes a key. False if it is not there.
#[inline(always)]
pub fn remove<S: Store + Steps>(store: &S, wanted: &Wanted) -> bool {
    for _ in 0..TRIES {
        let wanted = &wanted.anew();
        let Some(group) = store.group(wanted.group()) else { return false };
        // SAFETY: a group of this table.
        let version = unsafe { store.version(group) };
        let found = store.search(wanted);
        if found == Found::NOTHING {
            return false;
        }
        if exchange(store, &wanted.anew(), &Change { version, place: found.place(), value: 0 }) {
            store.give_back(wanted.anew().half(), found.number());
            return true;
        }
    }
    false
}

/// A slot that is to be filled, or emptied with the value 0, if the group still has this version.
struct Change {
    version: u32,
    place: Place,
    value: u32,
}

#[inline(always)]
fn exchange<S: Store>(store: &S, wanted: &Wanted, change: &Change) -> bool {
    let Some(slot) = slot(store, wanted, change.place) else { return false };
    let wanted = &wanted.anew();
    let Some(group) = store.group(wanted.group()) else { return false };
    let lanes = level_of(change.place, &wanted.anew(), store.shape()).lanes();
    let lanes = if change.value == 0 { lanes.wrapping_neg() } else { lanes };
    // SAFETY: all of it is this table's, and nothing is called while it is locked.
    unsafe {
        store.lock(group);
        let is_current = (&raw const (*group).version).read_volatile() == change.version;
        if is_current {
            store.publish(slot, change.value);
            (&raw mut (*group).version).write_volatile(change.version.wrapping_add(1));
            (&raw mut (*group).beyond).write_volatile((*group).beyond.wrapping_add(lanes));
        }
        store.unlock(group);
        is_current
    }
}

#[inline(always)]
fn record_of<S: Store>(store: &S, wanted: &Wanted, number: u32) -> Option<*mut FlowRecord> {
    store.record(record_place(wanted.half(), number, store.shape()))
}
