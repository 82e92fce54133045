//! What a reply says, by a parser of others.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::collections::HashSet;

use hickory_proto::{
    ProtoError,
    rr::Name,
    serialize::binary::{BinDecodable as _, BinDecoder, DecodeError},
};

use super::draft::{A, AAAA, CNAME, ID};

/// A record of the answers.
struct Record<'a> {
    owner: Name,
    kind: u16,
    class: u16,
    ttl: u32,
    /// Offset of its data, bytes.
    at: u16,
    data: &'a [u8],
}

/// The addresses of the name that was asked for and of its aliases, with their TTLs; none if it is no good reply to the question
/// for this name and type.
pub(super) fn addresses(asked: &str, kind: u16, message: &[u8]) -> HashSet<(IpAddr, u32)> {
    let mut asked = Name::from_ascii(asked).unwrap();
    asked.set_fqdn(true);
    answers(&asked, kind, message).map_or_else(|_| HashSet::new(), |records| follow(asked, kind, message, &records))
}

/// The records of the answers.
fn answers<'a>(asked: &Name, kind: u16, message: &'a [u8]) -> Result<Vec<Record<'a>>, ProtoError> {
    let mut decoder = BinDecoder::new(message);
    let word = |decoder: &mut BinDecoder<'_>| decoder.read_u16().map(|word| word.unverified());
    let header: Vec<u16> = (0..6).map(|_| word(&mut decoder)).collect::<Result<_, DecodeError>>()?;
    let is_good = header[0] == ID && header[1] & 0xfa0f == 0x8000 && header[2] == 1;
    let is_asked = Name::read(&mut decoder)? == *asked;
    let question = [word(&mut decoder)?, word(&mut decoder)?];
    if !is_good || !is_asked || question != [kind, 1] {
        return Err("no reply to the question".into());
    }
    let mut records = Vec::new();
    for _ in 0..header[3] {
        let owner = Name::read(&mut decoder)?;
        let (kind, class) = (word(&mut decoder)?, word(&mut decoder)?);
        let ttl = decoder.read_u32()?.unverified();
        let length = word(&mut decoder)?;
        let at = decoder.index() as u16;
        let data = decoder.read_slice(length.into())?.unverified();
        records.push(Record { owner, kind, class, ttl, at, data });
    }
    Ok(records)
}

/// Follows the aliases, in whatever order they are, and collects the addresses at every one.
fn follow(asked: Name, kind: u16, message: &[u8], records: &[Record<'_>]) -> HashSet<(IpAddr, u32)> {
    let mut names = vec![asked];
    while let Some(next) = records.iter().find_map(|record| {
        let is_alias = record.kind == CNAME && record.class == 1 && names.contains(&record.owner);
        let target = is_alias.then(|| Name::read(&mut BinDecoder::new(message).clone(record.at)).ok()).flatten();
        target.filter(|target| !names.contains(target))
    }) {
        names.push(next);
    }
    let address = |record: &Record<'_>| {
        if record.kind != kind || record.class != 1 || !names.contains(&record.owner) {
            return None;
        }
        let address: IpAddr = match kind {
            A => Ipv4Addr::from(<[u8; 4]>::try_from(record.data).ok()?).into(),
            AAAA => Ipv6Addr::from(<[u8; 16]>::try_from(record.data).ok()?).into(),
            _ => return None,
        };
        Some((address, record.ttl))
    };
    records.iter().filter_map(address).collect()
}
