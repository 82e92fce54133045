//! The segment size that a SYN announces (`mss_clamp`), through every hook that a SYN takes. Where the option may stand in a
//! header: `thulium-ebpf`'s own tests.

use thulium_ebpf::abi::{MSS_AUTO, MSS_OFF};

use crate::{
    gateway::{Action, GOVERNED, Gateway, Hook},
    traffic::*,
};

/// Setting, what a SYN announces, and what it has to announce behind the gateway, by IPv4 and by IPv6. Both links carry 1500 bytes.
const ROWS: [(u32, u16, u16, u16); 8] = [
    (1200, 1460, 1200, 1200),
    (1200, 1201, 1200, 1200),
    (1200, 1200, 1200, 1200),
    (1200, 536, 536, 536),
    (MSS_OFF, 8960, 8960, 8960),
    (MSS_OFF, 1460, 1460, 1460),
    (MSS_AUTO, 8960, 1460, 1440),
    (MSS_AUTO, 1400, 1400, 1400),
];

/// What browsers send: segment size, selective acknowledgments, timestamps, a pad, window scale.
fn options(size: u16) -> Vec<u8> {
    let [high, low] = size.to_be_bytes();
    vec![2, 4, high, low, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7]
}

/// Checks that a SYN out and its answer are both clamped as the rows say, and other segments never. `segment` crafts one of a
/// connection from this port, as the client sees it or as the world does, with this TTL.
fn is_clamped(
    gateway: &mut Gateway,
    expected: impl Fn(usize) -> u16,
    segment: impl Fn(Seen, u8, u16, u8, u16) -> Vec<u8>,
) {
    for (row, (setting, announced, ..)) in ROWS.into_iter().enumerate() {
        let expected = expected(row);
        eprintln!("{setting}: {announced} becomes {expected}");
        gateway.set(|settings| settings.mss_clamp = setting);
        let port = 50000 + row as u16;
        gateway.translates(
            Hook::Lan,
            &segment(Seen::FromClient, 64, port, SYN, announced),
            &segment(Seen::ToWorld, 63, port, SYN, expected),
        );
        gateway.translates(
            Hook::Uplink,
            &segment(Seen::FromWorld, 64, port, SYN | ACK, announced),
            &segment(Seen::ToClient, 63, port, SYN | ACK, expected),
        );
        // Only a SYN may announce anything (RFC 9293 §3.7.1).
        gateway.translates(
            Hook::Lan,
            &segment(Seen::FromClient, 64, port, ACK, announced),
            &segment(Seen::ToWorld, 63, port, ACK, announced),
        );
        // The kernel has forwarded this one, and taken its hop.
        let port = 51000 + row as u16;
        let ran = gateway.send_marked(Hook::Guard, &segment(Seen::FromClient, 63, port, SYN, announced), GOVERNED);
        assert_eq!((ran.action, ran.packet), (Action::Pass, segment(Seen::ToWorld, 63, port, SYN, expected)));
    }
}

/// Where a segment is seen.
#[derive(Clone, Copy)]
enum Seen {
    FromClient,
    ToWorld,
    FromWorld,
    ToClient,
}

#[test]
fn a_syn_and_its_answer_announce_what_the_setting_allows() {
    is_clamped(
        &mut Gateway::new(),
        |row| ROWS[row].2,
        |seen, ttl, port, flags, size| {
            let (ip, ports) = match seen {
                Seen::FromClient => (Ipv4::new(CLIENT, SERVER), (port, 443)),
                Seen::ToWorld => (Ipv4::new(UPLINK, SERVER), (port, 443)),
                Seen::FromWorld => (Ipv4::new(SERVER, UPLINK), (443, port)),
                Seen::ToClient => (Ipv4::new(SERVER, CLIENT), (443, port)),
            };
            ip.ttl(ttl).tcp_options(ports.0, ports.1, flags, &options(size))
        },
    );
}

#[test]
fn those_of_ipv6_do_too() {
    let mut gateway = Gateway::new();
    gateway.govern_ipv6(CLIENTS6.into(), SERVER6.into());
    is_clamped(
        &mut gateway,
        |row| ROWS[row].3,
        |seen, limit, port, flags, size| {
            let (ip, ports) = match seen {
                Seen::FromClient | Seen::ToWorld => (Ipv6::new(CLIENT6, SERVER6), (port, 443)),
                Seen::FromWorld | Seen::ToClient => (Ipv6::new(SERVER6, CLIENT6), (443, port)),
            };
            ip.hop_limit(limit).tcp_options(ports.0, ports.1, flags, &options(size))
        },
    );
}
