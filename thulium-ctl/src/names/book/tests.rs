mod learning;

use std::time::UNIX_EPOCH;

use proptest::prelude::*;

use super::*;
use crate::names::{AddressSource, AddressState};

const KEEP: u64 = 1000;

fn at(second: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_000_000 + second)
}

fn host(name: &str, names: &[&str], keep_old: u64) -> Host {
    Host {
        name: name.to_owned(),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        addresses: Vec::new(),
        keep_old: Duration::from_secs(keep_old),
        private_answers: false,
    }
}

fn answer(addresses: &[&str]) -> Answer {
    let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
    Answer { family: Family::Ipv4, addresses, ttl: Duration::from_secs(60) }
}

fn answer6(addresses: &[&str]) -> Answer {
    Answer { family: Family::Ipv6, ..answer(addresses) }
}

/// The entries as text: `address: hosts`, with the seconds left of those that left DNS.
fn entries(book: &AddressBook, now: u64) -> Vec<String> {
    let line = |(prefix, entry): (IpNet, Entry)| {
        let hosts: Vec<&str> = entry.hosts.iter().map(String::as_str).collect();
        let left = entry.until.map(|until| format!(" for {}", until.duration_since(at(now)).unwrap().as_secs()));
        format!("{}: {}{}", prefix.addr(), hosts.join("+"), left.unwrap_or_default())
    };
    book.entries(at(now)).into_iter().map(line).collect()
}

#[test]
fn addresses_accumulate_and_old_ones_are_kept_for_a_while() {
    let mut book = AddressBook::new(&[host("stun", &["stun.test"], KEEP)]);
    book.observe("stun.test", &answer(&["192.0.2.1", "192.0.2.2"]), at(0));
    book.observe("stun.test", &answer(&["192.0.2.2", "192.0.2.3"]), at(100));
    assert_eq!(entries(&book, 100), ["192.0.2.1: stun for 1000", "192.0.2.2: stun", "192.0.2.3: stun"]);
    book.observe("stun.test", &answer(&["192.0.2.2"]), at(200));
    assert_eq!(
        entries(&book, 1099),
        ["192.0.2.1: stun for 1", "192.0.2.2: stun", "192.0.2.3: stun for 101"],
        "it counts from the first answer without it, not from the latest"
    );
    assert_eq!(book.next_expiry(at(1099)), Some(at(1100)));
    assert_eq!(entries(&book, 1100), ["192.0.2.2: stun", "192.0.2.3: stun for 100"]);
    let week = REMEMBERED.as_secs();
    assert_eq!(book.expire(at(1099 + week)), 0, "it is remembered");
    assert_eq!(book.expired(at(1100)).keys().map(|prefix| prefix.addr()).collect::<Vec<_>>(), [address(1)]);
    assert_eq!((book.expire(at(1100 + week)), book.expire(at(1200 + week))), (1, 1));
    assert!(book.expired(at(1200 + week)).is_empty());
}

#[test]
fn an_address_that_comes_back_is_live_again() {
    let mut book = AddressBook::new(&[host("stun", &["stun.test"], KEEP)]);
    book.observe("stun.test", &answer(&["192.0.2.1"]), at(0));
    book.observe("stun.test", &answer(&["192.0.2.2"]), at(10));
    book.observe("stun.test", &answer(&["192.0.2.1"]), at(20));
    assert_eq!(entries(&book, 20), ["192.0.2.1: stun", "192.0.2.2: stun for 1000"]);
    assert_eq!(book.report(at(20))[0].addresses[0].first_seen, Some(1_000_000));
}

#[test]
fn failures_and_empty_answers_remove_nothing_and_are_told_with_their_beginning() {
    let mut book = AddressBook::new(&[host("stun", &["stun.test"], 0)]);
    book.observe("stun.test", &answer(&["192.0.2.1"]), at(0));
    book.fail("stun.test", Family::Ipv4, "no resolver answered in time", at(50));
    book.observe("stun.test", &answer(&[]), at(1_000_000));
    assert_eq!(entries(&book, 1_000_000), ["192.0.2.1: stun"]);
    let name = &book.report(at(1_000_000))[0].names[0];
    assert_eq!((name.resolves, name.since), (false, Some(1_000_050)));
    assert_eq!(name.why.as_deref(), Some("the name has no address (no A record)"));
    book.observe("stun.test", &answer(&["192.0.2.1"]), at(1_000_001));
    let name = &book.report(at(1_000_001))[0].names[0];
    assert_eq!((name.resolves, name.since, &name.why), (true, None, &None));
}

#[test]
fn the_families_of_a_name_do_not_touch_each_other() {
    let mut book = AddressBook::new(&[host("stun", &["stun.test"], KEEP)]);
    book.observe("stun.test", &answer6(&["2001:db8::1"]), at(0));
    book.observe("stun.test", &answer(&["192.0.2.1"]), at(0));
    book.observe("stun.test", &answer(&["192.0.2.2"]), at(100));
    assert_eq!(entries(&book, 100), ["192.0.2.1: stun for 1000", "192.0.2.2: stun", "2001:db8::1: stun"]);
    book.fail("stun.test", Family::Ipv6, "the resolver failed (SERVFAIL)", at(200));
    assert_eq!(entries(&book, 200)[2], "2001:db8::1: stun", "a failure takes nothing away");
    assert!(book.report(at(200))[0].names[0].why.as_ref().unwrap().contains("IPv6"));
    book.observe("stun.test", &answer6(&[]), at(300));
    assert_eq!(entries(&book, 300)[2], "2001:db8::1: stun for 1000", "it has IPv4 alone now");
    assert!(book.report(at(300))[0].names[0].resolves);
}

#[test]
fn an_address_belongs_to_every_host_that_named_it_and_to_no_other() {
    let mut fixed = host("office", &["both.test"], 500);
    fixed.addresses = vec!["198.51.100.7/24".parse().unwrap(), "192.0.2.9/32".parse().unwrap()];
    let hosts = [host("web", &["web.test", "both.test"], KEEP), fixed, host("none", &["unasked.test"], KEEP)];
    let mut book = AddressBook::new(&hosts);
    assert_eq!(book.names().collect::<Vec<_>>(), ["both.test", "unasked.test", "web.test"], "each name once");
    book.observe("both.test", &answer(&["192.0.2.1"]), at(0));
    book.observe("web.test", &answer(&["192.0.2.1", "192.0.2.9"]), at(0));
    assert_eq!(entries(&book, 0), ["192.0.2.1: office+web", "192.0.2.9: office+web", "198.51.100.0: office"]);
    book.observe("both.test", &answer(&["192.0.2.2"]), at(0));
    assert_eq!(entries(&book, 499)[0], "192.0.2.1: office+web", "web still has it by its other name");
    assert_eq!(entries(&book, 500)[0], "192.0.2.1: web");
    book.observe("web.test", &answer(&["192.0.2.3"]), at(600));
    assert_eq!(entries(&book, 600)[2], "192.0.2.3: web");
    assert_eq!(entries(&book, 1600)[0], "192.0.2.2: office+web");
}

#[test]
fn what_an_earlier_run_knew_goes_on_until_dns_says_more() {
    let hosts = [host("stun", &["stun.test"], KEEP)];
    let mut first = AddressBook::new(&hosts);
    first.observe("stun.test", &answer(&["192.0.2.1", "192.0.2.2"]), at(0));
    first.observe("stun.test", &answer(&["192.0.2.2"]), at(600));

    let mut second = AddressBook::new(&hosts);
    second.restore(&first.save(), at(700));
    assert_eq!(entries(&second, 700), ["192.0.2.1: stun for 900", "192.0.2.2: stun"], "as if there were no restart");
    second.fail("stun.test", Family::Ipv4, "no resolver answered in time", at(710));
    assert_eq!(entries(&second, 10_000), ["192.0.2.2: stun"], "however long DNS is dead");
    assert_eq!(second.expired(at(10_000)).len(), 1, "what was expired is so in the next run");
    second.observe("stun.test", &answer(&["192.0.2.3"]), at(10_000));
    assert_eq!(entries(&second, 10_000), ["192.0.2.2: stun for 1000", "192.0.2.3: stun"]);
    assert_eq!(second.report(at(10_000))[0].addresses[1].first_seen, Some(1_000_000));

    let mut late = AddressBook::new(&hosts);
    late.restore(&first.save(), at(31 * 86_400));
    assert!(late.entries(at(31 * 86_400)).is_empty(), "an answer that is a month old says nothing");
    let mut early = AddressBook::new(&hosts);
    early.restore(&first.save(), UNIX_EPOCH);
    assert_eq!(early.next_expiry(UNIX_EPOCH), Some(UNIX_EPOCH + Duration::from_secs(KEEP)), "a clock that was wrong");
}

#[test]
fn the_report_has_fixed_and_learned_addresses_with_their_state() {
    let mut both = host("web", &["a.test", "b.test"], KEEP);
    both.addresses = vec!["192.0.2.100/32".parse().unwrap(), "198.51.100.7/24".parse().unwrap()];
    let mut book = AddressBook::new(&[both]);
    book.observe("a.test", &answer(&["192.0.2.1", "192.0.2.2"]), at(0));
    book.observe("b.test", &answer(&["192.0.2.2"]), at(5));
    book.observe("a.test", &answer(&["192.0.2.3"]), at(10));
    let report = book.report(at(10));
    let rows: Vec<_> =
        report[0].addresses.iter().map(|row| (row.address.as_str(), row.source, row.state, row.names.len())).collect();
    assert_eq!(
        rows,
        [
            ("192.0.2.100", AddressSource::Fixed, AddressState::Live, 0),
            ("198.51.100.0/24", AddressSource::Fixed, AddressState::Live, 0),
            ("192.0.2.1", AddressSource::Resolver, AddressState::Kept, 1),
            ("192.0.2.2", AddressSource::Resolver, AddressState::Live, 2),
            ("192.0.2.3", AddressSource::Resolver, AddressState::Live, 1),
        ]
    );
    assert_eq!(report[0].addresses[2].until, Some(1_001_010));
    assert_eq!(report[0].addresses[3].valid_until, Some(1_000_065));
}

/// What can happen to a book of two names.
#[derive(Clone, Debug)]
enum Event {
    Answer(usize, BTreeSet<u8>),
    Failure(usize),
    Expire,
    Wait(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (0..2usize, prop::collection::btree_set(1..5u8, 0..3)).prop_map(|(name, set)| Event::Answer(name, set)),
        (0..2usize).prop_map(Event::Failure),
        Just(Event::Expire),
        (1..700u64).prop_map(Event::Wait),
    ]
}

fn address(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

/// What the book promises, read off the history of good answers: an address is in as long as the last answer has it, and
/// for `keep` seconds after the first answer without it.
fn is_admitted(history: &[(u64, BTreeSet<u8>)], last: u8, keep: u64, now: u64) -> bool {
    let Some(seen) = history.iter().rposition(|(_, answer)| answer.contains(&last)) else { return false };
    history.get(seen + 1).is_none_or(|(left, _)| now < left + keep)
}

proptest! {
    #[test]
    fn the_book_keeps_its_promise_whatever_happens(events in prop::collection::vec(event(), 0..60)) {
        const NAMES: [&str; 2] = ["a.test", "b.test"];
        // One host has both names, the other one name and a shorter memory.
        let hosts = [host("both", &NAMES, KEEP), host("one", &NAMES[..1], 300)];
        let mut book = AddressBook::new(&hosts);
        let mut history: [Vec<(u64, BTreeSet<u8>)>; 2] = Default::default();
        let mut now = 0;
        for event in events {
            match event {
                Event::Answer(name, set) => {
                    let addresses = set.iter().map(|last| address(*last)).collect();
                    book.observe(NAMES[name], &Answer { family: Family::Ipv4, addresses, ttl: Duration::ZERO }, at(now));
                    if !set.is_empty() {
                        history[name].push((now, set));
                    }
                }
                Event::Failure(name) => book.fail(NAMES[name], Family::Ipv4, "why", at(now)),
                Event::Expire => { book.expire(at(now)); }
                Event::Wait(seconds) => now += seconds,
            }
            let entries = book.entries(at(now));
            for last in 1..5 {
                let entry = entries.get(&IpNet::from(address(last)));
                let has = |host: &str| entry.is_some_and(|entry| entry.hosts.contains(host));
                let admitted = |name: usize, keep| is_admitted(&history[name], last, keep, now);
                prop_assert_eq!(has("both"), admitted(0, KEEP) || admitted(1, KEEP));
                prop_assert_eq!(has("one"), admitted(0, 300));
                prop_assert!(entry.is_none_or(|entry| entry.until.is_none_or(|until| until > at(now))));
                let was_there = history.iter().flatten().any(|(_, answer)| answer.contains(&last));
                let is_expired = book.expired(at(now)).contains_key(&IpNet::from(address(last)));
                prop_assert_eq!(is_expired, was_there && entry.is_none());
            }
            let mut restored = AddressBook::new(&hosts);
            restored.restore(&book.save(), at(now));
            for (prefix, entry) in restored.entries(at(now)) {
                prop_assert!(entries[&prefix].hosts.is_superset(&entry.hosts), "a restart never adds anything");
            }
        }
    }
}
