//! What clients send that is not admitted: refused, or left to the kernel with a mark for the guard.

use thulium_ebpf::abi::Reason;

use crate::{
    gateway::{Action, GOVERNED, Gateway, Hook, Ran, SETTLED},
    maps::WEB,
    refused::Refused,
    traffic::*,
};

#[test]
fn broken_headers_of_clients_are_refused_by_both_hooks() {
    let mut gateway = Gateway::new();
    let rows: [(&str, Vec<u8>); 4] = [
        ("header of 16 bytes", edited(sip_out(), |packet| packet[0] = 0x44)),
        ("UDP length within its header", Ipv4::new(CLIENT, SERVER).udp_of_length(PHONE_PORT, SIP_PORT, b"", 7)),
        ("TCP data offset within its header", edited(web_out(SYN), |packet| packet[32] = 4 << 4)),
        ("from port 0", Ipv4::new(CLIENT, SERVER).udp(0, SIP_PORT, b"")),
    ];
    for (name, packet) in &rows {
        eprintln!("{name}");
        for hook in [Hook::Lan, Hook::LanXdp] {
            gateway.refuses(hook, packet, Refused::new(Reason::Malformed));
        }
    }
}

#[test]
fn a_source_that_no_route_leads_back_to_is_spoofed() {
    let mut gateway = Gateway::new();
    let spoofed = Refused::new(Reason::SpoofedSource);
    for source in [STRANGER, UPLINK, LAN_GATEWAY] {
        eprintln!("{source}");
        gateway.refuses(Hook::Lan, &Ipv4::new(source, SERVER).udp(PHONE_PORT, SIP_PORT, b""), spoofed);
    }
    // XDP refuses it where it has to look closer anyway, under the same name as TC.
    let broken = edited(Ipv4::new(STRANGER, SERVER).udp(PHONE_PORT, SIP_PORT, b""), |packet| packet[0] = 0x44);
    for hook in [Hook::Lan, Hook::LanXdp] {
        gateway.refuses(hook, &broken, spoofed);
    }
}

#[test]
fn who_is_no_client_is_left_alone() {
    let mut gateway = Gateway::new();
    let rows: [(&str, u32, Vec<u8>); 5] = [
        ("a printer", SETTLED, Ipv4::new(PRINTER, SERVER).udp(PHONE_PORT, SIP_PORT, b"")),
        (
            "a printer's broken packet",
            SETTLED,
            edited(Ipv4::new(PRINTER, SERVER).tcp(1, 2, SYN), |packet| packet[32] = 0),
        ),
        ("DHCP", 0, Ipv4::new([0; 4].into(), [255; 4].into()).udp(68, 67, b"")),
        ("multicast", 0, Ipv4::new(CLIENT, [224, 0, 0, 251].into()).udp(5353, 5353, b"")),
        ("IPv6", 0, ipv6_udp([0xfe80, 0, 0, 0, 0, 0, 0, 1].into(), [0x2001, 0, 0, 0, 0, 0, 0, 1].into(), 1, 2, b"")),
    ];
    for (name, mark, packet) in &rows {
        eprintln!("{name}");
        gateway.passes(Hook::Lan, packet, *mark);
        gateway.passes(Hook::LanXdp, packet, 0);
    }
    let ran = gateway.send_frame(Hook::Lan, &frame(0x0806, &[0; 28]));
    assert_eq!((ran.action, ran.mark), (Action::Pass, 0), "ARP");
}

#[test]
fn a_clients_packet_that_is_not_admitted_goes_up_marked_for_the_guard() {
    let mut gateway = Gateway::new();
    let ip = Ipv4::new(CLIENT, SERVER);
    let rows: [(&str, Vec<u8>); 9] = [
        ("a port of no flow", ip.udp(PHONE_PORT, 53, b"")),
        ("below the media ports", ip.udp(PHONE_PORT, 15999, b"")),
        ("above the media ports", ip.udp(PHONE_PORT, 16008, b"")),
        ("a flow's port, but TCP", ip.tcp(PHONE_PORT, SIP_PORT, SYN)),
        ("a flow's port of another host", Ipv4::new(CLIENT, STUN_SERVER).udp(PHONE_PORT, SIP_PORT, b"")),
        ("the gateway itself", Ipv4::new(CLIENT, LAN_GATEWAY).udp(PHONE_PORT, 53, b"")),
        ("IP options", Ipv4::new(CLIENT, SERVER).options(&[1; 4]).udp(PHONE_PORT, SIP_PORT, b"")),
        ("GRE", ip.raw(47, &[0; 8])),
        ("a later fragment", Ipv4::new(CLIENT, SERVER).fragment(7, 1480, false).raw(17, &[0; 8])),
    ];
    for (name, packet) in &rows {
        eprintln!("{name}");
        gateway.passes(Hook::Lan, packet, GOVERNED);
        gateway.passes(Hook::LanXdp, packet, 0);
    }
    assert_eq!(gateway.sizes(), [0; 4], "something opened a session");
}

#[test]
fn both_ends_of_the_media_ports_are_admitted() {
    let mut gateway = Gateway::new();
    for port in [16000, 16007] {
        gateway.admits(Hook::Lan, &Ipv4::new(CLIENT, SERVER).udp(10000, port, b"RTP"));
    }
    gateway.admits(Hook::Lan, &Ipv4::new(CLIENT, STUN_SERVER).udp(10000, 19302, b"STUN"));
}

#[test]
fn only_a_syn_opens_a_tcp_session() {
    let mut gateway = Gateway::new();
    for (flags, reason) in [
        (ACK, Reason::TcpNotSyn),
        (SYN | ACK, Reason::TcpNotSyn),
        (FIN | ACK, Reason::TcpNotSyn),
        (RST, Reason::TcpRstNoSession),
        (RST | ACK, Reason::TcpRstNoSession),
    ] {
        eprintln!("flags {flags:#x}");
        gateway.refuses(Hook::Lan, &web_out(flags), Refused::of_flow(reason, WEB));
        gateway.refuses(Hook::Guard, &web_out(flags), Refused::of_flow(reason, WEB));
    }
    gateway.admits(Hook::Lan, &web_out(SYN));
    gateway.admits(Hook::Lan, &web_out(ACK));
}

#[test]
fn a_frame_for_another_station_or_for_all_is_not_ours() {
    let mut gateway = Gateway::new();
    gateway.admits(Hook::Lan, &sip_out());
    let stations = [("another", [2, 0, 0, 0, 0, 0xfe]), ("multicast", [1, 0, 0x5e, 0, 0, 1]), ("broadcast", [0xff; 6])];
    for (name, station) in stations {
        for (hook, packet) in [(Hook::Lan, sip_out()), (Hook::Uplink, sip_in())] {
            let mut frame = frame(0x0800, &packet);
            frame[..6].copy_from_slice(&station);
            let ran = gateway.send_frame(hook, &frame);
            assert_eq!(ran, Ran { action: Action::Pass, packet, mark: 0 }, "{name}, {hook:?}");
        }
    }
}
