//! One client that takes all it can get: what it holds is counted, the others get theirs, established calls go on.

use thulium_ebpf::abi::{Client, Reason};

use crate::{
    gateway::{Action, Gateway, Hook},
    maps::{GRACE, MEDIA, SIP, UDP_IDLE, WEB},
    refused::Refused,
    resting::REST,
    traffic::*,
};

/// The client that floods.
const FLOODER: std::net::Ipv4Addr = CLIENT_2;

/// A gateway where the phone of [`CLIENT`] has registered.
fn with_phone() -> Gateway {
    let mut gateway = Gateway::new();
    gateway.admits(Hook::Lan, &sip_out());
    gateway
}

/// The phone's session lives, and it can open others.
fn others_work(gateway: &mut Gateway) {
    gateway.take_refused();
    gateway.admits(Hook::Lan, &sip_out());
    gateway.admits(Hook::Uplink, &sip_in());
    gateway.admits(Hook::Lan, &Ipv4::new(CLIENT, SERVER).udp(10000, 16000, b"RTP"));
    gateway.admits(Hook::Lan, &web_out(SYN));
    gateway.admits(Hook::Uplink, &web_in(SYN | ACK));
    gateway.admits(Hook::Lan, &web_out(ACK));
}

/// Sends all packets from the LAN; how many of them were admitted.
fn flood(gateway: &Gateway, packets: impl Iterator<Item = Vec<u8>>) -> usize {
    let is_admitted = |packet: &Vec<u8>| {
        let ran = gateway.send(Hook::Lan, packet);
        ran.action == Action::Redirect && !ran.is_answer_to(packet)
    };
    packets.filter(is_admitted).count()
}

fn refused_for(gateway: &mut Gateway, reason: Reason, flow: u8) -> u64 {
    let rows = gateway.take_refused();
    assert!(rows.iter().all(|row| row.refused == Refused::of_flow(reason, flow)), "{rows:?}");
    rows.iter().map(|row| row.packets).sum()
}

#[test]
fn a_syn_flood_stops_at_the_clients_share_of_sessions() {
    let mut gateway = with_phone();
    gateway.set(|settings| (settings.per_client, settings.session_cost) = (20, 0));
    let syn = |port| Ipv4::new(FLOODER, SERVER).tcp(port, 443, SYN);
    assert_eq!(flood(&gateway, (20000..20200).map(syn)), 20);
    assert_eq!(refused_for(&mut gateway, Reason::ClientSessions, WEB), 180);
    let Client { sessions, ports, refused_sessions, refused_ports, refused_rate, .. } =
        gateway.client(FLOODER.into()).unwrap();
    assert_eq!((sessions, ports), (20, 20));
    assert_eq!((refused_sessions, refused_ports, refused_rate), (180, 0, 0));
    others_work(&mut gateway);
}

#[test]
fn a_scan_of_many_ports_stops_at_the_clients_share_of_ports() {
    let mut gateway = with_phone();
    gateway.set(|settings| (settings.ports_per_client, settings.session_cost) = (10, 0));
    let rtp = |port| Ipv4::new(FLOODER, SERVER).udp(port, 16000, b"");
    assert_eq!(flood(&gateway, (20000..20100).map(rtp)), 10);
    assert_eq!(refused_for(&mut gateway, Reason::ClientPorts, MEDIA), 90);
    let client = gateway.client(FLOODER.into()).unwrap();
    assert_eq!((client.sessions, client.ports), (10, 10));
    assert_eq!((client.refused_sessions, client.refused_ports, client.refused_rate), (0, 90, 0));
    others_work(&mut gateway);
    // More sessions on the ports that it has cost no port.
    gateway.admits(Hook::Lan, &Ipv4::new(FLOODER, SERVER).udp(20000, 16001, b""));
    assert_eq!(gateway.client(FLOODER.into()).unwrap().ports, 10);
}

#[test]
fn a_scan_of_many_remotes_stops_at_the_clients_rate() {
    let mut gateway = with_phone();
    // Ten at once, and then one in a hundred seconds.
    gateway.set(|settings| settings.session_cost = 400_000_000);
    let rtp = |port| Ipv4::new(FLOODER, SERVER).udp(20000, port, b"");
    let admitted = flood(
        &gateway,
        (0..50)
            .map(|round| rtp(16000 + round % 8))
            .chain((0..50).map(|round| Ipv4::new(FLOODER, SERVER).udp(20001 + round, 16000, b""))),
    );
    // Eight remotes are ten sessions' worth less two.
    assert!(admitted >= 50, "packets of sessions that it has are none of the rate's business");
    let client = gateway.client(FLOODER.into()).unwrap();
    assert!((10..=11).contains(&client.sessions), "{client:?}");
    assert_eq!(refused_for(&mut gateway, Reason::ClientRate, MEDIA), client.refused_rate);
    assert!(client.refused_rate >= 47);
    others_work(&mut gateway);
}

#[test]
fn ports_count_until_they_have_rested() {
    let mut gateway = Gateway::new();
    gateway.set(|settings| settings.ports_per_client = 2);
    let sip = |port| Ipv4::new(CLIENT, SERVER).udp(port, SIP_PORT, b"");
    let refused = Refused::of_flow(Reason::ClientPorts, SIP);
    gateway.admits(Hook::Lan, &sip(20000));
    gateway.admits(Hook::Lan, &sip(20002));
    gateway.refuses(Hook::Lan, &sip(20004), refused);
    assert_eq!(gateway.sizes(), [4, 2, 2, 1], "the refused session left something behind");
    // Otherwise a client could let all ports of the gateway rest, session by session.
    gateway.age_client(CLIENT.into(), UDP_IDLE + GRACE);
    gateway.sweep();
    gateway.refuses(Hook::Lan, &sip(20004), refused);
    assert_eq!(gateway.client(CLIENT.into()).map(|client| (client.sessions, client.ports)), Some((0, 2)));
    // Its own ports are its own still.
    gateway.admits(Hook::Lan, &sip(20000));
    gateway.age_resting(REST + 1);
    gateway.admits(Hook::Lan, &sip(20004));
    assert_eq!(gateway.client(CLIENT.into()).map(|client| (client.sessions, client.ports)), Some((2, 2)));
}

#[test]
fn a_client_without_sessions_has_its_whole_share_again_and_stays_pinned() {
    let mut gateway = with_phone();
    gateway.age_client(CLIENT.into(), UDP_IDLE + GRACE);
    gateway.sweep();
    assert_eq!(gateway.client(CLIENT.into()).map(|client| (client.sessions, client.ports)), Some((0, 1)));
    gateway.age_resting(REST + 1);
    gateway.sweep();
    assert_eq!(gateway.owners().len(), 0);
    assert_eq!(gateway.client(CLIENT.into()).map(|client| (client.sessions, client.ports)), Some((0, 0)));
}

#[test]
fn a_session_that_found_no_room_costs_no_port() {
    let mut gateway = Gateway::with_flow_entries(2);
    gateway.admits(Hook::Lan, &sip_out());
    let second = Ipv4::new(CLIENT, SERVER).udp(PHONE_PORT + 2, SIP_PORT, b"");
    gateway.refuses(Hook::Lan, &second, Refused::of_flow(Reason::SessionsFull, SIP));
    assert_eq!(gateway.client(CLIENT.into()).map(|client| (client.sessions, client.ports)), Some((1, 1)));
}
