//! The tables of sessions by key: of IPv4 our own, of IPv6 the kernel's hash map.

use core::borrow::Borrow;

use aya_ebpf::bindings::BPF_NOEXIST;

use super::table::Entry;
use crate::{
    abi::{Address, Address4, Address6, FlowEntry, FlowKey},
    directory::{bpf, change::NotAdded},
    maps::FLOWS6,
    ports::EXISTS,
};

/// `E2BIG`, as the kernel's hash map returns it.
const FULL: i32 = -7;
/// `ENOENT`.
const ABSENT: i32 = -2;

/// A table of sessions, which answers as the kernel's hash map does.
pub trait FlowMap<A: Address> {
    /// What is known of a direction, if it is there.
    fn get_ptr_mut(&self, key: impl Borrow<FlowKey<A>>) -> Option<Entry<A>>;

    /// The same, to read.
    #[inline(always)]
    fn get_ptr(&self, key: impl Borrow<FlowKey<A>>) -> Option<*const FlowEntry<A>> {
        self.get_ptr_mut(key).map(<*mut _>::cast_const)
    }

    /// Adds a direction; of several CPUs that do so with `BPF_NOEXIST`, one does. Returns where it is, for [`FlowMap::at`].
    ///
    /// # Errors
    /// If it is there already ([`EXISTS`](crate::ports::EXISTS)), or the table is full.
    fn insert(&self, key: impl Borrow<FlowKey<A>>, entry: &FlowEntry<A>, flags: u64) -> Result<u32, i32>;

    /// The same as [`get_ptr_mut`](FlowMap::get_ptr_mut), of a direction that was added there; 0: nobody knows where.
    fn at(&self, key: impl Borrow<FlowKey<A>>, place: u32) -> Option<Entry<A>>;

    /// Says that a direction is soon to be added, most likely.
    fn expect(&self, key: impl Borrow<FlowKey<A>>);

    /// Takes a direction away.
    ///
    /// # Errors
    /// If it is not there.
    fn remove(&self, key: impl Borrow<FlowKey<A>>) -> Result<(), i32>;
}

/// The table of IPv4 sessions.
pub struct FlowMap4;

impl FlowMap<Address4> for FlowMap4 {
    #[inline(always)]
    fn get_ptr_mut(&self, key: impl Borrow<FlowKey<Address4>>) -> Option<Entry<Address4>> {
        bpf::get(key.borrow())
    }

    #[inline(always)]
    fn insert(&self, key: impl Borrow<FlowKey<Address4>>, entry: &FlowEntry<Address4>, flags: u64) -> Result<u32, i32> {
        let is_new = flags == u64::from(BPF_NOEXIST);
        match bpf::add(key.borrow(), entry, !is_new) {
            Ok(number) => Ok(number),
            Err(NotAdded::Full) => Err(FULL),
            Err(NotAdded::Present) if is_new => Err(EXISTS),
            Err(NotAdded::Present) => Ok(0),
        }
    }

    #[inline(always)]
    fn at(&self, key: impl Borrow<FlowKey<Address4>>, place: u32) -> Option<Entry<Address4>> {
        let key = key.borrow();
        if place == 0 { bpf::get(key) } else { bpf::at(key, place) }
    }

    #[inline(always)]
    fn expect(&self, key: impl Borrow<FlowKey<Address4>>) {
        bpf::expect(key.borrow());
    }

    #[inline(always)]
    fn remove(&self, key: impl Borrow<FlowKey<Address4>>) -> Result<(), i32> {
        if bpf::remove(key.borrow()) { Ok(()) } else { Err(ABSENT) }
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
    fn insert(&self, key: impl Borrow<FlowKey<Address6>>, entry: &FlowEntry<Address6>, flags: u64) -> Result<u32, i32> {
        FLOWS6.insert(key, entry, flags).map(|()| 0)
    }

    #[inline(always)]
    fn at(&self, key: impl Borrow<FlowKey<Address6>>, _: u32) -> Option<Entry<Address6>> {
        FLOWS6.get_ptr_mut(key)
    }

    #[inline(always)]
    fn expect(&self, _: impl Borrow<FlowKey<Address6>>) {}

    #[inline(always)]
    fn remove(&self, key: impl Borrow<FlowKey<Address6>>) -> Result<(), i32> {
        FLOWS6.remove(key)
    }
}
