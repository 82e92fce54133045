//! Addresses and ports as they stand in a packet.

use core::fmt;

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

    /// The word as it stands in the packet; what the kernel calls `__be32`.
    pub const fn be32(self) -> u32 {
        self.0
    }

    /// True for 0.0.0.0, the source of a host that has no address yet (RFC 1122 §3.2.1.3).
    pub const fn is_unspecified(self) -> bool {
        self.0 == 0
    }

    /// True for 224.0.0.0/4 and 255.255.255.255, which no session is ever opened to.
    pub const fn is_multicast_or_broadcast(self) -> bool {
        self.octets()[0] & 0xf0 == 0xe0 || self.0 == u32::MAX
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
