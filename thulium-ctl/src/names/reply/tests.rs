use std::net::{Ipv4Addr, Ipv6Addr};

use hickory_resolver::proto::{
    op::Query,
    rr::rdata::{A, AAAA, CNAME},
};
use proptest::prelude::*;

use super::*;

fn name(name: &str) -> Name {
    let mut name = Name::from_ascii(name).unwrap();
    name.set_fqdn(true);
    name
}

fn record(owner: &str, ttl: u32, data: RData) -> Record {
    Record::from_rdata(name(owner), ttl, data)
}

fn a(owner: &str, ttl: u32, last: u8) -> Record {
    record(owner, ttl, RData::A(A(Ipv4Addr::new(203, 0, 113, last))))
}

fn alias(owner: &str, ttl: u32, to: &str) -> Record {
    record(owner, ttl, RData::CNAME(CNAME(name(to))))
}

fn reply(asked: &str, of: RecordType, answers: Vec<Record>) -> Message {
    let mut message = Message::response(7, OpCode::Query);
    message.queries.push(Query::query(name(asked), of));
    message.answers = answers;
    message
}

fn read(message: &Message) -> Option<Lesson> {
    Lesson::read(&message.to_vec().unwrap())
}

fn lesson(name: &str, lasts: &[u8], ttl: u64) -> Lesson {
    let addresses = lasts.iter().map(|last| IpAddr::from([203, 0, 113, *last])).collect();
    Lesson { name: name.to_owned(), addresses, ttl: Duration::from_secs(ttl) }
}

#[test]
fn a_reply_teaches_its_questions_addresses() {
    let message =
        reply("Acme.Thulium.test", RecordType::A, vec![a("acme.thulium.test", 60, 1), a("ACME.thulium.test", 30, 2)]);
    assert_eq!(read(&message), Some(lesson("acme.thulium.test", &[1, 2], 30)));
    let address: Ipv6Addr = "2001:db8::1".parse().unwrap();
    let aaaa = record("a.test", 60, RData::AAAA(AAAA(address)));
    let found = read(&reply("a.test", RecordType::AAAA, vec![aaaa])).unwrap();
    assert_eq!(found.addresses, [IpAddr::V6(address)].into());
}

#[test]
fn aliases_are_followed_in_any_order_and_the_shortest_ttl_counts() {
    let mut answers =
        vec![alias("a.test", 300, "b.test"), alias("b.test", 20, "c.test"), a("c.test", 60, 1), a("c.test", 60, 2)];
    assert_eq!(read(&reply("a.test", RecordType::A, answers.clone())), Some(lesson("a.test", &[1, 2], 20)));
    answers.reverse();
    assert_eq!(read(&reply("a.test", RecordType::A, answers)), Some(lesson("a.test", &[1, 2], 20)));
}

#[test]
fn a_ttl_beyond_what_a_ttl_can_be_is_none() {
    let message = |ttl| reply("a.test", RecordType::A, vec![a("a.test", ttl, 1)]);
    assert_eq!(read(&message(0x7fff_ffff)).unwrap().ttl, Duration::from_secs(0x7fff_ffff));
    assert_eq!(read(&message(0x8000_0000)).unwrap().ttl, Duration::ZERO);
}

#[test]
fn addresses_of_other_names_and_types_teach_nothing() {
    let aaaa = record("a.test", 60, RData::AAAA(AAAA(Ipv6Addr::LOCALHOST)));
    let strangers = vec![a("b.test", 60, 1), aaaa, alias("b.test", 60, "a.test")];
    assert_eq!(read(&reply("a.test", RecordType::A, strangers.clone())), None);
    let among = [strangers, vec![a("a.test", 60, 9)]].concat();
    assert_eq!(read(&reply("a.test", RecordType::A, among)), Some(lesson("a.test", &[9], 60)));
    let mut beside = reply("a.test", RecordType::A, Vec::new());
    beside.additionals.push(a("a.test", 60, 1));
    beside.authorities.push(a("a.test", 60, 1));
    assert_eq!(read(&beside), None);
    assert_eq!(read(&reply("a.test", RecordType::TXT, vec![a("a.test", 60, 1)])), None);
}

#[test]
fn aliases_in_a_circle_teach_nothing() {
    let circle = vec![alias("a.test", 60, "b.test"), alias("b.test", 60, "a.test"), a("b.test", 60, 1)];
    assert_eq!(read(&reply("a.test", RecordType::A, circle)), None);
    assert_eq!(read(&reply("a.test", RecordType::A, vec![alias("a.test", 60, "a.test"), a("a.test", 60, 1)])), None);
}

#[test]
fn what_is_no_good_reply_teaches_nothing() {
    let good = reply("a.test", RecordType::A, vec![a("a.test", 60, 1)]);
    assert!(read(&good).is_some());
    let changed = |change: &dyn Fn(&mut Message)| {
        let mut message = good.clone();
        change(&mut message);
        read(&message)
    };
    assert_eq!(changed(&|message| message.metadata.message_type = MessageType::Query), None);
    assert_eq!(changed(&|message| message.metadata.op_code = OpCode::Notify), None);
    assert_eq!(changed(&|message| message.metadata.response_code = ResponseCode::NXDomain), None);
    assert_eq!(changed(&|message| message.metadata.truncation = true), None);
    assert_eq!(changed(&|message| message.queries.push(message.queries[0].clone())), None);
    assert_eq!(changed(&|message| message.queries.clear()), None);
    assert_eq!(changed(&|message| message.queries[0].query_class = DNSClass::CH), None);
    assert_eq!(changed(&|message| message.answers[0].dns_class = DNSClass::CH), None);
    let odd = reply("a\\.b.test", RecordType::A, vec![a("a\\.b.test", 60, 1)]);
    assert_eq!(read(&odd), None, "a dot within a label");
}

proptest! {
    #[test]
    fn no_bytes_make_it_fail(message in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = Lesson::read(&message);
    }

    /// Whatever is done to a good reply's bytes, what is learned has the name that its question still has.
    #[test]
    fn a_spoiled_reply_teaches_at_most_what_it_says(
        place in 0..200_usize, byte in any::<u8>(), cut in 0..200_usize,
    ) {
        let answers = vec![alias("a.test", 60, "b.test"), a("b.test", 60, 1), a("b.test", 60, 2)];
        let mut bytes = reply("a.test", RecordType::A, answers).to_vec().unwrap();
        let length = bytes.len();
        bytes[place % length] = byte;
        bytes.truncate(length - (cut * usize::from(cut % 4 == 0)) % length);
        if let Some(lesson) = Lesson::read(&bytes) {
            prop_assert!(!lesson.addresses.is_empty() && lesson.addresses.iter().all(IpAddr::is_ipv4));
        }
    }
}
