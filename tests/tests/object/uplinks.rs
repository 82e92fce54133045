//! Several uplinks: a client keeps one public address, and moves whole when its uplink is lost (T10).

use std::{net::Ipv4Addr, ops::Add as _};

use aya::{Pod, maps::PerCpuArray};
use thulium_ebpf::abi::{
    Address4, Address6, Choices, Client, ClientKey, Interface, NO_SLOT, Path, PinCause, Port, Reason, Role, Side,
    Traffic, Uplink, UplinkLosses, UplinkState,
};

use crate::{
    gateway::{Action, GOVERNED, Gateway, Hook, TRANSLATED},
    maps::{GRACE, SIP, TCP_IDLE, WEB},
    refused::Refused,
    traffic::*,
};

/// The gateway's address on its second uplink.
const SECOND: Ipv4Addr = Ipv4Addr::new(198, 51, 101, 1);
/// The mark of a packet that leaves by the first uplink, and by the second.
const BY: [u32; 2] = [0x4000_0000, 0x5000_0000];
/// In nanoseconds.
const SECONDS: u64 = 1_000_000_000;

/// A gateway with two uplinks, of which new clients take the first.
fn gateway() -> Gateway {
    let mut gateway = Gateway::of_several_uplinks();
    gateway.add_uplink();
    gateway
}

fn uplink_of(gateway: &mut Gateway, client: Ipv4Addr) -> u32 {
    gateway.client(client.into()).unwrap().uplink
}

/// A phone's packet, and how it leaves with this address.
fn leaves(gateway: &mut Gateway, client: Ipv4Addr, public: Ipv4Addr) {
    let packet = Ipv4::new(client, SERVER).udp(PHONE_PORT, SIP_PORT, b"REGISTER");
    let left = gateway.admits(Hook::Lan, &packet);
    assert_eq!(left[12..16], public.octets(), "{client} has another public address than {public}");
}

impl Gateway {
    /// Makes `wan1` the uplink of slot 1.
    fn add_uplink(&mut self) {
        let index = self.wan1;
        let interface = Interface { role: Role::Uplink as u32, slot: 1, link_header: 14, name: [0; 16] };
        self.hash("interfaces").insert(index, interface, 0).unwrap();
        self.change_uplink(1, |uplink| {
            *uplink = Uplink {
                interface: index,
                epoch: 7,
                address: SECOND.into(),
                translates: 1,
                state: UplinkState::Up as u32,
                ..Uplink::default()
            };
        });
    }

    fn choose(&mut self, slot: u8) {
        self.array("choices").set(0, Choices { slots: [slot; 64], substitutes: 0 }, 0).unwrap();
    }

    pub(crate) fn change_uplink(&mut self, slot: u32, change: impl FnOnce(&mut Uplink)) {
        let mut uplinks = self.array::<Uplink>("uplinks");
        let mut uplink = uplinks.get(&slot, 0).unwrap();
        change(&mut uplink);
        uplinks.set(slot, uplink, 0).unwrap();
    }

    /// What the daemon does when an uplink is gone: new clients take the other one, and this one's sessions are absent.
    fn lose(&mut self, slot: u8) {
        self.choose(1 - slot);
        self.change_uplink(slot.into(), |uplink| {
            uplink.state = UplinkState::Lost as u32;
            uplink.epoch += 1;
        });
    }

    fn bring_back(&mut self, slot: u8) {
        self.change_uplink(slot.into(), |uplink| uplink.state = UplinkState::Up as u32);
        self.choose(0);
    }

    /// All sessions of the client end.
    fn hang_up(&mut self, client: Ipv4Addr) {
        self.age_client(client.into(), TCP_IDLE + GRACE);
        self.sweep();
        assert_eq!(self.client(client.into()).unwrap().sessions, 0);
    }

    fn change_client(&mut self, address: Ipv4Addr, change: impl FnOnce(&mut Client)) {
        let mut client = self.client(address.into()).unwrap();
        change(&mut client);
        self.hash("clients4").insert(ClientKey { address: Address4::from(address) }, client, 0).unwrap();
    }

    /// Sends a segment of a connection that is lost with its uplink.
    fn resets(&mut self, segment: &[u8]) {
        let ran = self.send(Hook::Lan, segment);
        assert!(ran.is_answer_to(segment), "{ran:?}");
        assert_eq!(ran.packet[33] & RST, RST, "{ran:?}");
        let refused = Refused::of_flow(Reason::UplinkLost, WEB);
        assert_eq!(self.take_refused(), [refused.counted(Hook::Lan, segment)]);
    }

    /// What clients of the LAN interface have carried by an uplink.
    fn traffic(&mut self, uplink: u8) -> Traffic {
        self.per_cpu("traffic", Traffic::place(0, uplink)).into_iter().fold(Traffic::default(), Traffic::add)
    }

    /// Sessions and clients that went with an uplink.
    fn losses(&mut self, uplink: u8) -> (u64, u64) {
        let cpus: Vec<UplinkLosses> = self.per_cpu("uplink_losses", uplink.into());
        cpus.iter().fold((0, 0), |sum, cpu| (sum.0 + cpu.lost_sessions, sum.1 + cpu.moved_clients))
    }

    fn per_cpu<V: Pod>(&mut self, map: &str, index: u32) -> Vec<V> {
        let map: PerCpuArray<_, V> = self.object().map_mut(map).unwrap().try_into().unwrap();
        map.get(&index, 0).unwrap().to_vec()
    }
}

#[test]
fn a_client_keeps_the_uplink_of_its_first_packet() {
    let mut gateway = gateway();
    leaves(&mut gateway, CLIENT, UPLINK);
    gateway.choose(1);
    leaves(&mut gateway, CLIENT_2, SECOND);
    // Whatever new clients take by now, and whatever it opens.
    for port in [16000, 16001] {
        let media = |client| Ipv4::new(client, SERVER).udp(40000, port, b"RTP");
        assert_eq!(gateway.admits(Hook::Lan, &media(CLIENT))[12..16], UPLINK.octets());
        gateway.choose(0);
        assert_eq!(gateway.admits(Hook::Lan, &media(CLIENT_2))[12..16], SECOND.octets());
    }
    assert_eq!(gateway.admits(Hook::Lan, &web_out(SYN))[12..16], UPLINK.octets());
    gateway.translates(
        Hook::SecondUplink,
        &Ipv4::new(SERVER, SECOND).udp(SIP_PORT, PHONE_PORT, b"200 OK"),
        &Ipv4::new(SERVER, CLIENT_2).ttl(63).udp(SIP_PORT, PHONE_PORT, b"200 OK"),
    );
    let traffic = [0, 1].map(|slot| gateway.traffic(slot));
    let by_tc = |mut traffic: Traffic| [Side::Lan, Side::Uplink].map(|side| traffic.counter(side, Path::Tc).packets);
    assert_eq!(traffic.map(by_tc), [[4, 0], [3, 1]]);
}

#[test]
fn clients_are_spread_by_their_addresses() {
    let mut gateway = gateway();
    let mut choices = Choices { slots: [0; 64], substitutes: 0 };
    choices.slots[32..].fill(1);
    gateway.array("choices").set(0, choices, 0).unwrap();
    let taken: Vec<u32> = (10..50)
        .map(|host| {
            let client = Ipv4Addr::new(192, 168, 20, host);
            gateway.admits(Hook::Lan, &Ipv4::new(client, SERVER).udp(PHONE_PORT, SIP_PORT, b""));
            uplink_of(&mut gateway, client)
        })
        .collect();
    let second = taken.iter().filter(|slot| **slot == 1).count();
    assert!((15..=25).contains(&second), "{second} of 40 by the second uplink");
}

#[test]
fn a_pin_holds_for_a_working_day_without_sessions() {
    let mut gateway = gateway();
    leaves(&mut gateway, CLIENT, UPLINK);
    gateway.hang_up(CLIENT);
    gateway.choose(1);
    gateway.set(|settings| settings.release_after_idle = 3600 * SECONDS);
    gateway.change_client(CLIENT, |client| client.idle -= 60 * SECONDS);
    leaves(&mut gateway, CLIENT, UPLINK);
    gateway.hang_up(CLIENT);
    gateway.set(|settings| settings.release_after_idle = 30 * SECONDS);
    gateway.change_client(CLIENT, |client| client.idle -= 60 * SECONDS);
    leaves(&mut gateway, CLIENT, SECOND);
    assert_eq!(gateway.client(CLIENT.into()).unwrap().cause, PinCause::First as u32);
}

#[test]
fn a_client_moves_whole_when_its_uplink_is_lost_and_does_not_return_in_mid_call() {
    let mut gateway = gateway();
    leaves(&mut gateway, CLIENT, UPLINK);
    gateway.admits(Hook::Lan, &web_out(SYN));
    gateway.lose(0);
    // Connections cannot go on from another address: the browser is told, also of one that is swept away by now.
    gateway.resets(&web_out(ACK));
    gateway.refuses(Hook::Uplink, &sip_in(), Refused::new(Reason::NoSession));
    leaves(&mut gateway, CLIENT, SECOND);
    gateway.sweep();
    gateway.resets(&web_out(ACK));
    let client = gateway.client(CLIENT.into()).unwrap();
    assert_eq!((client.uplink, client.cause, client.sessions), (1, PinCause::Moved as u32, 1));
    assert_eq!(gateway.losses(0), (2, 1));

    gateway.bring_back(0);
    assert_eq!(gateway.admits(Hook::Lan, &web_out(SYN))[12..16], SECOND.octets(), "in mid-call");
    gateway.hang_up(CLIENT);
    leaves(&mut gateway, CLIENT, UPLINK);
    assert_eq!(gateway.client(CLIENT.into()).unwrap().cause, PinCause::Returned as u32);
}

#[test]
fn a_client_that_came_while_its_own_uplink_was_lost_goes_there_when_it_has_no_session() {
    let mut gateway = gateway();
    gateway.array("choices").set(0, Choices { slots: [1; 64], substitutes: u64::MAX }, 0).unwrap();
    leaves(&mut gateway, CLIENT, SECOND);
    gateway.choose(0);
    assert_eq!(gateway.admits(Hook::Lan, &web_out(SYN))[12..16], SECOND.octets(), "in mid-call");
    gateway.hang_up(CLIENT);
    leaves(&mut gateway, CLIENT, UPLINK);
    gateway.hang_up(CLIENT);
    gateway.choose(1);
    leaves(&mut gateway, CLIENT, UPLINK);
}

#[test]
fn clients_of_a_held_uplink_wait_for_it() {
    let mut gateway = gateway();
    leaves(&mut gateway, CLIENT, UPLINK);
    gateway.choose(1);
    gateway.change_uplink(0, |uplink| uplink.state = UplinkState::Held as u32);
    let refused = Refused::of_flow(Reason::UplinkDown, SIP);
    gateway.refuses(Hook::Lan, &sip_out(), refused);
    gateway.refuses(Hook::Lan, &web_out(SYN), Refused::of_flow(Reason::UplinkDown, WEB));
    leaves(&mut gateway, CLIENT_2, SECOND);
    gateway.bring_back(0);
    leaves(&mut gateway, CLIENT, UPLINK);
}

#[test]
fn without_any_uplink_new_clients_are_refused() {
    let mut gateway = gateway();
    gateway.choose(NO_SLOT);
    gateway.refuses(Hook::Lan, &sip_out(), Refused::of_flow(Reason::UplinkDown, SIP));
    assert_eq!(gateway.sizes(), [0; 4]);
    gateway.choose(0);
    leaves(&mut gateway, CLIENT, UPLINK);
}

#[test]
fn what_needs_the_kernel_bears_the_mark_of_its_clients_uplink() {
    let mut gateway = gateway();
    gateway.choose(1);
    leaves(&mut gateway, CLIENT, SECOND);
    let last_hop = Ipv4::new(CLIENT, SERVER).ttl(1).udp(PHONE_PORT, SIP_PORT, b"traceroute");
    gateway.passes(Hook::Lan, &last_hop, BY[1]);
    // Back by the uplink, as strict reverse path filtering wants it.
    let back = Ipv4::new(SERVER, SECOND).ttl(1).udp(SIP_PORT, PHONE_PORT, b"200 OK");
    let ran = gateway.send(Hook::SecondUplink, &back);
    assert_eq!((ran.action, ran.mark), (Action::Pass, BY[1]));
    assert_eq!(ran.packet[16..20], CLIENT.octets());
    // What no flow names is the guard's to refuse, wherever the kernel sends it.
    gateway.passes(Hook::Lan, &Ipv4::new(CLIENT, SERVER).udp(PHONE_PORT, 53, b""), GOVERNED);
}

#[test]
fn the_guard_translates_by_the_clients_uplink_wherever_it_stands() {
    let mut gateway = gateway();
    gateway.choose(1);
    leaves(&mut gateway, CLIENT, SECOND);
    let packet = Ipv4::new(CLIENT, SERVER).ttl(63).udp(PHONE_PORT, SIP_PORT, b"INVITE");
    let expected = Ipv4::new(SECOND, SERVER).ttl(63).udp(PHONE_PORT, SIP_PORT, b"INVITE");
    let ran = gateway.send_marked(Hook::SecondGuard, &packet, BY[1]);
    assert_eq!((ran.action, &ran.packet, ran.mark), (Action::Pass, &expected, TRANSLATED));
    let ran = gateway.send_marked(Hook::Guard, &packet, BY[1]);
    assert_eq!((ran.action, &ran.packet, ran.mark), (Action::Redirect, &expected, TRANSLATED), "by the right one");
    assert_eq!(gateway.take_refused(), []);
}

#[test]
fn the_gateways_own_error_leaves_by_the_uplink_of_the_session_that_it_is_about() {
    let mut gateway = gateway();
    gateway.choose(1);
    leaves(&mut gateway, CLIENT, SECOND);
    let quote = Ipv4::new(SERVER, CLIENT).ttl(1).udp(SIP_PORT, PHONE_PORT, b"200 OK");
    let error = |from| Ipv4::new(from, SERVER).icmp(11, 0, [0; 4], &quote[..28]);
    let seen = Ipv4::new(SERVER, SECOND).ttl(1).udp(SIP_PORT, PHONE_PORT, b"200 OK");
    let ran = gateway.send(Hook::GuardOwn, &error(UPLINK));
    assert_eq!(ran.action, Action::Redirect);
    assert_eq!((&ran.packet[12..16], &ran.packet[44..48]), (&SECOND.octets()[..], &seen[16..20]));
    let ran = gateway.send(Hook::SecondGuardOwn, &error(SECOND));
    assert_eq!((ran.action, &ran.packet[12..16]), (Action::Pass, &SECOND.octets()[..]));
}

#[test]
fn the_answer_to_a_probe_bears_the_mark_of_its_uplink() {
    let mut gateway = gateway();
    gateway.change_uplink(1, |uplink| uplink.probe = Port::new(33333));
    let answer = |port| Ipv4::new(SERVER, SECOND).tcp(443, port, SYN | ACK);
    gateway.passes(Hook::SecondUplink, &answer(33333), BY[1]);
    gateway.passes(Hook::SecondUplink, &answer(33334), 0);
    gateway.passes(Hook::Uplink, &Ipv4::new(SERVER, UPLINK).tcp(443, 33333, SYN | ACK), 0);
}

#[test]
fn an_ipv6_client_takes_the_uplink_of_its_prefix() {
    let mut gateway = gateway();
    gateway.govern_ipv6(CLIENTS6.into(), SERVER6.into());
    gateway.set_home(Address6::from(CLIENTS6), 64, 1);
    let packet = Ipv6::new(CLIENT6, SERVER6).udp(PHONE_PORT, SIP_PORT, b"REGISTER");
    gateway.admits(Hook::Lan, &packet);
    assert_eq!(gateway.flows6()[0].1.uplink, 1);
    gateway.set_home(Address6::from(CLIENTS6), 64, u64::from(NO_SLOT));
    let another = Ipv6::new(CLIENT6, SERVER6).udp(PHONE_PORT + 1, SIP_PORT, b"");
    gateway.refuses(Hook::Lan, &another, Refused::of_flow(Reason::UplinkPrefix, SIP));
    gateway.admits(Hook::Lan, &packet);
}

#[test]
fn each_uplinks_address_has_ports_of_its_own() {
    let mut gateway = gateway();
    leaves(&mut gateway, CLIENT, UPLINK);
    gateway.choose(1);
    leaves(&mut gateway, CLIENT_2, SECOND);
    let owners: Vec<Address4> = gateway.owners().iter().map(|(key, _)| key.address).collect();
    assert_eq!(owners.len(), 2);
    assert!(owners.contains(&UPLINK.into()) && owners.contains(&SECOND.into()), "{owners:?}");
}

#[test]
fn an_ipv6_session_leaves_an_uplink_that_is_lost_or_no_more_the_policys_for_that_of_its_prefix() {
    for state in [UplinkState::Lost, UplinkState::Unused] {
        let mut gateway = gateway();
        gateway.govern_ipv6(CLIENTS6.into(), SERVER6.into());
        gateway.set_home(Address6::from(CLIENTS6), 64, 1);
        let packet = Ipv6::new(CLIENT6, SERVER6).udp(PHONE_PORT, SIP_PORT, b"REGISTER");
        gateway.admits(Hook::Lan, &packet);
        gateway.change_uplink(1, |uplink| {
            uplink.state = state as u32;
            uplink.epoch += 1;
        });
        gateway.set_home(Address6::from(CLIENTS6), 64, 0);
        gateway.admits(Hook::Lan, &packet);
        assert!(gateway.flows6().iter().all(|(_, entry)| entry.uplink == 0), "{state:?}: {:?}", gateway.flows6());
    }
}

#[test]
fn a_vpn_works_while_a_backup_uplink_is_gone() {
    // `wan1` has no role here: a VPN, or a network of servers. The second uplink is a modem that is not plugged in.
    let mut gateway = Gateway::of_several_uplinks();
    let newest = gateway.wan1;
    gateway.array("newest").set(0, newest, 0).unwrap();
    for interface in [0, 9999] {
        gateway.change_uplink(1, |uplink| {
            *uplink = Uplink { interface, state: UplinkState::Lost as u32, ..Uplink::default() };
        });
        let packet = Ipv4::new(CLIENT, Ipv4Addr::new(198, 51, 101, 77)).udp(PHONE_PORT, 53, b"");
        gateway.passes(Hook::Lan, &packet, GOVERNED);
    }
    // One that the daemon has not seen may be the modem, without a guard.
    gateway.array("newest").set(0, newest - 1, 0).unwrap();
    let packet = Ipv4::new(CLIENT, Ipv4Addr::new(198, 51, 101, 77)).udp(PHONE_PORT, 53, b"");
    gateway.refuses(Hook::Lan, &packet, Refused::new(Reason::NoUplinkAddress));
}
