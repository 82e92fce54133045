//! How long a session lives without a packet. Time passes by writing it into the session table.

use thulium_ebpf::abi::{Reason, Side, TcpState};

use crate::{
    gateway::{Gateway, Hook},
    maps::{GRACE, TCP_IDLE, UDP_IDLE, WEB},
    refused::Refused,
    traffic::*,
};

/// Lifetime of a TCP session that is opening or closing, seconds (RFC 5382 REQ-5).
const TRANSITORY: u64 = 240;

/// Time passes for both directions.
fn age(gateway: &mut Gateway, seconds: u64) {
    gateway.age(Side::Lan, seconds);
    gateway.age(Side::Uplink, seconds);
}

#[test]
fn a_udp_session_lives_as_long_as_the_policy_says() {
    let mut gateway = Gateway::new();
    gateway.admits(Hook::Lan, &sip_out());
    age(&mut gateway, UDP_IDLE - 5);
    gateway.admits(Hook::Uplink, &sip_in());
    age(&mut gateway, UDP_IDLE + GRACE);
    for hook in [Hook::Uplink, Hook::UplinkXdp] {
        gateway.refuses(hook, &sip_in(), Refused::new(Reason::NoSession));
    }
}

#[test]
fn traffic_of_either_direction_keeps_it_alive() {
    for idle in [Side::Lan, Side::Uplink] {
        let mut gateway = Gateway::new();
        gateway.admits(Hook::Lan, &sip_out());
        gateway.age(idle, UDP_IDLE + GRACE);
        let opened = gateway.flows_of(Side::Lan)[0].1.opened;
        gateway.admits(Hook::Uplink, &sip_in());
        gateway.age(idle, UDP_IDLE + GRACE);
        gateway.admits(Hook::Lan, &sip_out());
        assert_eq!(gateway.flows_of(Side::Lan)[0].1.opened, opened, "{idle:?}: it was opened anew");
    }
}

#[test]
fn a_packet_refreshes_the_session() {
    let mut gateway = Gateway::new();
    gateway.admits(Hook::Lan, &sip_out());
    for _ in 0..3 {
        age(&mut gateway, UDP_IDLE - 5);
        gateway.admits(Hook::Lan, &sip_out());
        age(&mut gateway, UDP_IDLE - 5);
        gateway.admits(Hook::Uplink, &sip_in());
    }
}

#[test]
fn a_packet_is_noted_when_the_last_note_is_a_second_old() {
    let mut gateway = Gateway::new();
    gateway.admits(Hook::Lan, &sip_out());
    let noted = |gateway: &mut Gateway| gateway.flows_of(Side::Lan)[0].1.last_seen;
    for (seconds, is_noted) in [(0, false), (2, true)] {
        gateway.age(Side::Lan, seconds);
        let before = noted(&mut gateway);
        gateway.admits(Hook::Lan, &sip_out());
        assert_eq!(noted(&mut gateway) != before, is_noted, "{seconds} s");
    }
}

#[test]
fn a_refused_packet_refreshes_nothing() {
    let mut gateway = Gateway::new();
    gateway.admits(Hook::Lan, &sip_out());
    age(&mut gateway, UDP_IDLE - 5);
    let before = gateway.flows();
    let stranger = Ipv4::new(STRANGER, UPLINK).udp(SIP_PORT, PHONE_PORT, b"");
    gateway.refuses(Hook::Uplink, &stranger, Refused::new(Reason::NoSession));
    assert_eq!(gateway.flows().len(), 2);
    assert!(gateway.flows().iter().all(|flow| before.contains(flow)));
}

#[test]
fn the_client_opens_a_stale_session_anew_with_its_port() {
    let mut gateway = Gateway::new();
    gateway.admits(Hook::Lan, &sip_out());
    age(&mut gateway, UDP_IDLE + GRACE);
    let opened = gateway.flows_of(Side::Lan)[0].1.opened;
    gateway.admits(Hook::Lan, &sip_out());
    let session = gateway.flows_of(Side::Lan)[0].1;
    assert!(session.opened > opened);
    assert_eq!((session.packets, session.rewrite.port.number()), (1, PHONE_PORT));
    assert_eq!(gateway.sizes(), [2, 1, 1, 1]);
    assert_eq!((gateway.holders(PHONE_PORT), gateway.sessions_of(CLIENT.into())), (Some(1), Some(1)));
    gateway.admits(Hook::Uplink, &sip_in());
}

#[test]
fn a_stale_tcp_session_needs_a_syn() {
    let mut gateway = Gateway::new();
    gateway.admits(Hook::Lan, &web_out(SYN));
    age(&mut gateway, TRANSITORY + GRACE);
    gateway.refuses(Hook::Lan, &web_out(ACK), Refused::of_flow(Reason::TcpNotSyn, WEB));
    gateway.admits(Hook::Lan, &web_out(SYN));
}

/// Segments after the client's SYN: the side they arrive on, and their flags.
type Segments = &'static [(Side, u8)];

/// Segments, the state they lead to, and how many seconds a session in it lives.
const TCP: [(Segments, TcpState, u64); 8] = {
    use Side::{Lan, Uplink};
    use TcpState::*;
    [
        (&[], SynSent, TRANSITORY),
        (&[(Uplink, SYN | ACK)], SynReceived, TRANSITORY),
        (&[(Uplink, SYN | ACK), (Lan, ACK)], Established, TCP_IDLE),
        (&[(Uplink, SYN | ACK), (Lan, ACK), (Lan, FIN | ACK)], FinClient, TCP_IDLE),
        (&[(Uplink, SYN | ACK), (Lan, ACK), (Uplink, FIN | ACK)], FinServer, TCP_IDLE),
        (&[(Uplink, SYN | ACK), (Lan, ACK), (Lan, FIN | ACK), (Uplink, FIN | ACK)], Closing, TRANSITORY),
        (&[(Uplink, SYN | ACK), (Lan, ACK), (Uplink, RST)], Reset, TRANSITORY),
        // RFC 6146 §3.5.2.2: the peers took no notice of the RST.
        (&[(Uplink, SYN | ACK), (Lan, ACK), (Uplink, RST), (Lan, ACK)], Established, TCP_IDLE),
    ]
};

#[test]
fn a_tcp_session_lives_as_long_as_its_state_says() {
    let mut gateway = Gateway::new();
    for (segments, state, lifetime) in TCP {
        gateway.forget_traffic();
        gateway.admits(Hook::Lan, &web_out(SYN));
        for (side, flags) in segments {
            match side {
                Side::Lan => gateway.admits(Hook::Lan, &web_out(*flags)),
                Side::Uplink => gateway.admits(Hook::Uplink, &web_in(*flags)),
            };
        }
        let states: Vec<u8> = gateway.flows().iter().map(|(_, entry)| entry.state).collect();
        assert_eq!(states, [state as u8; 2], "both directions are {state:?}");
        age(&mut gateway, lifetime - 5);
        gateway.passes(Hook::UplinkXdp, &web_in(ACK), 0);
        age(&mut gateway, lifetime + GRACE);
        gateway.refuses(Hook::UplinkXdp, &web_in(ACK), Refused::new(Reason::NoSession));
        gateway.refuses(Hook::Uplink, &web_in(ACK), Refused::new(Reason::NoSession));
    }
}

#[test]
fn a_port_that_the_client_uses_again_starts_anew() {
    let mut gateway = Gateway::new();
    gateway.admits(Hook::Lan, &web_out(SYN));
    gateway.admits(Hook::Uplink, &web_in(RST | ACK));
    gateway.admits(Hook::Lan, &web_out(SYN));
    assert_eq!(gateway.flows_of(Side::Lan)[0].1.state, TcpState::SynSent as u8);
    gateway.admits(Hook::Uplink, &web_in(SYN | ACK));
    gateway.admits(Hook::Lan, &web_out(ACK));
    assert_eq!(gateway.flows_of(Side::Lan)[0].1.state, TcpState::Established as u8);
}
