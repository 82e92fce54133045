//! What the gateway's interfaces say: the uplinks' addresses and ways out, and the networks on the LAN.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use anyhow::Context as _;
use ipnet::{IpNet, Ipv6Net};
use nix::net::if_::if_nametoindex;
use thulium_ebpf::abi::Role;

use super::{
    health::{Fault, Sight},
    homes::{Owner, homes},
    interfaces::Interfaces,
    kernel::{Lists, Presence},
    way::{Door, Way},
};
use crate::{
    datapath::attach::Target,
    observe::status::{Link, UplinkNow, Warning},
    policy::{Policy, SourceNat, UplinkPolicy, image::Slots},
};

/// What a policy depends on that can change while it is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ground {
    /// The interfaces of the policy that are there.
    pub interfaces: Vec<Target>,
    /// Index of the newest interface that there is: indices grow.
    pub newest: u32,
    /// Who is governed.
    pub clients: Vec<IpNet>,
    /// The uplinks, in the policy's order.
    pub uplinks: Vec<UplinkGround>,
    /// Of the kernel's routes, those that tell which IPv6 clients belong to which uplink.
    pub(super) lists: Lists,
}

/// What there is of an uplink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UplinkGround {
    /// Its name in the policy.
    pub name: String,
    /// Its interface.
    pub interface: String,
    /// Index of its interface; `None`: it is gone.
    pub index: Option<u32>,
    /// Whether the interface carries anything.
    pub link: Link,
    /// What its sessions are translated to.
    pub outside: Outside,
    /// The interface's own IPv4 address: that of `outside`, if it has it.
    pub ipv4: Option<Ipv4Addr>,
    /// The first of its IPv6 addresses that lead beyond the link.
    pub ipv6: Option<Ipv6Addr>,
    /// How IPv4 leaves by it.
    pub way4: Way,
    /// How IPv6 leaves by it.
    pub way6: Way,
    /// True if IPv4 is expected of it: it has, or had, an address or a way.
    pub(super) expects_ipv4: bool,
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
#[derive(Clone, Debug, Default)]
pub struct Present {
    /// The uplinks' addresses, by name.
    pub addresses: BTreeMap<String, Ipv4Addr>,
    /// Who is governed.
    pub clients: Vec<IpNet>,
}

impl Ground {
    /// This, as what is in force while the next one is read, after what was in force `before`.
    pub fn as_present(&self, before: &Present) -> Present {
        let mut addresses = before.addresses.clone();
        for uplink in &self.uplinks {
            if let Outside::Address(address) = uplink.outside {
                addresses.insert(uplink.name.clone(), address);
            }
        }
        Present { addresses, clients: self.clients.clone() }
    }

    /// Reads it from the interfaces that `policy` names and the kernel's `lists`. An uplink stays with its `present` address as long as its
    /// interface has it: another one would end all sessions. The LAN's networks stay who is governed while its interfaces are gone.
    ///
    /// # Errors
    /// If the kernel does not list its addresses.
    pub fn read(policy: &Policy, present: &Present, lists: Lists) -> anyhow::Result<Self> {
        // First: an interface that comes while the others are read is newer.
        let newest = newest_interface()?;
        let interfaces = Interfaces::list()?;
        let clients = policy.lan.clients.clone().unwrap_or_else(|| {
            let of_lan = || policy.lan.interfaces.iter().flat_map(|name| interfaces.addresses(name));
            let networks = || of_lan().filter(is_forwarded);
            let on_link = networks().map(|prefix| prefix.trunc());
            // Of each family: a link that goes down loses its IPv6 addresses at once.
            let is_gone = |prefix: &&IpNet| !networks().any(|present| is_ipv6(&present) == is_ipv6(prefix));
            on_link.chain(present.clients.iter().filter(is_gone).copied()).collect()
        });
        let uplinks = policy.uplinks.iter().map(|uplink| {
            UplinkGround::read(uplink, present.addresses.get(&uplink.name).copied(), &interfaces, &lists)
        });
        let uplinks = uplinks.collect();
        let lists =
            Lists { routes: lists.routes.into_iter().filter(|route| route.is_ipv6).collect(), neighbours: Vec::new() };
        Ok(Self { interfaces: Target::present(policy), newest, clients, uplinks, lists })
    }

    /// This, but with the uplinks at the interfaces of `attached`, to which the programs have been attached.
    pub fn at_interfaces_of(&self, attached: &Self) -> Self {
        let mut ground = self.clone();
        for (uplink, attached) in ground.uplinks.iter_mut().zip(&attached.uplinks) {
            uplink.index = attached.index;
        }
        ground
    }

    /// IPv6 source prefix → slot of the uplink that its clients belong to.
    pub fn homes<'a>(&self, policy: &'a Policy, slots: &Slots) -> BTreeMap<Ipv6Net, u8> {
        let owner = |(uplink, named): (&UplinkGround, &'a UplinkPolicy)| {
            let slot = slots.uplink(&uplink.name)?;
            Some(Owner { slot, interface: uplink.index, prefixes: &named.prefixes })
        };
        let owners: Vec<_> = self.uplinks.iter().zip(&policy.uplinks).filter_map(owner).collect();
        homes(&owners, &self.lists.routes)
    }

    /// The slots of the interfaces by name: of each among the uplinks, or among those of the LAN.
    pub fn slots_of_interfaces(&self, slots: &Slots) -> BTreeMap<String, u8> {
        let of_uplink = |uplink: &UplinkGround| Some((uplink.interface.clone(), slots.uplink(&uplink.name)?));
        let of_lan = |lan: &Target| Some((lan.name.clone(), slots.lan(&lan.name)?));
        let lans = self.interfaces.iter().filter(|interface| interface.role == Role::Lan);
        self.uplinks.iter().filter_map(of_uplink).chain(lans.filter_map(of_lan)).collect()
    }

    /// What the log says of it.
    pub fn describe(&self) -> String {
        let names: Vec<&str> = self.interfaces.iter().map(|interface| interface.name.as_str()).collect();
        let is_alone = self.uplinks.len() == 1;
        let uplinks: Vec<String> = self.uplinks.iter().map(|uplink| uplink.describe(is_alone)).collect();
        let clients: Vec<String> = self.clients.iter().map(ToString::to_string).collect();
        format!("{} are there, {}, clients are {}", names.join(" and "), uplinks.join(", "), clients.join(", "))
    }

    /// True if IPv6 clients are among those who are governed.
    pub fn governs_ipv6(&self) -> bool {
        self.clients.iter().any(is_ipv6)
    }

    /// The uplinks by their interfaces, for `status`.
    pub fn now(&self) -> BTreeMap<String, UplinkNow> {
        self.uplinks.iter().map(|uplink| (uplink.interface.clone(), uplink.now())).collect()
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

impl UplinkGround {
    fn read(uplink: &UplinkPolicy, present: Option<Ipv4Addr>, interfaces: &Interfaces, lists: &Lists) -> Self {
        let interface = &uplink.interface;
        let own = || interfaces.ipv4(interface);
        let same = || own().find(|address| present == Some(*address));
        let outside = match uplink.source_nat {
            SourceNat::None => Outside::Untranslated,
            SourceNat::Address(address) => Outside::Address(address),
            SourceNat::Masquerade => same().or_else(|| own().next()).map_or(Outside::Unknown, Outside::Address),
        };
        let index = if_nametoindex(interface.as_str()).ok();
        let way = |is_ipv6, named: Option<IpAddr>| match index {
            Some(interface_index) => {
                let door =
                    Door { interface: interface_index, has_one_other_end: interfaces.has_one_other_end(interface) };
                Way::find(door, is_ipv6, named, lists)
            }
            None => Way::None,
        };
        let way4 = way(false, uplink.next_hop4.map(IpAddr::V4));
        let preferred = |address: &Ipv4Addr| outside == Outside::Address(*address);
        let ipv4 = own().find(preferred).or_else(|| own().next());
        Self {
            name: uplink.name.clone(),
            interface: interface.clone(),
            index,
            link: interfaces.link(interface),
            outside,
            ipv4,
            ipv6: interfaces.ipv6(interface),
            expects_ipv4: way4.leads_out() || ipv4.is_some() || present.is_some(),
            way4,
            way6: way(true, uplink.next_hop6.map(IpAddr::V6)),
        }
    }

    /// The address that its IPv4 sessions are translated to.
    pub const fn address(&self) -> Option<Ipv4Addr> {
        match self.outside {
            Outside::Address(address) => Some(address),
            Outside::Untranslated | Outside::Unknown => None,
        }
    }

    /// Whether IPv4 can leave by it, as far as the gateway itself knows.
    pub fn carries_ipv4(&self) -> bool {
        self.outside != Outside::Unknown && self.way4.leads_out()
    }

    /// Whether IPv6 can.
    pub const fn carries_ipv6(&self) -> bool {
        self.ipv6.is_some() && self.way6.leads_out()
    }

    /// What health goes by. An uplink that has had IPv4 is judged by it, since all translated clients depend on it.
    pub fn sight(&self) -> Sight {
        let fault = match self.link {
            Link::Gone => Some(Fault::Gone),
            Link::Down => Some(Fault::Off),
            Link::NoCarrier => Some(Fault::NoCarrier),
            Link::Up if self.carries_ipv4() || (!self.expects_ipv4 && self.carries_ipv6()) => None,
            Link::Up if self.outside == Outside::Unknown => Some(Fault::NoAddress),
            Link::Up => Some(Fault::NoWay),
        };
        let way = if self.way4.leads_out() { &self.way4 } else { &self.way6 };
        let next_hop_silent = match way.next_hop().map(|hop| hop.presence) {
            Some(Presence::Unknown) => None,
            presence => Some(presence == Some(Presence::Silent)),
        };
        Sight { fault, next_hop_silent }
    }

    /// The IPv4 router behind it.
    pub fn next_hop4(&self) -> Option<Ipv4Addr> {
        ipv4(self.way4.next_hop()?.address)
    }

    /// The IPv6 router behind it.
    pub fn next_hop6(&self) -> Option<Ipv6Addr> {
        ipv6(self.way6.next_hop()?.address)
    }

    /// The IPv4 router that the datapath must be told, since the kernel's own routes do not lead there.
    pub fn told_next_hop4(&self) -> Option<Ipv4Addr> {
        ipv4(self.way4.to_tell(false)?)
    }

    /// The IPv6 router that the datapath must be told.
    pub fn told_next_hop6(&self) -> Option<Ipv6Addr> {
        ipv6(self.way6.to_tell(true)?)
    }

    fn describe(&self, is_alone: bool) -> String {
        let link = match self.link {
            Link::Up => "is up",
            Link::NoCarrier => "is down (no carrier)",
            Link::Down => "is down",
            Link::Gone => "is gone",
        };
        let outside = match self.outside {
            Outside::Untranslated => "does not translate".to_owned(),
            Outside::Address(address) => format!("has {address}"),
            Outside::Unknown => "has no IPv4 address".to_owned(),
        };
        let which = if is_alone { "the uplink".to_owned() } else { format!("uplink {}", self.name) };
        format!("{which} {link} and {outside}")
    }

    fn now(&self) -> UplinkNow {
        UplinkNow {
            name: self.name.clone(),
            link: self.link,
            address: self.address(),
            is_own: self.address().is_some() && self.address() == self.ipv4,
            ipv6: self.ipv6,
        }
    }
}

const fn ipv4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

const fn ipv6(address: IpAddr) -> Option<Ipv6Addr> {
    match address {
        IpAddr::V6(address) => Some(address),
        IpAddr::V4(_) => None,
    }
}

const fn is_ipv6(prefix: &IpNet) -> bool {
    matches!(prefix, IpNet::V6(_))
}

/// Whether routers forward what comes from there: not so IPv6's link-local addresses, which every interface has.
const fn is_forwarded(prefix: &IpNet) -> bool {
    match prefix {
        IpNet::V4(_) => true,
        IpNet::V6(prefix) => !prefix.addr().is_unicast_link_local(),
    }
}

/// Index of the newest interface in this network namespace.
fn newest_interface() -> anyhow::Result<u32> {
    let interfaces = nix::net::if_::if_nameindex().context("the kernel does not list its interfaces")?;
    Ok(interfaces.iter().map(nix::net::if_::Interface::index).max().unwrap_or_default())
}
