//! The first packet of a session of UDP: XDP opens the session as TC does, and sends the packet on. Where TC would not open it, or has to
//! tell somebody why, it goes up as it came, and nothing is left behind.

use anyhow::ensure;
use thulium_ebpf::abi::{Address4, FlowEntry, FlowKey, Path, Reason};
use thulium_tests::lab::eventually;

use super::*;
use crate::{
    maps::{FLOWS, SIP},
    refused::Refused,
};

type Change = fn(&mut Gateway);

/// Both directions of all sessions, without what differs from one moment to the next.
fn sessions(gateway: &mut Gateway) -> Vec<(FlowKey<Address4>, FlowEntry<Address4>)> {
    let timeless = |(key, entry)| (key, FlowEntry { opened: 0, last_seen: 0, ..entry });
    let mut sessions: Vec<_> = gateway.flows().into_iter().map(timeless).collect();
    sessions.sort_by_key(|(key, _)| key.side);
    sessions
}

#[test]
fn a_session_is_the_same_whoever_opens_it() {
    let (mut by_xdp, mut by_tc) = (gateway(), gateway());
    assert!(by_xdp.takes(Hook::LanXdp, &sip_out()));
    by_tc.admits(Hook::Lan, &sip_out());
    let mut opened = sessions(&mut by_tc);
    assert_eq!(opened.len(), 2);
    opened[0].1.path = Path::Xdp as u8;
    assert_eq!(sessions(&mut by_xdp), opened);
    assert_eq!((by_xdp.sizes(), by_xdp.sessions_of(CLIENT.into())), (by_tc.sizes(), Some(1)));
    assert_eq!(by_xdp.queued(), 1, "the sweeper knows it");
    assert!(by_xdp.takes(Hook::UplinkXdp, &sip_in()));
}

#[test]
fn the_first_packet_leaves_as_the_others_do() {
    let gateway = gateway();
    let expected = Ipv4::new(UPLINK, SERVER).ttl(63).udp(PHONE_PORT, SIP_PORT, b"REGISTER");
    let after = gateway.forwards(Hook::LanXdp, &sip_out());
    assert_eq!((&after[..6], &after[14..]), (&ROUTER[..], &expected[..]));
}

#[test]
fn ipv6_is_opened_as_well() {
    let mut gateway = gateway();
    gateway.govern_ipv6(CLIENTS6.into(), SERVER6.into());
    let packet = Ipv6::new(CLIENT6, SERVER6).udp(PHONE_PORT, SIP_PORT, b"REGISTER");
    assert!(gateway.takes(Hook::LanXdp, &packet));
    assert_eq!((gateway.flows6().len(), gateway.clients6()), (2, 1));
    assert_eq!(gateway.take_refused(), []);
}

#[test]
fn what_opens_nothing_goes_up_as_it_came() {
    let rows: [(&str, Change, Vec<u8>); 7] = [
        ("a SYN", |_| {}, web_out(SYN)),
        ("a stranger's address", |_| {}, Ipv4::new(CLIENT, STRANGER).udp(PHONE_PORT, SIP_PORT, b"")),
        ("a port of no flow", |_| {}, Ipv4::new(CLIENT, SERVER).udp(PHONE_PORT, SIP_PORT + 1, b"")),
        ("nobody who is governed", |_| {}, Ipv4::new(PRINTER, SERVER).udp(PHONE_PORT, SIP_PORT, b"")),
        ("a route that leads elsewhere", |_| ip("route add 203.0.113.0/24 dev lan0"), sip_out()),
        ("a source that is not of the LAN", |_| ip("route add 192.168.20.10 dev wan0"), sip_out()),
        ("XDP does not forward", |gateway| gateway.set_station(gateway.lan, 0), sip_out()),
    ];
    for (what, change, packet) in rows {
        println!("{what}");
        let mut gateway = gateway();
        change(&mut gateway);
        assert!(!gateway.takes(Hook::LanXdp, &packet), "{what}");
        assert_eq!((gateway.sizes(), gateway.take_refused()), ([0; 4], vec![]), "{what}");
    }
}

#[test]
fn whom_there_is_no_room_for_tc_tells_so_and_counts_it_once() {
    let rows: [(Reason, Change); 2] = [
        (Reason::ClientSessions, |gateway| gateway.set(|settings| settings.per_client = 1)),
        (Reason::ClientRate, |gateway| gateway.set(|settings| settings.session_cost = 4_000_000_000)),
    ];
    let second = Ipv4::new(CLIENT, SERVER).udp(PHONE_PORT + 2, SIP_PORT, b"REGISTER");
    for (reason, change) in rows {
        println!("{reason:?}");
        let mut gateway = gateway();
        change(&mut gateway);
        assert!(gateway.takes(Hook::LanXdp, &sip_out()));
        let before = gateway.sizes();
        assert!(!gateway.takes(Hook::LanXdp, &second));
        gateway.refuses(Hook::Lan, &second, Refused::of_flow(reason, SIP));
        let client = gateway.client(CLIENT.into()).unwrap();
        assert_eq!(client.refused_sessions + client.refused_rate, 1);
        assert_eq!(gateway.sizes(), before, "the refused session left something behind");
    }
}

#[test]
fn without_a_next_hop_tc_sends_the_first_packet_of_the_session_that_xdp_opened() {
    let mut gateway = gateway();
    ip("neigh del 198.51.100.254 dev wan0");
    assert!(!gateway.takes(Hook::LanXdp, &sip_out()));
    gateway.admits(Hook::Lan, &sip_out());
    let [out, _] = sessions(&mut gateway)[..] else { panic!("one session") };
    assert_eq!((out.1.packets, out.1.path), (1, Path::Tc as u8));
}

#[test]
fn another_route_and_another_policy_hold_for_the_next_session() {
    let mut gateway = gateway();
    let from = |port| Ipv4::new(CLIENT, SERVER).udp(port, SIP_PORT, b"REGISTER");
    assert!(gateway.takes(Hook::LanXdp, &from(6000)));
    let others = FLOWS.into_iter().filter(|flow| flow.0 != SIP);
    gateway.publish(2, &others.collect::<Vec<_>>());
    assert!(!gateway.takes(Hook::LanXdp, &from(6001)), "of another generation");
    gateway.publish(3, &FLOWS);
    ip("route add 203.0.113.0/24 dev lan0");
    // The way holds for a moment.
    let mut ports = 6002..;
    eventually("a session by another route", || {
        ensure!(!gateway.takes(Hook::LanXdp, &from(ports.next().unwrap())));
        Ok(())
    })
    .unwrap();
}
