//! A client of DNS servers (RFC 1035), as in a browser or a phone.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicU16, Ordering},
};

use anyhow::{Context, Result, ensure};

use super::dns::{A, u16_at};
use crate::lab::Namespace;

/// Asks `server` from inside a namespace for the IPv4 addresses of a name.
///
/// # Errors
/// When there is no answer, or none with an address.
pub fn resolve(namespace: &Namespace, server: Ipv4Addr, wanted: &str) -> Result<Vec<Ipv4Addr>> {
    resolve_from(namespace, Ipv4Addr::UNSPECIFIED, server, wanted)
}

/// The same from one of the namespace's addresses.
///
/// # Errors
/// As for [`resolve`].
pub fn resolve_from(namespace: &Namespace, client: Ipv4Addr, server: Ipv4Addr, wanted: &str) -> Result<Vec<Ipv4Addr>> {
    static NUMBER: AtomicU16 = AtomicU16::new(0x5468);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let query = query(number, wanted);
    let socket = namespace.udp((client, 0))?;
    socket.send_to(&query, SocketAddr::new(IpAddr::V4(server), 53))?;
    let mut buffer = [0; 1500];
    let length = socket.recv(&mut buffer).with_context(|| format!("{server} does not answer for {wanted}"))?;
    let answer = &buffer[..length];
    ensure!(u16_at(answer, 0) == Some(number), "the answer to another query");
    let addresses = addresses(answer).context("a short answer")?;
    ensure!(!addresses.is_empty(), "{server} knows no address of {wanted}");
    Ok(addresses)
}

/// The message that asks for the IPv4 addresses of a name.
pub fn query(number: u16, wanted: &str) -> Vec<u8> {
    let mut query = number.to_be_bytes().to_vec();
    query.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]); // recursion, one question
    for label in wanted.split('.') {
        query.push(label.len() as u8);
        query.extend(label.bytes());
    }
    query.extend([0, 0, A as u8, 0, 1]);
    query
}

/// The IPv4 addresses among a message's answers, whatever names they belong to.
fn addresses(message: &[u8]) -> Option<Vec<Ipv4Addr>> {
    let mut at = behind_name(message, 12)? + 4;
    let mut addresses = Vec::new();
    for _ in 0..u16_at(message, 6)? {
        at = behind_name(message, at)?;
        let data = at + 10;
        let length = usize::from(u16_at(message, at + 8)?);
        if u16_at(message, at)? == A {
            addresses.push(Ipv4Addr::from(<[u8; 4]>::try_from(message.get(data..data + length)?).ok()?));
        }
        at = data + length;
    }
    Some(addresses)
}

/// The offset behind the name at `at`: its end, or a pointer to the rest of it.
fn behind_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            0xc0.. => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
}
