//! IPv4 and IPv6: what the checks of both differ in.

use std::net::IpAddr;

/// A version of the Internet protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Family {
    Ipv4,
    Ipv6,
}

impl Family {
    pub(super) const fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::Ipv4 } else { Self::Ipv6 }
    }

    /// In the first half byte of a header, and an option of `ip`.
    pub(super) const fn number(self) -> u8 {
        match self {
            Self::Ipv4 => 4,
            Self::Ipv6 => 6,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        }
    }
}
