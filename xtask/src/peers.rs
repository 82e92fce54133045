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
    ("ppp", "an uplink by PPPoE, in a virtual machine"),
    ("pppoe", "the other end of it"),
    ("python3-aiohttp", "the web server that the browser calls"),
    ("python3-aiortc", "the server's end of a WebRTC call"),
    ("wireguard-tools", "an uplink by WireGuard, in a virtual machine"),
];

/// Installs the peers that are missing. None of them is left running as a service.
///
/// # Errors
/// If something is missing and cannot be installed.
pub(crate) fn install() -> Result<()> {
    let _masked = apt::Masked::before_installing("coturn", "coturn.service");
    let packages: Vec<&str> = PEERS.iter().map(|(package, _)| *package).collect();
    apt::install(&packages)
}

/// Installs what is missing of the peers that only tests need.
///
/// # Errors
/// As for [`install`].
pub(crate) fn install_for_tests() -> Result<()> {
    let packages: Vec<&str> = TEST_PEERS.iter().map(|(package, _)| *package).collect();
    apt::install(&packages)
}
