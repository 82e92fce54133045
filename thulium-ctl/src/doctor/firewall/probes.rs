//! Which packets of ours could meet rules: of each flow, and the gateway's answers to them.

use ipnet::IpNet;

use super::{Servers, probe::Probe};
use crate::{
    doctor::{family::Family, subject::Subject},
    policy::Protocol,
};

/// Whose packets those are that are of no flow.
pub(super) const ANSWERS: &str = "the gateway's own ICMP errors to clients";

/// Clients and servers of a family.
pub(super) struct Ends {
    family: Family,
    clients: Vec<IpNet>,
    /// The hosts whose addresses are known, of whatever family.
    servers: Servers,
}

impl Ends {
    pub(super) fn of(family: Family, subject: &Subject, servers: &Servers) -> Self {
        let of_family = |prefixes: &Vec<IpNet>| {
            prefixes.iter().filter(|prefix| Family::of(prefix.addr()) == family).copied().collect()
        };
        let known = servers.iter().filter(|(_, prefixes)| !prefixes.is_empty());
        Self {
            family,
            clients: subject.sources(family),
            servers: known.map(|(host, prefixes)| (host.clone(), of_family(prefixes))).collect(),
        }
    }

    /// One for each flow, port range, LAN interface and uplink, and one for the gateway's answers. A flow whose policy is not known
    /// stands for all.
    pub(super) fn probes<'a>(&'a self, subject: &'a Subject) -> Vec<Probe<'a>> {
        let mut probes: Vec<Probe<'a>> = subject.lan.iter().map(|way_in| self.answers(way_in)).collect();
        let uplinks = || (0..).zip(&subject.uplinks);
        for (way_in, (slot, way_out)) in subject.lan.iter().flat_map(|way_in| uplinks().map(move |out| (way_in, out))) {
            let of_flow = |whose: &'a str, protocol, ports, destinations| Probe {
                whose,
                family: self.family,
                interface_in: way_in,
                interface_out: way_out,
                protocol,
                ports: Some(ports),
                // Conntrack has never seen an answer to it: those take our own road.
                state: "new",
                sources: &self.clients,
                destinations,
                // Uplinks have slots in this order, unless others have been in their places before.
                mark: Some(subject.mark.of_slot(slot).unwrap_or(subject.mark.governed)),
            };
            let Some(policy) = &subject.policy else {
                probes.push(of_flow("of the policy", 17, (1, 65_535), &[]));
                continue;
            };
            for flow in &policy.flows {
                let destinations = match self.servers.get(&flow.host).map(Vec::as_slice) {
                    // Its servers have addresses of the other family alone.
                    Some([]) => continue,
                    Some(known) => known,
                    None => &[],
                };
                for range in &flow.ports {
                    let protocol = match range.protocol {
                        Protocol::Tcp => 6,
                        Protocol::Udp => 17,
                        // A ping is never larger than a link unless somebody wants it to be.
                        Protocol::Icmp => continue,
                    };
                    probes.push(of_flow(&flow.name, protocol, (range.first, range.last), destinations));
                }
            }
        }
        probes
    }

    fn answers<'a>(&'a self, to: &'a str) -> Probe<'a> {
        Probe {
            whose: ANSWERS,
            family: self.family,
            interface_in: "",
            interface_out: to,
            protocol: match self.family {
                Family::Ipv4 => 1,
                Family::Ipv6 => 58,
            },
            ports: None,
            state: "related",
            sources: &[],
            destinations: &self.clients,
            mark: None,
        }
    }
}
