//! A packet that passed, compared with the one that came: nothing may differ but one endpoint, a hop, checksums, and the
//! segment size of a SYN.

use std::net::{IpAddr, SocketAddr};

use super::reading::{NETWORK, Place, Read, segment_size, sum};
use crate::traffic::SYN;

/// What a hook has to change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    /// True: the source; false: the destination.
    pub(super) source: bool,
    /// What it becomes. The port is of no account in a later fragment.
    pub(super) to: SocketAddr,
    /// True if a hop is taken off.
    pub(super) hop: bool,
}

/// Says what differs from a right rewrite.
pub(super) fn check(before: &[u8], after: &[u8], read: &Read, change: Change) -> Result<(), String> {
    let is_v4 = read.source.is_ipv4();
    let mut expected = before.to_vec();
    if change.hop {
        expected[NETWORK + if is_v4 { 8 } else { 7 }] -= 1;
    }
    if let IpAddr::V4(address) = change.to.ip() {
        replace_endpoint(&mut expected, read, change.source, &address.octets(), change.to.port());
    }
    if before.len() != after.len() {
        return Err(format!("{} bytes became {}", before.len(), after.len()));
    }
    // Checksums are compared by what they sum up.
    if is_v4 {
        expected[NETWORK + 10..NETWORK + 12].copy_from_slice(&after[NETWORK + 10..NETWORK + 12]);
    }
    let is_syn = read.protocol == 6 && read.place != Place::Later && read.flags & SYN != 0;
    if is_syn {
        accept_segment_size(&mut expected, after, read);
    }
    if let Some(at) = checksum(read).filter(|_| is_v4 || is_syn) {
        expected[at..at + 2].copy_from_slice(&after[at..at + 2]);
    }
    if let Some(at) = (0..after.len()).find(|at| expected[*at] != after[*at]) {
        return Err(format!("byte {at} is {:#x}, not {:#x}", after[at], expected[at]));
    }
    check_sums(before, after, read)
}

fn replace_endpoint(expected: &mut [u8], read: &Read, source: bool, address: &[u8], port: u16) {
    let (address_at, port_at) = if source { (12, 0) } else { (16, 2) };
    expected[NETWORK + address_at..NETWORK + address_at + 4].copy_from_slice(address);
    if read.place != Place::Later {
        expected[read.transport + port_at..read.transport + port_at + 2].copy_from_slice(&port.to_be_bytes());
    }
}

/// Lets a segment size stand that was lowered to what an MTU of 1500 has room for.
fn accept_segment_size(expected: &mut [u8], after: &[u8], read: &Read) {
    let limit: u16 = if read.source.is_ipv4() { 1460 } else { 1440 };
    if let Some(at) = segment_size(expected, read)
        && u16::from_be_bytes([expected[at], expected[at + 1]]) > limit
        && after[at..at + 2] == limit.to_be_bytes()
    {
        expected[at..at + 2].copy_from_slice(&limit.to_be_bytes());
    }
}

/// Where the transport checksum stands.
fn checksum(read: &Read) -> Option<usize> {
    match (read.place, read.protocol) {
        (Place::Later, _) => None,
        (_, 6) => Some(read.transport + 16),
        _ => Some(read.transport + 6),
    }
}

/// A right checksum stays right, and a wrong one stays as wrong as it was, so that the receiver sees it.
fn check_sums(before: &[u8], after: &[u8], read: &Read) -> Result<(), String> {
    if read.source.is_ipv4() && sum(&after[NETWORK..NETWORK + 20]) != 0 {
        return Err("the header's checksum is wrong".to_owned());
    }
    let Some(at) = checksum(read) else { return Ok(()) };
    let is_none = |frame: &[u8]| read.protocol == 17 && frame[at..at + 2] == [0, 0];
    if is_none(before) != is_none(after) {
        return Err("a UDP checksum came or went".to_owned());
    }
    let addresses = if read.source.is_ipv4() { 12..20 } else { 8..40 };
    let covered = |frame: &[u8]| {
        (sum(&frame[NETWORK + addresses.start..NETWORK + addresses.end]) + sum(&frame[read.transport..read.end]))
            % 65535
    };
    if !is_none(before) && covered(before) != covered(after) {
        return Err("the transport checksum is off".to_owned());
    }
    Ok(())
}
