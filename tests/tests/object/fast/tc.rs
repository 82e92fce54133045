//! The short way in TC, told from the long one by a trick: the links are narrow, and the next hops that the gateway is made to remember
//! are wide. Who goes by what it remembers sends on what is too large; who asks leaves it to the kernel.

use aya::{
    maps::{PerCpuArray, PerCpuValues},
    util::nr_cpus,
};
use nix::net::if_::if_nametoindex;
use thulium_ebpf::{
    abi::{Address4, Address6, Interface, Side, Uplink, UplinkState, ticks},
    fast::Hop,
};

use super::*;
use crate::{
    gateway::{Ran, TRANSLATED},
    maps::{FLOWS, now},
};

/// MTU of the links, bytes; more than a link of IPv6 needs.
const NARROW: usize = 1300;
/// What is too large for them, bytes.
const LARGE: [u8; NARROW] = [7; NARROW];
/// What would be wide enough, bytes.
const WIDE: u32 = 1500;

/// A gateway with narrow links, and a phone's session.
fn narrow() -> Gateway {
    let gateway = with_session();
    make_narrow();
    gateway
}

fn make_narrow() {
    for interface in ["lan0", "wan0"] {
        ip(&format!("link set {interface} mtu {NARROW}"));
    }
}

/// A large packet out, and one back, with these ends and hops left.
fn speech(client: [std::net::Ipv4Addr; 2], ttl: u8) -> [Vec<u8>; 2] {
    [
        Ipv4::new(client[0], SERVER).ttl(ttl).udp(PHONE_PORT, SIP_PORT, &LARGE),
        Ipv4::new(SERVER, client[1]).ttl(ttl).udp(SIP_PORT, PHONE_PORT, &LARGE),
    ]
}

const HOOKS: [Hook; 2] = [Hook::Lan, Hook::Uplink];

impl Gateway {
    /// Lets every CPU remember the next hops of the session between client and server.
    fn remember(&mut self) {
        let asked = ticks(now()) - 1;
        let (lan, wan) = (self.lan, self.wan);
        let router = [198, 51, 100, 254];
        for (to, interface, next) in [(SERVER, wan, router), (CLIENT, lan, CLIENT.octets())] {
            let (to, next) = (Address4::from(to), Address4::new(next));
            let hop = Hop { to, interface, asked, mtu: WIDE, link: [0; 3], next };
            let words = [hop.to.be32(), hop.interface, hop.asked, hop.mtu, 0, 0, 0, hop.next.be32()];
            self.remember_in::<8>("hops4", Hop::place(&to, interface), words);
        }
        let router = Address6::new([0x20, 1, 0xd, 0xb8, 0, 0x51, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0x54]);
        for (to, interface, next) in
            [(SERVER6.into(), wan, router), (Address6::from(CLIENT6), lan, Address6::from(CLIENT6))]
        {
            let to: Address6 = to;
            let ([a, b, c, d], [e, f, g, h]) = (to.words(), next.words());
            let words = [a, b, c, d, interface, asked, WIDE, 0, 0, 0, e, f, g, h];
            self.remember_in::<14>("hops6", Hop::place(&to, interface), words);
        }
    }

    fn remember_in<const WORDS: usize>(&mut self, map: &str, place: u32, words: [u32; WORDS]) {
        let mut hops: PerCpuArray<_, [u32; WORDS]> = self.object().map_mut(map).unwrap().try_into().unwrap();
        let values = PerCpuValues::try_from(vec![words; nr_cpus().unwrap()]).unwrap();
        hops.set(place, values, 0).unwrap();
    }

    /// What becomes of a large packet that stands for so many segments, where the gateway remembers a wide way.
    fn remembering(&mut self, hook: Hook, packet: &[u8], segments: u32) -> Ran {
        // What is remembered holds for a tenth of a second, and a busy machine may be slower.
        (0..8)
            .map(|_| self.remembering_once(hook, packet, segments))
            .find(|ran| ran.action == Action::Redirect)
            .expect("it has to take the short way")
    }

    fn remembering_once(&mut self, hook: Hook, packet: &[u8], segments: u32) -> Ran {
        self.remember();
        self.run(hook, &framed(packet), 0, segments)
    }

    /// True if a large packet takes the long way, which does not send it on; its sender may be told so.
    fn is_long(&mut self, hook: Hook, packet: &[u8]) -> bool {
        let ran = self.remembering_once(hook, packet, 0);
        ran.action != Action::Redirect || ran.is_answer_to(packet)
    }
}

#[test]
fn what_leaves_is_as_crafted_and_marked() {
    let mut gateway = narrow();
    let (sent, expected) = (speech([CLIENT, UPLINK], 64), speech([UPLINK, CLIENT], 63));
    for (at, hook) in HOOKS.into_iter().enumerate() {
        let ran = gateway.remembering(hook, &sent[at], 0);
        assert_eq!((ran.action, &ran.packet), (Action::Redirect, &expected[at]), "{hook:?}");
        assert_eq!(ran.mark, [TRANSLATED, 0][at], "{hook:?}");
    }
    let unchecked = |source, ttl| Ipv4::new(source, SERVER).ttl(ttl).udp_unchecked(PHONE_PORT, SIP_PORT, &LARGE);
    assert_eq!(gateway.remembering(Hook::Lan, &unchecked(CLIENT, 64), 0).packet, unchecked(UPLINK, 63));
    assert_eq!(gateway.take_refused(), []);
}

#[test]
fn another_port_outside_is_written_both_ways() {
    let mut gateway = gateway();
    // Another client has the port outside.
    gateway.admits(Hook::Lan, &Ipv4::new(CLIENT_2, SERVER).udp(PHONE_PORT, SIP_PORT, b"REGISTER"));
    let opened = gateway.admits(Hook::Lan, &sip_out());
    let port = u16::from_be_bytes([opened[20], opened[21]]);
    assert_ne!(port, PHONE_PORT);
    make_narrow();
    let out = gateway.remembering(Hook::Lan, &speech([CLIENT, UPLINK], 64)[0], 0);
    let expected = Ipv4::new(UPLINK, SERVER).ttl(63).udp(port, SIP_PORT, &LARGE);
    assert_eq!((out.action, out.packet), (Action::Redirect, expected));
    let back = gateway.remembering(Hook::Uplink, &Ipv4::new(SERVER, UPLINK).udp(SIP_PORT, port, &LARGE), 0);
    assert_eq!((back.action, &back.packet), (Action::Redirect, &speech([UPLINK, CLIENT], 63)[1]));
}

#[test]
fn tcp_leaves_as_crafted() {
    let mut gateway = with_connection();
    make_narrow();
    let (inside, outside) = (Ipv4::new(CLIENT, SERVER), Ipv4::new(UPLINK, SERVER).ttl(63));
    let out = gateway.remembering(Hook::Lan, &inside.tcp_data(50000, 443, ACK, &LARGE), 0);
    assert_eq!((out.action, out.packet), (Action::Redirect, outside.tcp_data(50000, 443, ACK, &LARGE)));
    for flags in [SYN | ACK, FIN | ACK, RST | ACK] {
        let packet = inside.tcp_data(50000, 443, flags, &LARGE);
        assert!(gateway.is_long(Hook::Lan, &packet), "{flags:#x}: it changes the connection");
    }
}

#[test]
fn ipv6_loses_a_hop_and_nothing_else() {
    let mut gateway = gateway();
    gateway.govern_ipv6(CLIENTS6.into(), SERVER6.into());
    let (out, back) = (Ipv6::new(CLIENT6, SERVER6), Ipv6::new(SERVER6, CLIENT6));
    gateway.admits(Hook::Lan, &out.udp(PHONE_PORT, SIP_PORT, b"REGISTER"));
    make_narrow();
    let packets = [out.udp(PHONE_PORT, SIP_PORT, &LARGE), back.udp(SIP_PORT, PHONE_PORT, &LARGE)];
    for (hook, packet) in HOOKS.into_iter().zip(packets) {
        let ran = gateway.remembering(hook, &packet, 0);
        let mut expected = packet.clone();
        expected[7] -= 1;
        assert_eq!((ran.action, ran.packet), (Action::Redirect, expected), "{hook:?}");
    }
}

#[test]
fn every_segment_counts() {
    let mut gateway = narrow();
    let [packet, _] = speech([CLIENT, UPLINK], 64);
    let before = gateway.flows_of(Side::Lan)[0].1;
    gateway.remembering(Hook::Lan, &packet, 3);
    let after = gateway.flows_of(Side::Lan)[0].1;
    assert_eq!((after.packets - before.packets, after.bytes - before.bytes), (3, packet.len() as u64));
}

/// What is done to a gateway with a session; and on which sides its packets take the short way no more.
type State = (&'static str, fn(&mut Gateway), [bool; 2]);

#[test]
fn a_session_that_is_not_steady_takes_the_long_way() {
    let rows: [State; 6] = [
        ("nothing", |_| {}, [false, false]),
        ("another generation", |gateway| gateway.publish(2, &FLOWS), [true, true]),
        ("the uplink is lost", |gateway| set_state(gateway, UplinkState::Lost), [true, false]),
        ("clients wait for the uplink", |gateway| set_state(gateway, UplinkState::Held), [true, false]),
        ("the links have no link header", |gateway| set_link_header(gateway, 0), [true, true]),
        ("the client moves", |gateway| move_client(gateway), [true, false]),
    ];
    for (what, change, is_long) in rows {
        println!("{what}");
        let mut gateway = narrow();
        change(&mut gateway);
        let packets = speech([CLIENT, UPLINK], 64);
        for at in [0, 1] {
            if is_long[at] {
                assert!(gateway.is_long(HOOKS[at], &packets[at]), "{what}, {:?}", HOOKS[at]);
            } else {
                gateway.remembering(HOOKS[at], &packets[at], 0);
            }
        }
    }
}

#[test]
fn a_wrong_header_or_a_last_hop_takes_the_long_way() {
    let mut gateway = narrow();
    for (what, at, value) in [("a wrong checksum", 10, 0), ("more fragments", 6, 0x20), ("an option", 0, 0x46)] {
        let mut packet = speech([CLIENT, UPLINK], 64)[0].clone();
        packet[at] = value;
        assert!(gateway.is_long(Hook::Lan, &packet), "{what}");
    }
    assert!(gateway.is_long(Hook::Lan, &speech([CLIENT, UPLINK], 1)[0]));
}

fn set_state(gateway: &mut Gateway, state: UplinkState) {
    let mut uplinks = gateway.array::<Uplink>("uplinks");
    let uplink = uplinks.get(&0, 0).unwrap();
    uplinks.set(0, Uplink { state: state as u32, ..uplink }, 0).unwrap();
}

fn set_link_header(gateway: &mut Gateway, link_header: u32) {
    for index in [gateway.lan, gateway.wan] {
        let mut interfaces = gateway.hash::<u32, Interface>("interfaces");
        let interface = interfaces.get(&index, 0).unwrap();
        interfaces.insert(index, Interface { link_header, ..interface }, 0).unwrap();
    }
}

/// Its packets come in by another interface of the LAN than its session's.
fn move_client(gateway: &mut Gateway) {
    let elsewhere = if_nametoindex("wan1").unwrap();
    let lan = gateway.lan;
    let mut interfaces = gateway.hash::<u32, Interface>("interfaces");
    let interface = interfaces.get(&lan, 0).unwrap();
    interfaces.insert(elsewhere, interface, 0).unwrap();
    gateway.lan = elsewhere;
}
