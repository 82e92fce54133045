//! The tables of sessions by key. IPv4 has a map for each side: what comes in there finds its own directions beside each other, in half as
//! much memory.

use core::borrow::Borrow;

use super::table::Entry;
use crate::{
    abi::{Address, Address4, Address6, FlowEntry, FlowKey, Side},
    maps::{FLOWS_BACK, FLOWS_OUT, FLOWS6, Flows4},
};

/// A table of sessions, which answers as the kernel's hash map does.
pub trait FlowMap<A: Address> {
    /// What is known of a direction, if it is there.
    fn get_ptr_mut(&self, key: impl Borrow<FlowKey<A>>) -> Option<Entry<A>>;

    /// The same, to read.
    #[inline(always)]
    fn get_ptr(&self, key: impl Borrow<FlowKey<A>>) -> Option<*const FlowEntry<A>> {
        self.get_ptr_mut(key).map(<*mut _>::cast_const)
    }

    /// Adds a direction; of several CPUs that do so with `BPF_NOEXIST`, one does.
    ///
    /// # Errors
    /// If it is there already ([`EXISTS`](crate::ports::EXISTS)), or the table is full.
    fn insert(&self, key: impl Borrow<FlowKey<A>>, entry: &FlowEntry<A>, flags: u64) -> Result<(), i32>;

    /// Takes a direction away.
    ///
    /// # Errors
    /// If it is not there.
    fn remove(&self, key: impl Borrow<FlowKey<A>>) -> Result<(), i32>;
}

/// The table of IPv4 sessions: two maps as one.
pub struct FlowMap4;

/// The map of the side that a direction arrives on.
#[inline(always)]
fn of_side(key: &FlowKey<Address4>) -> &'static Flows4 {
    if key.side == Side::Lan as u8 { &FLOWS_OUT } else { &FLOWS_BACK }
}

impl FlowMap<Address4> for FlowMap4 {
    #[inline(always)]
    fn get_ptr_mut(&self, key: impl Borrow<FlowKey<Address4>>) -> Option<Entry<Address4>> {
        of_side(key.borrow()).get_ptr_mut(key)
    }

    #[inline(always)]
    fn insert(&self, key: impl Borrow<FlowKey<Address4>>, entry: &FlowEntry<Address4>, flags: u64) -> Result<(), i32> {
        of_side(key.borrow()).insert(key, entry, flags)
    }

    #[inline(always)]
    fn remove(&self, key: impl Borrow<FlowKey<Address4>>) -> Result<(), i32> {
        of_side(key.borrow()).remove(key)
    }
}

/// The table of IPv6 sessions.
pub struct FlowMap6;

impl FlowMap<Address6> for FlowMap6 {
    #[inline(always)]
    fn get_ptr_mut(&self, key: impl Borrow<FlowKey<Address6>>) -> Option<Entry<Address6>> {
        FLOWS6.get_ptr_mut(key)
    }

    #[inline(always)]
    fn insert(&self, key: impl Borrow<FlowKey<Address6>>, entry: &FlowEntry<Address6>, flags: u64) -> Result<(), i32> {
        FLOWS6.insert(key, entry, flags)
    }

    #[inline(always)]
    fn remove(&self, key: impl Borrow<FlowKey<Address6>>) -> Result<(), i32> {
        FLOWS6.remove(key)
    }
}
