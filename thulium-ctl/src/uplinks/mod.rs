//! What the gateway's interfaces say: the uplink's address, and the networks on the LAN.

mod interfaces;
mod report;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

use anyhow::Context;
use futures_util::{Stream, StreamExt};
use ipnet::IpNet;
use rtnetlink::{MulticastGroup, new_multicast_connection};
use thulium_ebpf::abi::Role;

use self::interfaces::Interfaces;
pub use self::report::{NextHopReport, ProbeReport, UplinkCondition, UplinkReport};
use crate::{
    datapath::attach::Target,
    observe::status::{Link, UplinkNow, Warning},
    policy::{Policy, SourceNat, UplinkPolicy},
};

/// What a policy depends on that can change while it is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ground {
    /// The interfaces of the policy that are there.
    pub interfaces: Vec<Target>,
    /// What the uplink's sessions are translated to.
    pub outside: Outside,
    /// Who is governed.
    pub clients: Vec<IpNet>,
    /// The uplinks by their interfaces, for `status`.
    pub uplinks: BTreeMap<String, UplinkNow>,
}

/// What the world sees of IPv4 clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside {
    /// Their own addresses.
    Untranslated,
    /// This address.
    Address(Ipv4Addr),
    /// An address that the uplink does not have at present.
    Unknown,
}

/// What is in force at present.
#[derive(Clone, Copy, Debug, Default)]
pub struct Present<'a> {
    /// The uplink's address.
    pub uplink_address: Option<Ipv4Addr>,
    /// Who is governed.
    pub clients: &'a [IpNet],
}

impl Ground {
    /// This, as what is in force while the next one is read.
    pub fn as_present(&self) -> Present<'_> {
        let uplink_address = match self.outside {
            Outside::Address(address) => Some(address),
            Outside::Untranslated | Outside::Unknown => None,
        };
        Present { uplink_address, clients: &self.clients }
    }

    /// Reads it from the interfaces that `policy` names. The uplink stays with its `present` address as long as its interface
    /// has it: another one would end all sessions. The LAN's networks stay who is governed while its interfaces are gone.
    ///
    /// # Errors
    /// If the kernel does not list its addresses.
    pub fn read(policy: &Policy, present: Present<'_>) -> anyhow::Result<Self> {
        let interfaces = Interfaces::list()?;
        let outside = policy.uplinks.first().map_or(Outside::Unknown, |uplink| match uplink.source_nat {
            SourceNat::None => Outside::Untranslated,
            SourceNat::Address(address) => Outside::Address(address),
            SourceNat::Masquerade => {
                let usable = || interfaces.addresses(&uplink.interface).filter_map(translatable);
                let same = usable().find(|address| present.uplink_address == Some(*address));
                same.or_else(|| usable().next()).map_or(Outside::Unknown, Outside::Address)
            }
        });
        let clients = policy.lan.clients.clone().unwrap_or_else(|| {
            let of_lan = || policy.lan.interfaces.iter().flat_map(|name| interfaces.addresses(name));
            let networks = || of_lan().filter(is_forwarded);
            let on_link = networks().map(|prefix| prefix.trunc());
            // Of each family: a link that goes down loses its IPv6 addresses at once.
            let is_gone = |prefix: &&IpNet| !networks().any(|present| is_ipv6(&present) == is_ipv6(prefix));
            on_link.chain(present.clients.iter().filter(is_gone).copied()).collect()
        });
        let uplinks = policy.uplinks.iter().map(|uplink| (uplink.interface.clone(), now(uplink, outside, &interfaces)));
        Ok(Self { interfaces: Target::present(policy), outside, clients, uplinks: uplinks.collect() })
    }

    /// What the log says of it.
    pub fn describe(&self) -> String {
        let names: Vec<&str> = self.interfaces.iter().map(|interface| interface.name.as_str()).collect();
        let link = |uplink: &UplinkNow| match uplink.link {
            Link::Up => "is up",
            Link::NoCarrier => "is down (no carrier)",
            Link::Down => "is down",
            Link::Gone => "is gone",
        };
        let link = self.uplinks.values().next().map_or("is none", link);
        let outside = match self.outside {
            Outside::Untranslated => "does not translate".to_owned(),
            Outside::Address(address) => format!("has {address}"),
            Outside::Unknown => "has no IPv4 address".to_owned(),
        };
        let clients: Vec<String> = self.clients.iter().map(ToString::to_string).collect();
        format!(
            "{} are there, the uplink {link} and {outside}, clients are {}",
            names.join(" and "),
            clients.join(", ")
        )
    }

    /// True if IPv6 clients are among those who are governed.
    pub fn governs_ipv6(&self) -> bool {
        self.clients.iter().any(is_ipv6)
    }

    /// Index of the uplink's interface; `None`: it is gone.
    pub fn uplink_index(&self) -> Option<u32> {
        self.interfaces.iter().find(|target| target.role == Role::Uplink).map(|target| target.index)
    }

    /// What an admin should do about it, if anything is wrong; `status` judges the uplinks by itself.
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
                "the LAN interfaces have no address, so that nobody is governed",
                "Give them an address, or write `clients` under `lan`.",
            ));
        }
        warnings
    }
}

fn now(uplink: &UplinkPolicy, outside: Outside, interfaces: &Interfaces) -> UplinkNow {
    let interface = &uplink.interface;
    let address = match outside {
        Outside::Address(address) => Some(address),
        Outside::Untranslated | Outside::Unknown => None,
    };
    UplinkNow {
        name: uplink.name.clone(),
        link: interfaces.link(interface),
        address,
        is_own: interfaces.addresses(interface).any(|prefix| Some(prefix.addr()) == address.map(IpAddr::V4)),
        ipv6: interfaces.ipv6(interface),
    }
}

/// Yields something whenever a link or an address changes in this network namespace. Needs a tokio runtime.
///
/// # Errors
/// If the kernel does not tell.
pub fn changes() -> anyhow::Result<impl Stream<Item = ()> + Unpin> {
    let groups = [MulticastGroup::Link, MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr];
    let (connection, _, messages) =
        new_multicast_connection(&groups).context("the kernel does not tell of changes at its interfaces")?;
    tokio::spawn(connection);
    Ok(messages.map(|_| ()))
}

const fn is_ipv6(prefix: &IpNet) -> bool {
    matches!(prefix, IpNet::V6(_))
}

/// An IPv4 address that sessions can be translated to: link-local ones (RFC 3927) lead nowhere beyond the link.
fn translatable(prefix: IpNet) -> Option<Ipv4Addr> {
    match prefix.addr() {
        IpAddr::V4(address) if !address.is_link_local() && !address.is_loopback() => Some(address),
        _ => None,
    }
}

/// Whether routers forward what comes from there: not so IPv6's link-local addresses, which every interface has.
const fn is_forwarded(prefix: &IpNet) -> bool {
    match prefix {
        IpNet::V4(_) => true,
        IpNet::V6(prefix) => !prefix.addr().is_unicast_link_local(),
    }
}
