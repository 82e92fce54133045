//! `flows`: what clients may open, in order.

use std::collections::HashMap;

use thulium_ebpf::abi::FLOW_SLOTS;

use super::{
    hosts::{self, Hosts},
    name, port, reach, value,
};
use crate::policy::{
    Flow, Protocol, TlsVersion, defaults,
    error::{Place, Report, quote, suggest},
    section::{FLOW, Section},
    tree::{Kind, Node},
};

const EXAMPLE: &str = "a list of flows, such as `- { name: web, to: thulium, ports: 443/tcp }`";

/// Reads `flows`, or takes the defaults that lead to hosts of the policy. Inline hosts are added to `hosts`.
pub(super) fn flows(node: Option<&Node>, hosts: &mut Hosts, system: Option<&str>, report: &mut Report) -> Vec<Flow> {
    let Some(node) = node else {
        return defaults::flows().into_iter().filter(|flow| hosts.names.contains(&flow.host)).collect();
    };
    let Kind::List(items) = &node.kind else {
        if !matches!(node.kind, Kind::Refused) {
            report.error(node.place, "`flows` must be a list", format!("write {EXAMPLE}"));
        }
        return Vec::new();
    };
    if items.len() > FLOW_SLOTS {
        let message = format!("this is flow {} of {}, and a policy can have {FLOW_SLOTS}", FLOW_SLOTS + 1, items.len());
        report.error(items[FLOW_SLOTS].place, message, "give one flow several ports: `ports: [443/tcp, 80/tcp]`");
    }
    let mut reader = Reader { hosts, system, report, names: HashMap::new() };
    let flows = items.iter().take(FLOW_SLOTS).filter_map(|item| reader.flow(item)).collect::<Vec<_>>();
    reach::check(&flows, &hosts.list, report);
    flows.into_iter().map(|(flow, _)| flow).collect()
}

struct Reader<'a> {
    hosts: &'a mut Hosts,
    system: Option<&'a str>,
    report: &'a mut Report,
    names: HashMap<String, Place>,
}

impl Reader<'_> {
    fn flow(&mut self, node: &Node) -> Option<(Flow, Place)> {
        let section = Section::open(node, &FLOW, self.report)?;
        let name = section.require("name", "write a name for the counters, such as `name: web`", self.report);
        let (name, place) = match name {
            Some(node) => (self.name(node), node.place),
            None => (None, section.place),
        };
        let to = section.require("to", "write a host, such as `to: thulium`", self.report);
        let host = to.and_then(|node| self.host(node, name.as_deref(), place));
        let ports = section.require("ports", "write the remote ports, such as `ports: 443/tcp`", self.report);
        let ports = ports.map(|node| port::ports(node, "ports", self.report));
        let tls_min = section.get("tls_min").map(|node| (node, self.tls(node)));
        let (name, host, ports) = (name?, host?, ports?);
        if ports.is_empty() {
            return None;
        }
        if let Some((node, Some(_))) = tls_min
            && ports.iter().all(|range| range.protocol != Protocol::Tcp)
        {
            let message = format!("`tls_min` is about TCP, and the flow `{name}` has no TCP port");
            self.report.error(node.place, message, "remove `tls_min`");
        }
        let tls_min = tls_min.and_then(|(_, version)| version);
        Some((Flow { name, host, ports, tls_min }, place))
    }

    fn name(&mut self, node: &Node) -> Option<String> {
        let word = value::text(node, "name", "write a name, such as web", self.report)?;
        let name = name::given(word, "flow", node.place, self.report)?;
        if let Some(first) = self.names.get(&name) {
            let message = format!("a second flow is called {}, the first in {first}", quote(&name));
            self.report.error(node.place, message, "give each flow a name of its own");
            return None;
        }
        self.names.insert(name.clone(), node.place);
        Some(name)
    }

    /// The name of the host that a flow leads to; one that is written inline is named after the flow.
    fn host(&mut self, node: &Node, flow: Option<&str>, place: Place) -> Option<String> {
        if let Kind::Map(_) = &node.kind {
            // A flow whose name is wrong still has its host judged.
            let name = flow.unwrap_or("to").to_owned();
            let host = hosts::host(node, name.clone(), self.system, self.report);
            if flow.is_some() {
                self.add_inline(&name, place);
            }
            let host = host?;
            self.hosts.list.push(host);
            return Some(name);
        }
        let help = "write the name of a host, or { names: [..], addresses: [..] }";
        let word = value::text(node, "to", help, self.report)?;
        if self.hosts.names.contains(word) {
            return Some(word.to_owned());
        }
        let known = self.known_hosts();
        let help = match suggest(word, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => "add it under `hosts`".to_owned(),
            None => format!("add it under `hosts`, or write one of: {}", known.join(", ")),
        };
        self.report.error(node.place, format!("there is no host {}", quote(word)), help);
        None
    }

    fn add_inline(&mut self, name: &str, place: Place) {
        if !self.hosts.names.insert(name.to_owned()) {
            let message = format!("the flow's own host gets its name, and there is a host {} already", quote(name));
            self.report.error(place, message, format!("rename the flow, or write `to: {name}`"));
        }
    }

    fn known_hosts(&self) -> Vec<&str> {
        self.hosts.names.iter().map(String::as_str).take(8).collect()
    }

    fn tls(&mut self, node: &Node) -> Option<TlsVersion> {
        value::choice(node, "tls_min", &[("1.2", TlsVersion::V1_2), ("1.3", TlsVersion::V1_3)], self.report)
    }
}
