//! Which uplink an IPv6 client belongs to: it has no translation that would make another one right. Pure.

use std::collections::BTreeMap;

use ipnet::Ipv6Net;

use super::kernel::{DefaultRoute, MAIN};

/// An uplink, as far as prefixes depend on it.
#[derive(Clone, Debug)]
pub(super) struct Owner<'a> {
    /// Its slot.
    pub(super) slot: u8,
    /// Index of its interface; `None`: it is gone.
    pub(super) interface: Option<u32>,
    /// The prefixes that the policy gives it.
    pub(super) prefixes: &'a [Ipv6Net],
}

/// Source prefix → slot. One uplink has all of them. Of several, the prefixes of the policy count alone if it names any; else those of
/// the kernel's routes for some sources, and the route for all sources stands for the rest.
pub(super) fn homes(owners: &[Owner<'_>], routes: &[DefaultRoute]) -> BTreeMap<Ipv6Net, u8> {
    let all = Ipv6Net::default();
    if let [only] = owners {
        return [(all, only.slot)].into();
    }
    let named = owners.iter().flat_map(|owner| owner.prefixes.iter().map(|prefix| (prefix.trunc(), owner.slot)));
    let named: BTreeMap<_, _> = named.collect();
    if !named.is_empty() {
        return named;
    }
    let mut routes: Vec<&DefaultRoute> = routes.iter().filter(|route| route.is_ipv6).collect();
    // What comes last stands.
    routes.sort_by_key(|route| std::cmp::Reverse((route.table != MAIN, route.metric)));
    let slot = |route: &DefaultRoute| {
        owners.iter().find(|owner| owner.interface == Some(route.interface)).map(|owner| owner.slot)
    };
    let home = |route: &DefaultRoute| Some((route.source.map_or(all, |source| source.trunc()), slot(route)?));
    routes.into_iter().filter_map(home).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owners<'a>(prefixes: &'a [Vec<Ipv6Net>]) -> Vec<Owner<'a>> {
        let one = |(slot, prefixes): (usize, &'a Vec<Ipv6Net>)| Owner {
            slot: slot as u8,
            interface: Some(slot as u32 + 2),
            prefixes,
        };
        prefixes.iter().enumerate().map(one).collect()
    }

    fn route(interface: u32, metric: u32, source: Option<&str>) -> DefaultRoute {
        let source = source.map(|text| text.parse().unwrap());
        DefaultRoute { interface, table: MAIN, metric, is_ipv6: true, gateway: None, source }
    }

    fn found(prefixes: &[Vec<Ipv6Net>], routes: &[DefaultRoute]) -> Vec<(String, u8)> {
        homes(&owners(prefixes), routes).into_iter().map(|(prefix, slot)| (prefix.to_string(), slot)).collect()
    }

    fn home(prefix: &str, slot: u8) -> (String, u8) {
        (prefix.to_owned(), slot)
    }

    #[test]
    fn one_uplink_has_all() {
        assert_eq!(found(&[vec![]], &[]), [home("::/0", 0)]);
    }

    #[test]
    fn the_policys_prefixes_count_alone() {
        let prefixes = [vec!["2001:db8:a::/48".parse().unwrap()], vec!["2001:db8:b::/48".parse().unwrap()]];
        let found = found(&prefixes, &[route(2, 0, None)]);
        assert_eq!(found, [home("2001:db8:a::/48", 0), home("2001:db8:b::/48", 1)]);
    }

    #[test]
    fn else_the_kernels_routes_do() {
        let routes =
            [route(3, 1024, None), route(2, 512, None), route(3, 1, Some("2001:db8:b::/48")), route(9, 0, None)];
        let found = found(&[vec![], vec![]], &routes);
        assert_eq!(found, [home("::/0", 0), home("2001:db8:b::/48", 1)], "the lowest metric by an uplink");
    }
}
