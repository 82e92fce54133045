//! The guard: what leaves by the uplink.

use thulium_ebpf::abi::Reason;

use crate::{
    gateway::{Action, GOVERNED, Gateway, Hook, Ran, SETTLED, TRANSLATED},
    maps::{SIP, WEB},
    refused::Refused,
    traffic::*,
};

#[test]
fn a_clients_packet_that_the_kernel_forwarded_is_refused_with_its_reason() {
    let mut gateway = Gateway::new();
    let ip = Ipv4::new(CLIENT, SERVER);
    let rows: [(&str, Vec<u8>, Refused); 9] = [
        ("a port of no flow", ip.udp(PHONE_PORT, 53, b""), Refused::new(Reason::NoFlow)),
        (
            "a host of no flow",
            Ipv4::new(CLIENT, STRANGER).tcp(50000, 443, SYN),
            Refused::of_flow(Reason::AddressUnknown, WEB),
        ),
        ("ICMP", ip.raw(1, &[8, 0, 0xf7, 0xff, 0, 0, 0, 0]), Refused::new(Reason::NoFlow)),
        (
            "IP options",
            Ipv4::new(CLIENT, SERVER).options(&[1; 4]).udp(PHONE_PORT, SIP_PORT, b""),
            Refused::new(Reason::IpOptions),
        ),
        ("GRE", ip.raw(47, &[0; 8]), Refused::new(Reason::UnknownProtocol)),
        (
            "a later fragment",
            Ipv4::new(CLIENT, SERVER).fragment(7, 1480, false).raw(17, &[0; 8]),
            Refused::new(Reason::FragmentNoState),
        ),
        ("TCP without a session", web_out(ACK), Refused::of_flow(Reason::TcpNotSyn, WEB)),
        ("a broken header", edited(sip_out(), |packet| packet[0] = 0x44), Refused::new(Reason::Malformed)),
        (
            "IPv6",
            ipv6_udp([0x2001, 0xdb8, 0x20, 0, 0, 0, 0, 10].into(), [0x2001, 0, 0, 0, 0, 0, 0, 1].into(), 1, 2, b""),
            Refused::new(Reason::Ipv6Unsupported),
        ),
    ];
    for (name, packet, refused) in rows {
        eprintln!("{name}");
        gateway.refuses(Hook::Guard, &packet, refused);
        // The same from the gateway itself is its own affair.
        gateway.passes(Hook::GuardOwn, &packet, 0);
    }
}

#[test]
fn what_was_translated_leaves_as_it_is_past_two_guards_even() {
    let mut gateway = Gateway::new();
    let packet = Ipv4::new(UPLINK, SERVER).udp(PHONE_PORT, SIP_PORT, b"");
    let ran = gateway.send_marked(Hook::Guard, &packet, TRANSLATED | 0x42);
    assert_eq!(ran, Ran { action: Action::Pass, packet: packet.clone(), mark: TRANSLATED | 0x42 });
    let again = gateway.send_marked(Hook::Guard, &packet, ran.mark);
    assert_eq!(again, ran);
    assert_eq!(gateway.take_refused(), []);
}

#[test]
fn an_admitted_packet_that_the_kernel_forwarded_is_translated_here() {
    // The kernel has taken its hop already.
    let mut gateway = Gateway::new();
    let packet = Ipv4::new(CLIENT, SERVER).ttl(63).udp(PHONE_PORT, SIP_PORT, b"INVITE");
    let ran = gateway.send_marked(Hook::Guard, &packet, GOVERNED | 0x42);
    let expected = Ipv4::new(UPLINK, SERVER).ttl(63).udp(PHONE_PORT, SIP_PORT, b"INVITE");
    assert_eq!(ran, Ran { action: Action::Pass, packet: expected, mark: TRANSLATED | 0x42 });
    assert_eq!(gateway.take_refused(), []);
    gateway.translates(
        Hook::Uplink,
        &Ipv4::new(SERVER, UPLINK).udp(SIP_PORT, PHONE_PORT, b"ringing"),
        &Ipv4::new(SERVER, CLIENT).ttl(63).udp(SIP_PORT, PHONE_PORT, b"ringing"),
    );
}

#[test]
fn a_clients_packet_that_another_nat_translated_is_refused() {
    let mut gateway = Gateway::new();
    let rows = [
        ("of a flow", SERVER, SIP_PORT, Refused::of_flow(Reason::ForeignNat, SIP)),
        ("of none", STRANGER, 53, Refused::new(Reason::NoFlow)),
    ];
    for (name, remote, port, refused) in rows {
        let packet = Ipv4::new(UPLINK, remote).udp(PHONE_PORT, port, b"");
        let ran = gateway.send_marked(Hook::Guard, &packet, GOVERNED);
        assert_eq!((ran.action, &ran.packet), (Action::Drop, &packet), "{name}");
        assert_eq!(gateway.take_refused(), [refused.counted(Hook::Guard, &packet)], "{name}");
    }
}

#[test]
fn who_is_no_client_leaves_as_the_kernel_sent_it() {
    let mut gateway = Gateway::new();
    gateway.passes(Hook::Guard, &Ipv4::new(PRINTER, STRANGER).udp(PHONE_PORT, 53, b""), 0);
    let masqueraded = Ipv4::new(UPLINK, STRANGER).udp(PHONE_PORT, 53, b"");
    let ran = gateway.send_marked(Hook::Guard, &masqueraded, SETTLED);
    assert_eq!(ran, Ran { action: Action::Pass, packet: masqueraded, mark: SETTLED });
    let arp = gateway.send_frame(Hook::Guard, &frame(0x0806, &[0; 28]));
    assert_eq!(arp.action, Action::Pass, "ARP");
}

#[test]
fn the_reply_to_the_kernels_own_nat_gets_through_a_mapped_port() {
    let mut gateway = Gateway::new();
    gateway.admits(Hook::Lan, &sip_out());
    let reply = Ipv4::new(STRANGER, UPLINK).udp(53, PHONE_PORT, b"");
    gateway.refuses(Hook::Uplink, &reply, Refused::new(Reason::NoSession));
    // A printer's query, masqueraded by the kernel to the port that the phone has from us.
    let query = Ipv4::new(UPLINK, STRANGER).udp(PHONE_PORT, 53, b"");
    assert_eq!(gateway.send_marked(Hook::Guard, &query, SETTLED).action, Action::Pass);
    for hook in [Hook::Uplink, Hook::UplinkXdp] {
        gateway.passes(hook, &reply, 0);
        let other = Ipv4::new(STRANGER, UPLINK).udp(54, PHONE_PORT, b"");
        gateway.refuses(hook, &other, Refused::new(Reason::NoSession));
    }
}

#[test]
fn a_masqueraded_packet_whose_mark_is_gone_may_be_anybodys() {
    let mut gateway = Gateway::new();
    let packet = Ipv4::new(UPLINK, SERVER).udp(PHONE_PORT, SIP_PORT, b"");
    gateway.refuses(Hook::Guard, &packet, Refused::of_flow(Reason::ForeignNat, SIP));
}

#[test]
fn the_kernels_own_nat_never_shares_a_sessions_endpoint() {
    let mut gateway = Gateway::new();
    gateway.admits(Hook::Lan, &sip_out());
    // A printer's packet, masqueraded to the phone's external endpoint: the server would answer it to the phone.
    let packet = Ipv4::new(UPLINK, SERVER).udp(PHONE_PORT, SIP_PORT, b"");
    assert_eq!(gateway.send_marked(Hook::Guard, &packet, SETTLED).action, Action::Drop);
    assert_eq!(gateway.take_refused(), [Refused::new(Reason::ForeignNat).counted(Hook::Guard, &packet)]);
}

#[test]
fn the_world_opens_nothing_through_the_uplink_by_which_it_came() {
    let mut gateway = Gateway::new();
    gateway.refuses(Hook::GuardBack, &sip_out(), Refused::new(Reason::SpoofedSource));
    gateway.passes(Hook::GuardBack, &Ipv4::new(STRANGER, SERVER).udp(1, 2, b""), 0);
    assert_eq!(gateway.sizes(), [0; 4]);
}
