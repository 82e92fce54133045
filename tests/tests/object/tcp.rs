//! TCP segments that no connection has, and how connections open and break (RFC 5382, RFC 7857).
//! How long a session lives in each state: [`crate::lifetime`].

use thulium_ebpf::abi::{Reason, Side, TcpState};
use thulium_tests::packet::tcp_flag::{PSH, URG};

use crate::{
    gateway::{GOVERNED, Gateway, Hook},
    refused::Refused,
    traffic::*,
};

/// Control bits that no TCP sends together.
const IMPOSSIBLE: [(&str, u8); 9] = [
    ("none", 0),
    ("PSH and URG alone", PSH | URG),
    ("FIN alone", FIN),
    ("FIN, PSH, URG (XMAS)", FIN | PSH | URG),
    ("all", FIN | SYN | RST | PSH | ACK | URG),
    ("SYN, FIN", SYN | FIN),
    ("SYN, FIN, ACK", SYN | FIN | ACK),
    ("SYN, RST", SYN | RST),
    ("RST, FIN", RST | FIN),
];

/// A gateway with a connection of the client.
fn established() -> Gateway {
    let mut gateway = Gateway::new();
    gateway.admits(Hook::Lan, &web_out(SYN));
    gateway.admits(Hook::Uplink, &web_in(SYN | ACK));
    gateway.admits(Hook::Lan, &web_out(ACK));
    gateway
}

/// The state of the only session.
fn state(gateway: &mut Gateway) -> TcpState {
    TcpState::from_number(gateway.flows_of(Side::Lan)[0].1.state)
}

fn refuses_the_impossible(gateway: &mut Gateway) {
    let refused = Refused::new(Reason::TcpFlags);
    for (name, flags) in IMPOSSIBLE {
        eprintln!("{name}");
        // The gateway's own services may answer it as they like; it does not leave.
        gateway.passes(Hook::Lan, &web_out(flags), GOVERNED);
        gateway.refuses(Hook::Guard, &web_out(flags), refused);
        let straight = Ipv4::new(SERVER, CLIENT).tcp(443, 50000, flags);
        for hook in [Hook::Uplink, Hook::UplinkXdp] {
            gateway.refuses(hook, &straight, refused);
        }
    }
}

#[test]
fn impossible_control_bits_open_nothing() {
    let mut gateway = Gateway::new();
    refuses_the_impossible(&mut gateway);
    assert_eq!(gateway.sizes(), [0; 4]);
}

#[test]
fn impossible_control_bits_are_refused_within_a_session_and_leave_it_as_it_is() {
    let mut gateway = established();
    let before = gateway.flows();
    refuses_the_impossible(&mut gateway);
    for (name, flags) in IMPOSSIBLE {
        eprintln!("{name}, from the server");
        for hook in [Hook::Uplink, Hook::UplinkXdp] {
            gateway.refuses(hook, &web_in(flags), Refused::new(Reason::TcpFlags));
        }
    }
    let after = gateway.flows();
    assert!(after.len() == 2 && after.iter().all(|flow| before.contains(flow)), "{before:?} became {after:?}");
    gateway.admits(Hook::Lan, &web_out(PSH | ACK));
    gateway.admits(Hook::Uplink, &web_in(PSH | URG | ACK));
}

#[test]
fn a_syn_may_ask_for_congestion_notification_and_carry_data() {
    // ECE and CWR (RFC 3168); data in a SYN (RFC 7413) comes with PSH from some.
    for flags in [SYN | 0xc0, SYN | PSH] {
        let mut gateway = Gateway::new();
        gateway.admits(Hook::Lan, &web_out(flags));
    }
}

#[test]
fn both_ends_open_at_once() {
    // RFC 9293 §3.5, figure 7.
    let mut gateway = Gateway::new();
    gateway.admits(Hook::Lan, &web_out(SYN));
    gateway.translates(Hook::Uplink, &web_in(SYN), &Ipv4::new(SERVER, CLIENT).ttl(63).tcp(443, 50000, SYN));
    gateway.admits(Hook::Lan, &web_out(SYN | ACK));
    gateway.admits(Hook::Uplink, &web_in(SYN | ACK));
    assert_eq!(state(&mut gateway), TcpState::Established);
    assert_eq!(gateway.sizes(), [2, 1, 1, 1]);
}

#[test]
fn a_syn_from_the_world_gets_no_answer() {
    let mut gateway = established();
    // To a mapped port, from another remote and from another port of the server.
    for packet in [Ipv4::new(STRANGER, UPLINK).tcp(443, 50000, SYN), Ipv4::new(SERVER, UPLINK).tcp(8443, 50000, SYN)] {
        gateway.refuses(Hook::Uplink, &packet, Refused::new(Reason::NoSession));
    }
    assert_eq!(gateway.sizes(), [2, 1, 1, 1]);
}

#[test]
fn one_side_may_send_on_after_the_others_end() {
    let mut gateway = established();
    gateway.admits(Hook::Lan, &web_out(FIN | ACK));
    for _ in 0..3 {
        gateway.admits(Hook::Uplink, &web_in(ACK));
        gateway.admits(Hook::Lan, &web_out(ACK));
    }
    assert_eq!(state(&mut gateway), TcpState::FinClient);
    gateway.admits(Hook::Uplink, &web_in(FIN | ACK));
    assert_eq!(state(&mut gateway), TcpState::Closing);
    // The last acknowledgement and a repeated FIN still get through, and change nothing.
    gateway.admits(Hook::Lan, &web_out(ACK));
    gateway.admits(Hook::Uplink, &web_in(FIN | ACK));
    assert_eq!(state(&mut gateway), TcpState::Closing);
}

#[test]
fn a_reset_passes_and_ends_nothing() {
    for side in [Side::Lan, Side::Uplink] {
        let mut gateway = established();
        let reset = match side {
            Side::Lan => gateway.admits(Hook::Lan, &web_out(RST)),
            Side::Uplink => gateway.admits(Hook::Uplink, &web_in(RST)),
        };
        assert_eq!(reset[33], RST, "{side:?}: the reset arrives");
        assert_eq!(state(&mut gateway), TcpState::Reset);
        assert_eq!(gateway.sizes(), [2, 1, 1, 1], "{side:?}");
        // It was forged: the connection goes on.
        gateway.admits(Hook::Uplink, &web_in(ACK));
        assert_eq!(state(&mut gateway), TcpState::Established);
    }
}

#[test]
fn a_client_that_nobody_answers_gets_no_long_lifetime() {
    let mut gateway = Gateway::new();
    for flags in [SYN, RST, ACK, FIN | ACK, ACK] {
        gateway.admits(Hook::Lan, &web_out(flags));
    }
    assert_eq!(state(&mut gateway), TcpState::SynSent);
}
