//! What a client is told of a refusal: the packet becomes a reset of its connection, or an ICMP error about itself.

use super::{
    cast::is_governed,
    reading::{NETWORK, addresses, read, sum},
};
use crate::{
    gateway::{Action, Hook, Ran},
    traffic::RST,
};

/// True if a redirected packet is not the one that came, but tells a client that it was refused.
pub(super) fn is_answer(hook: Hook, before: &[u8], ran: &Ran) -> bool {
    let after = [&before[..NETWORK], &ran.packet].concat();
    let (Some((source, destination)), Some((from, to))) = (addresses(before), addresses(&after)) else { return false };
    if ran.action != Action::Redirect || !is_governed(to) {
        return false;
    }
    match hook {
        Hook::Lan | Hook::Guard => {
            to == source && ((from == destination && is_reset(&after)) || is_unreachable(&after))
        }
        Hook::Uplink => from == source && is_reset(&after) && !is_reset(before),
        _ => false,
    }
}

/// True for a TCP reset without data, with a right checksum.
fn is_reset(frame: &[u8]) -> bool {
    let Some(read) = read(frame).filter(|read| read.protocol == 6 && read.flags & RST != 0) else { return false };
    let addresses = if read.source.is_ipv4() { NETWORK + 12..NETWORK + 20 } else { NETWORK + 8..NETWORK + 40 };
    let length = read.end - read.transport;
    let covered = sum(&frame[addresses]) + sum(&frame[read.transport..read.end]) + 6 + length as u64;
    length == 20 && covered.is_multiple_of(65535)
}

/// True for "destination unreachable", which quotes a packet (RFC 792, RFC 4443 §3.1).
fn is_unreachable(frame: &[u8]) -> bool {
    let at = |offset: usize| frame.get(NETWORK + offset).copied();
    match at(0).map(|first| first >> 4) {
        Some(4) => at(9) == Some(1) && at(20) == Some(3) && at(28).is_some_and(|quoted| quoted >> 4 == 4),
        _ => at(6) == Some(58) && at(40) == Some(1) && at(48).is_some_and(|quoted| quoted >> 4 == 6),
    }
}
