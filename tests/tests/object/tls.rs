//! The TLS floor of a flow: what is judged, refused and answered, and that a settled session is left alone.

use thulium_ebpf::abi::{Reason, Side, Verdict};

use crate::{
    gateway::{Action, GOVERNED, Gateway, Hook},
    maps::{GRACE, SIP, TCP_IDLE, WEB},
    refused::Refused,
    traffic::*,
};

/// As hellos write them.
const V1_2: u8 = 3;
const V1_3: u8 = 4;

/// Sequence numbers of the SYNs.
const CLIENT_ISN: u32 = 0xffff_fff0;
const SERVER_ISN: u32 = 7000;

const HTTP: &[u8] = b"GET / HTTP/1.1\r\nHost: acme.thulium.com\r\n\r\n";

/// A TLS record with a handshake message.
fn hello(kind: u8, version: [u8; 2], rest: &[u8]) -> Vec<u8> {
    let body = [&version, [7; 32].as_slice(), rest].concat();
    let message = [&[kind, 0, 0, 0][..], &body].concat();
    let mut record = vec![22, 3, 1, 0, 0];
    record[3..].copy_from_slice(&(message.len() as u16).to_be_bytes());
    record.extend(message);
    let length = (body.len() as u32).to_be_bytes();
    record[6..9].copy_from_slice(&length[1..]);
    record
}

/// A client's hello of 2 kB, as browsers with a post-quantum key share send it.
fn client_hello() -> Vec<u8> {
    hello(1, [3, 3], &[0; 2000])
}

/// A server's hello that selects TLS 1.3 behind a large key share.
fn server_hello() -> Vec<u8> {
    let share = [&[0, 51, 4, 100][..], &[9; 1124]].concat();
    let extensions = [share.as_slice(), &[0, 43, 0, 2, 3, 4]].concat();
    hello(2, [3, 3], &[&[0, 0x13, 1, 0][..], &(extensions.len() as u16).to_be_bytes(), &extensions].concat())
}

/// A server's hello that settles on a version below 1.3.
fn old_server_hello(minor: u8) -> Vec<u8> {
    hello(2, [3, minor], &[0, 0xc0, 0x2f, 0])
}

/// A segment of the client, `offset` bytes into what it sends.
fn from_client(offset: usize, data: &[u8]) -> Vec<u8> {
    let numbers = (CLIENT_ISN.wrapping_add(1 + offset as u32), SERVER_ISN + 1);
    Ipv4::new(CLIENT, SERVER).numbers(numbers.0, numbers.1).tcp_data(50000, 443, ACK, data)
}

/// A segment of the server, `offset` bytes into what it sends.
fn from_server(offset: usize, data: &[u8]) -> Vec<u8> {
    let numbers = (SERVER_ISN + 1 + offset as u32, CLIENT_ISN.wrapping_add(1));
    Ipv4::new(SERVER, UPLINK).numbers(numbers.0, numbers.1).tcp_data(443, 50000, ACK, data)
}

fn connect(gateway: &mut Gateway) {
    gateway.admits(Hook::Lan, &Ipv4::new(CLIENT, SERVER).numbers(CLIENT_ISN, 0).tcp(50000, 443, SYN));
    let answer = Ipv4::new(SERVER, UPLINK).numbers(SERVER_ISN, CLIENT_ISN.wrapping_add(1)).tcp(443, 50000, SYN | ACK);
    gateway.admits(Hook::Uplink, &answer);
    gateway.admits(Hook::Lan, &from_client(0, &[]));
}

/// A gateway whose web flow has a floor, with a connection that has sent nothing yet.
fn connected(minor: u8) -> Gateway {
    let mut gateway = Gateway::new();
    gateway.set_floor(WEB, minor);
    connect(&mut gateway);
    assert_eq!(gateway.watched(), (1, 2), "both directions know that hellos are awaited");
    gateway
}

/// The gateway admits both hellos, in segments of this size.
fn settle(gateway: &mut Gateway, size: usize) {
    let hello = client_hello();
    for (index, part) in hello.chunks(size).enumerate() {
        gateway.admits(Hook::Lan, &from_client(index * size, part));
    }
    for (index, part) in server_hello().chunks(size).enumerate() {
        gateway.admits(Hook::Uplink, &from_server(index * size, part));
    }
}

/// A reset, as this end sends it: nothing but two headers.
fn reset(from: Ipv4, ports: (u16, u16), flags: u8) -> Vec<u8> {
    let mut packet = edited(from.tcp(ports.0, ports.1, flags), |packet| {
        packet[4..8].copy_from_slice(&[0, 0, 0x40, 0]);
        // The window of a reset is none: the checksum follows.
        let sum = u16::from_be_bytes([packet[36], packet[37]]);
        let window = u32::from(u16::from_be_bytes([packet[34], packet[35]]));
        let more = u32::from(sum) + window;
        packet[36..38].copy_from_slice(&((more & 0xffff) as u16 + (more >> 16) as u16).to_be_bytes());
        packet[34..36].fill(0);
    });
    packet.truncate(40);
    packet
}

/// The reset that answers a client's packet.
fn answer_to_client(acknowledged: u32) -> Vec<u8> {
    reset(Ipv4::new(SERVER, CLIENT).numbers(acknowledged, 0), (443, 50000), RST)
}

/// Sends a packet that breaks the floor: it is counted once under the flow, becomes `answer`, and the session is gone.
fn breaks(gateway: &mut Gateway, hook: Hook, packet: &[u8], reason: Reason, answer: &[u8]) {
    let ran = gateway.send(hook, packet);
    assert_eq!(gateway.take_refused(), [Refused::of_flow(reason, WEB).counted(hook, packet)], "{hook:?}");
    assert_eq!((ran.action, ran.packet.as_slice()), (Action::Redirect, answer), "{reason:?} has to be told");
    assert_eq!((gateway.sizes(), gateway.watched()), ([0; 4], (0, 0)), "the session is over");
}

#[test]
fn hellos_in_segments_of_any_size_settle_the_session() {
    for size in [2, 5, 40, 700, 1400] {
        println!("{size}");
        let mut gateway = connected(V1_3);
        settle(&mut gateway, size);
        assert_eq!(gateway.watched(), (0, 0), "it is a session like any other");
        gateway.admits(Hook::Lan, &from_client(2050, HTTP));
        gateway.admits(Hook::Uplink, &from_server(1300, HTTP));
    }
}

#[test]
fn a_client_that_speaks_no_tls_is_told() {
    for (name, data, reason) in [
        ("HTTP", HTTP.to_vec(), Reason::TlsNotTls),
        ("a server's hello", server_hello(), Reason::TlsNotTls),
        ("TLS 1.1", hello(1, [3, 2], &[0; 40]), Reason::TlsTooOld),
        ("SSL 3", hello(1, [3, 0], &[0; 40]), Reason::TlsTooOld),
    ] {
        println!("{name}");
        let mut gateway = connected(V1_2);
        let packet = from_client(0, &data);
        breaks(&mut gateway, Hook::Lan, &packet, reason, &answer_to_client(SERVER_ISN + 1));
        gateway.refuses(Hook::Lan, &from_client(0, &data), Refused::of_flow(Reason::TcpNotSyn, WEB));
    }
}

#[test]
fn the_byte_that_breaks_it_may_come_late() {
    let mut gateway = connected(V1_2);
    let old = hello(1, [3, 1], &[0; 40]);
    gateway.admits(Hook::Lan, &from_client(0, &old[..10]));
    gateway.admits(Hook::Lan, &from_client(0, &HTTP[..10]));
    gateway.admits(Hook::Lan, &from_client(11, HTTP));
    let rest = from_client(8, &old[8..]);
    breaks(&mut gateway, Hook::Lan, &rest, Reason::TlsTooOld, &answer_to_client(SERVER_ISN + 1));
}

#[test]
fn a_server_below_the_floor_is_cut_off_and_its_client_told() {
    for (floor, hello, reason, arrived) in [
        (V1_3, old_server_hello(3), Reason::TlsDowngraded, 2),
        (V1_2, old_server_hello(2), Reason::TlsDowngraded, 8),
        (V1_2, b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), Reason::TlsNotTls, 0),
    ] {
        println!("{floor} {reason:?}");
        let mut gateway = connected(floor);
        gateway.admits(Hook::Lan, &from_client(0, &client_hello()[..1000]));
        gateway.admits(Hook::Uplink, &from_server(0, &hello[..arrived]));
        // This segment begins with the first byte, but the client awaits the one behind those that have arrived.
        let from = Ipv4::new(SERVER, CLIENT).numbers(SERVER_ISN + 1 + arrived as u32, CLIENT_ISN.wrapping_add(1));
        let told = reset(from, (443, 50000), RST | ACK);
        breaks(&mut gateway, Hook::Uplink, &from_server(0, &hello), reason, &told);
    }
}

#[test]
fn an_unfinished_checksum_of_the_packet_is_one_of_the_answer() {
    // The sum of the pseudo-header, with which a sender leaves the rest to the hardware.
    let unfinished = |mut packet: Vec<u8>| {
        let length = packet.len() - 20;
        let words = packet[12..20].chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
        let sum = words.sum::<u32>() + 6 + length as u32;
        packet[36..38].copy_from_slice(&((sum & 0xffff) as u16 + (sum >> 16) as u16).to_be_bytes());
        packet
    };
    let mut gateway = connected(V1_2);
    let answer = unfinished(answer_to_client(SERVER_ISN + 1));
    breaks(&mut gateway, Hook::Lan, &unfinished(from_client(0, HTTP)), Reason::TlsNotTls, &answer);
}

#[test]
fn what_the_kernel_forwards_is_judged_too() {
    let mut gateway = connected(V1_2);
    let packet = from_client(0, HTTP);
    let ran = gateway.send_marked(Hook::Guard, &packet, GOVERNED);
    assert_eq!(gateway.take_refused(), [Refused::of_flow(Reason::TlsNotTls, WEB).counted(Hook::Guard, &packet)]);
    assert_eq!((ran.action, ran.packet), (Action::Redirect, answer_to_client(SERVER_ISN + 1)));
    assert_eq!(gateway.sizes(), [0; 4]);
}

#[test]
fn audit_counts_once_and_lets_the_session_go_on() {
    let mut gateway = connected(V1_2);
    gateway.set(|settings| settings.audit = 1);
    let packet = from_client(0, HTTP);
    let ran = gateway.send(Hook::Lan, &packet);
    let spared = Refused::of_flow(Reason::TlsNotTls, WEB).spared(Verdict::WouldDrop);
    assert_eq!((ran.action, gateway.take_refused()), (Action::Redirect, vec![spared.counted(Hook::Lan, &packet)]));
    assert_eq!(gateway.watched(), (0, 0));
    gateway.admits(Hook::Lan, &from_client(HTTP.len(), HTTP));
    gateway.admits(Hook::Uplink, &from_server(0, b"HTTP/1.1 200 OK\r\n"));
}

#[test]
fn flows_without_a_floor_are_not_watched() {
    let mut gateway = Gateway::new();
    gateway.set_floor(SIP, V1_2);
    connect(&mut gateway);
    gateway.admits(Hook::Lan, &sip_out());
    assert_eq!(gateway.watched(), (0, 0));
    gateway.admits(Hook::Lan, &from_client(0, HTTP));
}

#[test]
fn a_port_that_is_used_again_is_judged_again() {
    let mut gateway = connected(V1_2);
    settle(&mut gateway, 1400);
    let fin =
        Ipv4::new(CLIENT, SERVER).numbers(CLIENT_ISN.wrapping_add(2100), SERVER_ISN + 1).tcp(50000, 443, FIN | ACK);
    gateway.admits(Hook::Lan, &fin);
    connect(&mut gateway);
    assert_eq!(gateway.watched(), (1, 2));
    let packet = from_client(0, HTTP);
    breaks(&mut gateway, Hook::Lan, &packet, Reason::TlsNotTls, &answer_to_client(SERVER_ISN + 1));
}

#[test]
fn bytes_that_come_around_the_judge_are_found_by_their_acknowledgment() {
    let mut gateway = connected(V1_2);
    let first = Ipv4::new(CLIENT, SERVER).fragment(77, 0, true);
    let start = &client_hello()[..4];
    let segment = first.clone().numbers(CLIENT_ISN.wrapping_add(1), SERVER_ISN + 1);
    gateway.admits(Hook::Lan, &segment.tcp_data(50000, 443, ACK, start));
    gateway.admits(Hook::Lan, &Ipv4::new(CLIENT, SERVER).fragment(77, 24, false).raw(6, HTTP));
    let acknowledged = CLIENT_ISN.wrapping_add(1 + 4 + HTTP.len() as u32);
    let acknowledging = Ipv4::new(SERVER, UPLINK).numbers(SERVER_ISN + 1, acknowledged).tcp(443, 50000, ACK);
    let told = reset(Ipv4::new(SERVER, CLIENT).numbers(SERVER_ISN + 1, acknowledged), (443, 50000), RST | ACK);
    breaks(&mut gateway, Hook::Uplink, &acknowledging, Reason::TlsNotTls, &told);
}

#[test]
fn a_stale_session_takes_its_hellos_with_it() {
    let mut gateway = connected(V1_2);
    gateway.age(Side::Lan, TCP_IDLE + GRACE);
    gateway.age(Side::Uplink, TCP_IDLE + GRACE);
    gateway.sweep();
    assert_eq!((gateway.sizes(), gateway.watched()), ([0; 4], (0, 0)));
}
