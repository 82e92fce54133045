//! A new policy and a new uplink address, in the middle of a session.

use std::net::Ipv4Addr;

use thulium_ebpf::abi::{Reason, Settings, Side, Verdict};

use crate::{
    gateway::{Action, Gateway, Hook},
    maps::{FLOWS, MEDIA, SIP, WEB},
    refused::Refused,
    traffic::*,
};

#[test]
fn a_session_that_the_new_policy_allows_lives_on() {
    for (hook, packet) in [(Hook::Lan, sip_out()), (Hook::Uplink, sip_in())] {
        let mut gateway = Gateway::new();
        gateway.admits(Hook::Lan, &sip_out());
        let opened = gateway.flows_of(Side::Lan)[0].1.opened;
        gateway.publish(2, &FLOWS);
        gateway.admits(hook, &packet);
        assert_eq!(gateway.flows_of(Side::Lan)[0].1.opened, opened, "{hook:?}: it was opened anew");
    }
}

#[test]
fn a_session_that_the_new_policy_does_not_allow_is_refused_both_ways() {
    let mut gateway = Gateway::new();
    gateway.admits(Hook::Lan, &sip_out());
    gateway.admits(Hook::Lan, &web_out(SYN));
    let without_sip: Vec<_> = FLOWS.into_iter().filter(|flow| flow.0 != SIP).collect();
    gateway.publish(2, &without_sip);
    let refused = Refused::of_flow(Reason::PolicyChanged, SIP);
    gateway.refuses(Hook::Lan, &sip_out(), refused);
    gateway.refuses(Hook::Uplink, &sip_in(), refused);
    gateway.refuses(Hook::Guard, &sip_out(), refused);
    gateway.admits(Hook::Uplink, &web_in(SYN | ACK));
    // And back again.
    gateway.publish(3, &FLOWS);
    gateway.admits(Hook::Uplink, &sip_in());
}

/// Where refusals are spared, a session without its translation would be cut: it goes on, and is counted.
#[test]
fn a_session_that_is_spared_goes_on_as_it_was() {
    for (change, verdict) in [
        ((|settings| settings.audit = 1) as fn(&mut Settings), Verdict::WouldDrop),
        (|settings| settings.pass_unmatched = 1, Verdict::Pass),
    ] {
        let mut gateway = Gateway::new();
        let translated = gateway.admits(Hook::Lan, &sip_out());
        let without_sip: Vec<_> = FLOWS.into_iter().filter(|flow| flow.0 != SIP).collect();
        gateway.publish(2, &without_sip);
        gateway.set(change);
        let spared = Refused { verdict, ..Refused::of_flow(Reason::PolicyChanged, SIP) };
        let out = gateway.send(Hook::Lan, &sip_out());
        assert_eq!((out.action, out.packet), (Action::Redirect, translated), "{verdict:?}");
        assert_eq!(gateway.take_refused(), [spared.counted(Hook::Lan, &sip_out())], "once, at one hook");
        assert_eq!(gateway.send(Hook::Uplink, &sip_in()).action, Action::Redirect, "{verdict:?}");
        assert_eq!(gateway.take_refused(), [spared.counted(Hook::Uplink, &sip_in())]);
    }
}

#[test]
fn a_session_moves_to_the_flow_that_names_it_now() {
    let mut gateway = Gateway::new();
    gateway.admits(Hook::Lan, &sip_out());
    // MEDIA's slot with the port of SIP.
    let renamed = [FLOWS[0], (MEDIA, FLOWS[1].1, 17, SIP_PORT, 16)];
    gateway.publish(2, &renamed);
    gateway.admits(Hook::Lan, &sip_out());
    assert_eq!(gateway.flows_of(Side::Lan)[0].1.flow, MEDIA);
}

#[test]
fn a_session_does_not_depend_on_the_name_that_opened_it() {
    let mut gateway = Gateway::new();
    gateway.admits(Hook::Lan, &web_out(SYN));
    gateway.forget_remote(SERVER.into());
    gateway.publish(2, &FLOWS);
    gateway.admits(Hook::Uplink, &web_in(SYN | ACK));
    gateway.admits(Hook::Lan, &web_out(ACK));
    assert_eq!(gateway.flows_of(Side::Lan)[0].1.flow, WEB);
    // A new one would not be opened.
    gateway.refuses(Hook::Guard, &sip_out(), Refused::of_flow(Reason::AddressUnknown, SIP));
}

#[test]
fn a_session_of_a_lost_address_is_absent_and_the_client_opens_another() {
    let address = Ipv4Addr::new(198, 51, 100, 2);
    let mut gateway = Gateway::new();
    gateway.admits(Hook::Lan, &sip_out());
    gateway.set_uplink(address.into(), 2);
    for hook in [Hook::Uplink, Hook::UplinkXdp] {
        gateway.refuses(hook, &sip_in(), Refused::new(Reason::NoSession));
    }
    gateway.translates(
        Hook::Lan,
        &Ipv4::new(CLIENT, SERVER).udp(PHONE_PORT, SIP_PORT, b"REGISTER"),
        &Ipv4::new(address, SERVER).ttl(63).udp(PHONE_PORT, SIP_PORT, b"REGISTER"),
    );
    gateway.translates(
        Hook::Uplink,
        &Ipv4::new(SERVER, address).udp(SIP_PORT, PHONE_PORT, b"200 OK"),
        &Ipv4::new(SERVER, CLIENT).ttl(63).udp(SIP_PORT, PHONE_PORT, b"200 OK"),
    );
    assert_eq!(gateway.sizes(), [2, 1, 1, 1], "something of the old session is still there");
}

#[test]
fn the_sweeper_removes_what_a_lost_address_left() {
    let mut gateway = Gateway::new();
    gateway.admits(Hook::Lan, &sip_out());
    gateway.set_uplink(Ipv4Addr::new(198, 51, 100, 2).into(), 2);
    gateway.sweep();
    assert_eq!(gateway.sizes(), [0; 4]);
}
