//! Where an uplink leads and whom it carries: `next_hop` and `prefixes`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::Ipv6Net;

use super::{Reader, address, value};
use crate::policy::{error::quote, tree::Node};

/// IPv6 prefixes that an uplink can have.
const MAX_PREFIXES: usize = 64;

impl Reader<'_> {
    /// The routers of both families.
    pub(super) fn next_hop(&mut self, node: &Node) -> (Option<Ipv4Addr>, Option<Ipv6Addr>) {
        let help = "write the address of the uplink's router, such as 198.51.100.1, or one of each family in a list";
        let (mut next_hop4, mut next_hop6) = (None, None);
        if value::items(node).is_empty() {
            self.report.error(node.place, "`next_hop` is an empty list", help);
        }
        for item in value::items(node) {
            let Some(word) = value::text(item, "next_hop", help, self.report) else { continue };
            let Some(address) = address::next_hop(word, item.place, self.report) else { continue };
            let (family, earlier) = match address {
                IpAddr::V4(address) => ("IPv4", next_hop4.replace(address).map(IpAddr::V4)),
                IpAddr::V6(address) => ("IPv6", next_hop6.replace(address).map(IpAddr::V6)),
            };
            if let Some(earlier) = earlier {
                let message = format!("`next_hop` has {} for {family} already", quote(&earlier.to_string()));
                self.report.error(item.place, message, "write one router of each family");
            }
            self.next_hops.push((address, item.place));
        }
        (next_hop4, next_hop6)
    }

    /// An address that clients appear as is the gateway's, and no router's.
    pub(super) fn refuse_own_next_hops(&mut self) {
        for (next_hop, place) in &self.next_hops {
            let IpAddr::V4(address) = next_hop else { continue };
            let Some(own) = self.addresses.get(address) else { continue };
            let message =
                format!("{} is the gateway's own address, the `source_nat` in {own}", quote(&address.to_string()));
            self.report.error(*place, message, "write the address of the router at the other end of the link");
        }
    }

    /// Whose IPv6 packets leave here. No client belongs to two uplinks.
    pub(super) fn prefixes(&mut self, node: &Node) -> Vec<Ipv6Net> {
        let help = "write the IPv6 prefixes that this uplink's provider routes here, such as [\"2001:db8:20::/48\"]";
        let count = value::items(node).len();
        if count == 0 {
            self.report.error(node.place, "`prefixes` is an empty list", help);
        }
        if count > MAX_PREFIXES {
            let message = format!("`prefixes` has {count} entries, and an uplink can have {MAX_PREFIXES}");
            self.report.error(node.place, message, "write shorter prefixes");
        }
        let all = &mut self.prefixes;
        let earlier = all.len();
        value::list(node, "prefixes", help, self.report, |word, place, report| {
            let prefix = address::prefix6(word, place, report)?;
            let mut rivals =
                all.iter().enumerate().filter(|(_, (other, _))| other.contains(&prefix) || prefix.contains(other));
            // That the same prefix stands in one list twice has an error of its own.
            if let Some((_, (other, first))) = rivals.find(|(index, (other, _))| *index < earlier || *other != prefix) {
                let message = format!("{} overlaps {}, in {first}", quote(word), quote(&other.to_string()));
                let help = "write prefixes that have nothing in common: a client belongs to one uplink";
                report.error(place, message, help);
            }
            all.push((prefix, place));
            Some(prefix)
        })
    }
}
