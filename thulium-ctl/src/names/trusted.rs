//! Whose replies to clients may teach a name its addresses.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

use anyhow::Context;
use nix::ifaddrs::getifaddrs;

use super::SystemFiles;

/// systemd's resolver on this machine; whom it asks itself stands in a file of its own.
const SYSTEMD_RESOLVER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 53));
const SYSTEMD_UPSTREAMS: &str = "/run/systemd/resolve/resolv.conf";

/// The resolvers that clients may learn from: the gateway's own addresses, and its upstreams, which are the policy's
/// `resolvers`, or the system's where it names none. Never empty of the former for want of the latter: a `resolv.conf` that
/// cannot be read names nobody.
///
/// # Errors
/// If the kernel does not list the gateway's addresses.
pub fn trusted(resolvers: &[IpAddr]) -> anyhow::Result<BTreeSet<IpAddr>> {
    let own = own_addresses()?;
    let upstreams = if resolvers.is_empty() { upstreams(&SystemFiles::default()) } else { resolvers.to_vec() };
    Ok(own.into_iter().chain(upstreams).filter(is_heard_of).collect())
}

/// The name servers of the system's files.
fn upstreams(files: &SystemFiles) -> Vec<IpAddr> {
    let named = files.name_servers().unwrap_or_default();
    if !named.contains(&SYSTEMD_RESOLVER) {
        return named;
    }
    let of_systemd = SystemFiles { resolv_conf: PathBuf::from(SYSTEMD_UPSTREAMS), ..files.clone() };
    of_systemd.name_servers().unwrap_or_default()
}

fn own_addresses() -> anyhow::Result<Vec<IpAddr>> {
    let entries = getifaddrs().context("the kernel does not list the addresses of interfaces")?;
    let addresses = entries.filter_map(|entry| {
        let address = entry.address?;
        let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
    });
    Ok(addresses.collect())
}

/// Whether packets from there come to clients.
fn is_heard_of(address: &IpAddr) -> bool {
    !address.is_loopback() && !address.is_unspecified() && !address.is_multicast()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn upstreams_are_those_of_the_policy_or_the_systems() {
        let upstream: IpAddr = "192.0.2.53".parse().unwrap();
        assert!(trusted(&[upstream]).unwrap().contains(&upstream));
        assert!(trusted(&[upstream]).unwrap().iter().all(|address| !address.is_loopback()));
        let directory = tempfile::tempdir().unwrap();
        let files = SystemFiles { hosts: "/nonexistent".into(), resolv_conf: directory.path().join("resolv.conf") };
        assert!(upstreams(&files).is_empty(), "there is no file");
        fs::write(&files.resolv_conf, "nameserver 192.0.2.1\nnameserver 2001:db8::53\n").unwrap();
        assert_eq!(upstreams(&files), ["192.0.2.1", "2001:db8::53"].map(|address| address.parse::<IpAddr>().unwrap()));
        fs::write(&files.resolv_conf, "nameserver 127.0.0.53\n").unwrap();
        assert!(!upstreams(&files).contains(&SYSTEMD_RESOLVER), "whom it asks counts, not itself");
    }
}
