//! What queries and replies come by.

use std::net::{IpAddr, Ipv6Addr};

use super::{draft::*, *};

/// Addresses of both families by both families.
#[test]
fn either_family_carries_both() {
    let mut gateway = gateway();
    let address6: IpAddr = "2001:db8:99::1".parse().unwrap();
    for (kind, address) in [(A, public(1)), (AAAA, address6)] {
        let (query, message) = (Draft::query(NAME, kind), Draft::reply(NAME, kind).address(address));
        gateway.resolves(&query, &message);
        assert_eq!(gateway.learned_for_server(), [address], "by IPv4");
        gateway.overhears(Hook::Queries, &ipv6_udp(CLIENT6, RESOLVER6, CLIENT_PORT, 53, &query.0));
        gateway.overhears(Hook::Replies, &ipv6_udp(RESOLVER6, CLIENT6, 53, CLIENT_PORT, &message.0));
        assert_eq!(gateway.learned_for_server(), [address], "by IPv6");
    }
}

#[test]
fn addresses_that_ipv6_keeps_to_itself_are_not_learned() {
    let mut gateway = gateway();
    for address in ["::1", "::", "fe80::1", "fd00::1", "ff02::1", "::ffff:203.0.113.1", "::203.0.113.1"] {
        let address: IpAddr = address.parse().unwrap();
        gateway.resolves(&Draft::query(NAME, AAAA), &Draft::reply(NAME, AAAA).address(address));
        assert_eq!(gateway.take_learned(), [], "{address}");
    }
}

/// A router on the link announces itself as a resolver by its address on the link (RFC 8106), and is asked from such a one.
#[test]
fn a_resolver_on_the_link_is_one() {
    let mut gateway = gateway();
    let [client, router]: [Ipv6Addr; 2] = ["fe80::10", "fe80::1"].map(|address| address.parse().unwrap());
    let (query, message) = (Draft::query(NAME, A), Draft::reply(NAME, A).address(public(1)));
    for learned in [vec![], vec![public(1)]] {
        gateway.overhears(Hook::Queries, &ipv6_udp(client, router, CLIENT_PORT, 53, &query.0));
        gateway.overhears(Hook::Replies, &ipv6_udp(router, client, 53, CLIENT_PORT, &message.0));
        assert_eq!(gateway.learned_for_server(), learned);
        gateway.hash("resolvers6").insert(Address6::from(router), 1_u32, 0).unwrap();
    }
}

#[test]
fn only_clients_are_listened_to() {
    let mut gateway = gateway();
    let (query, message) = (Draft::query(NAME, A), Draft::reply(NAME, A).address(public(1)));
    gateway.overhears(Hook::Queries, &Ipv4::new(PRINTER, RESOLVER).udp(CLIENT_PORT, 53, &query.0));
    gateway.overhears(Hook::Replies, &Ipv4::new(RESOLVER, PRINTER).udp(53, CLIENT_PORT, &message.0));
    assert_eq!((gateway.waiting(), gateway.take_learned()), (0, vec![]));
}

#[test]
fn only_whole_udp_datagrams_teach() {
    let mut gateway = gateway();
    let (query, message) = (Draft::query(NAME, A), Draft::reply(NAME, A).address(public(1)));
    let from = || Ipv4::new(RESOLVER, CLIENT);
    let good = || from().udp(53, CLIENT_PORT, &message.0);
    let broken = |edit: fn(&mut Vec<u8>)| edited(good(), edit);
    let rows = [
        ("TCP", from().tcp_data(53, CLIENT_PORT, ACK, &message.0)),
        ("TCP with its length", from().tcp_data(53, CLIENT_PORT, ACK, &[&[0, 45], &message.0[..]].concat())),
        ("the first fragment", from().fragment(7, 0, true).udp(53, CLIENT_PORT, &message.0)),
        ("a later one", from().fragment(7, 8, false).udp(53, CLIENT_PORT, &message.0)),
        ("a UDP length beyond the packet", from().udp_of_length(53, CLIENT_PORT, &message.0, 2000)),
        ("a UDP length within its header", from().udp_of_length(53, CLIENT_PORT, &message.0, 7)),
        ("an empty datagram", from().udp(53, CLIENT_PORT, b"")),
        ("an IP header of 16 bytes", broken(|packet| packet[0] = 0x44)),
        ("an IP length beyond the packet", broken(|packet| packet[2] = 0x10)),
        ("IP options", from().options(&[7, 4, 4, 0]).udp(53, CLIENT_PORT, &message.0)),
    ];
    gateway.overhears(Hook::Queries, &question(RESOLVER, &query));
    for (what, packet) in &rows {
        gateway.overhears(Hook::Replies, packet);
        assert_eq!(gateway.take_learned(), [], "{what}");
    }
    let segments = gateway.send_segments(Hook::Replies, &good(), 2);
    assert_eq!((segments.action, gateway.take_learned()), (Action::Pass, vec![]), "several in one");
    // The query still waits for the good one.
    gateway.overhears(Hook::Replies, &good());
    assert_eq!(gateway.learned_for_server(), [public(1)]);
}
