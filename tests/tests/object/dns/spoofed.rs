//! Replies that teach nothing: to no query of the client, from somebody else, or of no ordinary shape.

use super::{draft::*, *};

fn good() -> Draft {
    Draft::reply(NAME, A).address(public(1))
}

/// Whoever sends a reply has to know the query; a wrong one does not use it up.
#[test]
fn a_reply_that_does_not_match_its_query_teaches_nothing() {
    let mut gateway = gateway();
    let from = |source, message: &Draft| Ipv4::new(source, CLIENT).udp(53, CLIENT_PORT, &message.0);
    let rows = [
        ("another number", from(RESOLVER, &good().word(0, ID + 1))),
        ("another port of the client", Ipv4::new(RESOLVER, CLIENT).udp(53, CLIENT_PORT + 1, &good().0)),
        ("another port of the resolver", Ipv4::new(RESOLVER, CLIENT).udp(5353, CLIENT_PORT, &good().0)),
        ("another client", Ipv4::new(RESOLVER, CLIENT_2).udp(53, CLIENT_PORT, &good().0)),
        ("another resolver that is trusted", from(LAN_GATEWAY, &good())),
        ("a stranger", from(STRANGER, &good())),
        ("another name of the policy", from(RESOLVER, &Draft::reply(OTHER, A).address(public(1)))),
        ("another name", from(RESOLVER, &Draft::reply("x.example", A).address(public(1)))),
        ("another type", from(RESOLVER, &Draft::reply(NAME, AAAA).address("2001:db8::1".parse().unwrap()))),
    ];
    gateway.overhears(Hook::Queries, &question(RESOLVER, &Draft::query(NAME, A)));
    for (what, packet) in &rows {
        gateway.overhears(Hook::Replies, packet);
        assert_eq!((gateway.take_learned(), gateway.handed_over()), (vec![], vec![]), "{what}");
    }
    gateway.overhears(Hook::Replies, &reply(RESOLVER, &good()));
    assert_eq!(gateway.learned_for_server(), [public(1)]);
}

#[test]
fn a_reply_that_nobody_asked_for_teaches_nothing() {
    let mut gateway = gateway();
    gateway.overhears(Hook::Replies, &reply(RESOLVER, &good()));
    assert_eq!((gateway.take_learned(), gateway.handed_over()), (vec![], vec![]));
    // Nor does one that comes from a client: it is no query.
    gateway.overhears(Hook::Queries, &question(RESOLVER, &good()));
    gateway.overhears(Hook::Replies, &reply(RESOLVER, &good()));
    assert_eq!((gateway.take_learned(), gateway.waiting()), (vec![], 0));
}

/// The resolver is on the LAN, and so is somebody who sends the gateway a query of his own and a reply in that resolver's name.
#[test]
fn a_reply_that_a_neighbour_of_the_client_sent_teaches_nothing() {
    let mut gateway = gateway();
    gateway.overhears(Hook::Queries, &question(RESOLVER, &Draft::query(NAME, A)));
    gateway.overhears(Hook::RepliesBack, &reply(RESOLVER, &good()));
    assert_eq!((gateway.take_learned(), gateway.handed_over()), (vec![], vec![]));
}

#[test]
fn a_resolver_whom_nobody_trusts_teaches_nothing() {
    let mut gateway = gateway();
    gateway.overhears(Hook::Queries, &question(STRANGER, &Draft::query(NAME, A)));
    gateway.overhears(Hook::Replies, &reply(STRANGER, &good()));
    assert_eq!((gateway.take_learned(), gateway.waiting()), (vec![], 0));
}

#[test]
fn a_query_has_one_answer() {
    let mut gateway = gateway();
    gateway.resolves(&Draft::query(NAME, A), &good());
    assert_eq!((gateway.learned_for_server(), gateway.handed_over().len()), (vec![public(1)], 1));
    gateway.overhears(Hook::Replies, &reply(RESOLVER, &Draft::reply(NAME, A).address(public(66))));
    assert_eq!((gateway.take_learned(), gateway.handed_over()), (vec![], vec![]));
}

#[test]
fn a_query_waits_for_ten_seconds() {
    let mut gateway = gateway();
    for (seconds, learned) in [(9, vec![public(1)]), (11, vec![])] {
        gateway.overhears(Hook::Queries, &question(RESOLVER, &Draft::query(NAME, A)));
        let mut queries = gateway.hash::<QueryKey<Address4>, Query>("queries4");
        let (key, mut query) = queries.iter().next().unwrap().unwrap();
        query.asked -= seconds * 1_000_000_000;
        queries.insert(key, query, 0).unwrap();
        gateway.overhears(Hook::Replies, &reply(RESOLVER, &good()));
        assert_eq!(gateway.learned_for_server(), learned, "after {seconds} s");
    }
}

/// Truncated, failed, contradictory: the query still waits.
#[test]
fn replies_that_are_no_good_teach_nothing() {
    let mut gateway = gateway();
    let rows = [
        ("truncated", good().word(1, 0x8380)),
        ("NXDOMAIN", good().word(1, 0x8183)),
        ("another opcode", good().word(1, 0x9180)),
        ("no reply", good().word(1, 0x0180)),
        ("no question", good().word(2, 0)),
        ("two questions", good().word(2, 2)),
        ("no answers", Draft::reply(NAME, A)),
        ("a header alone", Draft(good().0[..12].to_vec())),
        ("less than a header", Draft(good().0[..11].to_vec())),
        ("a question that points", Draft([&good().0[..12], &[0xc0, 12, 0, 1, 0, 1]].concat())),
        ("a question that does not end", Draft([&good().0[..12], &[63; 200]].concat())),
    ];
    gateway.overhears(Hook::Queries, &question(RESOLVER, &Draft::query(NAME, A)));
    for (what, message) in &rows {
        gateway.overhears(Hook::Replies, &reply(RESOLVER, message));
        assert_eq!((gateway.take_learned(), gateway.handed_over()), (vec![], vec![]), "{what}");
    }
    assert_eq!(gateway.waiting(), 1);
}

/// Answers that cannot be followed teach nothing here; the daemon is handed them.
#[test]
fn answers_without_sense_are_left_to_the_daemon() {
    let mut gateway = gateway();
    let base = Draft::reply(NAME, A);
    let at = base.0.len() as u8;
    let mut long = Draft::reply(NAME, A);
    for last in 0..33 {
        long = long.address(public(last));
    }
    let rows = [
        ("a name that is itself", base.clone().address_of(&[0xc0, at], public(1))),
        ("names that are each other", base.clone().address_of(&[0xc0, at + 2, 0xc0, at], public(1))),
        ("an alias that is itself", base.clone().record(&ASKED, CNAME, 5, &[0xc0, at + 12]).address(public(1))),
        ("a pointer behind the end", base.clone().address_of(&[0xff, 0xff], public(1))),
        ("a pointer into the header", base.clone().address_of(&[0xc0, 0], public(1))),
        ("another name's address", base.clone().address_of(&name("evil.example"), public(1))),
        ("another type's address", base.clone().record(&ASKED, AAAA, 5, &[0x20; 16])),
        ("an address of 5 bytes", base.clone().record(&ASKED, A, 5, &[203, 0, 113, 1, 1])),
        ("more records than there are", good().word(3, 2)),
        ("65,535 records", good().word(3, 0xffff)),
        ("33 records", long),
    ];
    for (what, message) in rows {
        gateway.resolves(&Draft::query(NAME, A), &message);
        assert_eq!((gateway.take_learned(), gateway.handed_over()), (vec![], vec![message.0]), "{what}");
    }
}

#[test]
fn a_reply_that_is_cut_anywhere_teaches_nothing() {
    let mut gateway = gateway();
    let whole =
        Draft::reply(NAME, A).record(&ASKED, CNAME, 5, &name("x.example")).address_of(&name("x.example"), public(1));
    for length in 0..whole.0.len() {
        gateway.resolves(&Draft::query(NAME, A), &Draft(whole.0[..length].to_vec()));
        assert_eq!(gateway.take_learned(), [], "cut to {length} bytes");
    }
    gateway.resolves(&Draft::query(NAME, A), &whole);
    assert_eq!(gateway.learned_for_server(), [public(1)]);
}

/// As large as the kernel takes packets of tests, with records up to its end.
#[test]
fn a_large_reply_is_read() {
    let mut gateway = gateway();
    let mut message = Draft::reply(NAME, A);
    for last in 0..31 {
        message = message.address(public(last)).word(3, u16::from(last) + 1);
    }
    // The data of a record that says nothing of addresses fill it up.
    let rest = 3400 - message.0.len() - 12;
    let message = message.record(&ASKED, 16, 5, &vec![0; rest]);
    assert_eq!(message.0.len(), 3400);
    gateway.resolves(&Draft::query(NAME, A), &message);
    assert_eq!(gateway.learned_for_server().len(), 31);
    assert_eq!(gateway.handed_over(), [message.0]);
}
