//! The sweeper: it removes what is stale, with everything that it held, and nothing else.

use thulium_ebpf::abi::Side;

use crate::{
    gateway::{Gateway, Hook},
    maps::{GRACE, UDP_IDLE},
    traffic::*,
};

#[test]
fn a_stale_session_goes_with_port_mapping_and_client() {
    let mut gateway = Gateway::new();
    gateway.admits(Hook::Lan, &sip_out());
    gateway.age_client(CLIENT.into(), UDP_IDLE + GRACE);
    assert_eq!(gateway.sizes(), [2, 1, 1, 1]);
    gateway.sweep();
    assert_eq!(gateway.sizes(), [0; 4]);
    assert_eq!(gateway.sweep(), 0, "it has still something to look at");
}

#[test]
fn live_sessions_stay() {
    let mut gateway = Gateway::new();
    gateway.admits(Hook::Lan, &sip_out());
    gateway.admits(Hook::Lan, &Ipv4::new(CLIENT_2, SERVER).udp(10000, SIP_PORT, b""));
    gateway.admits(Hook::Lan, &Ipv4::new(CLIENT_2, SERVER).udp(10002, SIP_PORT, b""));
    gateway.age_client(CLIENT_2.into(), UDP_IDLE + GRACE);
    gateway.sweep();
    assert_eq!(gateway.sizes(), [2, 1, 1, 1]);
    gateway.admits(Hook::Uplink, &sip_in());
    assert_eq!((gateway.sessions_of(CLIENT.into()), gateway.sessions_of(CLIENT_2.into())), (Some(1), None));
    // And it comes to it again.
    gateway.age_client(CLIENT.into(), UDP_IDLE + GRACE);
    gateway.sweep();
    assert_eq!(gateway.sizes(), [0; 4]);
}

#[test]
fn a_session_with_one_live_direction_stays() {
    let mut gateway = Gateway::new();
    gateway.admits(Hook::Lan, &sip_out());
    for idle in [Side::Lan, Side::Uplink] {
        gateway.age(idle, UDP_IDLE + GRACE);
        gateway.sweep();
        assert_eq!(gateway.sizes(), [2, 1, 1, 1], "{idle:?}");
        gateway.admits(Hook::Lan, &sip_out());
        gateway.admits(Hook::Uplink, &sip_in());
    }
}

#[test]
fn a_mapping_stays_until_its_last_session_is_gone() {
    let mut gateway = Gateway::new();
    gateway.admits(Hook::Lan, &sip_out());
    gateway.age_client(CLIENT.into(), UDP_IDLE + GRACE);
    // Another session on the same port keeps it. Opening sweeps, too.
    gateway.admits(Hook::Lan, &Ipv4::new(CLIENT, STUN_SERVER).udp(PHONE_PORT, 19302, b""));
    gateway.sweep();
    assert_eq!(gateway.sizes(), [2, 1, 1, 1]);
    assert_eq!((gateway.holders(PHONE_PORT), gateway.sessions_of(CLIENT.into())), (Some(1), Some(1)));
    gateway.admits(Hook::Uplink, &Ipv4::new(STUN_SERVER, UPLINK).udp(19302, PHONE_PORT, b""));
}

#[test]
fn two_sessions_on_a_port_give_it_back_one_by_one() {
    let mut gateway = Gateway::new();
    gateway.admits(Hook::Lan, &sip_out());
    gateway.admits(Hook::Lan, &Ipv4::new(CLIENT, STUN_SERVER).udp(PHONE_PORT, 19302, b""));
    assert_eq!(gateway.holders(PHONE_PORT), Some(2));
    gateway.age_client(CLIENT.into(), UDP_IDLE + GRACE);
    gateway.sweep();
    assert_eq!(gateway.sizes(), [0; 4]);
}

#[test]
fn a_run_looks_at_every_session_of_a_small_office() {
    let mut gateway = Gateway::new();
    for port in 0..20 {
        gateway.admits(Hook::Lan, &Ipv4::new(CLIENT, SERVER).udp(10000 + port, SIP_PORT, b""));
    }
    assert!(gateway.sweep() >= 20);
    assert_eq!(gateway.sizes(), [40, 20, 20, 1]);
}

/// A client that opens one session again and again leaves room in the sweeper's queue for the others.
#[test]
fn a_session_that_is_opened_again_stands_in_the_queue_once() {
    let mut gateway = Gateway::new();
    for _ in 0..400 {
        gateway.admits(Hook::Lan, &sip_out());
        gateway.age_client(CLIENT.into(), UDP_IDLE + GRACE);
    }
    gateway.admits(Hook::Lan, &sip_out());
    let queued = gateway.queued();
    assert!(queued < 10, "{queued} items for one session");
}
