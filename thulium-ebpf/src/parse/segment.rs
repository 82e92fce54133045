//! What a TCP segment says beside its ports: its place in the stream (RFC 9293 §3.1).

use network_types::tcp::TcpHdr;

use super::{
    Packet,
    tcp_flags::{FIN, SYN},
};
use crate::frame::Frame;

/// The numbers of a TCP segment, in host byte order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Sequence number of its first byte, or of its SYN.
    pub sequence: u32,
    /// Acknowledgment number.
    pub acknowledgment: u32,
    /// Offset of its data from the start of the frame, bytes.
    pub data: u32,
    /// Bytes of data.
    pub length: u32,
    /// Control bits, as in [`super::tcp_flags`].
    pub flags: u8,
}

impl Segment {
    /// The segment in a TCP packet that was parsed without fault.
    #[inline(always)]
    pub fn read<F: Frame, A>(frame: &F, packet: &Packet<A>) -> Option<Self> {
        // All headers together are short; the mask shows the verifier that.
        let transport = u32::from(packet.transport & 0xff);
        let tcp = frame.read::<TcpHdr>(transport as usize)?;
        let data = transport + u32::from(tcp.doff()) * 4;
        let end = u32::from(packet.network) + packet.length;
        Some(Self {
            sequence: u32::from_be_bytes(tcp.seq),
            acknowledgment: u32::from_be_bytes(tcp.ack_seq),
            data,
            length: end.saturating_sub(data),
            flags: packet.tcp_flags,
        })
    }

    /// True if any of these control bits is set.
    #[inline(always)]
    pub const fn has(&self, flags: u8) -> bool {
        self.flags & flags != 0
    }

    /// Sequence number of its first byte of data.
    #[inline(always)]
    pub const fn first(&self) -> u32 {
        self.sequence.wrapping_add(self.has(SYN) as u32)
    }

    /// Sequence number behind all that it takes up.
    #[inline(always)]
    pub const fn end(&self) -> u32 {
        self.first().wrapping_add(self.length).wrapping_add(self.has(FIN) as u32)
    }
}
