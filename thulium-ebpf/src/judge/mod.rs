//! Which flow of the policy names a packet: the lowest bit of the AND of one vector a field
//! (bit-vector classification; Lakshman and Stiliadis, SIGCOMM '98).

#[cfg(target_arch = "bpf")]
mod lookup;

#[cfg(target_arch = "bpf")]
pub use lookup::{Admission, admit, admit_any_client, is_client, readmit};

use crate::abi::{FLOW_SLOTS, FlowTable, HOST_SLOTS};

/// The flows that lead to any of `hosts` (a bit each).
#[inline(always)]
pub fn flows_to(hosts: u64, table: &FlowTable) -> u64 {
    let mut left = hosts;
    let mut flows = 0;
    for slot in 0..HOST_SLOTS {
        if left == 0 {
            break;
        }
        if left & 1 == 1 {
            flows |= table.hosts[slot];
        }
        left >>= 1;
    }
    flows
}

/// The slot of the first flow in `flows`, a vector of positions in the policy.
#[inline(always)]
pub fn first(flows: u64, table: &FlowTable) -> Option<u8> {
    if flows == 0 {
        return None;
    }
    Some(table.slots[lowest_bit(flows) % FLOW_SLOTS])
}

/// The position of the lowest bit of `vector`, which has one. Spelled out, because the BPF target has no instruction for it
/// and LLVM would read it from a table.
#[inline(always)]
fn lowest_bit(mut vector: u64) -> usize {
    let mut position = 0;
    let mut half = 32;
    while half > 0 {
        if vector & ((1 << half) - 1) == 0 {
            vector >>= half;
            position += half;
        }
        half /= 2;
    }
    position
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_flow_of_the_policy_wins_whatever_its_slot() {
        let mut table = FlowTable { hosts: [0; HOST_SLOTS], slots: [0; FLOW_SLOTS], tls_min: [0; FLOW_SLOTS] };
        table.hosts[5] = 0b110;
        table.hosts[63] = 0b001;
        table.slots[0] = 9;
        table.slots[1] = 4;
        table.slots[2] = 7;
        assert_eq!(first(flows_to(1 << 5, &table), &table), Some(4));
        assert_eq!(first(flows_to(1 << 5 | 1 << 63, &table), &table), Some(9));
        assert_eq!(first(flows_to(1 << 6, &table), &table), None);
    }

    #[test]
    fn every_lowest_bit_is_found() {
        for bit in 0..64 {
            assert_eq!(lowest_bit(1 << bit), bit);
            assert_eq!(lowest_bit(u64::MAX << bit), bit);
        }
    }
}
