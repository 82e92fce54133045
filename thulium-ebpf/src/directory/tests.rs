//! The table in plain memory, where several threads change it at once.

use std::{
    cell::UnsafeCell,
    collections::{HashMap, HashSet},
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence},
    thread,
};

use proptest::prelude::*;

use super::{
    change::{Adding, NotAdded, Steps, add, remove},
    find::{Found, Place, search, vacancy},
    numbers::{give_back, take},
    *,
};
use crate::abi::{Endpoint, FlowEntry, Port, Side};

const SEED: u64 = 0x1234_5678_9abc_def1;

/// A table of plain memory.
struct Table {
    shape: Shape,
    groups: Vec<UnsafeCell<Group<AtomicBool>>>,
    lines: Vec<UnsafeCell<Line>>,
    records: Vec<UnsafeCell<FlowRecord>>,
    numbers: [UnsafeCell<Numbers>; 2],
}

// SAFETY: what several threads change is changed under a group's lock, or belongs to one of them.
unsafe impl Sync for Table {}

impl Table {
    fn new(shape: Shape) -> Self {
        let cells = |count: u32| 0..count;
        let empty = || Group { lock: AtomicBool::new(false), version: 0, beyond: 0, slots: [0; GROUP_SLOTS as usize] };
        // SAFETY: all of a record's fields are numbers.
        let nobodys = || unsafe { std::mem::zeroed::<FlowRecord>() };
        Self {
            shape,
            groups: cells(2 * GROUPS).map(|_| UnsafeCell::new(empty())).collect(),
            lines: cells(shape.lines()).map(|_| UnsafeCell::new([0; LINE_SLOTS as usize])).collect(),
            records: cells(2 * shape.capacity).map(|_| UnsafeCell::new(nobodys())).collect(),
            numbers: Default::default(),
        }
    }

    fn add(&self, key: &FlowKey<Address4>, entry: &FlowEntry<Address4>, overwrite: bool) -> Result<(), NotAdded> {
        let mut adding = Adding::unprepared();
        adding.prepare(Wanted::new(key, SEED), entry, overwrite);
        add(self, &mut adding).map(drop)
    }

    fn remove(&self, key: &FlowKey<Address4>) -> bool {
        remove(self, &Wanted::new(key, SEED))
    }

    fn get(&self, key: &FlowKey<Address4>) -> Option<FlowEntry<Address4>> {
        let wanted = Wanted::new(key, SEED);
        let found = search(self, &wanted);
        let place = find::record_place(wanted.half(), found.number().checked_sub(1)? + 1, self.shape);
        // SAFETY: a record of the table; threads that look are not interested in what they read.
        Some(unsafe { (*self.record(place).unwrap()).entry })
    }

    /// Slots in use at each level.
    fn used(&self) -> [usize; 3] {
        let used = |slots: &[u32]| slots.iter().filter(|slot| **slot != 0).count();
        // SAFETY: no other thread is there any more.
        let groups = self.groups.iter().map(|group| used(unsafe { &(*group.get()).slots })).sum();
        let half = (NEAR_LINES + self.shape.far_lines) as usize;
        let (mut near, mut far) = (0, 0);
        for (number, line) in self.lines.iter().enumerate() {
            // SAFETY: as above.
            let used = used(unsafe { &*line.get() });
            *if number % half < NEAR_LINES as usize { &mut near } else { &mut far } += used;
        }
        [groups, near, far]
    }

    /// The numbers in a side's list of free ones.
    fn free(&self, side: Side) -> Vec<u32> {
        // SAFETY: as in `used`.
        let list = unsafe { (*self.numbers[side as usize].get()).list };
        let number = |number: u64| (number as u32 != 0).then_some(number as u32);
        std::iter::successors(number(list), |free| {
            let place = find::record_place(side as u32, *free, self.shape);
            // SAFETY: as in `used`.
            number(unsafe { self.record(place).unwrap().cast::<u64>().read() })
        })
        .collect()
    }

    /// How many numbers of a side were ever in use.
    fn fresh(&self, side: Side) -> usize {
        // SAFETY: as in `used`.
        unsafe { (*self.numbers[side as usize].get()).fresh as usize }
    }

    /// All counts of what lies beyond the groups, summed up.
    fn beyond(&self) -> u64 {
        // SAFETY: as in `used`.
        self.groups.iter().map(|group| unsafe { (*group.get()).beyond }).sum()
    }
}

impl Store for Table {
    type Lock = AtomicBool;

    fn shape(&self) -> Shape {
        self.shape
    }

    fn group(&self, number: u32) -> Option<*mut Group<AtomicBool>> {
        self.groups.get(number as usize).map(UnsafeCell::get)
    }

    fn line(&self, number: u32) -> Option<*mut Line> {
        self.lines.get(number as usize).map(UnsafeCell::get)
    }

    fn record(&self, place: u32) -> Option<*mut FlowRecord> {
        self.records.get(place as usize).map(UnsafeCell::get)
    }

    fn numbers(&self, half: u32) -> Option<*mut Numbers> {
        Some(self.numbers[half as usize].get())
    }

    unsafe fn exchange(&self, word: *mut u64, old: u64, new: u64) -> bool {
        // SAFETY: the caller's.
        let word = unsafe { AtomicU64::from_ptr(word) };
        word.compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    unsafe fn add_one(&self, word: *mut u64) -> u64 {
        // SAFETY: the caller's.
        unsafe { AtomicU64::from_ptr(word) }.fetch_add(1, Ordering::SeqCst)
    }

    unsafe fn take_one(&self, word: *mut u64) {
        // SAFETY: the caller's.
        unsafe { AtomicU64::from_ptr(word) }.fetch_sub(1, Ordering::SeqCst);
    }

    unsafe fn lock(&self, group: *mut Group<AtomicBool>) {
        // SAFETY: the caller's.
        while unsafe { (*group).lock.swap(true, Ordering::SeqCst) } {
            thread::yield_now();
        }
    }

    unsafe fn unlock(&self, group: *mut Group<AtomicBool>) {
        // SAFETY: the caller's.
        unsafe { (*group).lock.store(false, Ordering::SeqCst) };
    }

    unsafe fn publish(&self, slot: *mut u32, value: u32) {
        // SAFETY: the caller's.
        unsafe { AtomicU32::from_ptr(slot) }.store(value, Ordering::SeqCst);
    }

    unsafe fn version(&self, group: *mut Group<AtomicBool>) -> u32 {
        // SAFETY: the caller's.
        let version = unsafe { (&raw const (*group).version).read_volatile() };
        fence(Ordering::SeqCst);
        version
    }
}

impl Steps for Table {
    fn search(&self, wanted: &Wanted) -> Found {
        search(self, wanted)
    }

    fn vacancy(&self, wanted: &Wanted) -> Option<Place> {
        vacancy(self, wanted)
    }

    fn take(&self, half: u32) -> Option<u32> {
        take(self, half)
    }

    fn give_back(&self, half: u32, number: u32) {
        give_back(self, half, number);
    }
}

fn key(side: Side, number: u32) -> FlowKey<Address4> {
    let port = Port::new(number as u16);
    let source = Address4::from(std::net::Ipv4Addr::from(0x0a00_0000 + (number >> 16)));
    FlowKey {
        source,
        destination: Address4::from(std::net::Ipv4Addr::new(192, 0, 2, 1)),
        source_port: port,
        destination_port: Port::new(443),
        protocol: 17,
        side: side as u8,
        pad: 0,
    }
}

fn entry(opened: u64) -> FlowEntry<Address4> {
    FlowEntry { opened, rewrite: Endpoint::default(), ..FlowEntry::default() }
}

#[test]
fn as_many_as_there_is_room_for_are_found_and_one_more_is_not_taken() {
    let capacity = 200_000;
    let table = Table::new(Shape::of(capacity));
    for number in 0..capacity {
        assert_eq!(table.add(&key(Side::Lan, number), &entry(number.into()), false), Ok(()), "{number}");
    }
    assert_eq!(table.add(&key(Side::Lan, capacity), &entry(0), false), Err(NotAdded::Full));
    assert_eq!(table.add(&key(Side::Uplink, 0), &entry(7), false), Ok(()), "the other side has records of its own");
    for number in 0..capacity {
        assert_eq!(table.get(&key(Side::Lan, number)).map(|entry| entry.opened), Some(number.into()));
    }
    assert_eq!(table.get(&key(Side::Lan, capacity)), None);
    let [groups, near, far] = table.used();
    println!("{groups} in groups, {near} in near lines, {far} in far lines");
    assert!(groups > 12_000 && near > 120_000, "the first lines fill up first");
    for number in 0..capacity {
        assert!(table.remove(&key(Side::Lan, number)), "{number}");
        assert_eq!(table.get(&key(Side::Lan, number)), None);
    }
    assert!(table.remove(&key(Side::Uplink, 0)) && !table.remove(&key(Side::Uplink, 0)));
    assert_eq!((table.used(), table.beyond()), ([0; 3], 0));
}

#[test]
fn the_largest_table_has_room_for_all_its_sessions() {
    // Far lines of 16 slots with 8 sessions in the mean, as a full table of 2^22 sessions has.
    let capacity = 405_000;
    let table = Table::new(Shape { far_lines: 1 << 15, ..Shape::of(capacity) });
    for number in 0..capacity {
        assert_eq!(table.add(&key(Side::Lan, number), &entry(1), false), Ok(()), "{number}");
    }
    assert!((0..capacity).all(|number| table.get(&key(Side::Lan, number)).is_some()));
}

#[test]
fn an_entry_is_exchanged_only_if_asked() {
    let table = Table::new(Shape::of(8));
    assert_eq!(table.add(&key(Side::Uplink, 1), &entry(1), true), Ok(()));
    assert_eq!(table.add(&key(Side::Uplink, 1), &entry(2), false), Err(NotAdded::Present));
    assert_eq!(table.get(&key(Side::Uplink, 1)).unwrap().opened, 1);
    assert_eq!(table.add(&key(Side::Uplink, 1), &entry(3), true), Err(NotAdded::Present));
    assert_eq!(table.get(&key(Side::Uplink, 1)).unwrap().opened, 3);
    assert_eq!(table.used(), [1, 0, 0]);
}

#[test]
fn lines_of_a_way_belong_to_one_group() {
    for shape in [Shape::of(1), Shape::of(262_144), Shape::of(1 << 22)] {
        for number in 0..10_000 {
            let wanted = Wanted::new(&key(Side::Uplink, number), SEED);
            let spare: Vec<_> = (0..SPARE_LINES).map(|which| wanted.spare(which, shape)).collect();
            let lines = [&[wanted.near(shape), wanted.far(shape)], &spare[..]].concat();
            for line in &lines {
                assert_eq!(line % GROUPS, wanted.group() % GROUPS, "{lines:?} of {shape:?}");
                assert!((shape.lines() / 2..shape.lines()).contains(line));
            }
            assert_eq!(lines.iter().collect::<HashSet<_>>().len(), lines.len(), "each line is another one");
        }
    }
}

#[test]
fn a_tag_and_a_number_share_a_slot() {
    for capacity in [1, 2, 262_144, 1_000_000, Shape::MOST] {
        let shape = Shape::of(capacity);
        assert!(capacity <= shape.numbers, "{shape:?}");
        let tag = Wanted::new(&key(Side::Lan, 1), SEED).tag(shape);
        assert_eq!((tag | capacity) ^ tag, capacity);
    }
}

#[test]
fn threads_that_add_and_remove_the_same_keys_agree() {
    let table = Table::new(Shape::of(4096));
    // Few keys, so that they meet, whose slots are in groups and beyond them.
    let keys: Vec<_> = (0..200_000)
        .map(|number| key(Side::Lan, number))
        .filter(|key| Wanted::new(key, SEED).group() % GROUPS < 4)
        .take(256)
        .collect();
    let owned: Vec<AtomicU32> = keys.iter().map(|_| AtomicU32::new(0)).collect();
    thread::scope(|scope| {
        for turn in 0..4_u64 {
            let (table, keys, owned) = (&table, &keys, &owned);
            scope.spawn(move || {
                let mut chance = turn + 1;
                for _ in 0..100_000 {
                    chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let one = (chance >> 33) as usize % keys.len();
                    if chance >> 63 == 0 {
                        if table.add(&keys[one], &entry(1), false) == Ok(()) {
                            assert_eq!(owned[one].fetch_add(1, Ordering::SeqCst), 0, "it was added twice");
                        }
                    } else if owned[one].compare_exchange(1, 2, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                        assert!(table.get(&keys[one]).is_some(), "it is not found though nobody removes it");
                        owned[one].store(0, Ordering::SeqCst);
                        assert!(table.remove(&keys[one]), "it was lost");
                    }
                }
            });
        }
    });
    let left = keys.iter().zip(&owned).filter(|(key, owned)| {
        let is_there = owned.load(Ordering::SeqCst) != 0;
        assert_eq!(table.get(key).is_some(), is_there);
        is_there
    });
    let left = left.count();
    assert_eq!(table.used().iter().sum::<usize>(), left);
    let free = table.free(Side::Lan);
    assert_eq!(free.iter().collect::<HashSet<_>>().len(), free.len());
    assert_eq!(table.fresh(Side::Lan) - free.len(), left, "a record was lost");
}

proptest! {
    #[test]
    fn it_answers_as_a_map_does(
        // So many keys of one group that their slots are at all levels, and a table too small for all of them.
        steps in prop::collection::vec((0..300_u32, any::<bool>(), any::<bool>()), 1..3000)
    ) {
        let keys: Vec<_> = (0..)
            .map(|number| key(Side::Lan, number))
            .filter(|key| Wanted::new(key, SEED).group() == 5)
            .take(300)
            .collect();
        let table = Table::new(Shape::of(150));
        let mut model = HashMap::new();
        for (opened, (one, adds, overwrite)) in (1..).zip(steps) {
            let key = keys[one as usize];
            if adds {
                let expected = match (model.contains_key(&one), model.len()) {
                    (true, _) => Err(NotAdded::Present),
                    (false, 150) => Err(NotAdded::Full),
                    (false, _) => Ok(()),
                };
                prop_assert_eq!(table.add(&key, &entry(opened), overwrite), expected);
                if expected == Ok(()) || expected == Err(NotAdded::Present) && overwrite {
                    model.insert(one, opened);
                }
            } else {
                prop_assert_eq!(table.remove(&key), model.remove(&one).is_some());
            }
            prop_assert_eq!(table.get(&key).map(|entry| entry.opened), model.get(&one).copied());
        }
        for (one, key) in keys.iter().enumerate() {
            prop_assert_eq!(table.get(key).map(|entry| entry.opened), model.get(&(one as u32)).copied());
        }
    }
}
