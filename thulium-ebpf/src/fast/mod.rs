//! The short way: an ordinary packet of an established session is translated and sent on where the driver hands it over, by one
//! lookup in the session table, or else before the pipeline in TC. It takes as few instructions as it can, and so it decides nothing:
//! whatever needs a decision goes the pipeline's way in TC, untouched and uncounted. One decision the pipeline takes in XDP already: that a
//! client's first packet of UDP opens a session (`pipeline::lan::open_early`).
//!
//! A packet's short way, and the module of each step:
//!
//! * [`Span`]: the frame's words, read once and wide, behind one check of its length.
//! * [`Ordinary`]: is it ordinary? A whole TCP or UDP packet without options, fragments or anything else that is rare, with more than
//!   one hop left; TCP neither opens nor ends anything. Its key is made in place, and its headers are rewritten with one change of
//!   each checksum.
//! * `steady`: is its session live as it is, without having to ask anybody? Of this generation, by an uplink that is up, at its own
//!   LAN interface, TCP established, no TLS hello awaited, and by its own last packet not stale.
//! * [`Hop`], `hop`: the next hop, known for a moment, and then asked for anew.
//! * `forward`: these steps in XDP. A frame for another station than the interface's own is none of them, nor is a DNS reply,
//!   which teaches names.
//! * `skb`: these steps in TC, which leaves the transport checksum and the link header to the kernel.

#[cfg(target_arch = "bpf")]
mod forward;
#[cfg(target_arch = "bpf")]
mod hop;
mod ipv4;
mod ipv6;
mod neighbour;
mod ordinary;
#[cfg(target_arch = "bpf")]
mod skb;
mod span;
#[cfg(target_arch = "bpf")]
mod steady;
mod transport;

#[cfg(target_arch = "bpf")]
pub use forward::{Fast, forward};
#[cfg(target_arch = "bpf")]
pub use hop::Next;
pub use neighbour::{HOPS, Hop, Place};
pub use ordinary::{Finished, Ordinary, Sums};
#[cfg(target_arch = "bpf")]
pub use skb::forward_skb;
pub use span::Span;

/// `CLOCK_MONOTONIC` in ticks, as of the last tick of the kernel's own: the hardware is not asked.
#[cfg(target_arch = "bpf")]
#[inline(always)]
fn now() -> u32 {
    // SAFETY: no arguments, no failure.
    crate::abi::ticks(unsafe { aya_ebpf::helpers::generated::bpf_ktime_get_coarse_ns() })
}
