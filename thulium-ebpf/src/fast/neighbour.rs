//! What is known of a next hop.

use crate::abi::{Address, Address4, Address6};

/// Places in the table of [`Hop`]s of a family.
pub const HOPS: usize = 4096;

/// The way to an address out of an interface, as the kernel told it a moment ago. Each CPU has its own, so that none is read
/// while another CPU writes it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hop<A> {
    /// Where to: a client, or somebody in the world.
    pub to: A,
    /// Index of the interface that leads there.
    pub interface: u32,
    /// When the kernel was asked, in ticks of `CLOCK_MONOTONIC`.
    pub asked: u32,
    /// IP bytes of the largest packet that the way carries; 0: the kernel has to find it.
    pub mtu: u32,
    /// Address of the next station: `to` itself, or a router's.
    pub next: A,
    /// Hardware addresses of the next station and of the gateway's own, as an Ethernet header begins with them.
    pub link: [u32; 3],
}

impl<A: Place> Hop<A> {
    /// The place of the way to an address out of an interface.
    #[inline(always)]
    pub fn place(to: &A, interface: u32) -> u32 {
        (to.low_bits() ^ interface) % HOPS as u32
    }
}

/// An address family in a table of places.
pub trait Place: Address {
    /// The bits in which neighbours differ, as a number.
    fn low_bits(&self) -> u32;
}

impl Place for Address4 {
    #[inline(always)]
    fn low_bits(&self) -> u32 {
        u32::from_be(self.be32())
    }
}

impl Place for Address6 {
    #[inline(always)]
    fn low_bits(&self) -> u32 {
        let [_, network, _, host] = self.words();
        u32::from_be(network) ^ u32::from_be(host)
    }
}
