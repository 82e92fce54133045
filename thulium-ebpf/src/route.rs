//! Where the kernel would send a packet.

use aya_ebpf::{
    bindings::{
        BPF_FIB_LKUP_RET_FRAG_NEEDED, BPF_FIB_LKUP_RET_FWD_DISABLED, BPF_FIB_LKUP_RET_NO_NEIGH,
        BPF_FIB_LKUP_RET_SUCCESS, bpf_fib_lookup as Params, bpf_redir_neigh as Neighbour,
    },
    helpers::generated::bpf_fib_lookup,
};

use crate::{
    abi::{Address, Address4, Address6, Role},
    fast::Place,
    frame::Hook,
    maps::{INTERFACES, NEWEST},
};

/// IPv4, as the kernel's socket interface numbers it.
pub const AF_INET: u8 = 2;
/// IPv6.
pub const AF_INET6: u8 = 10;

/// The kernel's answer to "which way?".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Out of an interface with this role of the policy.
    By(Role),
    /// Out of an interface that has none.
    Other,
    /// Out of an interface that the daemon has not seen yet.
    New,
    /// To the gateway itself, or nowhere.
    Elsewhere,
    /// The kernel does not say, because forwarding is switched off on the interface.
    Unknown,
}

/// Places in the table of [`RoundTrip`]s of a family.
pub const TRIPS: usize = 1024;
/// For how long an answer of the kernel holds, ticks.
const FRESH: u32 = 2;

/// Between these two, the kernel's routes led a moment ago: from a client out of an uplink, and back to the LAN. Each CPU has its own, so
/// that none is read while another CPU writes it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct RoundTrip<A> {
    client: A,
    remote: A,
    /// Index of the interface that the client's packet came in by.
    interface: u32,
    /// When the kernel was asked, in ticks of `CLOCK_MONOTONIC`.
    asked: u32,
}

impl<A: Place> RoundTrip<A> {
    /// The way of a client's packet that came in by an interface, and back; `now` in ticks.
    #[inline(always)]
    pub const fn new(client: A, remote: A, interface: u32, now: u32) -> Self {
        Self { client, remote, interface, asked: now }
    }

    /// Where it stands in the table.
    #[inline(always)]
    pub fn place(&self) -> u32 {
        const SPREAD: u32 = 0x9e37_79b1; // 2^32 times the golden section, odd: hosts of one network keep apart
        let mixed = (self.client.low_bits().wrapping_mul(SPREAD) ^ self.remote.low_bits()).wrapping_mul(SPREAD);
        mixed >> 22
    }

    /// True if this answers the question that `asked` is, and not too long ago.
    #[inline(always)]
    pub fn says(&self, asked: &Self) -> bool {
        self.client == asked.client
            && self.remote == asked.remote
            && self.interface == asked.interface
            && asked.asked.wrapping_sub(self.asked) < FRESH
    }
}

/// An address family that the kernel can be asked about.
pub trait Routed: Address + Place {
    /// The way from `source` to `destination` for a packet that came in at this hook.
    fn way<H: Hook>(frame: &H, source: Self, destination: Self) -> Way;

    /// What `bpf_redirect_neigh` is told of a next hop with this address.
    fn neighbour(self) -> Neighbour;
}

impl Routed for Address4 {
    #[inline(never)]
    fn way<H: Hook>(frame: &H, source: Self, destination: Self) -> Way {
        let mut params = zeroed(AF_INET, frame.interface());
        params.__bindgen_anon_3.ipv4_src = source.be32();
        params.__bindgen_anon_4.ipv4_dst = destination.be32();
        ask(frame, &mut params)
    }

    #[inline(always)]
    fn neighbour(self) -> Neighbour {
        // SAFETY: a structure of integers.
        let mut neighbour: Neighbour = unsafe { core::mem::zeroed() };
        neighbour.nh_family = u32::from(AF_INET);
        neighbour.__bindgen_anon_1.ipv4_nh = self.be32();
        neighbour
    }
}

impl Routed for Address6 {
    #[inline(always)]
    fn way<H: Hook>(frame: &H, source: Self, destination: Self) -> Way {
        way6(frame, &source, &destination)
    }

    #[inline(always)]
    fn neighbour(self) -> Neighbour {
        // SAFETY: a structure of integers.
        let mut neighbour: Neighbour = unsafe { core::mem::zeroed() };
        neighbour.nh_family = u32::from(AF_INET6);
        neighbour.__bindgen_anon_1.ipv6_nh = self.words();
        neighbour
    }
}

/// Addresses by reference: they do not fit into the registers of a call.
#[inline(never)]
fn way6<H: Hook>(frame: &H, source: &Address6, destination: &Address6) -> Way {
    let mut params = zeroed(AF_INET6, frame.interface());
    params.__bindgen_anon_3.ipv6_src = source.words();
    params.__bindgen_anon_4.ipv6_dst = destination.words();
    ask(frame, &mut params)
}

/// The role that the policy gives to an interface.
#[inline(always)]
pub fn role_of(interface: u32) -> Option<Role> {
    match INTERFACES.get_ptr(interface) {
        // SAFETY: a live map value of plain words.
        Some(entry) => match unsafe { (*entry).role } {
            role if role == Role::Lan as u32 => Some(Role::Lan),
            role if role == Role::Uplink as u32 => Some(Role::Uplink),
            _ => None,
        },
        None => None,
    }
}

#[inline(always)]
fn zeroed(family: u8, interface: u32) -> Params {
    // SAFETY: a structure of integers; the kernel wants unused fields zero.
    let mut params: Params = unsafe { core::mem::zeroed() };
    params.family = family;
    params.ifindex = interface;
    params
}

#[inline(always)]
fn ask<H: Hook>(frame: &H, params: &mut Params) -> Way {
    // SAFETY: `params` lives through the call.
    let answer = unsafe { bpf_fib_lookup(frame.context(), params, size_of::<Params>() as i32, 0) };
    const SUCCESS: i64 = BPF_FIB_LKUP_RET_SUCCESS as i64;
    const NO_NEIGHBOUR: i64 = BPF_FIB_LKUP_RET_NO_NEIGH as i64;
    // The way is known, and its MTU is another stage's question (kernel: `bpf_skb_fib_lookup`).
    const TOO_LARGE: i64 = BPF_FIB_LKUP_RET_FRAG_NEEDED as i64;
    const FORWARDING_OFF: i64 = BPF_FIB_LKUP_RET_FWD_DISABLED as i64;
    match answer {
        SUCCESS | NO_NEIGHBOUR | TOO_LARGE => way_by(params.ifindex),
        FORWARDING_OFF => Way::Unknown,
        _ => Way::Elsewhere,
    }
}

#[inline(always)]
fn way_by(interface: u32) -> Way {
    match role_of(interface) {
        Some(role) => Way::By(role),
        None if NEWEST.get(0).is_none_or(|newest| interface > *newest) => Way::New,
        None => Way::Other,
    }
}
