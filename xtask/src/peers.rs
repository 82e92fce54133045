//! The programs that tests and demo talk to or look with.

use anyhow::Result;

use crate::apt;

/// Debian package, and what it is for.
const PEERS: &[(&str, &str)] = &[
    ("bpftool", "what takes a program off an interface"),
    ("coturn", "a STUN server, and its client turnutils_stunclient"),
    ("curl", "an HTTPS client"),
    ("dnsmasq-base", "the office's own DNS and DHCP"),
    ("ethtool", "offloads of an interface, on and off"),
    ("iproute2", "namespaces, links, addresses, routes; ss"),
    ("iptables", "the same by the older command, in both its kinds"),
    ("nftables", "the gateway's own firewall and NAT"),
    ("openssl", "TLS servers and clients, certificates"),
    ("procps", "sysctl"),
    ("sip-tester", "sipp: SIP calls with RTP"),
];

/// What tests need beside these. It takes 600 MB, so the demo does without.
const TEST_PEERS: &[(&str, &str)] = &[
    ("chromium", "a browser: WebRTC calls"),
    ("knot", "a DNS server that has names of its own: knotd"),
    ("ppp", "an uplink by PPPoE, in a virtual machine"),
    ("pppoe", "the other end of it"),
    ("python3-aiohttp", "the web server that the browser calls"),
    ("python3-aiortc", "the server's end of a WebRTC call"),
    ("unbound", "a resolver outside the office"),
    ("wireguard-tools", "an uplink by WireGuard, in a virtual machine"),
];

/// Those of both whose installation would start a service: package and service.
const SERVICES: &[(&str, &str)] =
    &[("coturn", "coturn.service"), ("knot", "knot.service"), ("unbound", "unbound.service")];

/// Installs the peers that are missing. None of them is left running as a service.
///
/// # Errors
/// If something is missing and cannot be installed.
pub(crate) fn install() -> Result<()> {
    install_all(PEERS)
}

/// Installs what is missing of the peers that only tests need.
///
/// # Errors
/// As for [`install`].
pub(crate) fn install_for_tests() -> Result<()> {
    install_all(TEST_PEERS)
}

fn install_all(peers: &[(&str, &str)]) -> Result<()> {
    let packages: Vec<&str> = peers.iter().map(|(package, _)| *package).collect();
    let starts = SERVICES.iter().filter(|(package, _)| packages.contains(package));
    let _masked: Vec<_> = starts.map(|(package, service)| apt::Masked::before_installing(package, service)).collect();
    apt::install(&packages)
}
