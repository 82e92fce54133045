//! A frame at a TC hook: an skb. Its checksum may be unfinished (CHECKSUM_PARTIAL) and it may be a GSO packet, so edits go
//! through the helpers that know (`bpf_l3_csum_replace`, `bpf_l4_csum_replace`).

use core::hint::black_box;

use aya_ebpf::{
    EbpfContext as _,
    bindings::{
        BPF_F_MARK_MANGLED_0, BPF_F_PSEUDO_HDR, BPF_F_RECOMPUTE_CSUM, bpf_check_mtu_flags::BPF_MTU_CHK_SEGS,
        bpf_redir_neigh, tcx_action_base::TCX_DROP,
    },
    cty::c_void,
    helpers::generated::{
        bpf_check_mtu, bpf_csum_diff, bpf_redirect_neigh, bpf_skb_change_head, bpf_skb_change_tail, bpf_skb_load_bytes,
        bpf_skb_vlan_pop,
    },
    programs::TcContext,
};

use super::{ETHERNET, Edit, Forward, Frame, Glance, Hook, Plain, TransportChecksum, hook::read_within};
use crate::{
    abi::{Address as _, Address4},
    checksum::fold,
    maps::{INTERFACES, SUMMED, UPLINKS},
    parse::{Kind, kind},
    route::Routed as _,
};

/// Bytes that must be in the linear area: Ethernet, IP headers with what may follow them, a TCP header; or an ICMP error with
/// the headers that it quotes.
const HEADERS: u32 = 160;

/// An skb, and the length of its link header.
pub struct TcFrame(TcContext, usize);

impl TcFrame {
    /// The skb of this context. Pulls the headers into the linear area where the driver left them in pages.
    #[inline(always)]
    pub fn new(context: TcContext) -> Self {
        // SAFETY: the kernel hands us a valid context.
        let interface = unsafe { (*context.skb.skb).ifindex };
        let link_header = match INTERFACES.get_ptr(interface) {
            // SAFETY: a live map value of plain words. The mask shows the verifier that link headers are short.
            Some(known) => unsafe { (*known).link_header as usize & 0xe },
            None => ETHERNET,
        };
        let frame = Self(context, link_header);
        frame.pull();
        frame
    }

    /// What it tells at once.
    #[inline(always)]
    pub fn glance(&self) -> Glance {
        Glance::at(&self.0)
    }

    /// Pulls the headers into the linear area.
    #[inline(always)]
    fn pull(&self) {
        let context = &self.0;
        let wanted = if context.len() < HEADERS { context.len() } else { HEADERS };
        if context.data() + wanted as usize > context.data_end() {
            // A failure shows as a packet that is too short.
            let _ = context.pull_data(wanted);
        }
    }

    /// First byte of the linear area and the byte behind its last.
    ///
    /// Read volatile: otherwise LLVM hands the 32-bit words to subprograms in place of the context, and the verifier no
    /// longer sees that they are packet pointers.
    #[inline(always)]
    fn bounds(&self) -> (usize, usize) {
        let skb = self.0.skb.skb;
        // SAFETY: the kernel hands us a valid context.
        unsafe {
            ((&raw const (*skb).data).read_volatile() as usize, (&raw const (*skb).data_end).read_volatile() as usize)
        }
    }

    /// The context, for logging.
    #[inline(always)]
    pub fn inner(&self) -> &TcContext {
        &self.0
    }

    /// The packet mark.
    #[inline(always)]
    pub fn mark(&self) -> u32 {
        self.glance().mark()
    }

    /// Sets the packet mark.
    #[inline(always)]
    pub fn set_mark(&self, mark: u32) {
        self.0.set_mark(mark);
    }

    /// Index of the interface it came in by; 0 for the gateway's own packets.
    #[inline(always)]
    pub fn ingress_interface(&self) -> u32 {
        // SAFETY: the kernel hands us a valid context.
        unsafe { (*self.0.skb.skb).ingress_ifindex }
    }

    /// Sends it out of the interface; the kernel finds the route and resolves the neighbour. Returns the TC action.
    #[inline(always)]
    pub fn redirect(&self, interface: u32) -> i32 {
        self.make_plain_ethernet();
        // SAFETY: no parameters are handed over.
        unsafe { bpf_redirect_neigh(interface, core::ptr::null_mut(), 0, 0) as i32 }
    }

    /// Sends it out of the uplink of this slot, to that uplink's own next hop if it has one of this family. Returns the TC action.
    #[inline(never)]
    pub fn leave_by(&self, slot: u8) -> i32 {
        let Some(uplink) = UPLINKS.get(u32::from(slot)) else { return TCX_DROP };
        let mut hop = match kind(self) {
            Kind::Ipv4 if !uplink.next_hop4.is_unspecified() => uplink.next_hop4.neighbour(),
            Kind::Ipv6 if !uplink.next_hop6.is_unspecified() => uplink.next_hop6.neighbour(),
            _ => return self.redirect(uplink.interface),
        };
        self.make_plain_ethernet();
        // SAFETY: `hop` lives through the call.
        unsafe { bpf_redirect_neigh(uplink.interface, &raw mut hop, size_of::<bpf_redir_neigh>() as i32, 0) as i32 }
    }

    /// `bpf_redirect_neigh` takes an Ethernet header off (kernel: `__bpf_redirect_neigh`): one is put on where there is none.
    /// A priority tag stays behind, it was for the link that the frame came by.
    #[inline(always)]
    fn make_plain_ethernet(&self) {
        let skb = self.0.skb.skb;
        // SAFETY: the kernel hands us a valid context. If a helper fails, so will the redirect.
        unsafe {
            if self.1 == 0 {
                bpf_skb_change_head(skb, ETHERNET as u32, 0);
            }
            if (*skb).vlan_present != 0 {
                bpf_skb_vlan_pop(skb);
            }
        }
    }

    #[inline(always)]
    fn l4_flags(transport: TransportChecksum, size: u64) -> u64 {
        size | if transport.optional { u64::from(BPF_F_MARK_MANGLED_0) } else { 0 }
    }
}

impl Frame for TcFrame {
    #[inline(always)]
    fn length(&self) -> usize {
        self.0.len() as usize
    }

    #[inline(always)]
    fn network(&self) -> usize {
        self.1
    }

    #[inline(always)]
    fn ether_type(&self) -> u16 {
        self.glance().ether_type()
    }

    #[inline(always)]
    fn is_for_us(&self) -> bool {
        self.glance().is_for_us()
    }

    #[inline(always)]
    fn segments(&self) -> u32 {
        // SAFETY: the kernel hands us a valid context.
        let segments = unsafe { (*self.0.skb.skb).gso_segs };
        if segments == 0 { 1 } else { segments }
    }

    #[inline(always)]
    fn byte(&self, offset: usize) -> Option<u8> {
        self.0.load(offset).ok()
    }

    #[inline(always)]
    fn read<T: Plain>(&self, offset: usize) -> Option<T> {
        // SAFETY: the bounds are the packet's.
        unsafe { read_within(self.bounds(), offset) }
    }
}

impl Edit for TcFrame {
    #[inline(always)]
    fn replace_address(
        &mut self,
        offset: usize,
        header_sum: usize,
        transport: Option<TransportChecksum>,
        old: Address4,
        new: Address4,
    ) -> Option<()> {
        let (from, to) = (u64::from(old.be32()), u64::from(new.be32()));
        self.0.store(offset, &new.be32(), 0).ok()?;
        self.0.l3_csum_replace(header_sum, from, to, 4).ok()?;
        if let Some(transport) = transport {
            let flags = Self::l4_flags(transport, 4) | u64::from(BPF_F_PSEUDO_HDR);
            self.0.l4_csum_replace(transport.offset, from, to, flags).ok()?;
        }
        Some(())
    }

    #[inline(always)]
    fn replace_word(&mut self, offset: usize, transport: TransportChecksum, old: u16, new: u16) -> Option<()> {
        self.0.store(offset, &new, 0).ok()?;
        let flags = Self::l4_flags(transport, 2);
        self.0.l4_csum_replace(transport.offset, u64::from(old), u64::from(new), flags).ok()
    }

    #[inline(never)]
    fn is_intact(&self, offset: usize, length: usize) -> bool {
        sum(self, offset, length).is_some_and(|sum| fold(sum) == 0xffff)
    }

    #[inline(always)]
    fn replace_header_word(&mut self, offset: usize, header_sum: usize, old: u16, new: u16) -> Option<()> {
        self.0.store(offset, &new, 0).ok()?;
        self.0.l3_csum_replace(header_sum, u64::from(old), u64::from(new), 2).ok()
    }

    #[inline(always)]
    fn resize(&mut self, length: usize) -> Option<()> {
        // SAFETY: the kernel hands us a valid context.
        let result = unsafe { bpf_skb_change_tail(self.0.skb.skb, length as u32, 0) };
        if result == 0 { Some(()) } else { None }
    }

    #[inline(always)]
    fn write<T: Plain>(&mut self, offset: usize, value: T) -> Option<()> {
        // A sum that the driver computed over the whole packet (CHECKSUM_COMPLETE) is brought into line.
        self.0.store(offset, &value, u64::from(BPF_F_RECOMPUTE_CSUM)).ok()
    }

    #[inline(always)]
    fn replace_byte(&mut self, offset: usize, new: u8) -> Option<()> {
        // As in `write`: no checksum of the packet covers it, but the driver's sum does.
        self.0.store(offset, &new, u64::from(BPF_F_RECOMPUTE_CSUM)).ok()
    }
}

/// Bytes that are summed up at once: `bpf_csum_diff` takes no more before Linux 6.13.
const CHUNK: usize = 512;

/// The sum of the words of these bytes; none if there are too many, or fewer in the frame.
#[inline(always)]
fn sum(frame: &TcFrame, offset: usize, length: usize) -> Option<u32> {
    let buffer = SUMMED.get_ptr_mut(0)?;
    let (mut done, mut sum) = (0, 0);
    for _ in 0..4096 / CHUNK {
        if done >= length {
            return Some(sum);
        }
        // Opaque, so that the bounds stay where the verifier sees them.
        let part = black_box(length - done);
        let part = if part > CHUNK { CHUNK } else { part };
        if part == 0 {
            return None;
        }
        // The same number, from 1 on also for the verifier of Linux 6.1, which learns nothing from a comparison with 0.
        let part = ((black_box(part) - 1) & (CHUNK - 1)) + 1;
        // In whole words, bounded the same way.
        let padded = ((black_box(part.next_multiple_of(4)) - 1) & (CHUNK - 1)) + 1;
        // SAFETY: the buffer is this CPU's alone until the program ends, and has CHUNK bytes; its last word may be filled in part.
        unsafe {
            (*buffer)[(padded / 4 - 1) & (CHUNK / 4 - 1)] = 0;
            let at = (offset + done) as u32;
            if bpf_skb_load_bytes(frame.context(), at, buffer.cast(), part as u32) != 0 {
                return None;
            }
            sum = bpf_csum_diff(core::ptr::null_mut(), 0, buffer.cast(), padded as u32, sum) as u32;
        }
        done += part;
    }
    if done >= length { Some(sum) } else { None }
}

impl Hook for TcFrame {
    #[inline(always)]
    fn context(&self) -> *mut c_void {
        self.0.as_ptr()
    }

    #[inline(always)]
    fn interface(&self) -> u32 {
        // SAFETY: the kernel hands us a valid context.
        unsafe { (*self.0.skb.skb).ifindex }
    }
}

impl Forward for TcFrame {
    #[inline(always)]
    fn exceeds_mtu(&self, interface: u32, length: u32) -> bool {
        // SAFETY: the kernel hands us a valid context.
        let is_gso = unsafe { (*self.0.skb.skb).gso_size } != 0;
        // A length of our own leaves link headers out of account, which may differ; the kernel refuses it for segments.
        let (mut length, flags) = if is_gso { (0, BPF_MTU_CHK_SEGS) } else { (length, 0) };
        // SAFETY: `length` lives through the call.
        unsafe { bpf_check_mtu(self.context(), interface, &raw mut length, 0, u64::from(flags)) != 0 }
    }

    #[inline(always)]
    fn mtu(&self, interface: u32) -> u32 {
        let mut mtu = 1;
        // SAFETY: `mtu` lives through the call, which checks a packet of one byte and returns the interface's MTU there.
        let known = unsafe { bpf_check_mtu(self.context(), interface, &raw mut mtu, 0, 0) } == 0;
        if known { mtu } else { 0 }
    }
}
