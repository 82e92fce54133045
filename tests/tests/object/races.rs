//! Several CPUs at once: they agree on one session, and what is opened and ended at the same time leaves nothing behind.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use thulium_ebpf::abi::Side;

use crate::{
    gateway::{Action, Gateway, Hook},
    traffic::*,
};

/// Client ports of each test.
const PORTS: std::ops::Range<u16> = 40000..40060;

fn packet(port: u16) -> Vec<u8> {
    Ipv4::new(CLIENT, SERVER).udp(port, SIP_PORT, b"REGISTER")
}

#[test]
fn two_cpus_that_open_the_same_session_open_one() {
    let mut gateway = Gateway::new();
    for _ in 0..5 {
        open_on_two_cpus(&mut gateway);
        gateway.forget_traffic();
    }
}

fn open_on_two_cpus(gateway: &mut Gateway) {
    let start = Barrier::new(2);
    // Threads live in the namespace of the one that starts them.
    let lost: usize = thread::scope(|scope| {
        let open = || {
            let sent = PORTS.map(|port| {
                start.wait();
                gateway.send(Hook::Lan, &packet(port))
            });
            sent.filter(|ran| ran.action != Action::Redirect).count()
        };
        let threads = [scope.spawn(open), scope.spawn(open)];
        threads.map(|thread| thread.join().unwrap()).iter().sum()
    });
    assert_eq!((lost, gateway.take_refused()), (0, vec![]));
    let sessions = PORTS.len();
    assert_eq!(gateway.sizes(), [2 * sessions, sessions, sessions, 1]);
    assert_eq!(gateway.sessions_of(CLIENT.into()), Some(sessions as u64));
    // Which of the two got the client's own port is not settled, but it is one for both.
    for (key, session) in gateway.flows_of(Side::Lan) {
        assert_eq!(gateway.holders(session.rewrite.port.number()), Some(1), "{key:?}");
    }
    let packets: u64 = gateway.flows().iter().map(|(_, entry)| entry.packets).sum();
    assert_eq!(packets, 2 * sessions as u64);
}

#[test]
fn sessions_that_end_while_they_are_opened_leave_nothing_behind() {
    let mut gateway = Gateway::new();
    // Stale from the first moment on, so that every packet opens its session anew while the sweeper ends it.
    gateway.set(|settings| (settings.udp_idle, settings.session_cost) = (0, 0));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let open = || {
            for _ in 0..500 {
                // Two sessions share a mapping.
                gateway.send(Hook::Lan, &packet(PORTS.start));
                gateway.send(Hook::Lan, &Ipv4::new(CLIENT, STUN_SERVER).udp(PORTS.start, 19302, b""));
            }
        };
        let openers = [scope.spawn(open), scope.spawn(open)];
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                gateway.sweep();
            }
        });
        let ended = openers.map(|opener| opener.join());
        done.store(true, Ordering::Relaxed);
        assert!(ended.iter().all(Result::is_ok), "a thread panicked");
    });
    while gateway.sweep() > 0 {}
    assert_eq!(gateway.sizes(), [0; 4]);
}

#[test]
fn a_direction_that_was_lost_is_put_back_by_the_next_reply() {
    let mut gateway = Gateway::new();
    gateway.admits(Hook::Lan, &sip_out());
    gateway.forget(Side::Uplink);
    gateway.admits(Hook::Uplink, &sip_in());
    assert_eq!(gateway.sizes(), [2, 1, 1, 1]);
    gateway.admits(Hook::Uplink, &sip_in());
    assert_eq!(gateway.flows_of(Side::Uplink)[0].1.packets, 2);
}
