//! What the world sends that no session awaits: TC and XDP refuse the same, and leave the same alone.

use std::net::{Ipv6Addr, UdpSocket};

use thulium_ebpf::abi::{Reason, Reason::*};

use crate::{
    gateway::{Action, GOVERNED, Gateway, Hook},
    network,
    refused::Refused,
    traffic::*,
};

const BOTH: [Hook; 2] = [Hook::Uplink, Hook::UplinkXdp];

/// A gateway on which a phone has a session: the phone's port is mapped, outside too.
fn with_session() -> Gateway {
    let mut gateway = Gateway::new();
    gateway.admits(Hook::Lan, &sip_out());
    gateway
}

#[test]
fn broken_headers_are_malformed() {
    let ip = Ipv4::new(SERVER, UPLINK);
    let udp = || sip_in();
    let tcp = || web_in(ACK);
    let rows: [(&str, Vec<u8>); 15] = [
        ("version 5", edited(udp(), |packet| packet[0] = 0x55)),
        ("header of 16 bytes", edited(udp(), |packet| packet[0] = 0x44)),
        ("header beyond the packet", edited(ip.raw(17, &[]), |packet| packet[0] = 0x46)),
        ("total length beyond the frame", edited(udp(), |packet| packet[3] += 1)),
        ("total length within the header", edited(udp(), |packet| packet[3] = 19)),
        ("wrong header checksum", {
            let mut packet = udp();
            packet[10] ^= 1;
            packet
        }),
        ("UDP header cut short", ip.raw(17, &udp()[20..27])),
        ("UDP length within its header", ip.udp_of_length(SIP_PORT, PHONE_PORT, b"200 OK", 7)),
        ("UDP length beyond the datagram", ip.udp_of_length(SIP_PORT, PHONE_PORT, b"200 OK", 15)),
        ("TCP header cut short", ip.raw(6, &tcp()[20..39])),
        ("TCP data offset within its header", edited(tcp(), |packet| packet[32] = 4 << 4)),
        ("TCP data offset beyond the segment", edited(tcp(), |packet| packet[32] = 6 << 4)),
        ("UDP from port 0", ip.udp(0, PHONE_PORT, b"200 OK")),
        ("UDP to port 0", ip.udp(SIP_PORT, 0, b"200 OK")),
        ("TCP to port 0", ip.tcp(443, 0, ACK)),
    ];
    refuse_all(rows.map(|(name, packet)| (name, packet, Malformed)));
}

#[test]
fn a_mapped_port_answers_to_its_sessions_only() {
    let ip = Ipv4::new(STRANGER, UPLINK);
    refuse_all([
        ("another remote", ip.udp(SIP_PORT, PHONE_PORT, b""), NoSession),
        ("another port of the remote", Ipv4::new(SERVER, UPLINK).udp(15061, PHONE_PORT, b""), NoSession),
        ("a first fragment", ip.fragment(7, 0, true).udp(SIP_PORT, PHONE_PORT, b""), NoSession),
        ("IP options", Ipv4::new(SERVER, UPLINK).options(&[1; 4]).udp(SIP_PORT, PHONE_PORT, b""), IpOptions),
    ]);
}

#[test]
fn nothing_goes_straight_to_a_client() {
    let ip = Ipv4::new(SERVER, CLIENT);
    let echo = [8, 0, 0xf7, 0xff, 0, 0, 0, 0];
    refuse_all([
        ("UDP", ip.udp(SIP_PORT, PHONE_PORT, b"200 OK"), Unsolicited),
        ("TCP", ip.tcp(443, 50000, SYN), Unsolicited),
        ("ICMP", ip.raw(1, &echo), Unsolicited),
        ("IP options", Ipv4::new(SERVER, CLIENT).options(&[1; 4]).udp(SIP_PORT, PHONE_PORT, b""), IpOptions),
        ("GRE", ip.raw(47, &[0; 8]), UnknownProtocol),
        ("a later fragment", Ipv4::new(SERVER, CLIENT).fragment(7, 1480, false).raw(17, &[0; 8]), FragmentNoState),
        ("IPv6", ipv6_udp(V6_STRANGER, V6_CLIENT, SIP_PORT, PHONE_PORT, b"200 OK"), Ipv6Unsupported),
    ]);
}

#[test]
fn what_is_the_gateways_own_is_left_alone() {
    let ip = Ipv4::new(STRANGER, UPLINK);
    let rows: [(&str, Vec<u8>); 10] = [
        ("a port without a mapping", ip.udp(53, 40001, b"")),
        ("the mapped port's number, but TCP", ip.tcp(443, PHONE_PORT, SYN)),
        ("ICMP", ip.raw(1, &[8, 0, 0xf7, 0xff, 0, 0, 0, 0])),
        ("a tunnel", ip.raw(47, &[0; 8])),
        ("IP options", Ipv4::new(STRANGER, UPLINK).options(&[1; 4]).udp(53, 40001, b"")),
        ("a later fragment", Ipv4::new(STRANGER, UPLINK).fragment(7, 1480, false).raw(17, &[0; 8])),
        ("a host of the LAN that is no client", Ipv4::new(STRANGER, PRINTER).udp(53, 40001, b"")),
        ("IPv6 to the gateway", ipv6_udp(V6_STRANGER, V6_GATEWAY, 53, 40001, b"")),
        ("IPv6 from nowhere to nowhere", ipv6_udp(V6_STRANGER, V6_STRANGER, 53, 40001, b"")),
        ("neighbour discovery", ipv6_udp(V6_STRANGER, V6_ALL_NODES, 53, 40001, b"")),
    ];
    let mut gateway = with_session();
    for (name, packet) in &rows {
        eprintln!("{name}");
        for hook in BOTH {
            gateway.passes(hook, packet, 0);
        }
    }
}

#[test]
fn other_link_protocols_are_left_alone() {
    let mut tagged = vec![0, 100, 8, 0];
    tagged.extend(Ipv4::new(STRANGER, UPLINK).udp(SIP_PORT, PHONE_PORT, b""));
    let mut gateway = with_session();
    for (name, frame) in [("ARP", frame(0x0806, &[0; 28])), ("VLAN 100", frame(0x8100, &tagged))] {
        for hook in BOTH {
            let ran = gateway.send_frame(hook, &frame);
            assert_eq!((ran.action, &ran.packet[..]), (Action::Pass, &frame[14..]), "{name}, {hook:?}");
        }
    }
    assert_eq!(gateway.take_refused(), []);
}

#[test]
fn a_reply_of_a_session_goes_up_to_tc() {
    let mut gateway = with_session();
    gateway.passes(Hook::UplinkXdp, &sip_in(), 0);
    gateway.admits(Hook::Uplink, &sip_in());
}

#[test]
fn a_socket_of_the_gateway_gets_its_packets_even_on_a_mapped_port() {
    let mut gateway = with_session();
    let packet = Ipv4::new(STRANGER, UPLINK).udp(53, PHONE_PORT, b"");
    for hook in BOTH {
        gateway.refuses(hook, &packet, Refused::new(NoSession));
    }
    let _socket = UdpSocket::bind((UPLINK, PHONE_PORT)).unwrap();
    for hook in BOTH {
        gateway.passes(hook, &packet, 0);
    }
}

/// Each packet is refused by both hooks, for this reason and counted once.
fn refuse_all<const N: usize>(rows: [(&str, Vec<u8>, Reason); N]) {
    let mut gateway = with_session();
    for (name, packet, reason) in rows {
        eprintln!("{name}");
        for hook in BOTH {
            gateway.refuses(hook, &packet, Refused::new(reason));
        }
    }
}

#[test]
fn what_is_larger_than_the_lans_mtu_is_refused_all_the_same() {
    // With the client's neighbour known, the kernel's answer to "which way?" is another one: too large for it.
    let mut gateway = with_session();
    network::add_neighbour(CLIENT.into());
    let large = Ipv4::new(STRANGER, CLIENT).udp(53, PHONE_PORT, &[7; 1600]);
    for hook in BOTH {
        gateway.refuses(hook, &large, Refused::new(Unsolicited));
    }
    gateway.passes(Hook::Lan, &Ipv4::new(CLIENT, STRANGER).udp(PHONE_PORT, 53, &[7; 1600]), GOVERNED);
}

const V6_GATEWAY: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x20, 0, 0, 0, 0, 1);
const V6_CLIENT: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x20, 0, 0, 0, 0, 10);
const V6_STRANGER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x99, 0, 0, 0, 0, 1);
const V6_ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

#[test]
fn padding_of_a_refused_short_frame_is_not_counted() {
    let mut gateway = Gateway::new();
    let packet = Ipv4::new(STRANGER, CLIENT).udp(4000, 4000, b"");
    let padded = [packet.as_slice(), &[0; 18]].concat();
    gateway.send(Hook::Uplink, &padded);
    assert_eq!(gateway.take_refused(), [Refused::new(Reason::Unsolicited).counted(Hook::Uplink, &packet)]);
}
