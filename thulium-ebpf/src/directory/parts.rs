//! The maps that the table is made of.

use aya_ebpf::{
    bindings::{BPF_F_MMAPABLE, bpf_spin_lock},
    btf_maps::{Array, PerCpuArray},
    macros::btf_map,
};

use super::{GROUPS, Group, Line, Numbers, change::Adding};
use crate::{abi::FlowRecord, constants::SHAPE};

/// Nobody maps these arrays, but the elements of one that could be mapped begin with a page: so a line of slots is a line of the cache,
/// and not parts of two (kernel: `array_map_alloc`).
const ALIGNED: usize = BPF_F_MMAPABLE as usize;

/// Sessions of IPv4, two directed records each (see [`directory`](super)): as they arrive from the LAN in the first half, as they
/// arrive at the uplinks in the second.
#[btf_map(name = "flows4")]
pub(super) static FLOWS4: Array<FlowRecord, { 2 * SHAPE.capacity as usize }> = Array::new();

/// The index of [`FLOWS4`]: where keys' ways begin, in two halves.
#[btf_map(name = "groups4")]
pub(super) static GROUPS4: Array<Group<bpf_spin_lock>, { 2 * GROUPS as usize }, ALIGNED> = Array::new();

/// The index of [`FLOWS4`]: further slots, in two halves.
#[btf_map(name = "lines4")]
pub(super) static LINES4: Array<Line, { SHAPE.lines() as usize }, ALIGNED> = Array::new();

/// Which records of each side are free.
#[btf_map(name = "numbers4")]
pub(super) static NUMBERS4: Array<Numbers, 2> = Array::new();

/// The seed of the hash in [`GROUPS4`] and [`LINES4`]; 0 until the first session is opened.
#[btf_map(name = "seed4")]
pub(super) static SEED4: Array<u64, 1> = Array::new();

/// What a CPU adds to [`FLOWS4`] at present: an [`Adding`].
#[btf_map(name = "adding4")]
pub(super) static ADDING4: PerCpuArray<[u64; size_of::<Adding>().div_ceil(8)], 1> = PerCpuArray::new();
