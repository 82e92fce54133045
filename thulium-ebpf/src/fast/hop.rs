//! The next hop: known for a moment, and then asked of the kernel anew. So the way is right without the daemon, whatever becomes of
//! routes and neighbours.

use aya_ebpf::{
    bindings::{BPF_FIB_LKUP_RET_SUCCESS, BPF_FIB_LOOKUP_OUTPUT, bpf_fib_lookup as Params},
    cty::c_void,
    helpers::generated::{bpf_fib_lookup, bpf_get_prandom_u32},
};

use super::neighbour::{Hop, Place};
use crate::{
    abi::{Address4, Address6, FlowEntry, FlowKey, NO_SLOT, Side, Uplink},
    lans,
    maps::{Tables, UPLINKS},
    route::{AF_INET, AF_INET6},
};

/// For how long an answer of the kernel holds, ticks.
const FRESH: u32 = 2;
/// Of so many askings one lets its packet go the kernel's way: it sees its neighbour used, and finds out whether it is still
/// there. A neighbour that was once there counts as such for ever otherwise.
const PROBED: u32 = 32;

/// An address family whose next hops the kernel tells.
pub trait Next: Tables + Place {
    /// The router behind an uplink, if the kernel's own routes do not lead there.
    fn router(uplink: &Uplink) -> Self;

    /// Fills in what the kernel is asked: the way to `to` for packets from `source`.
    fn question(params: &mut Params, to: &Self, source: &Self);

    /// The address of the next station in the kernel's answer; none if it is of the other family.
    fn answer(params: &Params) -> Option<Self>;
}

impl Next for Address4 {
    #[inline(always)]
    fn router(uplink: &Uplink) -> Self {
        uplink.next_hop4
    }

    #[inline(always)]
    fn question(params: &mut Params, to: &Self, source: &Self) {
        params.family = AF_INET;
        params.__bindgen_anon_3.ipv4_src = source.be32();
        params.__bindgen_anon_4.ipv4_dst = to.be32();
    }

    #[inline(always)]
    fn answer(params: &Params) -> Option<Self> {
        // SAFETY: the kernel has filled it in.
        if params.family == AF_INET { Some(Self::from_be32(unsafe { params.__bindgen_anon_4.ipv4_dst })) } else { None }
    }
}

impl Next for Address6 {
    #[inline(always)]
    fn router(uplink: &Uplink) -> Self {
        uplink.next_hop6
    }

    #[inline(always)]
    fn question(params: &mut Params, to: &Self, source: &Self) {
        params.family = AF_INET6;
        params.__bindgen_anon_3.ipv6_src = source.words();
        params.__bindgen_anon_4.ipv6_dst = to.words();
    }

    #[inline(always)]
    fn answer(params: &Params) -> Option<Self> {
        // SAFETY: the kernel has filled it in.
        Some(Self::from_words(unsafe { params.__bindgen_anon_4.ipv6_dst }))
    }
}

/// The way of a packet of a steady session with this key and entry. None: this packet is to go the kernel's way. `context` is the
/// program's, `now` in ticks.
#[inline(always)]
pub(super) fn find<'a, A: Next>(
    context: *mut c_void,
    key: &FlowKey<A>,
    entry: &FlowEntry<A>,
    side: Side,
    now: u32,
) -> Option<&'a Hop<A>> {
    let (to, source, uplink) = match side {
        Side::Lan => (&key.destination, &entry.rewrite.address, entry.uplink),
        Side::Uplink => (&entry.rewrite.address, &key.source, NO_SLOT),
    };
    let interface = match side {
        Side::Lan => UPLINKS.get(u32::from(uplink))?.interface,
        Side::Uplink => lans::interface_of(entry.lan),
    };
    if interface == 0 {
        return None;
    }
    let place = A::hops().get_ptr_mut(Hop::place(to, interface))?;
    // SAFETY: this CPU's alone until the program ends.
    let hop = unsafe { &mut *place };
    if hop.to == *to && hop.interface == interface && now.wrapping_sub(hop.asked) < FRESH {
        return Some(hop);
    }
    (hop.to, hop.interface, hop.asked) = (*to, interface, now);
    if ask(context, place, source, uplink) { Some(hop) } else { None }
}

/// Fills in what the kernel says of a way. False: this packet is to go the kernel's way.
#[inline(never)]
fn ask<A: Next>(context: *mut c_void, hop: *mut Hop<A>, source: &A, uplink: u8) -> bool {
    // SAFETY: as above; the caller's.
    let hop = unsafe { &mut *hop };
    // SAFETY: a structure of integers; the kernel wants unused fields zero.
    let mut params: Params = unsafe { core::mem::zeroed() };
    params.ifindex = hop.interface;
    // Small enough for any way: the answer says what it carries.
    params.__bindgen_anon_1.tot_len = 1;
    let router = UPLINKS.get(u32::from(uplink)).map_or(A::default(), A::router);
    A::question(&mut params, if router.is_unspecified() { &hop.to } else { &router }, source);
    // SAFETY: `params` lives through the call.
    let answer = unsafe { bpf_fib_lookup(context, &raw mut params, size_of::<Params>() as i32, BPF_FIB_LOOKUP_OUTPUT) };
    hop.mtu = 0;
    if answer != i64::from(BPF_FIB_LKUP_RET_SUCCESS) || params.ifindex != hop.interface {
        return false;
    }
    let Some(next) = A::answer(&params) else { return false };
    hop.next = next;
    // SAFETY: the kernel has filled it in.
    hop.mtu = u32::from(unsafe { params.__bindgen_anon_1.mtu_result });
    let ([a, b, c, d, e, f], [g, h, i, j, k, l]) = (params.dmac, params.smac);
    hop.link = [u32::from_ne_bytes([a, b, c, d]), u32::from_ne_bytes([e, f, g, h]), u32::from_ne_bytes([i, j, k, l])];
    // SAFETY: no arguments, no failure.
    unsafe { bpf_get_prandom_u32() % PROBED != 0 }
}
