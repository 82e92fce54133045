//! Which bytes of which segments are judged.

use proptest::prelude::*;

use super::*;
use crate::parse::tcp_flags::{FIN, RST};

const HTTP: &[u8] = b"GET / HTTP/1.1\r\nHost: acme.thulium.com\r\n\r\n";

/// Every kind of message, and what it comes to under the floor of 1.3.
fn messages() -> Vec<(Side, Vec<u8>, Judgement)> {
    vec![
        (Lan, post_quantum(), Judgement::Settled),
        (Lan, capture("client-1.1"), Judgement::TooOld),
        (Lan, HTTP.to_vec(), Judgement::NotTls),
        (Uplink, capture("server-1.3"), Judgement::Settled),
        (Uplink, capture("server-1.2"), Judgement::Downgraded),
        (Uplink, records(&server_hello(V1_2, &[(51, &[9; 1124]), (43, &[3, 4])]), &[]), Judgement::Settled),
        (Uplink, [capture("server-alert"), capture("server-retry")].concat(), Judgement::Settled),
    ]
}

proptest! {
    #[test]
    fn any_split_into_segments_is_judged_as_the_whole(sizes in prop::collection::vec(1_usize..90, 1..40)) {
        for (sender, bytes, expected) in messages() {
            prop_assert_eq!(Connection::established(V1_3).stream(sender, &bytes, &sizes), expected);
        }
    }

    #[test]
    fn any_split_into_records_is_judged_as_the_whole(
        lengths in prop::collection::vec(1_usize..40, 0..30), sizes in prop::collection::vec(1_usize..90, 1..10)
    ) {
        let server = server_hello(V1_2, &[(51, &[9; 1124]), (43, &[3, 4])]);
        let client = &post_quantum()[5..];
        for (sender, message) in [(Uplink, server.as_slice()), (Lan, client)] {
            let bytes = records(message, &lengths);
            prop_assert_eq!(Connection::established(V1_3).stream(sender, &bytes, &sizes), Judgement::Settled);
        }
    }

    #[test]
    fn segments_that_overlap_come_again_or_too_early_change_nothing(
        order in prop::collection::vec((0_usize..60, 1_usize..60), 0..60), size in 1_usize..60
    ) {
        for (sender, bytes, expected) in messages() {
            let mut connection = Connection::established(V1_3);
            let mut judgement = Judgement::Undecided;
            for (start, length) in &order {
                if judgement == Judgement::Undecided {
                    let start = (*start).min(bytes.len());
                    judgement = connection.data(sender, start, &bytes[start..bytes.len().min(start + length)]);
                }
            }
            // All of it comes again from the start.
            if judgement == Judgement::Undecided {
                judgement = connection.stream(sender, &bytes, &[size]);
            }
            prop_assert_eq!(judgement, expected);
        }
    }
}

#[test]
fn both_sides_have_to_settle() {
    let mut connection = Connection::established(V1_2);
    assert_eq!(connection.data(Lan, 0, &capture("client-1.3")), Judgement::Settled);
    assert!(!connection.0.are_settled());
    // What the client sends further is its own business.
    assert_eq!(connection.data(Lan, 517, HTTP), Judgement::Undecided);
    assert_eq!(connection.data(Uplink, 0, &capture("server-1.3")), Judgement::Settled);
    assert!(connection.0.are_settled());
}

#[test]
fn only_the_expected_byte_is_judged() {
    let hello = capture("client-1.2");
    let mut connection = Connection::established(V1_2);
    assert_eq!(connection.data(Lan, 1, HTTP), Judgement::Undecided, "beyond");
    assert_eq!(connection.data(Lan, 0, &hello[..6]), Judgement::Undecided);
    assert_eq!(connection.data(Lan, 0, &HTTP[..6]), Judgement::Undecided, "before");
    let overlapping = [&HTTP[..2], &hello[6..]].concat();
    assert_eq!(connection.data(Lan, 4, &overlapping), Judgement::Settled, "from the expected byte on");
    let mut connection = Connection::established(V1_2);
    assert_eq!(connection.data(Lan, 0, &hello[..6]), Judgement::Undecided);
    assert_eq!(connection.data(Lan, 4, HTTP), Judgement::NotTls);
}

#[test]
fn data_in_a_syn_is_judged() {
    let syn = |data: &[u8]| {
        let syn = segment(CLIENT, 0, SYN, data.len());
        let mut connection = Connection(Hellos::opened(&syn, V1_2));
        let judgement = connection.send(Lan, CLIENT, 0, SYN, data);
        (connection, judgement)
    };
    assert_eq!(syn(HTTP).1, Judgement::NotTls);
    let hello = capture("client-1.2");
    let (mut connection, judgement) = syn(&hello[..8]);
    assert_eq!(judgement, Judgement::Undecided);
    // The same SYN once more starts nothing anew.
    assert_eq!(connection.send(Lan, CLIENT, 0, SYN, &[]), Judgement::Undecided);
    let next = CLIENT.wrapping_add(9);
    assert_eq!(connection.send(Uplink, SERVER, next, SYN | ACK, &[]), Judgement::Undecided);
    assert_eq!(connection.send(Lan, next, SERVER + 1, ACK, &hello[8..]), Judgement::Settled);
}

#[test]
fn a_server_that_takes_no_data_in_a_syn_gets_it_again() {
    let hello = capture("client-1.2");
    let mut connection = Connection(Hellos::opened(&segment(CLIENT, 0, SYN, 8), V1_2));
    assert_eq!(connection.send(Lan, CLIENT, 0, SYN, &hello[..8]), Judgement::Undecided);
    let first = CLIENT.wrapping_add(1);
    assert_eq!(connection.send(Uplink, SERVER, first, SYN | ACK, &[]), Judgement::Undecided);
    assert_eq!(connection.send(Lan, first, SERVER + 1, ACK, &hello), Judgement::Settled);
}

#[test]
fn a_client_that_tries_anew_is_judged_by_its_new_numbers() {
    let mut connection = Connection(Hellos::opened(&segment(CLIENT, 0, SYN, 0), V1_2));
    assert_eq!(connection.send(Lan, 700, 0, SYN, &[]), Judgement::Undecided);
    assert_eq!(connection.send(Uplink, SERVER, 701, SYN | ACK, &[]), Judgement::Undecided);
    assert_eq!(connection.send(Lan, 701, SERVER + 1, ACK, HTTP), Judgement::NotTls);
}

#[test]
fn of_two_syns_the_one_that_the_server_takes_counts() {
    for other in [CLIENT.wrapping_sub(1000), CLIENT.wrapping_add(1000)] {
        let mut connection = Connection(Hellos::opened(&segment(CLIENT, 0, SYN, 0), V1_2));
        assert_eq!(connection.send(Lan, other, 0, SYN, &[]), Judgement::Undecided);
        assert_eq!(connection.send(Uplink, SERVER, CLIENT.wrapping_add(1), SYN | ACK, &[]), Judgement::Undecided);
        assert_eq!(connection.data(Lan, 0, HTTP), Judgement::NotTls);
    }
}

#[test]
fn a_syn_in_the_midst_does_not_hide_what_follows() {
    let mut connection = Connection::established(V1_2);
    assert_eq!(connection.data(Lan, 0, &capture("client-1.2")[..5]), Judgement::Undecided);
    assert_eq!(connection.send(Lan, CLIENT.wrapping_add(100_000), 0, SYN, &[]), Judgement::Undecided);
    assert_eq!(connection.data(Lan, 5, HTTP), Judgement::NotTls);
}

#[test]
fn a_server_that_answers_again_with_other_numbers_is_followed() {
    let mut connection = Connection::established(V1_3);
    let first = CLIENT.wrapping_add(1);
    assert_eq!(connection.send(Uplink, 90_000, first, SYN | ACK, &[]), Judgement::Undecided);
    assert_eq!(connection.send(Uplink, 90_001, first, ACK, &capture("server-1.2")), Judgement::Downgraded);
}

#[test]
fn a_byte_that_is_acknowledged_unjudged_is_not_tls() {
    let mut connection = Connection::established(V1_2);
    assert_eq!(connection.data(Lan, 0, &capture("client-1.2")[..5]), Judgement::Undecided);
    let judged = CLIENT.wrapping_add(6);
    assert_eq!(connection.send(Uplink, SERVER + 1, judged, ACK, &[]), Judgement::Undecided);
    assert_eq!(connection.send(Uplink, SERVER + 1, judged.wrapping_add(20), ACK, &[]), Judgement::NotTls);
    let mut connection = Connection::established(V1_2);
    assert_eq!(connection.send(Lan, CLIENT.wrapping_add(1), SERVER + 500, ACK, &[]), Judgement::NotTls);
}

#[test]
fn a_connection_without_data_is_nobodys_business() {
    let mut connection = Connection::established(V1_2);
    let (client, server) = (CLIENT.wrapping_add(1), SERVER + 1);
    assert_eq!(connection.send(Lan, client, server, FIN | ACK, &[]), Judgement::Undecided);
    assert_eq!(connection.send(Uplink, server, client.wrapping_add(1), FIN | ACK, &[]), Judgement::Undecided);
    assert_eq!(connection.send(Lan, client.wrapping_add(1), server + 1, ACK, &[]), Judgement::Undecided);
    let mut refused = Connection(Hellos::opened(&segment(CLIENT, 0, SYN, 0), V1_2));
    assert_eq!(refused.send(Uplink, 0, client, RST | ACK, b"closed"), Judgement::Undecided);
}
