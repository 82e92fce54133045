//! A frame at an XDP hook. Its checksums are finished: XDP is not attached where they may not be (see `datapath.xdp`).

use aya_ebpf::{EbpfContext as _, cty::c_void, helpers::generated::bpf_xdp_get_buff_len, programs::XdpContext};

use super::{ETHER_TYPE, ETHERNET, Frame, Hook, Plain, hook::read_within};
use crate::{abi::Station, maps::STATIONS};

/// A frame as the driver received it.
pub struct XdpFrame(XdpContext);

impl XdpFrame {
    /// The frame of this context.
    #[inline(always)]
    pub fn new(context: XdpContext) -> Self {
        Self(context)
    }

    /// True for a frame in several buffers, of which the programs see the first (`xdp(frags)`): TC sees all of it.
    #[inline(always)]
    pub fn is_scattered(&self) -> bool {
        // SAFETY: the kernel hands us a valid context.
        unsafe { bpf_xdp_get_buff_len(self.0.ctx) != self.length() as u64 }
    }

    /// First byte of the packet and the byte behind its last.
    ///
    /// Read volatile: otherwise LLVM hands the 32-bit words to subprograms in place of the context, and the verifier no
    /// longer sees that they are packet pointers.
    #[inline(always)]
    fn bounds(&self) -> (usize, usize) {
        let context = self.0.ctx;
        // SAFETY: the kernel hands us a valid context.
        unsafe {
            (
                (&raw const (*context).data).read_volatile() as usize,
                (&raw const (*context).data_end).read_volatile() as usize,
            )
        }
    }
}

impl Frame for XdpFrame {
    #[inline(always)]
    fn length(&self) -> usize {
        let (start, end) = self.bounds();
        end - start
    }

    #[inline(always)]
    fn network(&self) -> usize {
        // Drivers without Ethernet headers offer no native XDP.
        ETHERNET
    }

    #[inline(always)]
    fn ether_type(&self) -> u16 {
        self.read(ETHER_TYPE).map_or(0, u16::from_be)
    }

    #[inline(always)]
    fn is_for_us(&self) -> bool {
        // Tags are in the frame here. Where the interface's own address is known, another station's frame is not counted as refused:
        // the kernel drops it right behind us, and TC would not count it either.
        let interface = self.interface();
        match STATIONS.get(Station::place(interface)) {
            Some(station) if station.interface == interface => self.read::<[u8; 6]>(0) == Some(station.address),
            _ => true,
        }
    }

    #[inline(always)]
    fn segments(&self) -> u32 {
        1
    }

    #[inline(always)]
    fn byte(&self, offset: usize) -> Option<u8> {
        self.read(offset)
    }

    #[inline(always)]
    fn read<T: Plain>(&self, offset: usize) -> Option<T> {
        // SAFETY: the bounds are the packet's.
        unsafe { read_within(self.bounds(), offset) }
    }
}

impl Hook for XdpFrame {
    #[inline(always)]
    fn context(&self) -> *mut c_void {
        self.0.as_ptr()
    }

    #[inline(always)]
    fn interface(&self) -> u32 {
        self.0.ingress_ifindex() as u32
    }
}
