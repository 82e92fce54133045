//! The way out by an uplink: pure, from the kernel's lists to a decision.

use std::net::{IpAddr, Ipv6Addr};

use super::kernel::{DefaultRoute, Lists, MAIN, Presence};

/// How packets of one family leave by an uplink.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// Not at all: no route leads out, and the policy names no next hop.
    #[default]
    None,
    /// Without a next hop: the link has but one other end.
    Direct {
        /// True if the kernel's main table leads out of the interface, too.
        in_main: bool,
    },
    /// By a router.
    Via(NextHop),
}

/// The router behind an uplink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextHop {
    /// Its address.
    pub address: IpAddr,
    /// True if the policy names it.
    pub from_policy: bool,
    /// True if the kernel's main table leads out of the interface by it.
    pub in_main: bool,
    /// Its hardware address, as far as the kernel knows it.
    pub hardware: Option<Vec<u8>>,
    /// Whether it is there.
    pub presence: Presence,
}

/// Whom a packet is given to that leaves by a link with but one other end: it does not matter, but without a route of the kernel
/// there must be an address.
const OTHER_END: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// What an uplink is, as far as its ways out depend on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Door {
    /// Index of its interface.
    pub(super) interface: u32,
    /// True if its link has but one other end (PPP, WireGuard, tun).
    pub(super) has_one_other_end: bool,
}

impl Way {
    /// The way out of `door` in the family of `is_ipv6`. The `named` next hop of the policy comes first, then the routes: those of the main
    /// table before others, the lowest metric first; in IPv6 those for all sources before those for some.
    pub(super) fn find(door: Door, is_ipv6: bool, named: Option<IpAddr>, lists: &Lists) -> Self {
        let out = |route: &&DefaultRoute| route.interface == door.interface && route.is_ipv6 == is_ipv6;
        let rank = |route: &&DefaultRoute| (route.source.is_some(), route.table != MAIN, route.metric);
        let best = lists.routes.iter().filter(out).min_by_key(rank);
        let main = best.filter(|route| route.table == MAIN && route.source.is_none());
        let via = |address: IpAddr, from_policy| {
            let neighbour =
                lists.neighbours.iter().find(|one| one.interface == door.interface && one.address == address);
            Self::Via(NextHop {
                address,
                from_policy,
                in_main: main.is_some_and(|route| route.gateway == Some(address)),
                hardware: neighbour.and_then(|one| one.hardware.clone()),
                presence: neighbour.map(|one| one.presence).unwrap_or_default(),
            })
        };
        if let Some(address) = named {
            return via(address, true);
        }
        let direct = Self::Direct { in_main: main.is_some() };
        match best.map(|route| route.gateway) {
            _ if door.has_one_other_end => direct,
            Some(Some(address)) => via(address, false),
            // A default route without a router on a link with many machines: its admin knows that somebody answers for all.
            Some(None) => direct,
            None => Self::None,
        }
    }

    /// The next hop that the datapath must be told, since the kernel's own routes do not lead to it.
    pub fn to_tell(&self, is_ipv6: bool) -> Option<IpAddr> {
        match self {
            // Asked for a way out of an interface, the kernel's IPv6 takes the router of a better route out of another one.
            Self::Via(hop) if is_ipv6 || !hop.in_main => Some(hop.address),
            // IPv4 takes every destination to be on a link that no route leads out of; IPv6 does not.
            Self::Direct { in_main: false } if is_ipv6 => Some(OTHER_END.into()),
            _ => None,
        }
    }

    /// The router, if there is one.
    pub fn next_hop(&self) -> Option<&NextHop> {
        match self {
            Self::Via(hop) => Some(hop),
            Self::None | Self::Direct { .. } => None,
        }
    }

    /// Whether packets can leave.
    pub const fn leads_out(&self) -> bool {
        !matches!(self, Self::None)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::kernel::Neighbour, *};

    const ETHERNET: Door = Door { interface: 2, has_one_other_end: false };

    fn router(last: u8) -> IpAddr {
        [198, 51, 100, last].into()
    }

    fn route(interface: u32, table: u32, metric: u32, last: u8) -> DefaultRoute {
        let gateway = Some(router(last));
        DefaultRoute { interface, table, metric, is_ipv6: false, gateway, source: None }
    }

    fn lists(routes: &[DefaultRoute]) -> Lists {
        Lists { routes: routes.to_vec(), neighbours: Vec::new() }
    }

    fn found(named: Option<u8>, routes: &[DefaultRoute]) -> Option<(IpAddr, bool, bool)> {
        let way = Way::find(ETHERNET, false, named.map(router), &lists(routes));
        way.next_hop().map(|hop| (hop.address, hop.from_policy, way.to_tell(false).is_some()))
    }

    #[test]
    fn the_main_tables_lowest_metric_counts_first() {
        let routes = [route(3, MAIN, 0, 9), route(2, 100, 0, 1), route(2, MAIN, 200, 2), route(2, MAIN, 100, 3)];
        assert_eq!(found(None, &routes), Some((router(3), false, false)));
        assert_eq!(found(None, &routes[..3]), Some((router(2), false, false)));
        assert_eq!(found(None, &routes[..2]), Some((router(1), false, true)), "the datapath must be told");
        assert_eq!(found(None, &routes[..1]), None, "another interface's");
    }

    #[test]
    fn the_policys_next_hop_wins() {
        let routes = [route(2, MAIN, 0, 1)];
        assert_eq!(found(Some(7), &routes), Some((router(7), true, true)));
        assert_eq!(found(Some(1), &routes), Some((router(1), true, false)), "the kernel goes there anyway");
        assert_eq!(found(Some(7), &[]), Some((router(7), true, true)));
    }

    #[test]
    fn a_link_with_one_other_end_needs_no_next_hop() {
        let tunnel = Door { interface: 2, has_one_other_end: true };
        let bare = Way::find(tunnel, true, None, &Lists::default());
        assert_eq!(bare, Way::Direct { in_main: false });
        assert_eq!((bare.leads_out(), bare.to_tell(false)), (true, None));
        assert!(bare.to_tell(true).is_some(), "IPv6 needs some address where no route leads out");
        assert!(!Way::find(ETHERNET, true, None, &Lists::default()).leads_out());
    }

    #[test]
    fn a_route_for_all_sources_comes_before_one_for_some() {
        let gateway = |last| Some(IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, last)));
        let all = DefaultRoute { is_ipv6: true, gateway: gateway(1), ..route(2, MAIN, 1024, 0) };
        let some =
            DefaultRoute { gateway: gateway(2), metric: 1, source: "2001:db8:a::/48".parse().ok(), ..all.clone() };
        let hop = |routes: &[DefaultRoute]| {
            let way = Way::find(ETHERNET, true, None, &lists(routes));
            (way.next_hop().map(|hop| hop.address), way.to_tell(true))
        };
        assert_eq!(hop(&[some.clone(), all]), (gateway(1), gateway(1)));
        assert_eq!(hop(&[some]), (gateway(2), gateway(2)));
    }

    #[test]
    fn the_neighbour_of_the_same_link_is_the_next_hop() {
        let on = |interface, presence| Neighbour { interface, address: router(1), hardware: None, presence };
        let neighbours = vec![on(3, Presence::Known), on(2, Presence::Silent)];
        let lists = Lists { routes: vec![route(2, MAIN, 0, 1)], neighbours };
        let way = Way::find(ETHERNET, false, None, &lists);
        assert_eq!(way.next_hop().map(|hop| hop.presence), Some(Presence::Silent));
    }
}
