//! The parser, driven as the programs drive it.

mod draft;
mod mutated;
mod oracle;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use self::draft::*;
use super::{ANSWERS, Answers, Header, Question, STEPS, lifetime, record};
use crate::abi::{MESSAGE_BYTES, NAME_BYTES, Name, Reply};

/// What is read of a message.
struct Read {
    name: Name,
    wildcard: Name,
    question: Question,
    found: Vec<(IpAddr, u32)>,
}

fn copied(message: &[u8]) -> Reply {
    // What was there before must not matter.
    let mut reply = Reply { length: message.len() as u32, pad: 0, message: [0x61; MESSAGE_BYTES] };
    let length = message.len().min(MESSAGE_BYTES);
    reply.message[..length].copy_from_slice(&message[..length]);
    reply
}

/// Reads a message as the programs do; none if its header or its question is no good.
fn read(message: &[u8], is_good: fn(&Header) -> bool) -> Option<Read> {
    let reply = copied(message);
    let header = Header::read(&reply).filter(is_good).filter(|header| header.id == ID.to_be())?;
    let (mut name, mut wildcard, mut question) = (Name::EMPTY, Name::EMPTY, Question::new());
    let turns = (0..NAME_BYTES).take_while(|_| question.step(&reply, &mut name, &mut wildcard)).count();
    assert!(turns < NAME_BYTES, "it takes no more steps");
    if !question.is_complete() {
        return None;
    }
    // SAFETY: plain words, of which any are a value: `Place::Owner` is zero.
    let mut answers: Answers = unsafe { core::mem::zeroed() };
    answers.begin(&question, header.answers);
    let mut end = name;
    let _ = (0..STEPS).take_while(|_| answers.step(&reply, &mut end)).count();
    let found = (0..answers.count()).map(|at| {
        let found = answers.get(at);
        let [a, b, c, d, ..] = found.octets;
        let is_ipv4 = answers.kind() == record::A;
        let address = if is_ipv4 { Ipv4Addr::new(a, b, c, d).into() } else { IpAddr::V6(Ipv6Addr::from(found.octets)) };
        (address, found.ttl)
    });
    Some(Read { name, wildcard, question, found: found.collect() })
}

/// What a reply to the query for `asked` teaches.
fn learned(asked: &str, kind: u16, message: &[u8]) -> Vec<(IpAddr, u32)> {
    let query = read(&Draft::query(asked, kind).0, Header::is_query).expect("it is an ordinary query");
    match read(message, Header::is_good_reply) {
        Some(reply) if reply.question.digest() == query.question.digest() => reply.found,
        _ => Vec::new(),
    }
}

const NAME: &str = "sip.thulium.com";

/// The last octets of the IPv4 addresses that a reply to the query for [`NAME`] teaches.
fn found(reply: &Draft) -> Vec<u8> {
    let learned = learned(NAME, A, &reply.0);
    let last = |(address, _): &(IpAddr, u32)| match address {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(_) => panic!("an IPv6 address"),
    };
    learned.iter().map(last).collect()
}

fn wire(text: &str) -> Name {
    let mut wire = Name::EMPTY;
    let bytes = name(text);
    wire.bytes[..bytes.len()].copy_from_slice(&bytes);
    wire
}

#[test]
fn all_addresses_of_the_name_are_found() {
    let reply = Draft::reply(NAME, A).a(&ASKED, 1).a(&name(NAME), 2).a(&name("SIP.Thulium.COM"), 3).edns();
    assert_eq!(found(&reply), [1, 2, 3]);
    let six = "2001:db8::7".parse::<Ipv6Addr>().unwrap();
    let reply = Draft::reply(NAME, AAAA).record(&ASKED, AAAA, 7, &six.octets());
    assert_eq!(learned(NAME, AAAA, &reply.0), [(six.into(), 7)]);
}

#[test]
fn the_chain_of_aliases_is_followed() {
    let first = Draft::reply(NAME, A);
    // `edge` and a pointer to `thulium.com` in the question.
    let target = [b"\x04edge".as_slice(), &[0xc0, 16]].concat();
    let at = first.end() + 12;
    let reply = first.alias(&ASKED, &target);
    let pointer = [0xc0, at as u8];
    let reply = reply.alias(&pointer, &name("a7.cdn.example.net")).a(&name("A7.CDN.example.net"), 9);
    assert_eq!(found(&reply), [9]);
    // Behind an alias, only its name counts; what signs the records is passed over.
    let signed = Draft::reply(NAME, A)
        .alias(&ASKED, &name("x.example"))
        .record(&ASKED, RRSIG, 60, &[0; 40])
        .a(&name("x.example"), 4);
    assert_eq!(found(&signed), [4]);
}

#[test]
fn addresses_of_other_names_are_not_found() {
    let rows = [
        ("another name", Draft::reply(NAME, A).a(&name("evil.example"), 1)),
        ("a name above", Draft::reply(NAME, A).a(&name("thulium.com"), 1)),
        ("a name below", Draft::reply(NAME, A).a(&name("a.sip.thulium.com"), 1)),
        ("the name before its alias", Draft::reply(NAME, A).a(&ASKED, 1).alias(&ASKED, &name("x.example"))),
        ("the name behind its alias", Draft::reply(NAME, A).alias(&ASKED, &name("x.example")).a(&ASKED, 1)),
        ("an alias of another name", Draft::reply(NAME, A).alias(&name("evil.example"), &ASKED).a(&name("y"), 1)),
        ("an end before the chain", Draft::reply(NAME, A).a(&name("x"), 1).alias(&ASKED, &name("x"))),
        ("another type", Draft::reply(NAME, A).record(&ASKED, AAAA, 60, &[0x20; 16])),
        ("no type of address", Draft::reply(NAME, A).record(&ASKED, 16, 60, &[203, 0, 113, 1])),
        ("no address", Draft::reply(NAME, A).record(&ASKED, A, 60, &[203, 0, 113])),
        ("two in one", Draft::reply(NAME, A).record(&ASKED, A, 60, &[203, 0, 113, 1, 203, 0, 113, 2])),
        ("a good one with that", Draft::reply(NAME, A).a(&ASKED, 1).record(&ASKED, A, 60, &[0; 3])),
        ("none", Draft::reply(NAME, A)),
    ];
    for (what, reply) in rows {
        assert_eq!(found(&reply), [0; 0], "{what}");
    }
    // Of a class of its own.
    let mut chaos = Draft::reply(NAME, A).a(&ASKED, 1);
    let class = chaos.end() - 12;
    assert_eq!(std::mem::replace(&mut chaos.0[class + 1], 3), 1);
    assert_eq!(found(&chaos), [0; 0]);
}

#[test]
fn only_good_replies_to_the_question_teach() {
    let good = Draft::reply(NAME, A).a(&ASKED, 1);
    assert_eq!(found(&good), [1]);
    let rows = [
        ("a query", good.clone().word(1, 0x0180)),
        ("another opcode", good.clone().word(1, 0x8980)),
        ("truncated", good.clone().word(1, 0x8380)),
        ("NXDOMAIN", good.clone().word(1, 0x8183)),
        ("SERVFAIL", good.clone().word(1, 0x8182)),
        ("no question", good.clone().word(2, 0)),
        ("two questions", good.clone().word(2, 2)),
        ("another number", good.clone().word(0, ID + 1)),
        ("another name", Draft::reply("sip.thulium.org", A).a(&ASKED, 1)),
        ("another type", Draft::reply(NAME, AAAA).a(&ASKED, 1)),
        ("fewer records than it says", good.clone().word(3, 2)),
        ("more records than are read", good.clone().word(3, ANSWERS as u16 + 1)),
    ];
    for (what, reply) in rows {
        assert_eq!(found(&reply), [0; 0], "{what}");
    }
    let mixed = Draft::reply("SiP.tHULIUM.cOm", A).a(&ASKED, 1);
    assert_eq!(found(&mixed), [1], "a name has no case");
}

#[test]
fn a_message_that_is_cut_teaches_nothing() {
    let whole = Draft::reply(NAME, A).alias(&ASKED, &name("x.example")).a(&name("x.example"), 4);
    assert_eq!(found(&whole), [4]);
    for length in 0..whole.end() {
        let cut = Draft(whole.0[..length].to_vec());
        assert_eq!(found(&cut), [0; 0], "cut to {length} bytes");
    }
}

#[test]
fn pointers_that_lead_nowhere_end() {
    let reply = || Draft::reply(NAME, A);
    let at = reply().end() as u8;
    let rows = [
        ("to itself", reply().a(&[0xc0, at], 1)),
        ("to each other", reply().a(&[0xc0, at + 2, 0xc0, at], 1)),
        ("forward", reply().a(&[0xc0, at + 20], 1)),
        ("behind the end", reply().a(&[0xff, 0xff], 1)),
        ("into the header", reply().a(&[0xc0, 4], 1)),
        ("back into a label of its own", reply().a(&[3, b's', b'i', b'p', 0xc0, at + 1], 1)),
        ("a reserved type of label", reply().a(&[0x80, 1], 1)),
        ("another one", reply().a(&[0x41, 1], 1)),
        ("an alias to itself", reply().alias(&ASKED, &[0xc0, at + 12]).a(&ASKED, 1)),
        ("an alias that is longer than its record", reply().record(&ASKED, CNAME, 60, &[3, b'x']).a(&[0], 1)),
        ("an alias that is shorter than its record", reply().alias(&ASKED, b"\x01x\x00\x00").a(&name("x"), 1)),
    ];
    for (what, reply) in rows {
        assert_eq!(found(&reply), [0; 0], "{what}");
    }
    // In the question there is nothing yet that a pointer can lead to.
    let mut asked = reply().a(&ASKED, 1);
    asked.0[16..18].copy_from_slice(&ASKED);
    assert_eq!(found(&asked), [0; 0]);
}

#[test]
fn names_are_as_long_as_they_may_be() {
    let label = "x".repeat(63);
    let longest = format!("{label}.{label}.{label}.{}", &label[..61]);
    assert_eq!(name(&longest).len(), 255);
    let reply = Draft::reply(&longest, A).a(&ASKED, 1).a(&name(&longest), 2);
    assert_eq!(learned(&longest, A, &reply.0).len(), 2);
    let longer = format!("{longest}x");
    assert!(read(&Draft::query(&longer, A).0, Header::is_query).is_none());
    // Longer only by its compression.
    let reply = Draft::reply(&longest, A).alias(&ASKED, &[1, b'x', 0xc0, 12]).a(&[1, b'x', 0xc0, 12], 1);
    assert_eq!(learned(&longest, A, &reply.0), []);
}

#[test]
fn a_full_message_is_read_and_no_more_than_that() {
    let mut reply = Draft::reply(NAME, A);
    for last in 0..ANSWERS as u8 {
        reply = reply.a(&name(NAME), last);
    }
    assert_eq!(found(&reply), (0..ANSWERS as u8).collect::<Vec<_>>());
    assert_eq!(found(&reply.clone().a(&ASKED, 99)), [0; 0]);
    // What is behind the answers is not looked at; what does not fit into the room is not read.
    reply.0.resize(MESSAGE_BYTES, 0xff);
    assert_eq!(found(&reply).len(), ANSWERS);
    reply.0.push(0);
    assert_eq!(found(&reply), [0; 0]);
}

#[test]
fn answers_end_with_their_steps() {
    let label = "x".repeat(63);
    let long = format!("{label}.{label}.{label}");
    let mut reply = Draft::reply(&long, A);
    // A pointer, and all of the name.
    let records = STEPS as usize / (1 + name(&long).len());
    for last in 0..records as u8 {
        reply = reply.a(&ASKED, last);
    }
    assert_eq!(learned(&long, A, &reply.0).len(), records);
    let reply = reply.a(&ASKED, 99);
    assert_eq!(learned(&long, A, &reply.0), [], "all or nothing");
}

#[test]
fn a_wildcard_covers_one_label() {
    let of = |asked: &str| read(&Draft::query(asked, A).0, Header::is_query).unwrap();
    let one = of("Turn7.Thulium.com");
    assert_eq!((one.name, one.wildcard), (wire("turn7.thulium.com"), wire("*.thulium.com")));
    assert_eq!(of("a.turn7.thulium.com").wildcard, wire("*.turn7.thulium.com"));
    assert_eq!(of("thulium.com").wildcard, wire("*.com"));
    assert_eq!(of("com").wildcard, wire("*"));
    let label = "x".repeat(63);
    let longest = format!("y.{label}.{label}.{label}.{}", &label[..59]);
    assert_eq!(of(&longest).wildcard, wire(&longest.replacen('y', "*", 1)));
}

#[test]
fn questions_for_anything_else_are_none() {
    for kind in [2, 5, 15, 16, 33, 65, 255] {
        assert!(read(&Draft::query(NAME, kind).0, Header::is_query).is_none(), "{kind}");
    }
    let mut chaos = Draft::query(NAME, A);
    let class = chaos.end() - 1;
    chaos.0[class] = 3;
    assert!(read(&chaos.0, Header::is_query).is_none());
    assert!(read(&Draft::query("", A).0, Header::is_query).is_none(), "the root");
    let query = Draft::query(NAME, A);
    for (what, query) in [
        ("a reply", query.clone().word(1, 0x8180)),
        ("two", query.clone().word(2, 2)),
        ("notify", query.word(1, 0x2000)),
    ] {
        assert!(read(&query.0, Header::is_query).is_none(), "{what}");
    }
}

#[test]
fn a_lifetime_is_between_half_a_minute_and_a_day() {
    let seconds = [(0, 30), (29, 30), (30, 30), (300, 300), (86_400, 86_400), (86_401, 86_400), (0x7fff_ffff, 86_400)];
    for (ttl, lives) in seconds {
        assert_eq!(lifetime(ttl), lives * 1_000_000_000, "{ttl}");
    }
    // RFC 2181 §8.
    assert_eq!(lifetime(0x8000_0000), 30_000_000_000);
}
