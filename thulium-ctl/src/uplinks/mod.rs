//! What the gateway's interfaces say: the uplink's address, and the networks on the LAN.

use std::net::Ipv4Addr;

use anyhow::Context;
use ipnet::Ipv4Net;
use nix::{ifaddrs::getifaddrs, net::if_::if_nametoindex};

use crate::policy::{Policy, SourceNat};

/// What a policy depends on that can change while it is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ground {
    /// The uplink's interface index; 0: it is gone.
    pub uplink_index: u32,
    /// The address that its sessions are translated to; `None`: there is none at present.
    pub uplink_address: Option<Ipv4Addr>,
    /// Who is governed.
    pub clients: Vec<Ipv4Net>,
}

impl Ground {
    /// Reads it from the interfaces that `policy` names.
    ///
    /// # Errors
    /// If the kernel does not list its addresses.
    pub fn read(policy: &Policy) -> anyhow::Result<Self> {
        let addresses = addresses()?;
        let of = |interface: &str| {
            let interface = interface.to_owned();
            addresses.iter().filter(move |(name, _)| *name == interface).map(|(_, prefix)| *prefix)
        };
        let (mut uplink_index, mut uplink_address) = (0, None);
        if let Some(uplink) = policy.uplinks.first() {
            uplink_index = if_nametoindex(uplink.interface.as_str()).unwrap_or(0);
            uplink_address = match uplink.source_nat {
                SourceNat::Address(address) => Some(address),
                SourceNat::Masquerade => of(&uplink.interface).map(|prefix| prefix.addr()).find(is_routable),
            };
        }
        let on_link = || policy.lan.interfaces.iter().flat_map(|name| of(name)).map(|prefix| prefix.trunc()).collect();
        Ok(Self { uplink_index, uplink_address, clients: policy.lan.clients.clone().unwrap_or_else(on_link) })
    }
}

/// Interfaces with their IPv4 addresses and prefix lengths, primary addresses first.
fn addresses() -> anyhow::Result<Vec<(String, Ipv4Net)>> {
    let all = getifaddrs().context("the kernel does not list the addresses of interfaces")?;
    let prefix = |entry: nix::ifaddrs::InterfaceAddress| {
        let address = entry.address?.as_sockaddr_in()?.ip();
        let mask = entry.netmask?.as_sockaddr_in()?.ip();
        Some((entry.interface_name, Ipv4Net::with_netmask(address, mask).ok()?))
    };
    Ok(all.filter_map(prefix).collect())
}

/// Link-local addresses (RFC 3927) lead nowhere beyond the link.
const fn is_routable(address: &Ipv4Addr) -> bool {
    !address.is_link_local() && !address.is_loopback()
}
