//! The transport header: ports and control bits, the same behind both families.

use network_types::{tcp::TcpHdr, udp::UdpHdr};

use super::{Fragment, Headers, Packet, icmp, protocol, tcp_flags};
use crate::{
    abi::{Port, Reason},
    frame::Frame,
};

/// Takes the ports and control bits over; what is wrong with the transport header of `available` bytes and data.
#[inline(always)]
pub(super) fn fault<F: Frame, A: Headers>(frame: &F, packet: &mut Packet<A>, available: usize) -> Option<Reason> {
    if packet.protocol != A::ICMP && !matches!(packet.protocol, protocol::TCP | protocol::UDP) {
        return Some(Reason::UnknownProtocol);
    }
    if packet.fragment == Fragment::Later && packet.protocol == protocol::TCP {
        // RFC 3128: it would lie in the header that the first fragment has.
        return if usize::from(packet.extent.start) < TcpHdr::LEN { Some(Reason::FragmentTiny) } else { None };
    }
    if packet.fragment == Fragment::Later {
        return None;
    }
    // RFC 1858, RFC 7112: the first fragment has all of the headers.
    let cut = if packet.fragment == Fragment::First { Reason::FragmentTiny } else { Reason::Malformed };
    if packet.protocol == A::ICMP {
        return if available < icmp::LENGTH { Some(cut) } else { icmp::fault(frame, packet) };
    }
    if available < if packet.protocol == protocol::UDP { UdpHdr::LEN } else { TcpHdr::LEN } {
        return Some(cut);
    }
    // All headers together are short; the mask shows the verifier that.
    let transport = usize::from(packet.transport & 0xff);
    if packet.protocol == protocol::UDP {
        let Some(udp) = frame.read::<UdpHdr>(transport) else { return Some(Reason::Malformed) };
        packet.source_port = Port::from_be16(u16::from_ne_bytes(udp.src));
        packet.destination_port = Port::from_be16(u16::from_ne_bytes(udp.dst));
        let length = usize::from(u16::from_be_bytes(udp.len));
        let fits = length <= available || packet.fragment == Fragment::First;
        if length < UdpHdr::LEN || !fits {
            return Some(Reason::Malformed);
        }
    } else {
        let Some(tcp) = frame.read::<TcpHdr>(transport) else { return Some(Reason::Malformed) };
        packet.source_port = Port::from_be16(u16::from_ne_bytes(tcp.source));
        packet.destination_port = Port::from_be16(u16::from_ne_bytes(tcp.dest));
        packet.tcp_flags = control_bits(&tcp);
        let header = usize::from(tcp.doff()) * 4;
        if header < TcpHdr::LEN {
            return Some(Reason::Malformed);
        }
        if header > available {
            return Some(cut);
        }
    }
    if packet.source_port.number() == 0 || packet.destination_port.number() == 0 {
        return Some(Reason::Malformed);
    }
    let is_impossible = packet.protocol == protocol::TCP && !is_possible(packet.tcp_flags);
    if is_impossible { Some(Reason::TcpFlags) } else { None }
}

/// False for control bits that no TCP sends together (RFC 9293 §3.10.7): a SYN neither ends nor resets, and everything but a
/// first SYN or a RST acknowledges. Scans without any bit, with FIN alone or with all bits are among them; PSH and URG
/// change nothing.
#[inline(always)]
const fn is_possible(flags: u8) -> bool {
    use tcp_flags::{ACK, FIN, RST, SYN};
    let ends_without_ack = flags & (FIN | ACK) == FIN;
    flags & (SYN | RST | ACK) != 0 && !ends_without_ack && !(flags & SYN != 0 && flags & (FIN | RST) != 0)
}

/// The control bits that the session's state depends on, as in [`tcp_flags`].
#[inline(always)]
fn control_bits(tcp: &TcpHdr) -> u8 {
    let bit = |set: u16, flag: u8| if set != 0 { flag } else { 0 };
    bit(tcp.fin(), tcp_flags::FIN)
        | bit(tcp.syn(), tcp_flags::SYN)
        | bit(tcp.rst(), tcp_flags::RST)
        | bit(tcp.ack(), tcp_flags::ACK)
}

#[cfg(test)]
mod tests {
    use super::{
        is_possible,
        tcp_flags::{ACK, FIN, RST, SYN},
    };

    #[test]
    fn control_bits_that_no_tcp_sends_are_told_from_those_it_does() {
        let sent = [SYN, SYN | ACK, ACK, FIN | ACK, RST, RST | ACK, FIN | RST | ACK];
        for flags in 0..=SYN | ACK | FIN | RST {
            let flags = flags & (SYN | ACK | FIN | RST);
            assert_eq!(is_possible(flags), sent.contains(&flags), "{flags:#04x}");
        }
    }
}
