//! A port that was freed rests before another endpoint may have it (RFC 6888 REQ-8).

use std::{
    hint,
    sync::{
        Barrier,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use aya::maps::Queue;
use thulium_ebpf::abi::{Reason, RestingPort};

use crate::{
    gateway::{Action, Gateway, Hook},
    maps::{GRACE, SIP, UDP_IDLE, now},
    ports::external,
    refused::Refused,
    traffic::*,
};

/// How long a port rests, seconds.
pub(crate) const REST: u64 = 120;

impl Gateway {
    /// Lets time pass for resting ports: they were freed that many seconds ago.
    pub(crate) fn age_resting(&mut self, seconds: u64) {
        let freed = now().checked_sub(seconds * 1_000_000_000).expect("the machine was started too short a time ago");
        let owners = self.owners().into_iter().filter(|(_, owner)| owner.freed != 0);
        for (key, mut owner) in owners.collect::<Vec<_>>() {
            owner.freed = freed;
            self.hash("ports4").insert(key, owner, 0).unwrap();
        }
        let resting = self.resting();
        let mut queue: Queue<_, RestingPort> = self.object().map_mut("resting4").unwrap().try_into().unwrap();
        for port in resting {
            queue.push(RestingPort { freed, ..port }, 0).unwrap();
        }
    }

    /// Takes everything out of the queue of resting ports.
    fn resting(&mut self) -> Vec<RestingPort> {
        let mut queue: Queue<_, RestingPort> = self.object().map_mut("resting4").unwrap().try_into().unwrap();
        std::iter::from_fn(|| queue.pop(0).ok()).collect()
    }

    /// The phone's session ends.
    fn end_of_sip(&mut self) {
        self.age_client(CLIENT.into(), UDP_IDLE + GRACE);
        self.sweep();
        assert_eq!(self.sizes(), [0; 4]);
    }
}

/// A gateway where the phone had its port until this moment.
fn phone_has_gone() -> Gateway {
    let mut gateway = Gateway::new();
    gateway.admits(Hook::Lan, &sip_out());
    gateway.end_of_sip();
    assert_eq!(gateway.holders(PHONE_PORT), Some(0), "the port rests");
    gateway
}

#[test]
fn nobody_else_gets_it_for_two_minutes() {
    let mut gateway = phone_has_gone();
    assert_ne!(external(&mut gateway, (CLIENT_2, PHONE_PORT)), PHONE_PORT);
    gateway.age_resting(REST - 1);
    assert_ne!(external(&mut gateway, (CLIENT_2, PHONE_PORT)), PHONE_PORT);
}

#[test]
fn another_client_gets_it_afterwards() {
    let mut gateway = phone_has_gone();
    gateway.age_resting(REST + 1);
    assert_eq!(external(&mut gateway, (CLIENT_2, PHONE_PORT)), PHONE_PORT);
    assert_eq!(gateway.holders(PHONE_PORT), Some(1));
}

#[test]
fn its_own_client_gets_it_at_once() {
    let mut gateway = phone_has_gone();
    assert_eq!(external(&mut gateway, (CLIENT, PHONE_PORT)), PHONE_PORT);
    assert_eq!((gateway.holders(PHONE_PORT), gateway.sizes()), (Some(1), [2, 1, 1, 1]));
    gateway.admits(Hook::Uplink, &sip_in());
    // That it rested once does not end it, nor shorten its next rest.
    gateway.age_resting(REST + 1);
    gateway.sweep();
    assert_eq!(gateway.holders(PHONE_PORT), Some(1));
    gateway.end_of_sip();
    gateway.sweep();
    assert_eq!(gateway.holders(PHONE_PORT), Some(0));
}

#[test]
fn another_port_of_its_client_does_not_get_it() {
    let mut gateway = Gateway::new();
    gateway.set(|settings| (settings.first_port, settings.last_port) = (40000, 40001));
    assert_eq!(external(&mut gateway, (CLIENT, 33000)), 40000);
    gateway.end_of_sip();
    let other = Ipv4::new(CLIENT, SERVER).udp(33002, SIP_PORT, b"");
    gateway.refuses(Hook::Lan, &other, Refused::of_flow(Reason::PortsExhausted, SIP));
    gateway.age_resting(REST + 1);
    assert_eq!(external(&mut gateway, (CLIENT, 33002)), 40000);
}

#[test]
fn what_comes_late_for_it_is_refused() {
    let mut gateway = phone_has_gone();
    for hook in [Hook::Uplink, Hook::UplinkXdp] {
        gateway.refuses(hook, &sip_in(), Refused::new(Reason::NoSession));
    }
    // Then it is nobody's.
    gateway.age_resting(REST + 1);
    for hook in [Hook::Uplink, Hook::UplinkXdp] {
        gateway.passes(hook, &sip_in(), 0);
    }
}

#[test]
fn ports_that_have_rested_go_without_a_daemon() {
    let mut gateway = Gateway::new();
    for port in 10000..10010 {
        gateway.admits(Hook::Lan, &Ipv4::new(CLIENT, SERVER).udp(port, SIP_PORT, b""));
    }
    gateway.end_of_sip();
    assert_eq!(gateway.owners().len(), 10);
    // Openings by another client take two each.
    gateway.age_resting(REST + 1);
    for port in 20000..20005 {
        gateway.admits(Hook::Lan, &Ipv4::new(CLIENT_2, SERVER).udp(port, SIP_PORT, b""));
    }
    assert_eq!(gateway.owners().len(), 5);
    assert_eq!(gateway.resting().len(), 0);
}

#[test]
fn the_sweeper_takes_many_and_leaves_those_that_rest() {
    let mut gateway = Gateway::new();
    let open = |gateway: &mut Gateway, ports: std::ops::Range<u16>| {
        for port in ports {
            gateway.admits(Hook::Lan, &Ipv4::new(CLIENT, SERVER).udp(port, SIP_PORT, b""));
        }
        gateway.end_of_sip();
    };
    open(&mut gateway, 10000..10030);
    gateway.age_resting(REST + 1);
    open(&mut gateway, 20000..20003);
    gateway.sweep();
    assert_eq!(gateway.owners().len(), 3);
    assert!(gateway.owners().iter().all(|(key, _)| key.port.number() >= 20000));
}

#[test]
fn a_port_that_was_never_used_need_not_rest() {
    // The session table is full: otherwise a client could use up all ports without a single session.
    let mut gateway = Gateway::with_flow_entries(2);
    gateway.admits(Hook::Lan, &sip_out());
    let second = Ipv4::new(CLIENT, SERVER).udp(PHONE_PORT + 2, SIP_PORT, b"");
    gateway.refuses(Hook::Lan, &second, Refused::of_flow(Reason::SessionsFull, SIP));
    assert_eq!((gateway.holders(PHONE_PORT + 2), gateway.owners().len()), (None, 1));
}

#[test]
fn more_than_can_rest_are_free_at_once() {
    let mut gateway = Gateway::new();
    let mut queue: Queue<_, RestingPort> = gateway.object().map_mut("resting4").unwrap().try_into().unwrap();
    let (mut room, first) = (0, gateway_port(60000));
    while queue.push(RestingPort { freed: now(), key: first }, 0).is_ok() {
        room += 1;
    }
    assert!(room > 0);
    gateway.admits(Hook::Lan, &sip_out());
    gateway.end_of_sip();
    assert_eq!(gateway.holders(PHONE_PORT), None);
    assert_eq!(external(&mut gateway, (CLIENT_2, PHONE_PORT)), PHONE_PORT);
}

/// A UDP port of the uplink.
fn gateway_port(port: u16) -> thulium_ebpf::abi::PortKey<thulium_ebpf::abi::Address4> {
    use thulium_ebpf::abi::{Address4, Port, PortKey};
    PortKey { address: Address4::from(UPLINK), port: Port::new(port), protocol: 17, pad: 0 }
}

#[test]
fn two_cpus_do_not_both_take_it_over() {
    let mut gateway = Gateway::new();
    for _ in 0..20 {
        gateway.admits(Hook::Lan, &sip_out());
        gateway.end_of_sip();
        gateway.age_resting(REST + 1);
        take_over_on_two_cpus(&gateway);
        let (sessions, owners) = (gateway.flows_of(thulium_ebpf::abi::Side::Lan), gateway.owners());
        assert_eq!((sessions.len(), owners.len()), (2, 2));
        for (key, session) in sessions {
            let port = session.rewrite.port;
            let (_, owner) = owners.iter().find(|(owned, _)| owned.port == port).expect("a session without a port");
            assert_eq!((owner.client.address, owner.sessions, owner.freed), (key.source, 1, 0));
        }
        gateway.forget_traffic();
        gateway.resting();
    }
}

/// Two clients ask for the same port at once.
fn take_over_on_two_cpus(gateway: &Gateway) {
    let start = Barrier::new(2);
    thread::scope(|scope| {
        let open = |client| {
            let packet = Ipv4::new(client, SERVER).udp(PHONE_PORT, SIP_PORT, b"");
            start.wait();
            assert_eq!(gateway.send(Hook::Lan, &packet).action, Action::Redirect);
        };
        scope.spawn(move || open(CLIENT));
        scope.spawn(move || open(CLIENT_2));
    });
}

#[test]
fn two_cpus_give_an_endpoint_that_takes_it_over_one_port() {
    let mut gateway = Gateway::new();
    for round in 0..100 {
        gateway.admits(Hook::Lan, &sip_out());
        gateway.end_of_sip();
        gateway.age_resting(REST + 1);
        // So that it is the two who find out that it has rested.
        gateway.resting();
        let waiting = AtomicU32::new(2);
        let waiting = &waiting;
        thread::scope(|scope| {
            let open = |remote, port| {
                let packet = Ipv4::new(CLIENT_2, remote).udp(PHONE_PORT, port, b"");
                // A barrier would wake one of them too late.
                waiting.fetch_sub(1, Ordering::SeqCst);
                while waiting.load(Ordering::SeqCst) > 0 {
                    hint::spin_loop();
                }
                assert_eq!(gateway.send(Hook::Lan, &packet).action, Action::Redirect);
            };
            scope.spawn(move || open(SERVER, SIP_PORT));
            scope.spawn(move || open(STUN_SERVER, 19302));
        });
        let sessions = gateway.flows_of(thulium_ebpf::abi::Side::Lan);
        let [(_, first), (_, second)] = &sessions[..] else { panic!("{sessions:?}") };
        assert_eq!(first.rewrite, second.rewrite, "round {round}: two ports for one endpoint (RFC 4787 REQ-1)");
        assert_eq!(gateway.holders(first.rewrite.port.number()), Some(2));
        gateway.forget_traffic();
    }
}
