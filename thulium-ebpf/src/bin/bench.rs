//! The programs of `cargo xtask bench`: a source, a sink, and the least that a gateway can do. On the host this is an empty main.

#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![cfg_attr(target_arch = "bpf", expect(unreachable_pub, reason = "the loader reaches programs by name"))]

#[cfg(not(target_arch = "bpf"))]
const fn main() {}

#[cfg(target_arch = "bpf")]
mod programs {
    use aya_ebpf::{
        bindings::xdp_action::{XDP_ABORTED, XDP_DROP, XDP_PASS},
        btf_maps::{Array, PerCpuArray},
        helpers::generated::bpf_redirect,
        macros::{btf_map, xdp},
        programs::XdpContext,
    };
    use thulium_ebpf::bench::{Expectation, Frame, Headers, Order, Seen, Way};

    /// What the source sends.
    #[btf_map]
    static ORDER: Array<Order, 1> = Array::new();
    /// What the sink expects.
    #[btf_map]
    static EXPECTATION: Array<Expectation, 1> = Array::new();
    /// What it has seen.
    #[btf_map]
    static SEEN: PerCpuArray<Seen, 1> = PerCpuArray::new();
    /// Where the bare redirect sends a frame on, by the low bits of its interface's index.
    #[btf_map]
    static WAYS: Array<Way, 16> = Array::new();

    /// Never attached: the bench runs it on live frames. They come back with what a gateway has made of them, so that each gets
    /// whole headers anew.
    #[xdp]
    pub fn source(context: XdpContext) -> u32 {
        let (Some(order), Some(headers)) = (ORDER.get_ptr_mut(0), at_start::<Headers>(&context)) else {
            return XDP_ABORTED;
        };
        // SAFETY: one CPU alone runs the source; the headers are within the frame, and two-byte aligned in it.
        unsafe {
            let order = &mut *order;
            *headers = order.take_next();
            bpf_redirect(order.interface, 0) as u32
        }
    }

    /// At the far end of the link: counts the bench's frames, and lets others pass.
    #[xdp]
    pub fn sink(context: XdpContext) -> u32 {
        let Some(frame) = at_start::<Frame>(&context) else { return XDP_PASS };
        // SAFETY: within the packet.
        let frame = unsafe { &*frame };
        if !frame.is_ours() {
            return XDP_PASS;
        }
        let (Some(expectation), Some(seen)) = (EXPECTATION.get(0), SEEN.get_ptr_mut(0)) else { return XDP_ABORTED };
        let is_wrong = expectation.check == 1 && !expectation.is_met_by(frame);
        // SAFETY: this CPU's alone.
        unsafe {
            (*seen).delivered += 1;
            (*seen).wrong += u64::from(is_wrong);
        }
        XDP_DROP
    }

    /// The limit: a gateway that looks at nothing, writes other MAC addresses, and sends the frame on.
    #[xdp]
    pub fn bare(context: XdpContext) -> u32 {
        let (Some(way), Some(headers)) =
            (WAYS.get(context.ingress_ifindex() as u32 & 15), at_start::<Headers>(&context))
        else {
            return XDP_ABORTED;
        };
        // SAFETY: within the frame.
        unsafe {
            (*headers).to = way.to;
            (*headers).from = way.from;
            bpf_redirect(way.interface, 0) as u32
        }
    }

    /// The frame's first bytes, if it is as long as a `T`.
    #[inline(always)]
    fn at_start<T>(context: &XdpContext) -> Option<*mut T> {
        let (start, end) = (context.data(), context.data_end());
        (start + size_of::<T>() <= end).then_some(start as *mut T)
    }

    #[panic_handler]
    fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
        // The verifier accepts no program that can get here.
        loop {}
    }

    #[unsafe(link_section = "license")]
    #[unsafe(no_mangle)]
    static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
}
