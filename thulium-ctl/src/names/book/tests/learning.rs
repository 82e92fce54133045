//! What replies to clients teach.

use super::*;

fn lesson(name: &str, addresses: &[&str], ttl: u64) -> Lesson {
    let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
    Lesson { name: name.to_owned(), addresses, ttl: Duration::from_secs(ttl) }
}

/// The source and state of each address of the first host.
fn rows(book: &AddressBook, now: u64) -> Vec<(String, AddressSource, AddressState)> {
    let addresses = book.report(at(now)).swap_remove(0).addresses;
    addresses.into_iter().map(|row| (row.address, row.source, row.state)).collect()
}

#[test]
fn a_learned_address_is_live_for_its_ttl_then_kept_then_expired() {
    let mut book = AddressBook::new(&[host("stun", &["stun.test"], KEEP)]);
    assert!(book.learn(&lesson("stun.test", &["192.0.2.1"], 60), at(0)));
    assert_eq!(entries(&book, 0), ["192.0.2.1: stun for 1060"]);
    assert!(!book.learn(&lesson("stun.test", &["192.0.2.1"], 60), at(10)), "that is no news");
    assert_eq!(book.next_expiry(at(10)), Some(at(1070)));
    let state = |now| rows(&book, now).swap_remove(0).2;
    assert_eq!([state(69), state(70)], [AddressState::Live, AddressState::Kept]);
    assert_eq!([state(1069), state(1070)], [AddressState::Kept, AddressState::Expired]);
    assert_eq!(book.expired(at(1070)).len(), 1);
    assert!(book.learn(&lesson("stun.test", &["192.0.2.1"], 60), at(5000)), "it admits again");
    assert_eq!(book.report(at(5000))[0].addresses[0].first_seen, Some(1_000_000));
    assert_eq!(rows(&book, 5000)[0].1, AddressSource::Learned);
}

#[test]
fn a_reply_makes_no_other_address_leave_and_an_answer_takes_nothing_learned() {
    let mut book = AddressBook::new(&[host("stun", &["stun.test"], KEEP)]);
    book.observe("stun.test", &answer(&["192.0.2.1"]), at(0));
    book.learn(&lesson("stun.test", &["192.0.2.2"], 60), at(10));
    book.learn(&lesson("stun.test", &["192.0.2.3"], 60), at(20));
    assert_eq!(entries(&book, 20), ["192.0.2.1: stun", "192.0.2.2: stun for 1050", "192.0.2.3: stun for 1060"]);
    book.observe("stun.test", &answer(&["192.0.2.1"]), at(30));
    assert_eq!(entries(&book, 30), ["192.0.2.1: stun", "192.0.2.2: stun for 1040", "192.0.2.3: stun for 1050"]);
    book.observe("stun.test", &answer(&["192.0.2.2"]), at(40));
    assert_eq!(entries(&book, 40), ["192.0.2.1: stun for 1000", "192.0.2.2: stun", "192.0.2.3: stun for 1040"]);
    let sources: Vec<AddressSource> = rows(&book, 40).into_iter().map(|row| row.1).collect();
    assert_eq!(sources, [AddressSource::Resolver, AddressSource::Resolver, AddressSource::Learned]);
}

#[test]
fn the_ttl_of_a_reply_is_clamped() {
    let mut book = AddressBook::new(&[host("stun", &["stun.test"], 0)]);
    book.learn(&lesson("stun.test", &["192.0.2.1"], 0), at(0));
    book.learn(&lesson("stun.test", &["192.0.2.2"], u64::from(u32::MAX)), at(0));
    assert_eq!(entries(&book, 0), ["192.0.2.1: stun for 30", "192.0.2.2: stun for 86400"]);
    book.learn(&lesson("stun.test", &["192.0.2.2"], 30), at(0));
    assert_eq!(entries(&book, 0)[1], "192.0.2.2: stun for 86400", "the longer reply still holds");
}

#[test]
fn a_wildcard_has_the_addresses_of_every_name_it_stands_for_and_of_no_other() {
    let hosts = [host("all", &["*.thulium.test"], KEEP), host("acme", &["acme.thulium.test"], 100)];
    let mut book = AddressBook::new(&hosts);
    assert_eq!(book.names().collect::<Vec<_>>(), ["acme.thulium.test"], "a wildcard is not asked for");
    book.learn(&lesson("acme.thulium.test", &["192.0.2.1"], 60), at(0));
    book.learn(&lesson("other.thulium.test", &["192.0.2.2"], 60), at(0));
    for stranger in ["thulium.test", "a.b.thulium.test", "stun.test", "*.thulium.test.evil"] {
        assert!(!book.learn(&lesson(stranger, &["192.0.2.9"], 60), at(0)), "{stranger}");
    }
    assert_eq!(entries(&book, 0), ["192.0.2.1: acme+all for 1060", "192.0.2.2: all for 1060"]);
    assert_eq!(entries(&book, 160), ["192.0.2.1: all for 900", "192.0.2.2: all for 900"], "each host by its own time");
    assert_eq!(book.next_expiry(at(0)), Some(at(160)));
    let report = book.report(at(5));
    assert_eq!((report[0].names[0].stands_for, report[0].names[0].last_reply), (Some(1), Some(1_000_000)));
    assert_eq!(report[0].addresses[1].names, ["other.thulium.test"]);

    let mut restored = AddressBook::new(&hosts);
    restored.restore(&book.save(), at(100));
    assert_eq!(entries(&restored, 100), ["192.0.2.1: acme+all for 960", "192.0.2.2: all for 960"]);
    let mut without = AddressBook::new(&hosts[1..]);
    without.restore(&book.save(), at(100));
    assert_eq!(entries(&without, 100), ["192.0.2.1: acme for 60"], "the policy has no wildcard any more");
}

#[test]
fn a_name_that_a_wildcard_took_the_place_of_is_kept_no_longer_than_others() {
    let mut book = AddressBook::new(&[host("acme", &["acme.thulium.test"], KEEP)]);
    book.observe("acme.thulium.test", &answer(&["192.0.2.1"]), at(0));
    let mut wildcard = AddressBook::new(&[host("all", &["*.thulium.test"], KEEP)]);
    wildcard.restore(&book.save(), at(100));
    assert_eq!(entries(&wildcard, 100), ["192.0.2.1: all for 900"], "nobody asks for it any more");
}

#[test]
fn a_host_learns_private_addresses_only_if_the_policy_says_so() {
    let trusting = Host { private_answers: true, ..host("office", &["*.test"], KEEP) };
    let mut book = AddressBook::new(&[host("web", &["web.test"], KEEP), trusting]);
    for private in ["10.0.0.1", "192.168.20.1", "127.0.0.1", "169.254.0.1", "fd00::1", "::1"] {
        assert!(book.learn(&lesson("web.test", &[private, "203.0.113.1"], 60), at(0)), "{private}");
        assert_eq!(
            book.entries(at(0))[&IpNet::from(private.parse::<IpAddr>().unwrap())].hosts,
            ["office".to_owned()].into()
        );
    }
    let public: IpAddr = [203, 0, 113, 1].into();
    assert_eq!(book.entries(at(0))[&IpNet::from(public)].hosts.len(), 2);
    assert_eq!(rows(&book, 0).len(), 1, "`web` shows nothing that is not its own");
    for unusable in ["0.0.0.0", "224.0.0.1", "255.255.255.255", "::", "ff02::1", "fe80::1"] {
        assert!(!book.learn(&lesson("web.test", &[unusable], 60), at(0)), "{unusable} is nobody's");
    }
    book.observe("web.test", &answer(&["10.0.0.1"]), at(0));
    let own = IpNet::from(IpAddr::from([10, 0, 0, 1]));
    assert_eq!(book.entries(at(0))[&own].hosts.len(), 2, "the gateway's own resolvers are believed");
}

#[test]
fn a_private_answer_that_a_host_is_not_taught_is_reported_with_its_name() {
    let trusting = Host { private_answers: true, ..host("office", &["*.test"], KEEP) };
    let fixed = Host { addresses: vec!["10.0.0.0/8".parse().unwrap()], ..host("fixed", &["web.test"], KEEP) };
    let mut book = AddressBook::new(&[host("web", &["web.test", "*.test"], KEEP), trusting, fixed]);
    let refused = |book: &AddressBook, host: usize, name: usize, now: u64| -> Vec<(String, String, u64)> {
        let refused = book.report(at(now)).swap_remove(host).names.swap_remove(name).refused;
        refused.into_iter().map(|one| (one.name, one.address.to_string(), one.last_reply - 1_000_000)).collect()
    };
    let row = |name: &str, address: &str, last| (name.to_owned(), address.to_owned(), last);
    book.learn(&lesson("web.test", &["10.0.0.1", "203.0.113.1", "224.0.0.1"], 60), at(5));
    assert_eq!(
        refused(&book, 0, 0, 9),
        [row("web.test", "10.0.0.1", 5)],
        "no public one, and nobody's cannot be admitted"
    );
    assert_eq!(refused(&book, 1, 0, 9), [], "the policy lets it learn");
    assert_eq!(refused(&book, 2, 0, 9), [], "it has it by the policy");
    book.learn(&lesson("a.test", &["fd00::1"], 60), at(6));
    assert_eq!(refused(&book, 0, 1, 9), [row("a.test", "fd00::1", 6)], "at the wildcard of its name");

    for last in 2..200_u64 {
        book.learn(&lesson("web.test", &[&format!("10.0.0.{last}")], 60), at(last));
    }
    book.learn(&lesson("web.test", &["10.0.0.198"], 60), at(300));
    let latest =
        [row("web.test", "10.0.0.198", 300), row("web.test", "10.0.0.199", 199), row("web.test", "10.0.0.197", 197)];
    assert_eq!(refused(&book, 0, 0, 300), latest, "the latest of each address, and no more than a few");

    book.observe("web.test", &answer(&["10.0.0.198"]), at(301));
    assert_eq!(refused(&book, 0, 0, 301).len(), 2, "the daemon's own resolvers gave it");
    book.expire(at(200 + 86_400));
    assert_eq!(refused(&book, 0, 0, 300), [], "a day later it is old news");
}

#[test]
fn a_wildcard_stands_for_a_bounded_number_of_names() {
    let mut book = AddressBook::new(&[host("all", &["*.test"], KEEP), host("one", &["asked.test"], KEEP)]);
    let name = |number: usize| format!("n{number}.test");
    for number in 0..NAMES_OF_A_WILDCARD {
        // The first name is used last.
        let now = if number == 0 { 500 } else { number as u64 % 400 };
        assert!(book.learn(&lesson(&name(number), &["192.0.2.1"], 60), at(now)) || number > 0);
    }
    let known = |book: &AddressBook| book.report(at(0))[0].names[0].stands_for;
    assert_eq!(known(&book), Some(NAMES_OF_A_WILDCARD as u64), "the name that is asked for is none of them");
    book.learn(&lesson("more.test", &["192.0.2.2"], 60), at(500));
    assert_eq!(entries(&book, 500).len(), 1, "nothing that admits sessions is given up");
    assert!(book.learn(&lesson("asked.test", &["192.0.2.3"], 60), at(500)), "a name of the policy has room");

    let later = 500 + 60 + KEEP;
    assert!(book.learn(&lesson("more.test", &["192.0.2.2"], 60), at(later - 1)), "the others have expired");
    assert_eq!(known(&book), Some(NAMES_OF_A_WILDCARD as u64));
    assert!(book.names.contains_key("n0.test"), "the oldest gave way, and this one was not it");
}

proptest! {
    /// Learned addresses are admitted for the clamped TTL and `keep_old` after the last reply, whatever else is learned.
    #[test]
    fn what_is_learned_is_kept_as_promised(
        events in prop::collection::vec((1..5u8, 0..200u64, 0..400u64), 1..40)
    ) {
        let mut book = AddressBook::new(&[host("all", &["*.test"], KEEP)]);
        let mut until = BTreeMap::new();
        let mut now = 0;
        for (last, ttl, wait) in events {
            let shown = address(last).to_string();
            let is_new = book.learn(&lesson("a.test", &[&shown], ttl), at(now));
            let end = until.entry(last).or_insert(0);
            prop_assert_eq!(is_new, *end <= now);
            *end = (now + ttl.max(30) + KEEP).max(*end);
            now += wait;
            for last in 1..5 {
                let admitted = book.entries(at(now)).contains_key(&IpNet::from(address(last)));
                prop_assert_eq!(admitted, until.get(&last).is_some_and(|end| *end > now));
            }
        }
    }
}
