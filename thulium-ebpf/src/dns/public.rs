//! Addresses that the world can have. A name that has others may be a trick to reach the office's own network (DNS rebinding).

use crate::abi::{Address, Address4, Address6};

/// An address that a name may lead to.
pub trait Public: Address {
    /// True for an address that the world can have: not private, shared, link-local, loopback or multicast, and not reserved
    /// (RFC 6890). The prefixes of documentation count as public, so that what is documented can be tried.
    fn is_public(self) -> bool;

    /// True for an address that no name can sensibly have, whatever the policy says: nobody's, or everybody's.
    #[inline(always)]
    fn is_nobodys(self) -> bool {
        self.is_unspecified() || self.is_link_scoped()
    }
}

impl Public for Address4 {
    #[inline(always)]
    fn is_public(self) -> bool {
        is_public4(self.octets())
    }
}

impl Public for Address6 {
    #[inline(always)]
    fn is_public(self) -> bool {
        let words = self.words();
        let (first, second, last) = (u32::from_be(words[0]), u32::from_be(words[1]), words[3]);
        if first >> 16 == 0x2002 {
            // 6to4: an IPv4 address follows (RFC 3056 §2).
            return is_public4([(first >> 8) as u8, first as u8, (second >> 24) as u8, (second >> 16) as u8]);
        }
        if first == 0x0064_ff9b && second == 0 && words[2] == 0 {
            // NAT64: an IPv4 address is at its end (RFC 6052 §2.1).
            return is_public4(last.to_ne_bytes());
        }
        // Global unicast addresses (RFC 4291 §2.4; IANA has assigned from 2000::/3 alone), but for benchmarks (RFC 5180 §8).
        first >> 29 == 1 && !(first == 0x2001_0002 && second >> 16 == 0)
    }
}

#[inline(always)]
const fn is_public4([a, b, c, _]: [u8; 4]) -> bool {
    match a {
        // "This" network, private, loopback; multicast, reserved, broadcast.
        0 | 10 | 127 | 224.. => false,
        // Shared by the customers of a provider (RFC 6598).
        100 => b & 0xc0 != 64,
        // Link-local (RFC 3927).
        169 => b != 254,
        // Private (RFC 1918).
        172 => b & 0xf0 != 16,
        // Private; protocol assignments (RFC 6890 §2.1).
        192 => b != 168 && !(b == 0 && c == 0),
        // Benchmarks (RFC 2544).
        198 => b & 0xfe != 18,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use core::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn is_public(address: &str) -> bool {
        let v4 = address.parse().map(|address: Ipv4Addr| Address4::from(address).is_public());
        v4.unwrap_or_else(|_| Address6::from(address.parse::<Ipv6Addr>().unwrap()).is_public())
    }

    #[test]
    fn what_the_world_cannot_have_is_not_public() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.0",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::198.51.100.1",
            "::ffff:198.51.100.1",
            "::ffff:192.168.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
            "100::1",
            "2001:2::1",
            "2002:a00:1::1",
            "2002:c0a8:1::1",
            "fc00::1",
            "fdff::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(address), "{address}");
        }
    }

    #[test]
    fn what_the_world_can_have_is_public() {
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.1",
            "100.63.255.255",
            "100.128.0.1",
            "169.253.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "192.0.2.1",
            "192.169.0.1",
            "198.17.0.1",
            "198.20.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "223.255.255.255",
            "64:ff9b::203.0.113.1",
            "2001::1",
            "2001:db8::1",
            "2002:cb00:7101::1",
            "2606:4700::1",
            "3fff::1",
        ] {
            assert!(is_public(address), "{address}");
        }
    }
}
