//! What a hook hands us. The pipeline is generic over [`Frame`] and [`Edit`], so that XDP, TC and host tests run the same code.

#[cfg(not(target_arch = "bpf"))]
mod bytes;
#[cfg(target_arch = "bpf")]
mod glance;
#[cfg(target_arch = "bpf")]
mod hook;
#[cfg(target_arch = "bpf")]
mod tc;
#[cfg(target_arch = "bpf")]
mod xdp;

#[cfg(not(target_arch = "bpf"))]
pub use bytes::Bytes;
#[cfg(target_arch = "bpf")]
pub use glance::Glance;
#[cfg(target_arch = "bpf")]
pub use hook::{Forward, Hook};
#[cfg(target_arch = "bpf")]
pub use tc::TcFrame;
#[cfg(target_arch = "bpf")]
pub use xdp::XdpFrame;

use crate::abi::{Address4, Port};

/// Length of an Ethernet header, bytes.
pub const ETHERNET: usize = 14;
/// Offset of its type field, bytes.
const ETHER_TYPE: usize = 12;

/// A type that any bytes are a value of.
///
/// # Safety
///
/// Every bit pattern must be valid, and the type must have no padding that matters.
pub unsafe trait Plain: Copy {}

// SAFETY: integers and arrays of them take any bit pattern.
unsafe impl Plain for u8 {}
// SAFETY: as above.
unsafe impl Plain for u16 {}
// SAFETY: as above.
unsafe impl<const N: usize> Plain for [u16; N] {}
// SAFETY: as above.
unsafe impl<const N: usize> Plain for [u32; N] {}
// SAFETY: as above.
unsafe impl<const N: usize> Plain for [u8; N] {}
// SAFETY: headers of network-types are packed structs of bytes and byte arrays.
unsafe impl Plain for network_types::ip::Ipv4Hdr {}
// SAFETY: as above.
unsafe impl Plain for network_types::ip::Ipv6Hdr {}
// SAFETY: as above.
unsafe impl Plain for network_types::udp::UdpHdr {}
// SAFETY: as above.
unsafe impl Plain for network_types::tcp::TcpHdr {}
// SAFETY: as above.
unsafe impl Plain for network_types::eth::EthHdr {}

/// Where a transport checksum stands, and whether zero means that there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportChecksum {
    /// Offset from the start of the frame, bytes.
    pub offset: usize,
    /// UDP: zero means none, and stays zero (RFC 768).
    pub optional: bool,
}

/// A packet at a hook, to be read. Offsets are bytes from the start of the frame.
pub trait Frame {
    /// Length of the whole frame with its link header, bytes.
    fn length(&self) -> usize;

    /// Offset of the IP header, bytes: the length of the link header, 0 on an interface that has none (tun, PPP, WireGuard).
    fn network(&self) -> usize;

    /// What it carries, as Ethernet numbers it.
    fn ether_type(&self) -> u16;

    /// False for a frame that is not the gateway's to handle: with the tag of a VLAN that the hardware or the kernel took off,
    /// or not for its own station's address: another station's, everybody's, or the copy of a broadcast of the gateway itself.
    fn is_for_us(&self) -> bool;

    /// Segments that the frame stands for: 1 unless it is a GSO packet.
    fn segments(&self) -> u32;

    /// The byte at `offset`, wherever the hook keeps it; [`Frame::read`] reads headers alone.
    fn byte(&self, offset: usize) -> Option<u8>;

    /// A copy of the `T` at `offset`, if the frame is long enough. `T` may stand unaligned.
    fn read<T: Plain>(&self, offset: usize) -> Option<T>;
}

/// A packet that can be rewritten. Each edit returns None if the frame could not be written.
pub trait Edit: Frame {
    /// Replaces the address at `offset` and brings the IPv4 header checksum at `header_sum` and the transport checksum's
    /// pseudo-header into line.
    fn replace_address(
        &mut self,
        offset: usize,
        header_sum: usize,
        transport: Option<TransportChecksum>,
        old: Address4,
        new: Address4,
    ) -> Option<()>;

    /// Replaces the port at `offset` and brings the transport checksum into line.
    #[inline(always)]
    fn replace_port(&mut self, offset: usize, transport: TransportChecksum, old: Port, new: Port) -> Option<()> {
        self.replace_word(offset, transport, old.be16(), new.be16())
    }

    /// Replaces the 16-bit word at `offset` (as it stands in the packet), and brings the transport checksum into line.
    fn replace_word(&mut self, offset: usize, transport: TransportChecksum, old: u16, new: u16) -> Option<()>;

    /// True if the words of these bytes sum up to all ones, as those of a message with a right checksum do (RFC 1071). `offset`
    /// and `length` in bytes; false for more than 4096 of them.
    fn is_intact(&self, offset: usize, length: usize) -> bool;

    /// Replaces the 16-bit word at `offset` of the IPv4 header (as it stands in the packet), and the header checksum.
    fn replace_header_word(&mut self, offset: usize, header_sum: usize, old: u16, new: u16) -> Option<()>;

    /// Cuts the frame to `length` bytes, or adds zeroes at its end. Of a GSO packet it makes a single one.
    fn resize(&mut self, length: usize) -> Option<()>;

    /// Writes `value` at `offset`, and leaves all checksums in the packet as they are.
    fn write<T: Plain>(&mut self, offset: usize, value: T) -> Option<()>;

    /// Replaces the byte at `offset`, which no checksum covers.
    fn replace_byte(&mut self, offset: usize, new: u8) -> Option<()>;
}
