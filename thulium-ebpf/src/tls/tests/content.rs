//! Which bytes are a hello, and which version it is of.

use proptest::prelude::*;

use super::*;

#[test]
fn a_client_that_can_do_1_2_is_good_enough_for_either_floor() {
    for floor in [V1_2, V1_3] {
        for name in ["client-1.2", "client-1.3"] {
            assert_eq!(judge(Lan, &capture(name), floor), Judgement::Settled, "{name}");
        }
        assert_eq!(judge(Lan, &post_quantum(), floor), Judgement::Settled);
    }
}

#[test]
fn a_client_that_cannot_is_too_old() {
    for name in ["client-1.0", "client-1.1"] {
        assert_eq!(judge(Lan, &capture(name), V1_2), Judgement::TooOld, "{name}");
    }
    let ssl3 = records(&message(1, &[3, 0, 7, 7, 7]), &[]);
    assert_eq!(judge(Lan, &ssl3, V1_2), Judgement::TooOld);
}

#[test]
fn a_server_settles_at_the_floor_or_above() {
    let table = [
        ("server-1.3", V1_3, Judgement::Settled),
        ("server-1.3", V1_2, Judgement::Settled),
        ("server-retry", V1_3, Judgement::Settled),
        ("server-retry", V1_2, Judgement::Settled),
        ("server-1.2", V1_2, Judgement::Settled),
        ("server-1.2", V1_3, Judgement::Downgraded),
        ("server-1.1", V1_2, Judgement::Downgraded),
        ("server-1.1", V1_3, Judgement::Downgraded),
        ("server-1.0", V1_2, Judgement::Downgraded),
    ];
    for (name, floor, expected) in table {
        assert_eq!(judge(Uplink, &capture(name), floor), expected, "{name} under {floor:#x}");
    }
}

#[test]
fn the_version_is_found_behind_other_extensions_and_missed_without_one() {
    let share = vec![0x5a; 1124];
    let selected: (u16, &[u8]) = (43, &[3, 4]);
    let table = [
        (vec![(51, share.as_slice()), selected], Judgement::Settled),
        (vec![(51, share.as_slice()), (23, &[]), selected, (0, &[])], Judgement::Settled),
        (vec![(51, share.as_slice()), (43, &[3, 3])], Judgement::Downgraded),
        (vec![(51, share.as_slice())], Judgement::Downgraded),
        (vec![(23, &[][..])], Judgement::Downgraded),
        (vec![], Judgement::Downgraded),
        (vec![(43, &[3, 4, 5][..])], Judgement::NotTls),
    ];
    for (extensions, expected) in table {
        let hello = records(&server_hello(V1_2, &extensions), &[]);
        assert_eq!(judge(Uplink, &hello, V1_3), expected, "{extensions:?}");
        assert_eq!(judge(Uplink, &hello, V1_2), Judgement::Settled, "{extensions:?}");
    }
    let without = message(2, &[[3, 3].as_slice(), &[7; 32], &[0, 0xc0, 0x2f, 0]].concat());
    assert_eq!(judge(Uplink, &records(&without, &[]), V1_3), Judgement::Downgraded);
}

#[test]
fn a_server_may_warn_before_its_hello() {
    let warned = [&[21, 3, 3, 0, 2, 1, 112], capture("server-1.2").as_slice()].concat();
    assert_eq!(judge(Uplink, &warned, V1_2), Judgement::Settled);
    assert_eq!(judge(Uplink, &capture("server-alert"), V1_2), Judgement::Undecided);
    // An alert is no licence for what follows it.
    let lied = [capture("server-alert").as_slice(), b"HTTP/1.1 200 OK\r\n"].concat();
    assert_eq!(judge(Uplink, &lied, V1_2), Judgement::NotTls);
    assert_eq!(judge(Lan, &capture("server-alert"), V1_2), Judgement::NotTls);
}

#[test]
fn what_is_no_hello_is_not_tls() {
    let application_data = [&[23, 3, 3, 0, 9][..], &[1; 9]].concat();
    let alert_within = [records(&message(1, &[3, 3, 0])[..2], &[]), vec![21, 3, 3, 0, 2, 1, 0]].concat();
    let table: [(&str, &[u8]); 10] = [
        ("HTTP", b"GET / HTTP/1.1\r\nHost: acme.thulium.com\r\n\r\n"),
        ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n"),
        ("SSL 2", &[0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0]),
        ("another record", &application_data),
        ("another major version", &[22, 2, 1, 0, 5, 1, 0, 0, 2, 3, 3]),
        ("an empty record", &[22, 3, 1, 0, 0]),
        ("a version that never was", &[22, 3, 1, 0, 6, 1, 0, 0, 2, 0x2f, 0x20]),
        ("an endless record", &[22, 3, 1, 0x40, 1, 1, 0, 0, 2, 3, 3]),
        ("a message without a version", &[22, 3, 1, 0, 5, 1, 0, 0, 1, 3]),
        ("an alert within a message", &alert_within),
    ];
    for (name, bytes) in table {
        assert_eq!(judge(Lan, bytes, V1_2), Judgement::NotTls, "{name}");
        assert_eq!(judge(Uplink, bytes, V1_3), Judgement::NotTls, "{name}");
    }
    assert_eq!(judge(Lan, &capture("server-1.2"), V1_2), Judgement::NotTls, "a server's hello");
    assert_eq!(judge(Uplink, &capture("client-1.2"), V1_2), Judgement::NotTls, "a client's hello");
}

#[test]
fn lengths_that_contradict_each_other_are_not_tls() {
    let good = server_hello(V1_2, &[(51, &[1, 2, 3]), (43, &[3, 4])]);
    assert_eq!(judge(Uplink, &records(&good, &[]), V1_3), Judgement::Settled);
    let (session_id, extensions, extension) = (4 + 2 + 32, 4 + 2 + 32 + 1 + 3, 4 + 2 + 32 + 1 + 3 + 2 + 2);
    for (name, at, value) in [
        ("message", 3, 20),
        ("session id", session_id, 33),
        ("session id in a short message", session_id, 32),
        ("extensions, short", extensions + 1, 12),
        ("extensions, long", extensions + 1, 14),
        ("extension", extension + 1, 200),
    ] {
        let mut bad = good.clone();
        bad[at] = value;
        assert_eq!(judge(Uplink, &records(&bad, &[]), V1_3), Judgement::NotTls, "{name}");
    }
}

#[test]
fn a_hello_of_countless_parts_is_not_tls() {
    let many = vec![(0x0a0a, &[][..]); 80];
    assert_eq!(judge(Uplink, &records(&server_hello(V1_2, &many), &[]), V1_3), Judgement::NotTls);
    let warnings = [21, 3, 3, 0, 2, 1, 112].repeat(60);
    assert_eq!(judge(Uplink, &warnings, V1_2), Judgement::NotTls);
}

proptest! {
    #[test]
    fn a_hello_is_never_read_past_its_version(rest in prop::collection::vec(any::<u8>(), 0..40)) {
        let mut bytes = capture("client-1.2");
        bytes.truncate(11);
        bytes.extend(rest);
        prop_assert_eq!(judge(Lan, &bytes, V1_2), Judgement::Settled);
    }

    #[test]
    fn a_beginning_of_a_hello_is_undecided(name in "server-(1\\.3|retry)", cut in 0_usize..200) {
        let mut bytes = capture(&name);
        // The version stands in front of the key share.
        let needed = 5 + 4 + 2 + 32 + 33 + 3 + 2 + 6;
        bytes.truncate(cut);
        let expected = if cut < needed { Judgement::Undecided } else { Judgement::Settled };
        prop_assert_eq!(judge(Uplink, &bytes, V1_3), expected);
    }

    #[test]
    fn random_bytes_never_settle_and_are_always_taken(
        bytes in prop::collection::vec(any::<u8>(), 0..2000), from_client in any::<bool>()
    ) {
        let sender = if from_client { Lan } else { Uplink };
        prop_assert_ne!(judge(sender, &bytes, V1_3), Judgement::Settled);
    }

    #[test]
    fn a_hello_with_a_byte_changed_is_judged(at in 0_usize..150, byte in any::<u8>(), size in 1_usize..200) {
        let mut bytes = capture("server-1.3");
        let at = at % bytes.len();
        bytes[at] = byte;
        let whole = judge(Uplink, &bytes, V1_3);
        prop_assert_eq!(Connection::established(V1_3).stream(Uplink, &bytes, &[size]), whole);
    }
}
