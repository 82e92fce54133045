//! What a DNS reply to a client says of the name that it asked for.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use hickory_resolver::proto::{
    op::{Message, MessageType, OpCode, ResponseCode},
    rr::{DNSClass, Name, RData, Record, RecordType},
};

/// What a reply says of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lesson {
    /// The name that the client asked for: lower case, without a trailing dot.
    pub name: String,
    /// Its addresses of the family that the client asked for; at least one.
    pub addresses: BTreeSet<IpAddr>,
    /// How long the reply may be relied on: the shortest TTL on the way to the addresses.
    pub ttl: Duration,
}

impl Lesson {
    /// Reads a message (RFC 1035 §4): the addresses at the end of the aliases that begin with the question's name, in whatever
    /// order its records come. `None`: it is no whole, good reply to one question for addresses, or it has none.
    pub fn read(message: &[u8]) -> Option<Self> {
        let message = Message::from_vec(message).ok()?;
        let meta = &message.metadata;
        let is_good = meta.message_type == MessageType::Response
            && meta.op_code == OpCode::Query
            && meta.response_code == ResponseCode::NoError
            && !meta.truncation;
        let [question] = message.queries.as_slice() else { return None };
        let is_for_addresses = matches!(question.query_type, RecordType::A | RecordType::AAAA);
        if !is_good || !is_for_addresses || question.query_class != DNSClass::IN {
            return None;
        }
        let (owner, ttl_of_aliases) = end_of_aliases(&question.name, &message.answers)?;
        let of_owner = |record: &&Record| {
            is_of(record, owner) && record.record_type() == question.query_type && record.dns_class == DNSClass::IN
        };
        let found: Vec<(IpAddr, u32)> = message
            .answers
            .iter()
            .filter(of_owner)
            .filter_map(|record| Some((record.data.ip_addr()?, ttl(record))))
            .collect();
        let shortest = found.iter().map(|(_, ttl)| *ttl).min()?.min(ttl_of_aliases);
        Some(Self {
            name: text(&question.name)?,
            addresses: found.into_iter().map(|(address, _)| address).collect(),
            ttl: Duration::from_secs(shortest.into()),
        })
    }
}

/// The name that has the records itself, and the shortest TTL of the aliases that lead to it. `None`: they lead in a circle.
fn end_of_aliases<'a>(name: &'a Name, answers: &'a [Record]) -> Option<(&'a Name, u32)> {
    let alias = |name: &Name| {
        let of_name = answers.iter().filter(|record| is_of(record, name) && record.dns_class == DNSClass::IN);
        of_name.into_iter().find_map(|record| match &record.data {
            RData::CNAME(alias) => Some((&alias.0, ttl(record))),
            _ => None,
        })
    };
    let (mut name, mut shortest) = (name, u32::MAX);
    // A way that is longer than there are records comes to one of them twice.
    for _ in 0..=answers.len() {
        let Some((next, ttl)) = alias(name) else { return Some((name, shortest)) };
        (name, shortest) = (next, shortest.min(ttl));
    }
    None
}

/// A record's TTL, seconds. One with its highest bit set is none (RFC 2181 §8).
fn ttl(record: &Record) -> u32 {
    if record.ttl > i32::MAX.unsigned_abs() { 0 } else { record.ttl }
}

/// Whether the record belongs to the name, in whatever case either is written.
fn is_of(record: &Record, name: &Name) -> bool {
    record.name.eq_ignore_root(name)
}

/// A name as the policy writes them; `None` if it has characters that no name of a policy has.
fn text(name: &Name) -> Option<String> {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let labels = name.iter().map(|label| {
        let plain = label.iter().all(is_plain).then_some(label)?;
        Some(String::from_utf8_lossy(plain).to_ascii_lowercase())
    });
    let labels: Vec<String> = labels.collect::<Option<_>>()?;
    (!labels.is_empty()).then(|| labels.join("."))
}

#[cfg(test)]
mod tests;
