//! The hosts while no daemon answers: what the datapath goes by, and what the last daemon wrote down.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ipnet::IpNet;
use thulium_ebpf::abi::RemoteAddress;

use crate::{
    names::{AddressBook, AddressReport, AddressSource, AddressState, HostReport, SavedNames},
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

/// The hosts of the policy in force, in the order of their slots, and their addresses. What the file `saved` does not explain is shown as
/// the datapath has it: an address without an end is taken for one of the policy's, one with an end for a learned one.
pub(super) fn hosts(
    mut known: Vec<(u8, Host)>,
    remotes: &[(IpNet, RemoteAddress)],
    saved: &SavedNames,
    now: Now,
) -> Vec<HostReport> {
    let belongs = |slot: u8| move |remote: &RemoteAddress| remote.hosts >> slot & 1 == 1;
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
    reports
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

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::names::SavedAddress;

    const SECOND: u64 = 1_000_000_000;

    fn host(name: &str, names: &[&str]) -> Host {
        Host {
            name: name.to_owned(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            addresses: Vec::new(),
            keep_old: Duration::from_secs(100),
            private_answers: false,
        }
    }

    #[test]
    fn the_file_explains_what_it_can_and_the_datapath_has_the_rest() {
        let known = vec![(0, host("web", &["web.test"])), (1, host("former", &[])), (3, host("fixed", &[]))];
        let remote = |address: &str, hosts, until| (address.parse().unwrap(), RemoteAddress { hosts, until });
        let remotes = [
            remote("192.0.2.1/32", 1, u64::MAX),
            remote("192.0.2.2/32", 1, 70 * SECOND),
            remote("192.0.2.3/32", 1, 1),
            remote("198.51.100.0/28", 0b1001, u64::MAX),
        ];
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let saved = SavedAddress {
            address,
            first_seen: 900,
            last_seen: 990,
            left: None,
            resolved: true,
            last_answer: Some(990),
            learned_until: None,
        };
        let saved = SavedNames { version: SavedNames::VERSION, names: [("web.test".to_owned(), vec![saved])].into() };
        let now = Now { wall: UNIX_EPOCH + Duration::from_secs(1000), monotonic: 50 * SECOND };
        let reports = hosts(known, &remotes, &saved, now);
        let names: Vec<&str> = reports.iter().map(|report| report.name.as_str()).collect();
        assert_eq!(names, ["web", "fixed"], "a former host has nothing");
        let rows: Vec<_> =
            reports[0].addresses.iter().map(|row| (row.address.as_str(), row.source, row.state, row.until)).collect();
        assert_eq!(
            rows,
            [
                ("198.51.100.0/28", AddressSource::Fixed, AddressState::Live, None),
                ("192.0.2.1", AddressSource::Resolver, AddressState::Live, None),
                ("192.0.2.2", AddressSource::Learned, AddressState::Kept, Some(1020)),
                ("192.0.2.3", AddressSource::Learned, AddressState::Expired, None),
            ]
        );
        assert_eq!(reports[1].addresses.len(), 1);
    }
}
