//! What the gateway's interfaces say: the uplink's address, and the networks on the LAN.

use std::net::Ipv4Addr;

use anyhow::Context;
use futures_util::{Stream, StreamExt};
use ipnet::Ipv4Net;
use nix::ifaddrs::getifaddrs;
use rtnetlink::{MulticastGroup, new_multicast_connection};
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

/// What is in force at present.
#[derive(Clone, Copy, Debug, Default)]
pub struct Present<'a> {
    /// The uplink's address.
    pub uplink_address: Option<Ipv4Addr>,
    /// Who is governed.
    pub clients: &'a [Ipv4Net],
}

impl Ground {
    /// This, as what is in force while the next one is read.
    pub fn as_present(&self) -> Present<'_> {
        Present { uplink_address: self.uplink_address, clients: &self.clients }
    }

    /// Reads it from the interfaces that `policy` names. The uplink stays with its `present` address as long as its interface
    /// has it: another one would end all sessions. The LAN's networks stay who is governed while its interfaces are gone.
    ///
    /// # Errors
    /// If the kernel does not list its addresses.
    pub fn read(policy: &Policy, present: Present<'_>) -> anyhow::Result<Self> {
        let addresses = addresses()?;
        let of = |interface: &str| {
            let interface = interface.to_owned();
            addresses.iter().filter(move |(name, _)| *name == interface).map(|(_, prefix)| *prefix)
        };
        let uplink_address = policy.uplinks.first().and_then(|uplink| match uplink.source_nat {
            SourceNat::Address(address) => Some(address),
            SourceNat::Masquerade => {
                let usable = || of(&uplink.interface).map(|prefix| prefix.addr()).filter(is_routable);
                usable().find(|address| present.uplink_address == Some(*address)).or_else(|| usable().next())
            }
        });
        let clients = policy.lan.clients.clone().unwrap_or_else(|| {
            let networks = policy.lan.interfaces.iter().flat_map(|name| of(name)).map(|prefix| prefix.trunc());
            let on_link: Vec<Ipv4Net> = networks.collect();
            if on_link.is_empty() { present.clients.to_vec() } else { on_link }
        });
        Ok(Self { interfaces: Target::present(policy), uplink_address, clients })
    }

    /// Index of the uplink's interface; `None`: it is gone.
    pub fn uplink_index(&self) -> Option<u32> {
        self.interfaces.iter().find(|target| target.role == Role::Uplink).map(|target| target.index)
    }

    /// What an admin should do about it, if anything is wrong.
    pub fn warnings(&self, policy: &Policy) -> Vec<Warning> {
        let named = policy.lan.interfaces.iter().chain(policy.uplinks.iter().map(|uplink| &uplink.interface));
        let gone = named.filter(|name| !self.interfaces.iter().any(|present| present.name == **name));
        let tell = |name: &String| {
            Warning::new(
                format!("the interface {name} of the policy is gone"),
                "It is enforced again as soon as it is back: `ip link show` lists what is there.",
            )
        };
        let mut warnings: Vec<Warning> = gone.map(tell).collect();
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

/// Yields something whenever a link or an address changes in this network namespace. Needs a tokio runtime.
///
/// # Errors
/// If the kernel does not tell.
pub fn changes() -> anyhow::Result<impl Stream<Item = ()> + Unpin> {
    let groups = [MulticastGroup::Link, MulticastGroup::Ipv4Ifaddr];
    let (connection, _, messages) =
        new_multicast_connection(&groups).context("the kernel does not tell of changes at its interfaces")?;
    tokio::spawn(connection);
    Ok(messages.map(|_| ()))
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
