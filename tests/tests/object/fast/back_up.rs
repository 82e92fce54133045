//! What goes up: each row is a packet, or a state, that differs by one thing from what takes the short way.

use anyhow::ensure;
use thulium_ebpf::abi::{Address4, FlowEntry, Side, Uplink, UplinkState};
use thulium_tests::lab::eventually;

use super::*;
use crate::maps::{FLOWS, SERVER_HOST, SIP, TCP_IDLE, UDP_IDLE, WEB};

/// A packet of the phone's session.
fn speech(ip: &Ipv4) -> Vec<u8> {
    ip.udp(PHONE_PORT, SIP_PORT, b"REGISTER")
}

#[test]
fn packets_of_a_session_that_are_not_ordinary() {
    let gateway = with_session();
    let out = Ipv4::new(CLIENT, SERVER);
    let long = [0; 1473];
    let rows: [(&str, Vec<u8>); 8] = [
        ("its last hop", speech(&out.clone().ttl(1))),
        ("options", speech(&out.clone().options(&[1, 1, 1, 1]))),
        ("a first fragment", speech(&out.clone().fragment(7, 0, true))),
        ("larger than the way's MTU", out.udp(PHONE_PORT, SIP_PORT, &long)),
        ("cut in UDP", out.udp_of_length(PHONE_PORT, SIP_PORT, b"speech, and more", 8 + 6)),
        ("another protocol", out.raw(1, &[8, 0, 0xf7, 0xff, 0, 0, 0, 0])),
        ("another destination port", out.udp(PHONE_PORT, SIP_PORT + 1, b"INVITE")),
        ("another destination", Ipv4::new(CLIENT, STRANGER).udp(PHONE_PORT, SIP_PORT, b"INVITE")),
    ];
    for (what, packet) in rows {
        println!("{what}");
        assert!(!gateway.takes(Hook::LanXdp, &packet), "{what}");
        assert!(gateway.takes(Hook::LanXdp, &speech(&out)));
    }
}

#[test]
fn a_datagram_without_room_for_its_header_is_refused() {
    let gateway = with_session();
    assert!(gateway.takes(Hook::LanXdp, &sip_out()));
    // Its ports, and in the padding behind it the length that the packet has for it.
    let ports = [PHONE_PORT, SIP_PORT].map(u16::to_be_bytes).concat();
    let mut padded = framed(&Ipv4::new(CLIENT, SERVER).raw(17, &ports));
    padded.extend([0, 4, 0, 0]);
    padded.resize(60, 0);
    for _ in 0..8 {
        assert_eq!(gateway.hand(Hook::LanXdp, &padded), (Action::Drop, padded.clone()));
    }
}

#[test]
fn segments_that_change_what_is_known_of_their_connection() {
    let gateway = with_connection();
    for (hook, segment) in [(Hook::LanXdp, web_out as fn(u8) -> Vec<u8>), (Hook::UplinkXdp, web_in)] {
        for flags in [SYN, SYN | ACK, FIN | ACK, RST, RST | ACK] {
            assert!(!gateway.takes(hook, &segment(flags)), "{hook:?}: {flags:#04x}");
        }
        assert!(gateway.takes(hook, &segment(ACK)) && gateway.takes(hook, &segment(ACK | 0x08)), "{hook:?}");
    }
}

#[test]
fn frames_that_are_not_for_the_interface_itself() {
    let gateway = with_session();
    let frame = framed(&sip_out());
    let mut other = frame.clone();
    other[5] ^= 1;
    let mut everybody = frame.clone();
    everybody[..6].fill(0xff);
    let tagged = [&frame[..12], &[0x81, 0, 0, 7], &frame[12..]].concat();
    for (what, changed) in [("another station's", other), ("everybody's", everybody), ("of a VLAN", tagged)] {
        assert!(!gateway.takes_frame(Hook::LanXdp, &changed), "{what}");
    }
    assert!(gateway.takes_frame(Hook::LanXdp, &frame));
}

#[test]
fn a_frame_in_several_buffers() {
    let mut gateway = with_session();
    ip("link set lan0 mtu 9000");
    ip("link set wan0 mtu 9000");
    let packet = Ipv4::new(CLIENT, SERVER).udp(PHONE_PORT, SIP_PORT, &[7; 6000]);
    assert!(!gateway.takes(Hook::LanXdp, &packet));
    // Nor is it refused, whatever the part says that can be read.
    let stranger = Ipv4::new(STRANGER, UPLINK).udp(SIP_PORT, PHONE_PORT, &[7; 6000]);
    assert!(!gateway.takes(Hook::UplinkXdp, &stranger));
    assert_eq!(gateway.take_refused(), []);
}

#[test]
fn dns_whose_replies_teach_names() {
    let mut gateway = gateway();
    gateway.publish(2, &[(SIP, SERVER_HOST, 17, 53, 16), (WEB, SERVER_HOST, 6, 53, 16)]);
    let query = Ipv4::new(CLIENT, SERVER).udp(PHONE_PORT, 53, b"query");
    let reply = Ipv4::new(SERVER, UPLINK).udp(53, PHONE_PORT, b"reply");
    gateway.admits(Hook::Lan, &query);
    gateway.admits(Hook::Uplink, &reply);
    assert!(!gateway.takes(Hook::LanXdp, &query) && !gateway.takes(Hook::UplinkXdp, &reply));
}

/// What is done to a gateway with a session; and on which sides its packets go up then.
type State = (&'static str, fn(&mut Gateway), [bool; 2]);

#[test]
fn packets_of_a_session_that_is_not_steady() {
    let rows: [State; 12] = [
        ("nothing", |_| {}, [false, false]),
        (
            "the first uplink is lost",
            |gateway| gateway.change(|uplink| uplink.state = UplinkState::Lost as u32),
            [true, false],
        ),
        (
            "clients wait for it",
            |gateway| gateway.change(|uplink| uplink.state = UplinkState::Held as u32),
            [true, false],
        ),
        ("another epoch", |gateway| gateway.set_uplink(UPLINK.into(), 2), [true, true]),
        ("another generation", |gateway| gateway.publish(2, &FLOWS), [true, true]),
        (
            "stale",
            |gateway| {
                gateway.age(Side::Lan, UDP_IDLE + 2);
                gateway.age(Side::Uplink, UDP_IDLE + 2);
            },
            [true, true],
        ),
        ("stale by its own last packet", |gateway| gateway.age(Side::Lan, UDP_IDLE + 2), [true, false]),
        ("its hellos are awaited", |gateway| gateway.change_flows(|entry| entry.watched = 1), [true, true]),
        ("nothing comes in at the LAN for XDP", |gateway| gateway.close_station(true), [true, true]),
        ("nothing comes in at the uplink for XDP", |gateway| gateway.close_station(false), [true, true]),
        ("the neighbour is not known", |_| ip("neigh del 198.51.100.254 dev wan0"), [true, false]),
        ("the client is not known", |_| ip("neigh del 192.168.20.10 dev lan0"), [false, true]),
    ];
    for (what, change, goes_up) in rows {
        println!("{what}");
        let mut gateway = with_session();
        change(&mut gateway);
        if what.ends_with("is not known") {
            // The next hop holds for a moment.
            let (hook, packet) = if goes_up[0] { (Hook::LanXdp, sip_out()) } else { (Hook::UplinkXdp, sip_in()) };
            eventually(what, || {
                ensure!(!gateway.takes(hook, &packet));
                Ok(())
            })
            .unwrap();
        }
        let taken = [(Hook::LanXdp, sip_out()), (Hook::UplinkXdp, sip_in())].map(|(hook, packet)| match what {
            // Then it is nobody's, and the uplink refuses it.
            "stale" | "another epoch" if hook == Hook::UplinkXdp => {
                gateway.hand(hook, &framed(&packet)).0 == Action::Redirect
            }
            _ => gateway.takes(hook, &packet),
        });
        assert_eq!(taken.map(|taken| !taken), goes_up, "{what}");
    }
}

#[test]
fn a_connection_that_is_closing() {
    let mut gateway = with_connection();
    assert!(gateway.takes(Hook::LanXdp, &web_out(ACK)) && gateway.takes(Hook::UplinkXdp, &web_in(ACK)));
    gateway.admits(Hook::Uplink, &web_in(FIN | ACK));
    assert!(!gateway.takes(Hook::LanXdp, &web_out(ACK)) && !gateway.takes(Hook::UplinkXdp, &web_in(ACK)));
}

#[test]
fn a_connection_that_was_reset_until_it_shows_life() {
    let mut gateway = with_connection();
    gateway.admits(Hook::Uplink, &web_in(RST));
    assert!(!gateway.takes(Hook::LanXdp, &web_out(ACK)));
    gateway.admits(Hook::Lan, &web_out(ACK));
    assert!(gateway.takes(Hook::LanXdp, &web_out(ACK)));
}

#[test]
fn a_connection_lives_as_long_as_connections_do() {
    let mut gateway = with_connection();
    gateway.age(Side::Lan, UDP_IDLE + 2);
    assert!(gateway.takes(Hook::LanXdp, &web_out(ACK)));
    gateway.age(Side::Lan, TCP_IDLE + 2);
    assert!(!gateway.takes(Hook::LanXdp, &web_out(ACK)));
}

#[test]
fn a_client_that_moved_to_another_interface_of_the_lan() {
    let mut gateway = with_session();
    let elsewhere = gateway.wan1;
    gateway.set_station(elsewhere, 1);
    let frame = framed(&sip_out());
    for _ in 0..8 {
        let (action, after) = gateway.run_xdp("lan_xdp", elsewhere, &frame);
        assert_eq!((action, after), (Action::Pass, frame.clone()));
    }
}

#[test]
fn a_new_generation_is_honoured_and_admits_it_anew_in_tc() {
    for (xdp, tc, packet) in [(Hook::LanXdp, Hook::Lan, sip_out()), (Hook::UplinkXdp, Hook::Uplink, sip_in())] {
        let mut gateway = with_session();
        gateway.publish(2, &FLOWS);
        assert!(!gateway.takes(xdp, &packet), "{xdp:?}: nobody has judged it");
        gateway.admits(tc, &packet);
        assert!(gateway.takes(xdp, &packet), "{xdp:?}");
    }
}

#[test]
fn audit_mode_forwards_what_is_admitted() {
    let mut gateway = with_session();
    gateway.set(|settings| settings.audit = 1);
    assert!(gateway.takes(Hook::LanXdp, &sip_out()) && gateway.takes(Hook::UplinkXdp, &sip_in()));
}

#[test]
fn ipv6_that_is_not_ordinary() {
    let mut gateway = gateway();
    gateway.govern_ipv6(CLIENTS6.into(), SERVER6.into());
    let out = Ipv6::new(CLIENT6, SERVER6);
    let packet = out.udp(PHONE_PORT, SIP_PORT, b"REGISTER");
    gateway.admits(Hook::Lan, &packet);
    let mut last_hop = packet.clone();
    last_hop[7] = 1;
    let options = out.clone().extension(60, &[0, 1, 4, 0, 0, 0, 0]).udp(PHONE_PORT, SIP_PORT, b"REGISTER");
    let fragment = out.fragment(7, 0, true).udp(PHONE_PORT, SIP_PORT, b"REGISTER");
    for (what, changed) in [("its last hop", last_hop), ("options", options), ("a fragment", fragment)] {
        assert!(!gateway.takes(Hook::LanXdp, &changed), "{what}");
    }
    assert!(gateway.takes(Hook::LanXdp, &packet));
}

impl Gateway {
    fn close_station(&mut self, is_lan: bool) {
        self.set_station(if is_lan { self.lan } else { self.wan }, 0);
    }

    fn change(&mut self, change: fn(&mut Uplink)) {
        let mut uplinks = self.array::<Uplink>("uplinks");
        let mut uplink = uplinks.get(&0, 0).unwrap();
        change(&mut uplink);
        uplinks.set(0, uplink, 0).unwrap();
    }

    fn change_flows(&mut self, change: fn(&mut FlowEntry<Address4>)) {
        for (key, mut entry) in self.flows() {
            change(&mut entry);
            self.set_flow(key, entry);
        }
    }
}
