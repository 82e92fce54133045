//! What user space has done to clients and their sessions: released pins, ended sessions, forgotten clients.

use thulium_ebpf::abi::{Address4, Client, ClientKey, EndSession, Forget, NO_SLOT, OrderOutcome, Reason, Side, Unpin};

use crate::{
    gateway::{Gateway, Hook},
    maps::WEB,
    refused::Refused,
    traffic::*,
};

const KEY: ClientKey<Address4> = ClientKey { address: Address4::new(CLIENT.octets()) };

/// The LAN sides of all sessions, as orders to end them.
fn sessions(gateway: &mut Gateway) -> Vec<EndSession> {
    gateway.flows_of(Side::Lan).iter().map(|(key, entry)| EndSession { key: *key, opened: entry.opened }).collect()
}

fn is_pinned(gateway: &mut Gateway) -> bool {
    gateway.client(CLIENT.into()).unwrap().uplink != u32::from(NO_SLOT)
}

#[test]
fn a_client_with_sessions_keeps_its_pin_unless_it_is_to_lose_it_all_the_same() {
    let mut gateway = Gateway::new();
    let unpin = |even_in_use| Unpin { client: KEY, even_in_use };
    assert_eq!(gateway.order("unpin", &unpin(1)), OrderOutcome::Absent, "nobody is there");
    gateway.admits(Hook::Lan, &sip_out());
    assert_eq!(gateway.order("unpin", &unpin(0)), OrderOutcome::InUse);
    assert!(is_pinned(&mut gateway));
    assert_eq!(gateway.order("unpin", &unpin(1)), OrderOutcome::Done);
    assert!(!is_pinned(&mut gateway));
    assert_eq!(gateway.sessions_of(CLIENT.into()), Some(1), "its sessions are counted on");
    for session in sessions(&mut gateway) {
        gateway.order("end_session", &session);
    }
    assert_eq!(gateway.order("unpin", &unpin(0)), OrderOutcome::Done);
}

#[test]
fn a_session_that_is_ended_gives_back_all_that_it_held() {
    let mut gateway = Gateway::new();
    gateway.admits(Hook::Lan, &sip_out());
    gateway.admits(Hook::Lan, &web_out(SYN));
    gateway.admits(Hook::Uplink, &web_in(SYN | ACK));
    let sessions = sessions(&mut gateway);
    assert_eq!(sessions.len(), 2);
    for session in &sessions {
        let earlier = EndSession { opened: session.opened - 1, ..*session };
        assert_eq!(gateway.order("end_session", &earlier), OrderOutcome::Absent, "another session of that key");
        assert_eq!(gateway.order("end_session", session), OrderOutcome::Done);
        assert_eq!(gateway.order("end_session", session), OrderOutcome::Absent, "it has ended");
    }
    assert_eq!(gateway.sizes(), [0; 4]);
    // The phone's next packet opens another one, the connection is over.
    gateway.admits(Hook::Lan, &sip_out());
    gateway.refuses(Hook::Lan, &web_out(ACK), Refused::of_flow(Reason::TcpNotSyn, WEB));
}

/// Who is released in the middle of a connection need not wait for a timeout to learn of it.
#[test]
fn a_connection_of_a_client_that_was_released_is_reset() {
    let mut gateway = Gateway::new();
    gateway.admits(Hook::Lan, &web_out(SYN));
    gateway.order("unpin", &Unpin { client: KEY, even_in_use: 1 });
    for session in sessions(&mut gateway) {
        gateway.order("end_session", &session);
    }
    let segment = web_out(ACK);
    let ran = gateway.send(Hook::Lan, &segment);
    assert!(ran.is_answer_to(&segment) && ran.packet[33] & RST == RST, "{ran:?}");
    let refused = Refused::of_flow(Reason::UplinkLost, WEB);
    assert_eq!(gateway.take_refused(), [refused.counted(Hook::Lan, &segment)]);
}

#[test]
fn only_a_client_that_nothing_has_happened_to_is_forgotten() {
    let mut gateway = Gateway::new();
    let forget = |idle| Forget { client: KEY, pad: 0, idle };
    for (client, idle, outcome) in [
        (Client { sessions: 1, idle: 7, ..Client::default() }, 7, OrderOutcome::InUse),
        (Client { ports: 1, idle: 7, ..Client::default() }, 7, OrderOutcome::InUse),
        (Client { idle: 8, ..Client::default() }, 7, OrderOutcome::InUse),
        (Client { idle: 7, ..Client::default() }, 7, OrderOutcome::Done),
    ] {
        gateway.hash("clients4").insert(KEY, client, 0).unwrap();
        assert_eq!(gateway.order("forget", &forget(idle)), outcome, "{client:?}");
        assert_eq!(gateway.client(CLIENT.into()).is_none(), outcome == OrderOutcome::Done);
    }
    assert_eq!(gateway.order("forget", &forget(7)), OrderOutcome::Absent);
}
