//! Tables: where the packets for an uplink go.

use std::{io, net::IpAddr};

use nix::errno::Errno;
use rtnetlink::{
    packet_core::{NLM_F_CREATE, NLM_F_REPLACE},
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        route::{
            RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
        },
    },
};

use super::PROTOCOL;
use crate::datapath::netlink::Netlink;

/// Of `unreachable`: behind every default route that there can be.
const LAST_METRIC: u32 = 4_278_198_272;

/// A default route of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// By an interface: to a router, or to who is at the other end.
    Out { interface: u32, router: Option<IpAddr> },
    /// Nowhere: counts when there is no way out.
    Unreachable,
}

/// A table with what is in it.
#[derive(Debug)]
pub(super) struct Table {
    family: AddressFamily,
    id: u32,
    ours: Vec<RouteMessage>,
    /// True if somebody else has routes in it, too.
    pub(super) is_shared: bool,
}

impl Table {
    pub(super) fn read(kernel: &mut Netlink, family: AddressFamily, id: u32) -> io::Result<Self> {
        let mut query = RouteMessage::default();
        query.header.address_family = family;
        query.attributes.push(RouteAttribute::Table(id));
        let listed = match kernel.list(RouteNetlinkMessage::GetRoute(query)) {
            // So says the kernel of a table that nothing has ever been in.
            Err(error) if error.raw_os_error() == Some(Errno::ENOENT as i32) => Vec::new(),
            listed => listed?,
        };
        let (ours, others): (Vec<_>, Vec<_>) = listed
            .into_iter()
            .filter_map(|message| match message {
                // Of another family if the kernel does not know this one.
                RouteNetlinkMessage::NewRoute(route)
                    if route.header.address_family == family && table_of(&route) == id =>
                {
                    Some(route)
                }
                _ => None,
            })
            .partition(|route| route.header.protocol == RouteProtocol::Other(PROTOCOL));
        Ok(Self { family, id, ours, is_shared: !others.is_empty() })
    }

    /// Makes `out` the way that packets take, and `unreachable` the one that is left without it. `unreachable` comes first and goes
    /// never, so that no packet finds the table empty. True if that changed anything.
    pub(super) fn set(&self, kernel: &mut Netlink, out: Option<Route>) -> io::Result<bool> {
        let wanted: Vec<Route> = [Route::Unreachable].into_iter().chain(out).collect();
        let is_there = |route: &Route| self.ours.iter().any(|message| Route::read(message) == Some(*route));
        let mut has_changed = false;
        for route in wanted.iter().filter(|route| !is_there(route)) {
            let message = route.message(self.family, self.id);
            match kernel.change(RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE | NLM_F_REPLACE) {
                // The interface is gone or down, or has not got this family: what leads out of it would not count anyway.
                Err(error) if *route != Route::Unreachable && says_no_way(&error) => {}
                done => {
                    done?;
                    has_changed = true;
                }
            }
        }
        let is_wanted = |message: &RouteMessage| Route::read(message).is_some_and(|route| wanted.contains(&route));
        // A former way out is mostly gone already: the new one has taken its place.
        for message in self.ours.iter().filter(|message| !is_wanted(message)) {
            remove(kernel, message)?;
            has_changed = true;
        }
        Ok(has_changed)
    }

    /// Removes what is ours. True if there was anything.
    pub(super) fn clear(&self, kernel: &mut Netlink) -> io::Result<bool> {
        for message in &self.ours {
            remove(kernel, message)?;
        }
        Ok(!self.ours.is_empty())
    }
}

fn table_of(message: &RouteMessage) -> u32 {
    let told = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Table(table) => Some(*table),
        _ => None,
    });
    told.unwrap_or(u32::from(message.header.table))
}

fn says_no_way(error: &io::Error) -> bool {
    let reasons = [
        Errno::ENODEV,
        Errno::ENETDOWN,
        Errno::ENETUNREACH,
        Errno::EHOSTUNREACH,
        Errno::EINVAL,
        Errno::EACCES,
        Errno::ENONET,
    ];
    reasons.iter().any(|reason| error.raw_os_error() == Some(*reason as i32))
}

/// Removes a route as it was listed; one that is gone meanwhile is no error.
fn remove(kernel: &mut Netlink, listed: &RouteMessage) -> io::Result<()> {
    let mut message = RouteMessage::default();
    message.header = RouteHeader { flags: RouteFlags::empty(), ..listed.header.clone() };
    let names_it = |attribute: &&RouteAttribute| {
        matches!(
            attribute,
            RouteAttribute::Table(_)
                | RouteAttribute::Destination(_)
                | RouteAttribute::Priority(_)
                | RouteAttribute::Gateway(_)
                | RouteAttribute::Oif(_)
        )
    };
    message.attributes = listed.attributes.iter().filter(names_it).cloned().collect();
    match kernel.change(RouteNetlinkMessage::DelRoute(message), 0) {
        Err(error) if error.raw_os_error() == Some(Errno::ESRCH as i32) => Ok(()),
        done => done,
    }
}

impl Route {
    fn message(&self, family: AddressFamily, table: u32) -> RouteMessage {
        let mut message = RouteMessage::default();
        message.header.address_family = family;
        message.header.protocol = RouteProtocol::Other(PROTOCOL);
        message.attributes.push(RouteAttribute::Table(table));
        match *self {
            Self::Out { interface, router } => {
                message.header.kind = RouteType::Unicast;
                message.header.scope = RouteScope::Link;
                message.attributes.push(RouteAttribute::Oif(interface));
                if let Some(router) = router {
                    message.header.scope = RouteScope::Universe;
                    // The datapath sends to it by this interface, whether or not a route says that it is there.
                    message.header.flags = RouteFlags::Onlink;
                    message.attributes.push(RouteAttribute::Gateway(RouteAddress::from(router)));
                }
            }
            Self::Unreachable => {
                message.header.kind = RouteType::Unreachable;
                message.attributes.push(RouteAttribute::Priority(LAST_METRIC));
            }
        }
        message
    }

    /// `None`: it is of another kind, so none that this version sets.
    fn read(message: &RouteMessage) -> Option<Self> {
        if message.header.destination_prefix_length != 0 {
            return None;
        }
        let interface = message.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Oif(index) => Some(*index),
            _ => None,
        });
        let router = message.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Gateway(RouteAddress::Inet(address)) => Some(IpAddr::from(*address)),
            RouteAttribute::Gateway(RouteAddress::Inet6(address)) => Some(IpAddr::from(*address)),
            _ => None,
        });
        match message.header.kind {
            RouteType::Unreachable if message.attributes.contains(&RouteAttribute::Priority(LAST_METRIC)) => {
                Some(Self::Unreachable)
            }
            RouteType::Unicast => Some(Self::Out { interface: interface?, router }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn what_is_told_to_the_kernel_is_read_again() {
        let routers = [None, Some(IpAddr::from(Ipv4Addr::LOCALHOST)), Some(IpAddr::from(Ipv6Addr::LOCALHOST))];
        let out = routers.map(|router| Route::Out { interface: 5, router });
        for route in out.into_iter().chain([Route::Unreachable]) {
            let message = route.message(AddressFamily::Inet, 7400);
            assert_eq!(Route::read(&message), Some(route));
            assert_eq!(table_of(&message), 7400);
        }
    }

    #[test]
    fn another_unreachable_route_is_none_of_these() {
        let mut message = Route::Unreachable.message(AddressFamily::Inet, 7400);
        message.attributes.retain(|attribute| !matches!(attribute, RouteAttribute::Priority(_)));
        assert_eq!(Route::read(&message), None);
    }
}
