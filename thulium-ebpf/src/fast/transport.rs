//! UDP and TCP headers of ordinary packets.

use super::Span;
use crate::{
    abi::{Port, Side},
    checksum::{Change, udp_never_zero},
    parse::{
        protocol,
        tcp_flags::{ACK, FIN, RST, SYN},
    },
};

/// Where DNS servers listen (RFC 1035 §4.2).
const DNS: Port = Port::new(53);

/// Bytes of a UDP header: no ordinary packet has less behind its IP header.
pub(super) const SHORTEST: usize = 8;
/// Bytes of a TCP header without options.
const TCP_HEADER: usize = 20;

/// Source and destination port of a packet with `available` bytes behind its IP header, where `transport` begins. None if it is not
/// ordinary.
///
/// # Safety
///
/// [`SHORTEST`] bytes are there.
#[inline(always)]
pub(super) unsafe fn ports(transport: Span, protocol: u8, available: u32, side: Side) -> Option<(Port, Port)> {
    // SAFETY: the caller's.
    let [first, second, third, fourth] = unsafe { transport.load32::<0>() }.to_ne_bytes();
    let source = Port::from_be16(u16::from_ne_bytes([first, second]));
    let destination = Port::from_be16(u16::from_ne_bytes([third, fourth]));
    if source == Port::new(0) || destination == Port::new(0) {
        return None;
    }
    let is_ordinary = match protocol {
        protocol::UDP => {
            let server = if matches!(side, Side::Lan) { destination } else { source };
            // SAFETY: the caller's.
            server != DNS
                && available >= SHORTEST as u32
                && u32::from(u16::from_be(unsafe { transport.load16::<4>() })) == available
        }
        protocol::TCP => is_ordinary_tcp(transport, available),
        _ => false,
    };
    if is_ordinary { Some((source, destination)) } else { None }
}

/// True for a segment that neither opens nor ends a connection, and whose header is whole.
#[inline(always)]
fn is_ordinary_tcp(transport: Span, available: u32) -> bool {
    if !transport.holds(TCP_HEADER) {
        return false;
    }
    // SAFETY: it was checked.
    let [offset, flags] = unsafe { transport.load16::<12>() }.to_ne_bytes();
    let header = u32::from(offset >> 4) * 4;
    header >= TCP_HEADER as u32 && header <= available && flags & (SYN | FIN | RST | ACK) == ACK
}

/// Brings the checksum into line with a change of the pseudo-header and the ports; UDP may have none (RFC 768).
///
/// # Safety
///
/// [`ports`] returned some.
#[inline(always)]
pub(super) unsafe fn update_checksum(transport: Span, protocol: u8, change: Change) {
    // SAFETY: the caller's.
    unsafe {
        if protocol == protocol::TCP {
            // The verifier does not remember that this was so.
            if !transport.holds(TCP_HEADER) {
                return;
            }
            transport.store16::<16>(change.apply(transport.load16::<16>()));
        } else {
            let sum = transport.load16::<6>();
            if sum != 0 {
                transport.store16::<6>(udp_never_zero(change.apply(sum)));
            }
        }
    }
}
