//! The short way in TC: an skb may stand for many segments, its checksum may be unfinished (CHECKSUM_PARTIAL) or the driver's sum over
//! all of it (CHECKSUM_COMPLETE). So the transport checksum is left to the helper that knows, and the link header to the kernel.
//! The IP header is written directly: the sum over it stays what it is.

use aya_ebpf::{
    bindings::{
        __sk_buff, BPF_F_MARK_MANGLED_0, BPF_F_PSEUDO_HDR, bpf_check_mtu_flags::BPF_MTU_CHK_SEGS, bpf_redir_neigh,
    },
    helpers::generated::{bpf_check_mtu, bpf_csum_update, bpf_l4_csum_replace, bpf_redirect_neigh},
    programs::TcContext,
};

use super::{Hop, Next, Ordinary, Span, Sums, hop, ipv4, now, steady};
use crate::{
    abi::{Address4, Address6, Interface, Path, Side},
    constants::{MARK_MASK, MARK_TRANSLATED},
    frame::{ETHERNET, Glance},
    maps::INTERFACES,
    parse::{Kind, protocol},
    ports::Outside,
    route::Routed,
    session::{
        flows::FlowMap as _,
        table::{Passage, touch},
    },
    translate::Part,
};

/// Sends an skb on if it is an ordinary packet of an established session, and returns the TC action. None: it is untouched and
/// uncounted.
#[inline(always)]
pub fn forward_skb(context: &TcContext, side: Side) -> Option<i32> {
    let action = match Glance::at(context).kind() {
        Kind::Ipv4 => forward_of::<Address4>(context.skb.skb, side),
        Kind::Ipv6 => forward_of::<Address6>(context.skb.skb, side),
        Kind::Other => NOT_SENT,
    };
    if action == NOT_SENT { None } else { Some(action) }
}

/// No TC action: a plain number, which the verifier follows through a call.
const NOT_SENT: i32 = i32::MIN;

/// A function of its own for the sake of the stack.
#[inline(never)]
fn forward_of<A: Ordinary + Next + Outside + Routed>(skb: *mut __sk_buff, side: Side) -> i32 {
    Skb(skb).forward::<A>(side).unwrap_or(NOT_SENT)
}

/// The context of a program at TC: it is valid as long as the program runs.
struct Skb(*mut __sk_buff);

impl Skb {
    #[inline(always)]
    fn forward<A: Ordinary + Next + Outside + Routed>(&self, side: Side) -> Option<i32> {
        if !self.has_plain_ethernet() {
            return None;
        }
        // SAFETY: see `Skb`; the packet is this program's until it ends. Volatile: see `TcFrame`.
        let (frame, length, interface) = unsafe {
            let start = (&raw const (*self.0).data).read_volatile() as usize;
            let end = (&raw const (*self.0).data_end).read_volatile() as usize;
            (Span::new(start, end), (*self.0).len as usize, (*self.0).ifindex)
        };
        let ip = frame.skip(ETHERNET);
        let (key, length) = A::recognize(ip, length - ETHERNET, side)?;
        let now = now();
        let entry = A::flows().get_ptr_mut(&key)?;
        if !steady::is_steady(&key, entry, (interface, side), now) {
            return None;
        }
        // SAFETY: an entry stays readable until the program ends; its fields change under us, but each is a word.
        let known = unsafe { &*entry };
        let hop = hop::find(self.0.cast(), &key, known, side, now)?;
        if !self.fits(length, hop) {
            return None;
        }
        touch(entry, Passage { side, path: Path::Tc, packets: self.segments(), bytes: length }, now);
        // SAFETY: `recognize` recognized the packet.
        unsafe { A::translate(ip, self, Part::of(side), &key, &known.rewrite) };
        if matches!(side, Side::Lan) {
            self.mark_translated();
        }
        Some(self.send_to(hop))
    }

    /// True for a frame with an Ethernet header and no tag.
    #[inline(always)]
    fn has_plain_ethernet(&self) -> bool {
        // SAFETY: see `Skb`.
        let (interface, is_tagged) = unsafe { ((*self.0).ifindex, (*self.0).vlan_present != 0) };
        // SAFETY: a live map value of plain words.
        let has_ethernet = |known: *const Interface| unsafe { (*known).link_header } as usize == ETHERNET;
        !is_tagged && INTERFACES.get_ptr(interface).is_some_and(has_ethernet)
    }

    /// True if it, or each of its segments, is not too large for the way. `length` in IP bytes.
    #[inline(always)]
    fn fits<A>(&self, length: u32, hop: &Hop<A>) -> bool {
        // The kernel did not tell the way when it was asked last: what else stands in the place is of another one.
        if hop.mtu == 0 {
            return false;
        }
        // SAFETY: see `Skb`.
        if unsafe { (*self.0).gso_size } == 0 {
            return length <= hop.mtu;
        }
        let mut none = 0;
        // SAFETY: as above; `none` lives through the call.
        unsafe { bpf_check_mtu(self.0.cast(), hop.interface, &raw mut none, 0, u64::from(BPF_MTU_CHK_SEGS)) == 0 }
    }

    #[inline(always)]
    fn segments(&self) -> u32 {
        // SAFETY: see `Skb`.
        let segments = unsafe { (*self.0).gso_segs };
        if segments == 0 { 1 } else { segments }
    }

    #[inline(always)]
    fn mark_translated(&self) {
        // SAFETY: see `Skb`.
        unsafe { (*self.0).mark = (*self.0).mark & !MARK_MASK.load() | MARK_TRANSLATED.load() };
    }

    /// The kernel need not look up the route again; it resolves the neighbour, keeps it fresh, and writes the link header.
    #[inline(always)]
    fn send_to<A: Routed>(&self, hop: &Hop<A>) -> i32 {
        let mut neighbour = hop.next.neighbour();
        // SAFETY: `neighbour` lives through the call.
        unsafe { bpf_redirect_neigh(hop.interface, &raw mut neighbour, size_of::<bpf_redir_neigh>() as i32, 0) as i32 }
    }
}

/// Where the checksum stands in the header of UDP or TCP, bytes.
#[inline(always)]
const fn checksum_at(protocol: u8) -> usize {
    if protocol == protocol::UDP { 6 } else { 16 }
}

impl Sums for Skb {
    #[inline(always)]
    unsafe fn follow(&self, _: Span, protocol: u8, address: [u32; 2], port: [u16; 2]) {
        let offset = (ETHERNET + ipv4::HEADER + checksum_at(protocol)) as u32;
        let flags = if protocol == protocol::UDP { u64::from(BPF_F_MARK_MANGLED_0) } else { 0 };
        let replace = |[old, new]: [u64; 2], flags| {
            // SAFETY: see `Skb`. It does not fail, since the packet has been written to already.
            unsafe { bpf_l4_csum_replace(self.0, offset, old, new, flags) };
        };
        if address[0] != address[1] {
            replace(address.map(u64::from), flags | u64::from(BPF_F_PSEUDO_HDR) | size_of::<u32>() as u64);
        }
        if port[0] != port[1] {
            replace(port.map(u64::from), flags | size_of::<u16>() as u64);
        }
    }

    #[inline(always)]
    fn follow_uncovered(&self, old: u16, new: u16) {
        // SAFETY: see `Skb`.
        unsafe { bpf_csum_update(self.0, u32::from(!old) + u32::from(new)) };
    }
}
