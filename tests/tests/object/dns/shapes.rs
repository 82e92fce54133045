//! Replies as resolvers send them, and what they teach.

use std::net::{IpAddr, Ipv4Addr};

use super::{draft::*, *};

#[test]
fn a_name_has_its_addresses_before_the_client_has_the_reply() {
    let mut gateway = gateway();
    let message = Draft::reply(NAME, A).address(public(1)).address(public(2));
    gateway.overhears(Hook::Queries, &question(RESOLVER, &Draft::query(NAME, A)));
    assert_eq!(gateway.learned_for_server(), [] as [IpAddr; 0]);
    gateway.overhears(Hook::Replies, &reply(RESOLVER, &message));
    assert_eq!(gateway.learned_for_server(), [public(1), public(2)]);
    assert_eq!(gateway.handed_over(), [message.0]);
}

#[test]
fn replies_of_the_gateways_own_resolver_teach_the_same() {
    let mut gateway = gateway();
    gateway.overhears(Hook::Queries, &question(LAN_GATEWAY, &Draft::query(NAME, A)));
    gateway.overhears(Hook::Replies, &reply(LAN_GATEWAY, &Draft::reply(NAME, A).address(public(1))));
    assert_eq!(gateway.learned_for_server(), [public(1)]);
}

#[test]
fn the_chain_of_aliases_teaches_the_name_that_was_asked_for() {
    let mut gateway = gateway();
    let edge = name("edge7.cdn.example.net");
    let message = Draft::reply(NAME, A)
        .record(&ASKED, CNAME, 5, &name("sip.cdn.example.net"))
        .record(&name("SIP.cdn.example.net"), CNAME, 5, &edge)
        .address_of(&edge, public(3));
    gateway.resolves(&Draft::query(NAME, A), &message.clone().edns());
    assert_eq!(gateway.learned_for_server(), [public(3)]);
    // What is not in the order of the chain is the daemon's to sort.
    let turned = Draft::reply(NAME, A).address_of(&edge, public(3)).record(&ASKED, CNAME, 5, &edge);
    gateway.resolves(&Draft::query(NAME, A), &turned);
    assert_eq!(gateway.learned_for_server(), [] as [IpAddr; 0]);
    assert_eq!(gateway.handed_over(), [message.edns().0, turned.0]);
}

#[test]
fn case_does_not_matter() {
    let mut gateway = gateway();
    let asked = "sIp.ThUlIuM.cOm";
    gateway.resolves(&Draft::query(asked, A), &Draft::reply(asked, A).address_of(&name(NAME), public(1)));
    assert_eq!(gateway.learned_for_server(), [public(1)]);
    gateway.resolves(&Draft::query(asked, A), &Draft::reply(NAME, A).address(public(2)));
    assert_eq!(gateway.learned_for_server(), [public(2)]);
}

#[test]
fn a_wildcard_stands_for_exactly_one_label() {
    let mut gateway = gateway();
    let rows = [("eu.turn.thulium.com", 1), ("turn.thulium.com", 0), ("a.eu.turn.thulium.com", 0), ("x.example", 0)];
    for (asked, count) in rows {
        gateway.resolves(&Draft::query(asked, A), &Draft::reply(asked, A).address(public(1)));
        let learned = gateway.take_learned();
        assert_eq!(learned.len(), count, "{asked}");
        assert!(learned.iter().all(|(_, hosts, _)| *hosts == STUN_BIT), "{asked}");
        assert_eq!(gateway.handed_over().len(), count, "{asked}");
        assert_eq!(gateway.waiting(), 0, "{asked}: nobody waits for what teaches nothing");
    }
}

#[test]
fn an_address_has_the_hosts_of_all_names_that_have_it() {
    let mut gateway = gateway();
    for asked in [NAME, OTHER] {
        gateway.resolves(&Draft::query(asked, A), &Draft::reply(asked, A).address(public(1)));
    }
    assert_eq!(gateway.take_learned(), [(public(1), SERVER_BIT | STUN_BIT, u64::from(TTL) + KEEP)]);
    // One that is over counts no longer, and a shorter time does not shorten a longer one.
    let address = Address4::new([203, 0, 113, 1]);
    for (until, hosts, seconds) in [(1, STUN_BIT, u64::from(TTL) + KEEP), (u64::MAX, SERVER_BIT | STUN_BIT, u64::MAX)] {
        let known = RemoteAddress { hosts: SERVER_BIT, until };
        gateway.hash("learned4").insert(address, known, 0).unwrap();
        gateway.resolves(&Draft::query(OTHER, A), &Draft::reply(OTHER, A).address(public(1)));
        let [(_, learned, lives)] = gateway.take_learned()[..] else { panic!("there is one") };
        assert_eq!((learned, lives > seconds.min(1 << 30)), (hosts, seconds == u64::MAX));
    }
}

#[test]
fn an_address_lives_as_long_as_it_is_sensible() {
    let mut gateway = gateway();
    for (ttl, seconds) in [(0, 30), (1, 30), (7200, 7200), (1_000_000, 86_400), (u32::MAX, 30)] {
        let message = Draft::reply(NAME, A).record(&ASKED, A, ttl, &[203, 0, 113, 1]);
        gateway.resolves(&Draft::query(NAME, A), &message);
        assert_eq!(gateway.take_learned(), [(public(1), SERVER_BIT, seconds + KEEP)], "a TTL of {ttl} s");
    }
}

#[test]
fn private_addresses_are_learned_only_where_the_policy_says_so() {
    let mut gateway = gateway();
    let private: [IpAddr; 6] = [
        Ipv4Addr::new(192, 168, 20, 10).into(),
        Ipv4Addr::new(10, 0, 0, 1).into(),
        Ipv4Addr::new(172, 16, 0, 1).into(),
        Ipv4Addr::new(100, 64, 0, 1).into(),
        Ipv4Addr::new(169, 254, 169, 254).into(),
        Ipv4Addr::LOCALHOST.into(),
    ];
    for address in private {
        let message = |asked| Draft::reply(asked, A).address(address).address(public(1));
        gateway.resolves(&Draft::query(NAME, A), &message(NAME));
        assert_eq!(gateway.learned_for_server(), [public(1)], "{address}");
        gateway.resolves(&Draft::query(PRIVATE, A), &message(PRIVATE));
        assert!(gateway.learned_for_server().contains(&address), "{address}");
    }
    // Nobody's, everybody's.
    for address in [Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST, Ipv4Addr::new(224, 0, 0, 1)] {
        gateway.resolves(&Draft::query(PRIVATE, A), &Draft::reply(PRIVATE, A).address(address.into()));
        assert_eq!(gateway.learned_for_server(), [] as [IpAddr; 0], "{address}");
    }
}
