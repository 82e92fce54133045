use Side::{Lan, Uplink};
use TcpState::*;

use super::*;

/// State, side, control bits, next state: every transition, and what changes nothing.
const TRANSITIONS: [(TcpState, Side, u8, TcpState); 62] = [
    // Opening: the client's SYN is there.
    (SynSent, Lan, SYN, SynSent),
    (SynSent, Lan, ACK, SynSent),
    (SynSent, Lan, FIN | ACK, SynSent),
    (SynSent, Lan, RST, SynSent),
    (SynSent, Uplink, SYN | ACK, SynReceived),
    (SynSent, Uplink, SYN, SynReceived),
    (SynSent, Uplink, ACK, SynSent),
    (SynSent, Uplink, FIN | ACK, SynSent),
    (SynSent, Uplink, RST | ACK, SynSent),
    // Opening: the server's SYN, too.
    (SynReceived, Lan, SYN, SynReceived),
    (SynReceived, Lan, ACK, Established),
    (SynReceived, Lan, SYN | ACK, Established),
    (SynReceived, Lan, FIN | ACK, FinClient),
    (SynReceived, Lan, RST | ACK, SynReceived),
    (SynReceived, Uplink, SYN, SynReceived),
    (SynReceived, Uplink, SYN | ACK, SynReceived),
    (SynReceived, Uplink, ACK, SynReceived),
    (SynReceived, Uplink, FIN | ACK, FinServer),
    (SynReceived, Uplink, RST, SynReceived),
    // Established.
    (Established, Lan, ACK, Established),
    (Established, Lan, SYN, Established),
    (Established, Lan, FIN | ACK, FinClient),
    (Established, Lan, RST, Reset),
    (Established, Uplink, ACK, Established),
    (Established, Uplink, SYN | ACK, Established),
    (Established, Uplink, FIN | ACK, FinServer),
    (Established, Uplink, RST | ACK, Reset),
    // Half closed: the other side may send as long as it likes.
    (FinClient, Lan, ACK, FinClient),
    (FinClient, Lan, FIN | ACK, FinClient),
    (FinClient, Lan, RST, Reset),
    (FinClient, Uplink, ACK, FinClient),
    (FinClient, Uplink, FIN | ACK, Closing),
    (FinClient, Uplink, RST | ACK, Reset),
    (FinServer, Uplink, ACK, FinServer),
    (FinServer, Uplink, FIN | ACK, FinServer),
    (FinServer, Uplink, RST, Reset),
    (FinServer, Lan, ACK, FinServer),
    (FinServer, Lan, FIN | ACK, Closing),
    (FinServer, Lan, RST | ACK, Reset),
    // Closed by both: only a new connection gets out of it.
    (Closing, Lan, ACK, Closing),
    (Closing, Lan, FIN | ACK, Closing),
    (Closing, Lan, RST, Closing),
    (Closing, Lan, SYN | ACK, Closing),
    (Closing, Lan, SYN, SynSent),
    (Closing, Uplink, ACK, Closing),
    (Closing, Uplink, FIN | ACK, Closing),
    (Closing, Uplink, RST, Closing),
    (Closing, Uplink, SYN, Closing),
    // Reset: any segment but a RST shows that the connection lives.
    (Reset, Lan, RST, Reset),
    (Reset, Lan, ACK, Established),
    (Reset, Lan, FIN | ACK, Established),
    (Reset, Lan, SYN, SynSent),
    (Reset, Uplink, RST | ACK, Reset),
    (Reset, Uplink, ACK, Established),
    (Reset, Uplink, FIN | ACK, Established),
    (Reset, Uplink, SYN, Reset),
    // UDP has no states.
    (None, Lan, SYN, None),
    (None, Lan, ACK, None),
    (None, Uplink, SYN | ACK, None),
    (None, Uplink, ACK, None),
    (None, Uplink, FIN | ACK, None),
    (None, Uplink, RST, None),
];

#[test]
fn every_transition() {
    for (state, side, flags, expected) in TRANSITIONS {
        assert_eq!(next(state, side, flags), expected, "{state:?}, {flags:#04x} from {side:?}");
    }
}

fn play(segments: &[(Side, u8)]) -> TcpState {
    segments.iter().fold(SynSent, |state, (side, flags)| next(state, *side, *flags))
}

const OPEN: [(Side, u8); 2] = [(Uplink, SYN | ACK), (Lan, ACK)];

#[test]
fn open_and_close() {
    assert_eq!(play(&OPEN), Established);
    let close = [OPEN[0], OPEN[1], (Lan, FIN | ACK), (Uplink, ACK), (Uplink, FIN | ACK), (Lan, ACK)];
    assert_eq!(play(&close), Closing);
    let other_way = [OPEN[0], OPEN[1], (Uplink, FIN | ACK), (Lan, ACK), (Lan, FIN | ACK), (Uplink, ACK)];
    assert_eq!(play(&other_way), Closing);
}

#[test]
fn simultaneous_open() {
    // Figure 7 of RFC 9293 §3.5: both SYNs cross, then both SYNs with ACK.
    assert_eq!(play(&[(Uplink, SYN), (Lan, SYN | ACK), (Uplink, SYN | ACK)]), Established);
    assert_eq!(play(&[(Uplink, SYN), (Uplink, SYN | ACK), (Lan, SYN | ACK), (Lan, ACK)]), Established);
}

#[test]
fn a_client_alone_gets_no_long_lifetime() {
    // SYN, RST and data of a client that nobody answered.
    assert_eq!(play(&[(Lan, RST), (Lan, ACK), (Lan, FIN | ACK), (Lan, ACK)]), SynSent);
}

#[test]
fn a_rst_is_transitory_and_data_after_it_revives() {
    let reset = [OPEN[0], OPEN[1], (Uplink, RST)];
    assert_eq!(play(&reset), Reset);
    assert_eq!(play(&[OPEN[0], OPEN[1], (Uplink, RST), (Lan, ACK)]), Established);
}
