//! The life of a TCP session as a NAT sees it (RFC 5382, RFC 6146 §3.5.2, RFC 7857 §2).

use crate::{
    abi::{Side, TcpState},
    parse::tcp_flags::{ACK, FIN, RST, SYN},
};

/// The state after a segment with these control bits arrived on `side`.
#[inline(always)]
pub const fn next(state: TcpState, side: Side, flags: u8) -> TcpState {
    let from_client = matches!(side, Side::Lan);
    if flags & RST != 0 {
        // RFC 7857 §2.2: a RST does not end the session, it makes it transitory.
        return TcpState::Reset;
    }
    match state {
        TcpState::None => TcpState::None,
        TcpState::SynSent if flags & SYN != 0 && !from_client => TcpState::SynReceived,
        TcpState::SynSent => TcpState::SynSent,
        TcpState::SynReceived if flags & FIN != 0 => fin(from_client),
        TcpState::SynReceived if flags & (SYN | ACK) == ACK && from_client => TcpState::Established,
        TcpState::SynReceived => TcpState::SynReceived,
        TcpState::Established if flags & FIN != 0 => fin(from_client),
        TcpState::Established => TcpState::Established,
        TcpState::FinClient if flags & FIN != 0 && !from_client => TcpState::Closing,
        TcpState::FinClient => TcpState::FinClient,
        TcpState::FinServer if flags & FIN != 0 && from_client => TcpState::Closing,
        TcpState::FinServer => TcpState::FinServer,
        // The client uses its port again before the old session has faded.
        TcpState::Closing | TcpState::Reset if flags & (SYN | ACK) == SYN && from_client => TcpState::SynSent,
        TcpState::Closing => TcpState::Closing,
        // RFC 6146 §3.5.2.2: the peers took no notice of the RST, so the connection lives.
        TcpState::Reset => TcpState::Established,
    }
}

const fn fin(from_client: bool) -> TcpState {
    if from_client { TcpState::FinClient } else { TcpState::FinServer }
}

#[cfg(test)]
mod tests {
    use Side::{Lan, Uplink};
    use TcpState::*;

    use super::*;

    fn play(segments: &[(Side, u8)]) -> TcpState {
        segments.iter().fold(SynSent, |state, (side, flags)| next(state, *side, *flags))
    }

    #[test]
    fn open_and_close() {
        let open = [(Uplink, SYN | ACK), (Lan, ACK)];
        assert_eq!(play(&open[..1]), SynReceived);
        assert_eq!(play(&open), Established);
        let close = [open[0], open[1], (Lan, FIN | ACK), (Uplink, ACK), (Uplink, FIN | ACK), (Lan, ACK)];
        assert_eq!(play(&close[..3]), FinClient);
        assert_eq!(play(&close), Closing);
        let other_way = [open[0], open[1], (Uplink, FIN | ACK), (Lan, FIN | ACK)];
        assert_eq!(play(&other_way[..3]), FinServer);
        assert_eq!(play(&other_way), Closing);
    }

    #[test]
    fn simultaneous_open() {
        assert_eq!(play(&[(Uplink, SYN), (Lan, SYN | ACK), (Uplink, SYN | ACK), (Lan, ACK)]), Established);
    }

    #[test]
    fn a_retransmitted_syn_opens_nothing_further() {
        assert_eq!(play(&[(Lan, SYN)]), SynSent);
        assert_eq!(play(&[(Uplink, SYN | ACK), (Lan, SYN)]), SynReceived);
    }

    #[test]
    fn a_rst_is_transitory_and_data_after_it_revives() {
        let reset = [(Uplink, SYN | ACK), (Lan, ACK), (Uplink, RST)];
        assert_eq!(play(&reset), Reset);
        assert_eq!(next(Reset, Lan, ACK), Established);
        assert_eq!(next(Reset, Uplink, RST | ACK), Reset);
    }

    #[test]
    fn a_port_used_again_starts_anew() {
        assert_eq!(next(Closing, Lan, SYN), SynSent);
        assert_eq!(next(Reset, Lan, SYN), SynSent);
        assert_eq!(next(Closing, Uplink, SYN), Closing);
    }
}
