//! The packet that an ICMP error quotes: its IP header and the first bytes behind it (RFC 792, RFC 1812 §4.3.2.3, RFC 4443 §2.4).

use super::{Fragment, Headers, Icmp, Packet, icmp, protocol};
use crate::{
    abi::{Port, Reason},
    frame::Frame,
};

/// Bytes of the transport header that every quote has: the ports, or the identifier of an echo.
const TRANSPORT: usize = 8;

/// Fills `quote` in with the packet that `error` quotes, but with its two ends exchanged: so it has the key of the session's
/// direction that the error itself belongs to. Lengths are those of the part that is quoted.
#[inline(never)]
pub fn read_quote<F: Frame, A: Headers>(frame: &F, error: &Packet<A>, quote: &mut Packet<A>) {
    let network = error.transport + icmp::LENGTH as u16;
    let end = u32::from(error.network) + error.length;
    *quote = Packet::nothing(usize::from(network));
    quote.length = end.saturating_sub(u32::from(network));
    quote.fault = match A::read_quoted(frame, quote) {
        None => transport_fault(frame, quote, end as usize),
        fault => fault,
    };
    core::mem::swap(&mut quote.source, &mut quote.destination);
    core::mem::swap(&mut quote.source_port, &mut quote.destination_port);
}

/// Takes the ports over; what is wrong with the transport header, of which the quote may have eight bytes alone.
#[inline(always)]
fn transport_fault<F: Frame, A: Headers>(frame: &F, quote: &mut Packet<A>, end: usize) -> Option<Reason> {
    if quote.fragment == Fragment::Later {
        // Nobody reports an error about these (RFC 1122 §3.2.2).
        return Some(Reason::FragmentNoState);
    }
    // All headers together are short; the mask shows the verifier that.
    let transport = usize::from(quote.transport & 0xff);
    let header = frame.read::<[u8; TRANSPORT]>(transport);
    let Some([first, second, third, fourth, high, low, ..]) = header else { return Some(Reason::Malformed) };
    if transport + TRANSPORT > end {
        return Some(Reason::Malformed);
    }
    let port = |high, low| Port::new(u16::from_be_bytes([high, low]));
    if matches!(quote.protocol, protocol::TCP | protocol::UDP) {
        quote.source_port = port(first, second);
        quote.destination_port = port(third, fourth);
        return None;
    }
    if quote.protocol != A::ICMP {
        return Some(Reason::UnknownProtocol);
    }
    quote.icmp = A::icmp(first);
    match quote.icmp {
        Icmp::Request => quote.source_port = port(high, low),
        Icmp::Reply => quote.destination_port = port(high, low),
        // An error about an error: nobody sends it (RFC 1122 §3.2.2), and no session is concerned.
        Icmp::None | Icmp::Error | Icmp::Other => return Some(Reason::UnknownProtocol),
    }
    None
}
