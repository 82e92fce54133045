//! The life of a TCP session as a NAT sees it (RFC 5382, RFC 6146 §3.5.2, RFC 7857 §2).

use crate::{
    abi::{Side, TcpState},
    parse::tcp_flags::{ACK, FIN, RST, SYN},
};

/// The state after a segment with these control bits arrived on `side`.
#[inline(always)]
pub const fn next(state: TcpState, side: Side, flags: u8) -> TcpState {
    let from_client = matches!(side, Side::Lan);
    let opens = flags & (SYN | ACK | RST) == SYN;
    if flags & RST != 0 {
        return reset(state);
    }
    match state {
        TcpState::None => TcpState::None,
        TcpState::SynSent if flags & SYN != 0 && !from_client => TcpState::SynReceived,
        TcpState::SynSent => TcpState::SynSent,
        TcpState::SynReceived if flags & FIN != 0 => fin(from_client),
        // A SYN with ACK, too: after a simultaneous open it is all that comes (RFC 9293 §3.5, figure 7).
        TcpState::SynReceived if flags & ACK != 0 && from_client => TcpState::Established,
        TcpState::SynReceived => TcpState::SynReceived,
        TcpState::Established if flags & FIN != 0 => fin(from_client),
        TcpState::Established => TcpState::Established,
        TcpState::FinClient if flags & FIN != 0 && !from_client => TcpState::Closing,
        TcpState::FinClient => TcpState::FinClient,
        TcpState::FinServer if flags & FIN != 0 && from_client => TcpState::Closing,
        TcpState::FinServer => TcpState::FinServer,
        // The client uses its port again before the old session has faded.
        TcpState::Closing | TcpState::Reset if opens && from_client => TcpState::SynSent,
        TcpState::Closing => TcpState::Closing,
        // Nobody opens a connection to a client.
        TcpState::Reset if opens => TcpState::Reset,
        // RFC 6146 §3.5.2.2: the peers took no notice of the RST, so the connection lives.
        TcpState::Reset => TcpState::Established,
    }
}

/// RFC 7857 §2.2: a RST does not end the session, it makes it transitory. One that is opening or closing is that already, and
/// what comes after a RST must not make it more (RFC 6146 §3.5.2.2 knows RST in an established session only).
const fn reset(state: TcpState) -> TcpState {
    match state {
        TcpState::Established | TcpState::FinClient | TcpState::FinServer => TcpState::Reset,
        other => other,
    }
}

const fn fin(from_client: bool) -> TcpState {
    if from_client { TcpState::FinClient } else { TcpState::FinServer }
}

#[cfg(test)]
mod tests;
