//! The table in the maps of these programs.

use aya_ebpf::{
    bindings::bpf_spin_lock,
    helpers::generated::{bpf_get_prandom_u32, bpf_spin_lock as lock, bpf_spin_unlock as unlock},
};

use super::{
    Group, Line, Numbers, Shape, Store, Wanted,
    change::{self, Adding, NotAdded, Steps},
    find::{self, Found, Place, record_place},
    numbers,
    parts::{ADDING4, FLOWS4, GROUPS4, LINES4, NUMBERS4, SEED4},
    words_of,
};
use crate::{
    abi::{Address4, FlowEntry, FlowKey, FlowRecord, Side},
    atomic,
    constants::{FLOWS4_CAPACITY, FLOWS4_FAR_LINES, FLOWS4_NUMBERS},
};

/// The table.
pub struct Directory;

/// The entry of a key.
#[inline(always)]
pub fn get(key: &FlowKey<Address4>) -> Option<*mut FlowEntry<Address4>> {
    let [first, second] = words_of(key);
    let number = Found(flows4_search(first, second)).number();
    if number == 0 {
        return None;
    }
    let record = Directory.record(record_place(u32::from(key.side), number, Directory.shape()))?;
    // SAFETY: a live record.
    Some(unsafe { &raw mut (*record).entry })
}

/// The entry of a key that was added with this number, if it is still there.
#[inline(always)]
pub fn at(key: &FlowKey<Address4>, number: u32) -> Option<*mut FlowEntry<Address4>> {
    let record = Directory.record(record_place(u32::from(key.side), number, Directory.shape()))?;
    // SAFETY: a live record.
    unsafe { (words_of(&(*record).key) == words_of(key)).then_some(&raw mut (*record).entry) }
}

/// Reads where the way of a key begins that is soon to be added, and the records that a session is likely to get, and forgets them: so the
/// memory of all of them is waited for at once, and not of each in its turn.
#[inline(always)]
pub fn expect(key: &FlowKey<Address4>) {
    let [first, second] = words_of(key);
    let wanted = Wanted::of_words([first, second], seed());
    numbers::expect(&Directory, Side::Lan as u32);
    numbers::expect(&Directory, Side::Uplink as u32);
    if let Some(group) = Directory.group(wanted.group()) {
        // SAFETY: a live group.
        unsafe { (&raw const (*group).version).read_volatile() };
    }
    if let Some(line) = Directory.line(wanted.near(Directory.shape())) {
        // SAFETY: a live line.
        unsafe { line.cast::<u32>().read_volatile() };
    }
}

/// Adds a key, or exchanges its entry if it is there and `overwrite`. Only programs that packets run do so. Returns the number of a new
/// record.
#[inline(always)]
pub fn add(key: &FlowKey<Address4>, entry: &FlowEntry<Address4>, overwrite: bool) -> Result<u32, NotAdded> {
    // SAFETY: this CPU's alone until the program ends.
    let Some(adding) = (unsafe { ADDING4.get_ptr_mut(0).and_then(|adding| adding.cast::<Adding>().as_mut()) }) else {
        return Err(NotAdded::Full);
    };
    adding.prepare(Wanted::new(key, seed_to_add_with()), entry, overwrite);
    match flows4_add() {
        PRESENT => Err(NotAdded::Present),
        FULL => Err(NotAdded::Full),
        number => Ok(number),
    }
}

/// What [`flows4_add`] returns in place of a record's number.
const PRESENT: u32 = 0;
const FULL: u32 = u32::MAX;

/// A global function, which the verifier looks at once and not at each call; so are those below.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn flows4_add() -> u32 {
    // SAFETY: as in `add`, which has filled it.
    let Some(adding) = (unsafe { ADDING4.get_ptr_mut(0).and_then(|adding| adding.cast::<Adding>().as_mut()) }) else {
        return FULL;
    };
    match change::add(&Directory, adding) {
        Ok(number) => number,
        Err(NotAdded::Present) => PRESENT,
        Err(NotAdded::Full) => FULL,
    }
}

/// Removes a key. False if it is not there.
#[inline(always)]
pub fn remove(key: &FlowKey<Address4>) -> bool {
    let [first, second] = words_of(key);
    flows4_remove(first, second) == 1
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn flows4_remove(first: u64, second: u64) -> u32 {
    u32::from(change::remove(&Directory, &Wanted::of_words([first, second], seed())))
}

/// The table's seed; 0: nothing was ever added.
#[inline(always)]
fn seed() -> u64 {
    SEED4.get(0).map_or(0, |seed| {
        // SAFETY: a live map value.
        unsafe { (&raw const *seed).read_volatile() }
    })
}

/// The table's seed, which is chosen by whoever adds something first.
#[inline(always)]
fn seed_to_add_with() -> u64 {
    let seed = seed();
    if seed != 0 {
        return seed;
    }
    if let Some(place) = SEED4.get_ptr_mut(0) {
        // SAFETY: helpers that return numbers; a live map value.
        unsafe {
            let chosen = u64::from(bpf_get_prandom_u32()) << 32 | u64::from(bpf_get_prandom_u32()) | 1;
            atomic::exchange(place, 0, chosen);
        }
    }
    self::seed()
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn flows4_search(first: u64, second: u64) -> u64 {
    find::search(&Directory, &Wanted::of_words([first, second], seed())).0
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn flows4_vacancy(first: u64, second: u64) -> u64 {
    find::vacancy(&Directory, &Wanted::of_words([first, second], seed())).map_or(u64::MAX, u64::from)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn flows4_take(half: u32) -> u32 {
    numbers::take(&Directory, half).unwrap_or(0)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn flows4_give_back(half: u32, number: u32) -> u32 {
    numbers::give_back(&Directory, half, number);
    0
}

impl Steps for Directory {
    #[inline(always)]
    fn search(&self, wanted: &Wanted) -> Found {
        Found(flows4_search(wanted.words[0], wanted.words[1]))
    }

    #[inline(always)]
    fn vacancy(&self, wanted: &Wanted) -> Option<Place> {
        let place = flows4_vacancy(wanted.words[0], wanted.words[1]);
        if place == u64::MAX { None } else { Some(place as Place) }
    }

    #[inline(always)]
    fn take(&self, half: u32) -> Option<u32> {
        let number = flows4_take(half);
        if number == 0 { None } else { Some(number) }
    }

    #[inline(always)]
    fn give_back(&self, half: u32, number: u32) {
        flows4_give_back(half, number);
    }
}

impl Store for Directory {
    type Lock = bpf_spin_lock;

    #[inline(always)]
    fn shape(&self) -> Shape {
        Shape { capacity: FLOWS4_CAPACITY.load(), far_lines: FLOWS4_FAR_LINES.load(), numbers: FLOWS4_NUMBERS.load() }
    }

    #[inline(always)]
    fn group(&self, number: u32) -> Option<*mut Group<bpf_spin_lock>> {
        GROUPS4.get_ptr_mut(number)
    }

    #[inline(always)]
    fn line(&self, number: u32) -> Option<*mut Line> {
        LINES4.get_ptr_mut(number)
    }

    #[inline(always)]
    fn record(&self, place: u32) -> Option<*mut FlowRecord> {
        FLOWS4.get_ptr_mut(place)
    }

    #[inline(always)]
    fn numbers(&self, half: u32) -> Option<*mut Numbers> {
        NUMBERS4.get_ptr_mut(half)
    }

    #[inline(always)]
    unsafe fn exchange(&self, word: *mut u64, old: u64, new: u64) -> bool {
        // SAFETY: the caller's.
        unsafe { atomic::exchange(word, old, new) }
    }

    #[inline(always)]
    unsafe fn add_one(&self, word: *mut u64) -> u64 {
        // SAFETY: the caller's.
        unsafe { atomic::add_one(word) }
    }

    #[inline(always)]
    unsafe fn take_one(&self, word: *mut u64) {
        // SAFETY: the caller's.
        unsafe { atomic::take_one(word) };
    }

    #[inline(always)]
    unsafe fn lock(&self, group: *mut Group<bpf_spin_lock>) {
        // SAFETY: the caller's.
        unsafe { lock(&raw mut (*group).lock) };
    }

    #[inline(always)]
    unsafe fn unlock(&self, group: *mut Group<bpf_spin_lock>) {
        // SAFETY: the caller's.
        unsafe { unlock(&raw mut (*group).lock) };
    }

    #[inline(always)]
    unsafe fn publish(&self, slot: *mut u32, value: u32) {
        // SAFETY: the caller's.
        unsafe { atomic::put(slot, value) };
    }

    #[inline(always)]
    unsafe fn version(&self, group: *mut Group<bpf_spin_lock>) -> u32 {
        // A read-modify-write is the barrier that every kernel has.
        // SAFETY: the caller's.
        unsafe { atomic::read(&raw mut (*group).version) }
    }
}
