//! Addresses and ports as they stand in a packet.

use core::{fmt, hash::Hash};

use super::Family;

/// An address of one of the two families, in network byte order: what keys and packets are generic over.
pub trait Address: Copy + Default + PartialEq + Eq + Hash + fmt::Debug + 'static {
    /// Whose address it is.
    const FAMILY: Family;

    /// Bits of an address: the longest prefix.
    const BITS: u32 = 8 * size_of::<Self>() as u32;

    /// What fills a structure that holds an odd number of addresses up to a multiple of eight bytes.
    type Pad: Copy + Default + PartialEq + Eq + Hash + fmt::Debug;

    /// True for the source of a host that has no address yet (RFC 1122 §3.2.1.3, RFC 4291 §2.5.2).
    fn is_unspecified(self) -> bool;

    /// True for an address that no router forwards to or from: multicast, broadcast, and IPv6's link-local ones.
    /// Multicast that routers do forward is no flow of anybody's policy.
    fn is_link_scoped(self) -> bool;
}

/// An IPv4 address in network byte order, as it stands in the packet.
#[repr(transparent)]
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Address4(u32);

impl Address4 {
    /// The address whose octets are `octets`, first octet first.
    pub const fn new(octets: [u8; 4]) -> Self {
        Self(u32::from_ne_bytes(octets))
    }

    /// The four octets, first octet first.
    pub const fn octets(self) -> [u8; 4] {
        self.0.to_ne_bytes()
    }

    /// The address of a `__be32`.
    pub const fn from_be32(word: u32) -> Self {
        Self(word)
    }

    /// The word as it stands in the packet; what the kernel calls `__be32`.
    pub const fn be32(self) -> u32 {
        self.0
    }

    /// A place below `places`, a power of two, for this address: neighbouring addresses get places far apart (Fibonacci hashing: Knuth,
    /// The Art of Computer Programming 3, §6.4).
    pub const fn spread(self, places: usize) -> usize {
        const GOLDEN: u32 = 0x9e37_79b1; // 2^32 divided by the golden ratio, and odd
        let scattered = u32::from_be(self.0).wrapping_mul(GOLDEN);
        ((scattered as u64 * places as u64) >> 32) as usize
    }
}

impl Address for Address4 {
    const FAMILY: Family = Family::Ipv4;

    type Pad = [u32; 0];

    #[inline(always)]
    fn is_unspecified(self) -> bool {
        self.0 == 0
    }

    #[inline(always)]
    fn is_link_scoped(self) -> bool {
        self.octets()[0] & 0xf0 == 0xe0 || self.0 == u32::MAX
    }
}

/// An IPv6 address in network byte order, as it stands in the packet.
#[repr(transparent)]
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Address6([u32; 4]);

impl Address6 {
    /// The address whose octets are `octets`, first octet first.
    pub const fn new(octets: [u8; 16]) -> Self {
        // SAFETY: four words are sixteen octets, and any bytes are either.
        Self(unsafe { core::mem::transmute::<[u8; 16], [u32; 4]>(octets) })
    }

    /// The sixteen octets, first octet first.
    pub const fn octets(self) -> [u8; 16] {
        // SAFETY: as above.
        unsafe { core::mem::transmute::<[u32; 4], [u8; 16]>(self.0) }
    }

    /// The address of a `__be32[4]`.
    pub const fn from_words(words: [u32; 4]) -> Self {
        Self(words)
    }

    /// The words as they stand in the packet; what the kernel calls `__be32[4]`.
    pub const fn words(self) -> [u32; 4] {
        self.0
    }
}

impl Address for Address6 {
    const FAMILY: Family = Family::Ipv6;

    type Pad = [u32; 1];

    #[inline(always)]
    fn is_unspecified(self) -> bool {
        self.0[0] | self.0[1] | self.0[2] | self.0[3] == 0
    }

    #[inline(always)]
    fn is_link_scoped(self) -> bool {
        // ff00::/8 and fe80::/10 (RFC 4291 §2.4).
        let [first, second, ..] = self.0[0].to_ne_bytes();
        first == 0xff || (first == 0xfe && second & 0xc0 == 0x80)
    }
}

impl fmt::Debug for Address6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&core::net::Ipv6Addr::from(self.octets()), f)
    }
}

impl From<core::net::Ipv6Addr> for Address6 {
    fn from(address: core::net::Ipv6Addr) -> Self {
        Self::new(address.octets())
    }
}

impl From<Address6> for core::net::Ipv6Addr {
    fn from(address: Address6) -> Self {
        address.octets().into()
    }
}

impl From<Address6> for core::net::IpAddr {
    fn from(address: Address6) -> Self {
        Self::V6(address.into())
    }
}

impl fmt::Debug for Address4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d] = self.octets();
        write!(f, "{a}.{b}.{c}.{d}")
    }
}

impl From<core::net::Ipv4Addr> for Address4 {
    fn from(address: core::net::Ipv4Addr) -> Self {
        Self::new(address.octets())
    }
}

impl From<Address4> for core::net::Ipv4Addr {
    fn from(address: Address4) -> Self {
        address.octets().into()
    }
}

impl From<Address4> for core::net::IpAddr {
    fn from(address: Address4) -> Self {
        Self::V4(address.into())
    }
}

/// A UDP or TCP port in network byte order, as it stands in the packet.
#[repr(transparent)]
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Port(u16);

impl Port {
    /// The port numbered `number`.
    pub const fn new(number: u16) -> Self {
        Self(number.to_be())
    }

    /// The port's number.
    pub const fn number(self) -> u16 {
        u16::from_be(self.0)
    }

    /// The half-word as it stands in the packet; what the kernel calls `__be16`.
    pub const fn be16(self) -> u16 {
        self.0
    }

    /// The port of a `__be16`.
    pub const fn from_be16(word: u16) -> Self {
        Self(word)
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.number())
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv6Addr;

    use super::*;

    fn is_link_scoped(address: &str) -> bool {
        Address6::from(address.parse::<Ipv6Addr>().unwrap()).is_link_scoped()
    }

    #[test]
    fn what_stays_on_the_link_is_told_from_what_is_routed() {
        assert!(is_link_scoped("fe80::1") && is_link_scoped("febf::1") && is_link_scoped("ff02::1"));
        assert!(!is_link_scoped("fec0::1") && !is_link_scoped("2001:db8::1") && !is_link_scoped("fd00::1"));
        assert!(Address4::new([224, 0, 0, 251]).is_link_scoped() && Address4::new([255; 4]).is_link_scoped());
        assert!(!Address4::new([192, 168, 20, 255]).is_link_scoped());
    }

    #[test]
    fn neighbours_are_spread_over_all_places() {
        for (places, expected) in [(64, 0..=2), (16, 3..=5)] {
            let mut taken = [0; 64];
            for host in 0..64 {
                taken[Address4::new([192, 168, 20, host]).spread(places)] += 1;
            }
            assert!(taken[..places].iter().all(|clients| expected.contains(clients)), "{taken:?}");
        }
    }

    #[test]
    fn an_address_is_what_it_was_made_of() {
        let address: Ipv6Addr = "2001:db8:20::10".parse().unwrap();
        assert_eq!(Ipv6Addr::from(Address6::from(address)), address);
    }
}
