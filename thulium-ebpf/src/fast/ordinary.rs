//! What an ordinary packet is, and what is done to it.

use super::{Span, transport::update_checksum};
use crate::{
    abi::{Address, Endpoint, FlowKey, Side},
    checksum::Change,
    translate::Part,
};

/// An address family whose ordinary packets take the short way.
pub trait Ordinary: Address {
    /// Reads the headers of a packet of this family that arrives on `side`: the key of its session, and its length in IP bytes. Of
    /// `present` bytes behind the link header, `ip` has those that can be read directly.
    /// None if it is not ordinary: it is malformed, a fragment, has options or extension headers, its last hop, a protocol other
    /// than UDP and TCP, control bits that change the connection's state; or it is DNS, whose replies teach names.
    fn recognize(ip: Span, present: usize, side: Side) -> Option<(FlowKey<Self>, u32)>;

    /// Replaces the endpoint `part` by `to`, and takes one hop off. `ip` is not to be used any more afterwards.
    ///
    /// # Safety
    ///
    /// [`Ordinary::recognize`] recognized this packet, and `key` is its key.
    unsafe fn translate<S: Sums>(ip: Span, sums: &S, part: Part, key: &FlowKey<Self>, to: &Endpoint<Self>);
}

/// The sums that cover more than an IP header: who brings them into line depends on who has them.
pub trait Sums {
    /// Brings the checksum of the UDP or TCP header `transport` into line: an address of IPv4 and a port were replaced, each as it
    /// stands in the packet, the old one first.
    ///
    /// # Safety
    ///
    /// The packet was recognized.
    unsafe fn follow(&self, transport: Span, protocol: u8, address: [u32; 2], port: [u16; 2]);

    /// A word was replaced that no checksum in the packet covers.
    fn follow_uncovered(&self, old: u16, new: u16);
}

/// The sums of a packet whose checksums are finished, and that nobody else has summed up: as in XDP, which is not attached where it may be
/// otherwise.
pub struct Finished;

impl Sums for Finished {
    #[inline(always)]
    unsafe fn follow(&self, transport: Span, protocol: u8, address: [u32; 2], port: [u16; 2]) {
        let change = Change::of32(address[0], address[1]).and16(port[0], port[1]);
        // SAFETY: the caller's.
        unsafe { update_checksum(transport, protocol, change) };
    }

    #[inline(always)]
    fn follow_uncovered(&self, _: u16, _: u16) {}
}
