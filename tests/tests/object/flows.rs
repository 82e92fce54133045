//! The table of IPv4 sessions, as tests look at it and change it.

use aya::EbpfLoader;
use thulium_ebpf::{
    abi::{Address4, FlowEntry, FlowKey, FlowRecord, Side},
    capacity::entries,
    directory::{GROUPS, Line, NEAR_LINES, Numbers, Shape},
};

use crate::gateway::Gateway;

impl Gateway {
    /// All directions of all sessions.
    pub(crate) fn flows(&mut self) -> Vec<(FlowKey<Address4>, FlowEntry<Address4>)> {
        let places = [Side::Lan, Side::Uplink].map(|side| self.places(side)).concat();
        let records = self.array::<FlowRecord>("flows4");
        let records = places.iter().map(|place| records.get(place, 0).unwrap());
        records.filter(FlowRecord::is_used).map(|record| (record.key, record.entry)).collect()
    }

    /// Places of the records of one side that were ever in use.
    fn places(&mut self, side: Side) -> Vec<u32> {
        let first = side as u32 * self.capacity();
        let fresh = self.array::<Numbers>("numbers4").get(&(side as u32), 0).unwrap().fresh as u32;
        (first..first + fresh).collect()
    }

    fn capacity(&mut self) -> u32 {
        self.array::<FlowRecord>("flows4").len() / 2
    }

    /// True if a direction is there.
    pub(crate) fn has_flow(&mut self, key: &FlowKey<Address4>) -> bool {
        self.place_of(key).is_some()
    }

    fn place_of(&mut self, key: &FlowKey<Address4>) -> Option<u32> {
        let side = if key.side == Side::Lan as u8 { Side::Lan } else { Side::Uplink };
        let places = self.places(side);
        let records = self.array::<FlowRecord>("flows4");
        places.into_iter().find(|place| records.get(place, 0).unwrap().key == *key)
    }

    /// Changes what is known of a direction.
    pub(crate) fn set_flow(&mut self, key: FlowKey<Address4>, entry: FlowEntry<Address4>) {
        let place = self.place_of(&key).expect("a direction that is there");
        self.array("flows4").set(place, FlowRecord { key, entry }, 0).unwrap();
    }

    /// The directions of one side.
    pub(crate) fn flows_of(&mut self, side: Side) -> Vec<(FlowKey<Address4>, FlowEntry<Address4>)> {
        self.flows().into_iter().filter(|(key, _)| key.side == side as u8).collect()
    }

    /// Lets one side have had no more than `records` left when it began.
    pub(crate) fn leave_records(&mut self, side: Side, records: u32) {
        let used = u64::from(self.capacity() - records);
        self.array("numbers4").set(side as u32, Numbers { list: 0, fresh: used }, 0).unwrap();
    }

    /// Loses one direction of every session.
    pub(crate) fn forget(&mut self, side: Side) {
        let empty: Line = [0; 16];
        let mut groups = self.array::<Line>("groups4");
        let mut has_lines = false;
        for group in side as u32 * GROUPS..(side as u32 + 1) * GROUPS {
            let words = groups.get(&group, 0).unwrap();
            // Behind lock and version, how many slots of lines are in use.
            has_lines |= words[2] != 0;
            if words != empty {
                groups.set(group, empty, 0).unwrap();
            }
        }
        let mut lines = self.array::<Line>("lines4");
        let half = if has_lines { lines.len() / 2 } else { 0 };
        assert!(!has_lines || half > NEAR_LINES);
        for line in side as u32 * half..(side as u32 + 1) * half {
            lines.set(line, empty, 0).unwrap();
        }
        let places = self.places(side);
        let mut records = self.array::<[u64; 9]>("flows4");
        for place in places {
            records.set(place, [0; 9], 0).unwrap();
        }
        self.array("numbers4").set(side as u32, Numbers::default(), 0).unwrap();
    }
}

/// Makes the table of IPv4 sessions as large as that.
pub(crate) fn size_flows4<'a>(loader: &mut EbpfLoader<'a>, shape: &'a Shape) {
    loader
        .override_global("FLOWS4_CAPACITY", &shape.capacity, true)
        .override_global("FLOWS4_FAR_LINES", &shape.far_lines, true)
        .override_global("FLOWS4_NUMBERS", &shape.numbers, true);
    for map in ["flows4", "lines4"] {
        loader.map_max_entries(map, entries(map, shape.capacity).expect("a map that has as many entries as it needs"));
    }
}
