//! The policy of all contenders that have one: Thulium's flows, to servers with 32 addresses.

use std::net::Ipv4Addr;

use thulium_ebpf::bench::{FIRST_REMOTE, REMOTES};
use thulium_tests::lab::STUN;

/// Sessions that there is room for in a gateway: the policy's default.
pub(crate) const CAPACITY: u32 = 262_144;
/// The same where that is not enough: a million, and some. A power of two, as the kernel makes of the buckets anyway.
pub(crate) const LARGE_CAPACITY: u32 = 1 << 20;

/// This product's policy file, with this value of `datapath.xdp`, and room for `capacity` sessions. A client may have as much as it
/// likes: what one may have is not what is measured.
pub(crate) fn text(xdp: &str, capacity: u32) -> String {
    format!(
        "\
version: 1
system: acme
lan: {{ interfaces: [lan0] }}
uplinks: [{{ name: isp, interface: wan0 }}]
hosts:
  thulium: {{ names: [], addresses: [{servers}] }}
  stun: {{ names: [], addresses: [{STUN}] }}
sessions:
  udp_idle: 1day
  capacity: {capacity}
  per_client: {capacity}
  new_per_client: 1000000
  ports_per_client: 25536
datapath: {{ xdp: {xdp} }}
",
        servers = servers()
    )
}

/// The same, but that TCP to the servers' port 443 need not be TLS: any bytes may go there.
pub(crate) fn bulk(xdp: &str) -> String {
    format!("{}flows: [{{ name: bulk, to: thulium, ports: 443/tcp }}]\n", text(xdp, CAPACITY))
}

/// The same for nftables: a stateful filter, and masquerade.
pub(super) fn rules() -> String {
    format!(
        "\
table ip office {{
    set thulium {{ type ipv4_addr; elements = {{ {servers} }} }}
    chain forward {{
        type filter hook forward priority filter; policy drop;
        ct state established,related accept
        iifname lan0 oifname wan0 ip saddr 192.168.20.0/24 ip daddr @thulium tcp dport 443 accept
        iifname lan0 oifname wan0 ip saddr 192.168.20.0/24 ip daddr @thulium udp dport {{ 15060, 16000-20000 }} accept
        iifname lan0 oifname wan0 ip saddr 192.168.20.0/24 ip daddr {STUN} udp dport 19302 accept
    }}
    chain postrouting {{
        type nat hook postrouting priority srcnat;
        oifname wan0 masquerade
    }}
}}
",
        servers = servers()
    )
}

fn servers() -> String {
    let servers = (FIRST_REMOTE..FIRST_REMOTE + REMOTES).map(|address| Ipv4Addr::from(address).to_string());
    servers.collect::<Vec<_>>().join(", ")
}
