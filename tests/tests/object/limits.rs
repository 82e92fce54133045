//! When something is full: the new session is refused under its flow, the others live on, and nothing is left behind.

use thulium_ebpf::abi::{Address4, Reason};

use crate::{
    gateway::{Gateway, Hook},
    maps::{GRACE, SIP, UDP_IDLE},
    refused::Refused,
    traffic::*,
};

/// A second session of the phone's client, from another port.
fn second() -> Vec<u8> {
    Ipv4::new(CLIENT, SERVER).udp(PHONE_PORT + 2, SIP_PORT, b"REGISTER")
}

/// The first session is there; the second is refused for this reason, and leaves no trace.
fn second_is_refused(gateway: &mut Gateway, reason: Reason) {
    gateway.admits(Hook::Lan, &sip_out());
    let before = gateway.sizes();
    gateway.refuses(Hook::Lan, &second(), Refused::of_flow(reason, SIP));
    assert_eq!(gateway.sizes(), before, "the refused session left something behind");
    assert_eq!(gateway.sessions_of(CLIENT.into()), Some(1));
    gateway.admits(Hook::Lan, &sip_out());
    gateway.admits(Hook::Uplink, &sip_in());
}

#[test]
fn the_session_table_has_no_room() {
    second_is_refused(&mut Gateway::with_flow_entries(2), Reason::SessionsFull);
}

#[test]
fn the_session_table_has_room_for_one_direction() {
    second_is_refused(&mut Gateway::with_flow_entries(3), Reason::SessionsFull);
}

#[test]
fn the_client_has_its_share() {
    let mut gateway = Gateway::new();
    gateway.set(|settings| settings.per_client = 1);
    second_is_refused(&mut gateway, Reason::ClientSessions);
    gateway.admits(Hook::Lan, &Ipv4::new(CLIENT_2, SERVER).udp(PHONE_PORT, SIP_PORT, b""));
}

#[test]
fn the_client_is_too_fast() {
    let mut gateway = Gateway::new();
    // One session takes all of the bucket's four seconds.
    gateway.set(|settings| settings.session_cost = 4_000_000_000);
    second_is_refused(&mut gateway, Reason::ClientRate);
    gateway.admits(Hook::Lan, &Ipv4::new(CLIENT_2, SERVER).udp(PHONE_PORT, SIP_PORT, b""));
}

#[test]
fn no_port_is_left() {
    let mut gateway = Gateway::new();
    gateway.set(|settings| (settings.first_port, settings.last_port) = (40000, 40001));
    let from = |client, port| Ipv4::new(client, SERVER).udp(port, SIP_PORT, b"");
    gateway.admits(Hook::Lan, &from(CLIENT, 33000));
    gateway.admits(Hook::Lan, &from(CLIENT, 33001));
    gateway.refuses(Hook::Lan, &from(CLIENT_2, 33000), Refused::of_flow(Reason::PortsExhausted, SIP));
    assert_eq!(gateway.sizes(), [4, 2, 2, 1]);
    gateway.admits(Hook::Lan, &from(CLIENT, 33000));
}

#[test]
fn the_uplink_has_no_address() {
    let mut gateway = Gateway::new();
    gateway.set_uplink(Address4::default(), 2);
    gateway.refuses(Hook::Lan, &sip_out(), Refused::of_flow(Reason::NoUplinkAddress, SIP));
    gateway.refuses(Hook::Guard, &sip_out(), Refused::of_flow(Reason::NoUplinkAddress, SIP));
    assert_eq!(gateway.sizes(), [0; 4]);
}

#[test]
fn a_stale_session_makes_room_for_a_new_one() {
    let mut gateway = Gateway::with_flow_entries(2);
    gateway.admits(Hook::Lan, &sip_out());
    gateway.refuses(Hook::Lan, &second(), Refused::of_flow(Reason::SessionsFull, SIP));
    gateway.age_client(CLIENT.into(), UDP_IDLE + GRACE);
    gateway.admits(Hook::Lan, &second());
    assert_eq!(gateway.sizes(), [2, 1, 1, 1]);
}

/// PPP makes its interface anew: until the programs stand there, the kernel would forward past them.
#[test]
fn the_uplinks_interface_is_gone() {
    let mut gateway = Gateway::new();
    gateway.admits(Hook::Lan, &sip_out());
    gateway.lose_uplink();
    gateway.refuses(Hook::Lan, &sip_out(), Refused::of_flow(Reason::NoUplinkAddress, SIP));
    // The way of these two is looked up anew: that of others is remembered for a moment.
    let other = Ipv4::new(CLIENT_2, SERVER).udp(PHONE_PORT, SIP_PORT, b"REGISTER");
    gateway.refuses(Hook::Lan, &other, Refused::new(Reason::NoUplinkAddress));
    let unnamed = Ipv4::new(CLIENT, SERVER).udp(PHONE_PORT, 53, b"a question");
    gateway.refuses(Hook::Lan, &unnamed, Refused::new(Reason::NoUplinkAddress));
}

#[test]
fn a_full_table_finds_each_session_and_fills_up_again_once_they_are_gone() {
    // More than the groups of the index have slots for.
    const SESSIONS: u16 = 20_000;
    let mut gateway = Gateway::with_capacity(SESSIONS.into());
    gateway.set(|settings| {
        (settings.per_client, settings.ports_per_client) = (u64::MAX, u64::MAX);
        settings.session_cost = 0;
    });
    let out = |number| Ipv4::new(CLIENT, SERVER).udp(PHONE_PORT + number, SIP_PORT, b"");
    let back = |number| Ipv4::new(SERVER, UPLINK).udp(SIP_PORT, PHONE_PORT + number, b"");
    for epoch in 1..3 {
        gateway.set_uplink(UPLINK.into(), epoch);
        while gateway.sweep() > 0 {}
        assert_eq!(gateway.sizes(), [0; 4]);
        for number in 0..SESSIONS {
            gateway.admits(Hook::Lan, &out(number));
        }
        gateway.refuses(Hook::Lan, &out(SESSIONS), Refused::of_flow(Reason::SessionsFull, SIP));
        for number in 0..SESSIONS {
            gateway.admits(Hook::Uplink, &back(number));
            gateway.admits(Hook::Lan, &out(number));
        }
        assert_eq!(gateway.sizes(), [2 * usize::from(SESSIONS), SESSIONS.into(), SESSIONS.into(), 1]);
    }
}
