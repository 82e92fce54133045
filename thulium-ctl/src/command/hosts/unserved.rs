//! The hosts while no daemon answers: what the datapath goes by, and what the last daemon wrote down.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ipnet::IpNet;
use thulium_ebpf::abi::RemoteAddress;

use crate::{
    names::{AddressBook, AddressReport, AddressSource, AddressState, HostReport, SavedNames},
    observe::Source,
    policy::Host,
};

/// One moment, by both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    /// The wall clock's.
    pub(super) wall: SystemTime,
    /// The datapath's: `CLOCK_MONOTONIC`, nanoseconds.
    pub(super) monotonic: u64,
}

/// The hosts of the policy in force, in the order of their slots. What the file `saved` does not explain is shown as the datapath has it:
/// an address without an end is taken for one of the policy's, one with an end for a learned one.
///
/// # Errors
/// If the maps cannot be read.
pub(super) fn hosts(source: &impl Source, saved: &SavedNames, now: Now) -> anyhow::Result<Vec<HostReport>> {
    let remotes = source.remotes()?;
    let belongs = |slot: u8| move |remote: &RemoteAddress| remote.hosts >> slot & 1 == 1;
    let mut known = source.hosts()?;
    // A host of an earlier policy has nothing any more.
    known.retain(|(slot, host)| !host.names.is_empty() || remotes.iter().any(|(_, remote)| belongs(*slot)(remote)));
    let hosts: Vec<Host> = known.iter().map(|(_, host)| host.clone()).collect();
    let mut book = AddressBook::new(&hosts);
    book.restore(saved, now.wall);
    let mut reports = book.report(now.wall);
    for ((slot, _), report) in known.iter().zip(&mut reports) {
        for (prefix, remote) in remotes.iter().filter(|(_, remote)| belongs(*slot)(remote)) {
            add(&mut report.addresses, prefix, remote, now);
        }
        report.addresses.sort_by_key(|address| address.source != AddressSource::Fixed);
    }
    Ok(reports)
}

/// Adds an address that is not there yet.
fn add(addresses: &mut Vec<AddressReport>, prefix: &IpNet, remote: &RemoteAddress, now: Now) {
    let is_whole = prefix.prefix_len() == prefix.max_prefix_len();
    let address = if is_whole { prefix.addr().to_string() } else { prefix.to_string() };
    if addresses.iter().any(|known| known.address == address) {
        return;
    }
    let (source, state, until) = match remote.until {
        u64::MAX => (AddressSource::Fixed, AddressState::Live, None),
        until if until > now.monotonic => (AddressSource::Learned, AddressState::Kept, Some(wall(until, now))),
        // The datapath does not know since when.
        _ => (AddressSource::Learned, AddressState::Expired, None),
    };
    addresses.push(AddressReport {
        address,
        source,
        state,
        names: Vec::new(),
        first_seen: None,
        last_seen: None,
        valid_until: None,
        until,
    });
}

/// A time to come of the datapath's clock in seconds since 1970.
fn wall(monotonic: u64, now: Now) -> u64 {
    let left = Duration::from_nanos(monotonic.saturating_sub(now.monotonic));
    (now.wall + left).duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
