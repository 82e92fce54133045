//! What the kernel's routes and neighbours are, by netlink. Here is no decision: see [`super::way`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Context;
use futures_util::{FutureExt, Stream, StreamExt, TryStreamExt};
use ipnet::Ipv6Net;
use rtnetlink::{
    Handle, MulticastGroup, RouteMessageBuilder, new_connection, new_multicast_connection,
    packet_core::{NetlinkMessage, NetlinkPayload},
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState},
        route::{
            RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteNextHop, RouteNextHopFlags, RouteType,
            RouteVia,
        },
    },
};

/// The kernel's main routing table.
pub(super) const MAIN: u32 = RouteHeader::RT_TABLE_MAIN as u32;
/// The tables in which we keep the routes for marked packets, a table a slot.
const OUR_TABLES: std::ops::RangeInclusive<u32> = 7400..=7407;

/// A default route out of one interface; one with several next hops counts as several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultRoute {
    /// Index of the interface.
    pub interface: u32,
    /// Its table.
    pub table: u32,
    /// The lowest one counts.
    pub metric: u32,
    /// True if it is IPv6's.
    pub is_ipv6: bool,
    /// The router; `None`: every destination is on the link.
    pub gateway: Option<IpAddr>,
    /// The sources that it is for; `None`: all.
    pub source: Option<Ipv6Net>,
}

/// What is known of a machine on a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Index of the interface.
    pub interface: u32,
    /// Its address.
    pub address: IpAddr,
    /// Its hardware address, as far as it is known.
    pub hardware: Option<Vec<u8>>,
    /// Whether it is there.
    pub presence: Presence,
}

/// Whether a neighbour is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Presence {
    /// It has answered, or need not answer.
    Known,
    /// It is being asked, or nobody has wanted to know.
    #[default]
    Unknown,
    /// It did not answer.
    Silent,
}

/// The lists, as of one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    /// The default routes of both families and all tables but ours.
    pub routes: Vec<DefaultRoute>,
    /// All neighbours.
    pub neighbours: Vec<Neighbour>,
}

/// A connection to the kernel's routing.
#[derive(Clone, Debug)]
pub struct Kernel(Handle);

impl Kernel {
    /// Connects. Needs a tokio runtime.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn connect() -> anyhow::Result<Self> {
        let (connection, handle, _) = new_connection().context("the kernel does not tell of its routes")?;
        tokio::spawn(connection);
        Ok(Self(handle))
    }

    /// Asks for both lists.
    ///
    /// # Errors
    /// If the kernel does not answer.
    pub async fn lists(&self) -> anyhow::Result<Lists> {
        Ok(Lists { routes: self.routes().await?, neighbours: self.neighbours().await? })
    }

    /// Asks for the default routes.
    ///
    /// # Errors
    /// If the kernel does not answer.
    pub async fn routes(&self) -> anyhow::Result<Vec<DefaultRoute>> {
        let families = [RouteMessageBuilder::<Ipv4Addr>::new().build(), RouteMessageBuilder::<Ipv6Addr>::new().build()];
        let mut routes = Vec::new();
        for family in families {
            let mut messages = self.0.route().get(family).execute();
            while let Some(message) = messages.try_next().await.context("the kernel does not list its routes")? {
                routes.extend(default_routes(&message));
            }
        }
        Ok(routes)
    }

    /// Asks for the neighbours.
    ///
    /// # Errors
    /// If the kernel does not answer.
    pub async fn neighbours(&self) -> anyhow::Result<Vec<Neighbour>> {
        let mut neighbours = Vec::new();
        let mut messages = self.0.neighbours().get().execute();
        while let Some(message) = messages.try_next().await.context("the kernel does not list its neighbours")? {
            neighbours.extend(neighbour(&message));
        }
        Ok(neighbours)
    }

    /// Has the kernel find out whether a neighbour is there, as a packet to it would.
    pub async fn resolve(&self, interface: u32, address: IpAddr) {
        let request = self.0.neighbours().add(interface, address).replace();
        // What becomes of it is seen in the lists.
        let _ = request.state(NeighbourState::None).flags(NeighbourFlags::Use).execute().await;
    }

    /// Has the kernel forget a neighbour that it does not find, with the packets that wait for it: if the link comes back soon, they would
    /// leave after what their clients have sent by another uplink, and bring the old address back to a SIP registrar.
    pub async fn drop_waiting(&self, interface: u32, address: IpAddr) {
        let of_next_hop = |one: &Neighbour| one.interface == interface && one.address == address;
        let Ok(neighbours) = self.neighbours().await else { return };
        if neighbours.iter().any(|one| of_next_hop(one) && one.presence == Presence::Known) {
            return;
        }
        let mut message = NeighbourMessage::default();
        message.header.ifindex = interface;
        let (family, destination) = match address {
            IpAddr::V4(address) => (AddressFamily::Inet, NeighbourAddress::Inet(address)),
            IpAddr::V6(address) => (AddressFamily::Inet6, NeighbourAddress::Inet6(address)),
        };
        message.header.family = family;
        message.attributes.push(NeighbourAttribute::Destination(destination));
        // There may be none.
        let _ = self.0.neighbours().del(message).execute().await;
    }
}

/// What changed in this network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// A neighbour does not answer.
    Neighbour,
    /// The queueing at an interface.
    Queueing,
    /// A link, an address, a default route or a rule.
    Routing,
}

/// Yields what changed, whenever something did. What comes at once is one change. Needs a tokio runtime.
///
/// # Errors
/// If the kernel does not tell.
pub fn changes() -> anyhow::Result<impl Stream<Item = Change> + Unpin> {
    let groups = [
        MulticastGroup::Link,
        MulticastGroup::Ipv4Ifaddr,
        MulticastGroup::Ipv6Ifaddr,
        MulticastGroup::Ipv4Route,
        MulticastGroup::Ipv6Route,
        MulticastGroup::Ipv4Rule,
        MulticastGroup::Ipv6Rule,
        MulticastGroup::Neigh,
        MulticastGroup::Tc,
    ];
    let (connection, _, messages) =
        new_multicast_connection(&groups).context("the kernel does not tell of changes at its interfaces")?;
    tokio::spawn(connection);
    Ok(Box::pin(futures_util::stream::unfold(messages, |mut messages| async {
        loop {
            let (first, _) = messages.next().await?;
            let mut change = change(&first);
            while let Some(Some((next, _))) = messages.next().now_or_never() {
                change = change.max(self::change(&next));
            }
            if let Some(change) = change {
                return Some((change, messages));
            }
        }
    })))
}

/// What a message tells; `None`: nothing that matters. Neighbours come and go all day in a LAN.
fn change(message: &NetlinkMessage<RouteNetlinkMessage>) -> Option<Change> {
    let NetlinkPayload::InnerMessage(message) = &message.payload else { return None };
    match message {
        // Somebody else's doing.
        RouteNetlinkMessage::DelRoute(route) if is_ours(route) => Some(Change::Routing),
        RouteNetlinkMessage::NewRoute(route) | RouteNetlinkMessage::DelRoute(route) => {
            (!default_routes(route).is_empty()).then_some(Change::Routing)
        }
        RouteNetlinkMessage::NewNeighbour(one) => {
            (one.header.state == NeighbourState::Failed).then_some(Change::Neighbour)
        }
        RouteNetlinkMessage::NewQueueDiscipline(_) | RouteNetlinkMessage::DelQueueDiscipline(_) => {
            Some(Change::Queueing)
        }
        RouteNetlinkMessage::DelNeighbour(_)
        | RouteNetlinkMessage::NewTrafficClass(_)
        | RouteNetlinkMessage::DelTrafficClass(_)
        | RouteNetlinkMessage::NewTrafficFilter(_)
        | RouteNetlinkMessage::DelTrafficFilter(_)
        | RouteNetlinkMessage::NewTrafficChain(_)
        | RouteNetlinkMessage::DelTrafficChain(_) => None,
        _ => Some(Change::Routing),
    }
}

/// True if a route is in one of the tables that the daemon writes.
fn is_ours(message: &RouteMessage) -> bool {
    let names_one =
        |attribute: &RouteAttribute| matches!(attribute, RouteAttribute::Table(table) if OUR_TABLES.contains(table));
    message.attributes.iter().any(names_one)
}

/// The default routes in a message.
fn default_routes(message: &RouteMessage) -> Vec<DefaultRoute> {
    let header = &message.header;
    if header.destination_prefix_length != 0 || header.kind != RouteType::Unicast {
        return Vec::new();
    }
    let is_ipv6 = header.address_family == AddressFamily::Inet6;
    let mut common = DefaultRoute {
        interface: 0,
        table: header.table.into(),
        metric: 0,
        is_ipv6,
        gateway: gateway(&message.attributes),
        source: None,
    };
    let mut hops: &[RouteNextHop] = &[];
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Table(table) => common.table = *table,
            RouteAttribute::Priority(metric) => common.metric = *metric,
            RouteAttribute::Oif(interface) => common.interface = *interface,
            RouteAttribute::Source(RouteAddress::Inet6(source)) => {
                common.source = Ipv6Net::new(*source, header.source_prefix_length).ok();
            }
            RouteAttribute::MultiPath(several) => hops = several,
            _ => {}
        }
    }
    if OUR_TABLES.contains(&common.table) {
        return Vec::new();
    }
    if hops.is_empty() {
        return if common.interface == 0 { Vec::new() } else { vec![common] };
    }
    let alive = hops.iter().filter(|hop| !hop.flags.contains(RouteNextHopFlags::Dead));
    let one = |hop: &RouteNextHop| DefaultRoute {
        interface: hop.interface_index,
        gateway: gateway(&hop.attributes),
        ..common.clone()
    };
    alive.map(one).collect()
}

fn gateway(attributes: &[RouteAttribute]) -> Option<IpAddr> {
    attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(RouteAddress::Inet(address)) | RouteAttribute::Via(RouteVia::Inet(address)) => {
            Some(IpAddr::V4(*address))
        }
        RouteAttribute::Gateway(RouteAddress::Inet6(address)) | RouteAttribute::Via(RouteVia::Inet6(address)) => {
            Some(IpAddr::V6(*address))
        }
        _ => None,
    })
}

fn neighbour(message: &NeighbourMessage) -> Option<Neighbour> {
    let mut address = None;
    let mut hardware = None;
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(one)) => address = Some(IpAddr::V4(*one)),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(one)) => address = Some(IpAddr::V6(*one)),
            NeighbourAttribute::LinkLayerAddress(bytes) => hardware = Some(bytes.clone()),
            _ => {}
        }
    }
    Some(Neighbour {
        interface: message.header.ifindex,
        address: address?,
        hardware,
        presence: match message.header.state {
            NeighbourState::Reachable | NeighbourState::Stale | NeighbourState::Permanent | NeighbourState::Noarp => {
                Presence::Known
            }
            NeighbourState::Failed => Presence::Silent,
            _ => Presence::Unknown,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn default_by(table: u32, attributes: Vec<RouteAttribute>) -> RouteMessage {
        let mut message = RouteMessage::default();
        message.header.address_family = AddressFamily::Inet;
        message.header.kind = RouteType::Unicast;
        message.attributes = attributes;
        message.attributes.push(RouteAttribute::Table(table));
        message
    }

    fn via(last: u8) -> RouteAttribute {
        RouteAttribute::Gateway(RouteAddress::Inet([198, 51, 100, last].into()))
    }

    #[test]
    fn a_route_with_several_next_hops_is_several() {
        let hop = |interface, last| {
            let mut hop = RouteNextHop::default();
            hop.interface_index = interface;
            hop.attributes = vec![via(last)];
            hop
        };
        let mut dead = hop(4, 4);
        dead.flags = RouteNextHopFlags::Dead;
        let message = default_by(MAIN, vec![RouteAttribute::MultiPath(vec![hop(2, 2), hop(3, 3), dead])]);
        let found: Vec<_> = default_routes(&message).iter().map(|route| (route.interface, route.gateway)).collect();
        let expected = [2, 3].map(|n| (u32::from(n), Some(IpAddr::from([198, 51, 100, n]))));
        assert_eq!(found, expected);
    }

    #[test]
    fn routes_of_our_tables_and_other_destinations_do_not_count() {
        let plain = || vec![RouteAttribute::Oif(2), via(1)];
        assert_eq!(default_routes(&default_by(MAIN, plain())).len(), 1);
        assert!(default_routes(&default_by(7403, plain())).is_empty());
        let mut narrower = default_by(MAIN, plain());
        narrower.header.destination_prefix_length = 8;
        assert!(default_routes(&narrower).is_empty());
        let mut unreachable = default_by(MAIN, plain());
        unreachable.header.kind = RouteType::Unreachable;
        assert!(default_routes(&unreachable).is_empty());
    }
}
