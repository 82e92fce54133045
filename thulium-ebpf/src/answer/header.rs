//! The IP header of an answer.

use crate::{
    abi::{Address4, Address6},
    checksum::fold,
    frame::Edit,
    parse::Headers,
};

/// Hops that an answer may take (RFC 1700).
const HOPS: u8 = 64;

/// An address family that answers can be written in.
pub trait Answer: Headers {
    /// Bytes of the IP header.
    const HEADER: usize;

    /// Type and code of "communication administratively prohibited".
    const PROHIBITED: u16;

    /// True if the checksum of its ICMP covers a pseudo-header.
    const IS_SUM_OF_PSEUDO_HEADER: bool;

    /// The address's share of a pseudo-header: the sum of its words as they stand in the packet (RFC 1071).
    fn sum(&self) -> u32;

    /// Writes the header of a packet with `length` bytes behind it. None if the frame could not be written.
    fn write_header<F: Edit>(frame: &mut F, from: &Self, to: &Self, protocol: u8, length: u16) -> Option<()>;
}

impl Answer for Address4 {
    const HEADER: usize = 20;
    const PROHIBITED: u16 = 3 << 8 | 13;
    const IS_SUM_OF_PSEUDO_HEADER: bool = false;

    #[inline(always)]
    fn sum(&self) -> u32 {
        (self.be32() & 0xffff) + (self.be32() >> 16)
    }

    #[inline(always)]
    fn write_header<F: Edit>(frame: &mut F, from: &Self, to: &Self, protocol: u8, length: u16) -> Option<()> {
        const DONT_FRAGMENT: u16 = 0x4000;
        let total = Self::HEADER as u16 + length;
        let fixed = [0x4500, total, 0, DONT_FRAGMENT, u16::from_be_bytes([HOPS, protocol])].map(u16::to_be);
        let sum = fixed.iter().fold(from.sum() + to.sum(), |sum, word| sum + u32::from(*word));
        let network = frame.network();
        frame.write(network, fixed)?;
        frame.write(network + 10, [!fold(sum)])?;
        frame.write(network + 12, [from.be32(), to.be32()])
    }
}

impl Answer for Address6 {
    const HEADER: usize = 40;
    const PROHIBITED: u16 = 1 << 8 | 1;
    const IS_SUM_OF_PSEUDO_HEADER: bool = true;

    #[inline(always)]
    fn sum(&self) -> u32 {
        self.words().iter().fold(0, |sum, word| sum + (word & 0xffff) + (word >> 16))
    }

    #[inline(always)]
    fn write_header<F: Edit>(frame: &mut F, from: &Self, to: &Self, protocol: u8, length: u16) -> Option<()> {
        let [high, low] = length.to_be_bytes();
        let network = frame.network();
        frame.write(network, [0x60, 0, 0, 0, high, low, protocol, HOPS])?;
        frame.write(network + 8, from.words())?;
        frame.write(network + 24, to.words())
    }
}
