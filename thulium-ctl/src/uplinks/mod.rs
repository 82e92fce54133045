//! What the gateway's interfaces say: the uplink's address, and the networks on the LAN.

use std::net::Ipv4Addr;

use anyhow::Context;
use ipnet::Ipv4Net;
use nix::ifaddrs::getifaddrs;
use thulium_ebpf::abi::Role;

use crate::{
    datapath::attach::Target,
    observe::status::Warning,
    policy::{Policy, SourceNat},
};

/// What a policy depends on that can change while it is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ground {
    /// The interfaces of the policy that are there.
    pub interfaces: Vec<Target>,
    /// The address that the uplink's sessions are translated to; `None`: there is none at present.
    pub uplink_address: Option<Ipv4Addr>,
    /// Who is governed.
    pub clients: Vec<Ipv4Net>,
}

impl Ground {
    /// Reads it from the interfaces that `policy` names. The uplink stays with its `present` address as long as its interface
    /// has it: another one would end all sessions.
    ///
    /// # Errors
    /// If the kernel does not list its addresses.
    pub fn read(policy: &Policy, present: Option<Ipv4Addr>) -> anyhow::Result<Self> {
        let addresses = addresses()?;
        let of = |interface: &str| {
            let interface = interface.to_owned();
            addresses.iter().filter(move |(name, _)| *name == interface).map(|(_, prefix)| *prefix)
        };
        let uplink_address = policy.uplinks.first().and_then(|uplink| match uplink.source_nat {
            SourceNat::Address(address) => Some(address),
            SourceNat::Masquerade => {
                let usable = || of(&uplink.interface).map(|prefix| prefix.addr()).filter(is_routable);
                usable().find(|address| present == Some(*address)).or_else(|| usable().next())
            }
        });
        let on_link = || policy.lan.interfaces.iter().flat_map(|name| of(name)).map(|prefix| prefix.trunc()).collect();
        let clients = policy.lan.clients.clone().unwrap_or_else(on_link);
        Ok(Self { interfaces: Target::present(policy), uplink_address, clients })
    }

    /// Index of the uplink's interface; `None`: it is gone.
    pub fn uplink_index(&self) -> Option<u32> {
        self.interfaces.iter().find(|target| target.role == Role::Uplink).map(|target| target.index)
    }

    /// What an admin should do about it, if anything is wrong.
    pub fn warnings(&self) -> Vec<Warning> {
        let mut warnings = Vec::new();
        if self.clients.is_empty() {
            warnings.push(Warning::new(
                "the LAN interfaces have no IPv4 address, so that nobody is governed",
                "Give them an address, or write `clients` under `lan`.",
            ));
        }
        if self.uplink_address.is_none() {
            warnings.push(Warning::new(
                "the uplink has no IPv4 address: nothing can be opened",
                "Check it with `ip -4 address show`; it is taken up as soon as it is there.",
            ));
        }
        warnings
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
