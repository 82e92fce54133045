//! Audit mode and `unmatched: pass`: TC counts what would be refused and lets it go, XDP leaves that to TC.

use thulium_ebpf::abi::{Reason, Verdict};

use crate::{
    gateway::{Action, Gateway, Hook, SETTLED},
    maps::WEB,
    refused::Refused,
    traffic::*,
};

/// A gateway with a phone's session on it that refuses nothing.
fn auditing() -> Gateway {
    let mut gateway = Gateway::new();
    gateway.admits(Hook::Lan, &sip_out());
    gateway.set(|settings| settings.audit = 1);
    gateway
}

/// Sends a packet that a hook has to count and let go as it is.
fn spares(gateway: &mut Gateway, hook: Hook, packet: &[u8], refused: Refused) {
    let ran = gateway.send(hook, packet);
    assert_eq!((ran.action, ran.packet.as_slice()), (Action::Pass, packet), "{refused:?}");
    assert_eq!(gateway.take_refused(), [refused.counted(hook, packet)]);
}

#[test]
fn audit_counts_in_tc_and_lets_go() {
    let mut gateway = auditing();
    let broken = edited(sip_in(), |packet| packet[0] = 0x44);
    let rows = [
        (Hook::Uplink, Ipv4::new(STRANGER, UPLINK).udp(53, PHONE_PORT, b""), Refused::new(Reason::NoSession)),
        (Hook::Uplink, Ipv4::new(STRANGER, CLIENT).udp(53, PHONE_PORT, b""), Refused::new(Reason::Unsolicited)),
        (Hook::Uplink, broken, Refused::new(Reason::Malformed)),
        (Hook::Lan, Ipv4::new(STRANGER, SERVER).udp(53, SIP_PORT, b""), Refused::new(Reason::SpoofedSource)),
        (Hook::Lan, web_out(ACK), Refused::of_flow(Reason::TcpNotSyn, WEB)),
        (Hook::Guard, Ipv4::new(CLIENT, STRANGER).udp(PHONE_PORT, 53, b""), Refused::new(Reason::NoFlow)),
    ];
    for (hook, packet, refused) in rows {
        spares(&mut gateway, hook, &packet, refused.spared(Verdict::WouldDrop));
    }
}

#[test]
fn xdp_leaves_the_counting_to_tc() {
    let stranger = Ipv4::new(STRANGER, CLIENT).udp(53, PHONE_PORT, b"");
    let broken = edited(sip_out(), |packet| packet[0] = 0x44);
    let mut gateway = auditing();
    gateway.passes(Hook::UplinkXdp, &stranger, 0);
    gateway.passes(Hook::LanXdp, &broken, 0);
    gateway.set(|settings| (settings.audit, settings.pass_unmatched) = (0, 1));
    gateway.passes(Hook::UplinkXdp, &stranger, 0);
    gateway.passes(Hook::LanXdp, &broken, 0);
}

#[test]
fn audit_counts_a_packet_once_on_its_way_through_both_hooks() {
    let mut gateway = auditing();
    let ran = gateway.send(Hook::Lan, &web_out(ACK));
    assert_eq!((ran.action, ran.mark), (Action::Pass, SETTLED));
    assert_eq!(gateway.take_refused().len(), 1);
    let ran = gateway.send_marked(Hook::Guard, &web_out(ACK), ran.mark);
    assert_eq!(ran.action, Action::Pass);
    assert_eq!(gateway.take_refused(), []);
}

#[test]
fn audit_still_translates_what_the_policy_admits() {
    let mut gateway = auditing();
    gateway.admits(Hook::Lan, &web_out(SYN));
    gateway.admits(Hook::Uplink, &web_in(SYN | ACK));
}

#[test]
fn unmatched_pass_spares_what_no_flow_names_and_nothing_else() {
    let mut gateway = Gateway::new();
    gateway.admits(Hook::Lan, &sip_out());
    gateway.set(|settings| settings.pass_unmatched = 1);
    let unmatched = Ipv4::new(CLIENT, STRANGER).udp(PHONE_PORT, 53, b"");
    spares(&mut gateway, Hook::Guard, &unmatched, Refused::new(Reason::NoFlow).spared(Verdict::Pass));
    let unsolicited = Ipv4::new(STRANGER, CLIENT).udp(53, PHONE_PORT, b"");
    spares(&mut gateway, Hook::Uplink, &unsolicited, Refused::new(Reason::Unsolicited).spared(Verdict::Pass));
    let to_mapping = Ipv4::new(STRANGER, UPLINK).udp(53, PHONE_PORT, b"");
    gateway.refuses(Hook::Uplink, &to_mapping, Refused::new(Reason::NoSession));
}
