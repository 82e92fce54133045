//! What an skb tells at once, before anything is looked up or pulled: by it, most packets pass the hooks that stand where all
//! packets come by.

use core::mem::MaybeUninit;

use aya_ebpf::{
    bindings::{__sk_buff, bpf_hdr_start_off::BPF_HDR_START_NET},
    helpers::generated::bpf_skb_load_bytes_relative,
    programs::TcContext,
};

use super::Plain;
use crate::parse::Kind;

/// A glance at an skb.
#[derive(Clone, Copy)]
pub struct Glance(*mut __sk_buff);

impl Glance {
    /// A glance at the skb of this context.
    #[inline(always)]
    pub fn at(context: &TcContext) -> Self {
        Self(context.skb.skb)
    }

    /// The packet mark.
    #[inline(always)]
    pub fn mark(self) -> u32 {
        // SAFETY: the kernel hands us a valid context.
        unsafe { (*self.0).mark }
    }

    /// What it carries, as Ethernet numbers it.
    #[inline(always)]
    pub fn ether_type(self) -> u16 {
        // SAFETY: the kernel hands us a valid context.
        u16::from_be(unsafe { (*self.0).protocol } as u16)
    }

    /// As [`super::Frame::is_for_us`].
    #[inline(always)]
    pub fn is_for_us(self) -> bool {
        const HOST: u32 = 0; // PACKET_HOST of linux/if_packet.h: neither another station, nor all of them (kernel: `ip_forward`)
        const VLAN: u32 = 0xfff; // VLAN_VID_MASK of linux/if_vlan.h; VLAN 0 is a priority only, and no VLAN (802.1Q §9.6)
        // SAFETY: the kernel hands us a valid context.
        unsafe { ((*self.0).vlan_present == 0 || (*self.0).vlan_tci & VLAN == 0) && (*self.0).pkt_type == HOST }
    }

    /// What it holds.
    #[inline(always)]
    pub fn kind(self) -> Kind {
        Kind::of(self.is_for_us(), self.ether_type())
    }

    /// The first bytes of the IP packet, wherever they lie and whatever link header is before them; none if it is shorter.
    #[inline(always)]
    pub fn headers<T: Plain>(self) -> Option<T> {
        let mut headers = MaybeUninit::<T>::uninit();
        let (at, size) = (headers.as_mut_ptr().cast(), size_of::<T>() as u32);
        // SAFETY: the kernel hands us a valid context, and fills `headers` in unless it says otherwise; any bytes are a T.
        unsafe {
            let result = bpf_skb_load_bytes_relative(self.0.cast(), 0, at, size, BPF_HDR_START_NET);
            if result == 0 { Some(headers.assume_init()) } else { None }
        }
    }
}
