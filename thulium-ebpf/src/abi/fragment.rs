//! Fragmented datagrams: which of their fragments belong together, and what is known of them for a few seconds.

use super::Port;

/// Identifies the fragments of a datagram (RFC 791 §2.3, RFC 8200 §4.5).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FragmentKey<A> {
    /// Source address as it arrives.
    pub source: A,
    /// Destination address as it arrives.
    pub destination: A,
    /// The identification field, as it stands in the packet; 16 bits of it in IPv4.
    pub identification: u32,
    /// IANA protocol number.
    pub protocol: u8,
    /// A [`Side`](super::Side) as a number.
    pub side: u8,
    /// Zero.
    pub pad: u16,
}

/// What became of the first fragment of a datagram, and which others have followed it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Datagram {
    /// `CLOCK_MONOTONIC` of the first fragment, nanoseconds.
    pub seen: u64,
    /// Source port as it arrived.
    pub source_port: Port,
    /// Destination port as it arrived.
    pub destination_port: Port,
    /// The [`Path`](super::Path) that its first fragment took, as a number, and the others follow; or [`NOWHERE`].
    pub path: u16,
    /// Bytes of it that have passed.
    pub passed: Extents,
}

/// In place of a path: the first fragment was refused, since no session awaits it.
pub const NOWHERE: u16 = u16::MAX;

/// Separate stretches of a datagram that are kept.
pub const EXTENTS: usize = 4;

/// A stretch of a datagram, bytes behind its IP header: from `start` up to but without `end`. Empty where both are zero.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// First byte.
    pub start: u16,
    /// Byte behind the last.
    pub end: u16,
}

/// Which bytes of a datagram have passed: stretches that neither overlap nor touch, in any order.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extents {
    /// The stretches; some may be empty.
    pub stretches: [Extent; EXTENTS],
    /// Bytes of the whole datagram; zero as long as its last fragment was not seen.
    pub total: u16,
}

const _: () = assert!(size_of::<Datagram>() == 32);
