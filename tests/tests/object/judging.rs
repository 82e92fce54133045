//! Which flow of the policy names a packet.

use thulium_ebpf::abi::{Reason, Side};

use crate::{
    gateway::{GOVERNED, Gateway, Hook},
    maps::{FLOWS, Flow, MEDIA, SERVER_HOST, SIP, STUN_HOST, now},
    refused::Refused,
    traffic::*,
};

/// Thirty-two ports, 15060 among them.
const WIDE: Flow = (MEDIA, SERVER_HOST, 17, 15040, 11);
/// 15060 alone.
const NARROW: Flow = (SIP, SERVER_HOST, 17, SIP_PORT, 16);

/// The slot of the flow that the phone's first packet belongs to.
fn flow_of_sip(gateway: &mut Gateway) -> u8 {
    gateway.admits(Hook::Lan, &sip_out());
    gateway.flows_of(Side::Lan)[0].1.flow
}

#[test]
fn the_first_flow_of_the_policy_that_matches_names_the_packet() {
    for (flows, expected) in [([WIDE, NARROW], MEDIA), ([NARROW, WIDE], SIP)] {
        let mut gateway = Gateway::new();
        gateway.publish(2, &flows);
        assert_eq!(flow_of_sip(&mut gateway), expected, "{flows:?}");
        gateway.admits(Hook::Lan, &Ipv4::new(CLIENT, SERVER).udp(10000, 15071, b""));
    }
}

#[test]
fn the_last_of_64_flows_counts() {
    let mut flows = vec![WIDE; 64];
    for (position, flow) in flows.iter_mut().enumerate() {
        *flow = (position as u8, STUN_HOST, 17, 30000 + position as u16, 16);
    }
    flows[63] = (63, SERVER_HOST, 17, SIP_PORT, 16);
    let mut gateway = Gateway::new();
    gateway.publish(2, &flows);
    assert_eq!(flow_of_sip(&mut gateway), 63);
}

#[test]
fn an_address_that_two_hosts_name_is_open_to_the_flows_of_both() {
    let mut gateway = Gateway::new();
    gateway.set_remote(SERVER.into(), 1 << SERVER_HOST | 1 << STUN_HOST, u64::MAX);
    gateway.admits(Hook::Lan, &sip_out());
    gateway.admits(Hook::Lan, &Ipv4::new(CLIENT, SERVER).udp(PHONE_PORT, 19302, b"STUN"));
}

#[test]
fn an_address_that_has_run_out_admits_no_new_session_and_keeps_the_old() {
    let mut gateway = Gateway::new();
    gateway.admits(Hook::Lan, &sip_out());
    gateway.set_remote(SERVER.into(), 1 << SERVER_HOST, now());
    gateway.admits(Hook::Lan, &sip_out());
    let another = Ipv4::new(CLIENT_2, SERVER).udp(PHONE_PORT, SIP_PORT, b"");
    gateway.passes(Hook::Lan, &another, GOVERNED);
    gateway.refuses(Hook::Guard, &another, Refused::of_flow(Reason::AddressExpired, SIP));
}

#[test]
fn an_unfinished_generation_judges_nothing() {
    // Another generation's vectors are in the same maps while it is being written.
    let mut gateway = Gateway::new();
    gateway.publish(3, &[(SIP, SERVER_HOST, 17, 9999, 16)]);
    gateway.publish(2, &FLOWS);
    gateway.admits(Hook::Lan, &sip_out());
    gateway.passes(Hook::Lan, &Ipv4::new(CLIENT, SERVER).udp(PHONE_PORT, 9999, b""), GOVERNED);
}
