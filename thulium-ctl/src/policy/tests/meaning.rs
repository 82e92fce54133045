//! What right policies mean.

use std::time::Duration;

use proptest::prelude::*;

use super::{SMALLEST, right};
use crate::policy::{Document, Policy, PortRange, Protocol, SourceNat, Unmatched, describe};

/// A policy without its warnings.
fn silent(policy: Policy) -> Policy {
    Policy { warnings: Vec::new(), ..policy }
}

#[test]
fn the_smallest_policy_has_thuliums_values() {
    let policy = right(SMALLEST);
    assert_eq!(policy.flows.iter().map(|flow| flow.name.as_str()).collect::<Vec<_>>(), ["web", "sip", "media", "stun"]);
    assert_eq!(policy.hosts[0].names, ["acme.thulium.com"]);
    assert_eq!(policy.hosts[1].names, ["stun.l.google.com"]);
    assert_eq!(policy.uplinks[0].name, "eth0");
    assert_eq!(policy.sessions.udp_idle, Duration::from_secs(300));
    assert_eq!(policy.lan.clients, None);
}

#[test]
fn hosts_without_stun_have_no_stun_flow() {
    let policy = right(&format!("{SMALLEST}hosts: {{ thulium: {{ names: [] }} }}"));
    assert_eq!(policy.hosts.len(), 1);
    assert!(policy.flows.iter().all(|flow| flow.host == "thulium"));
    assert_eq!(policy.flows.len(), 3);
}

#[test]
fn given_flows_replace_the_default_ones_and_the_hosts_they_leave_unused() {
    let policy = right(&format!("{SMALLEST}flows: [{{ name: sip, to: thulium, ports: 15060/udp }}]"));
    assert_eq!(policy.flows.len(), 1);
    assert_eq!(policy.hosts.iter().map(|host| host.name.as_str()).collect::<Vec<_>>(), ["thulium"]);
}

#[test]
fn a_flow_can_bring_its_host() {
    let own = "{ names: [\"pbx.{system}.example.\"], addresses: 203.0.113.7 }";
    let policy = right(&format!("{SMALLEST}flows: [{{ name: pbx, to: {own}, ports: [5060/udp, 5060-5061/tcp] }}]"));
    assert_eq!(policy.flows[0].host, "pbx");
    assert_eq!(policy.hosts[0].names, ["pbx.acme.example"]);
    assert_eq!(policy.hosts[0].addresses, ["203.0.113.7/32".parse().expect("a prefix")]);
    let tcp = PortRange { protocol: Protocol::Tcp, first: 5060, last: 5061 };
    assert!(policy.flows[0].ports.contains(&tcp));
}

#[test]
fn values_can_be_written_in_the_usual_ways() {
    let policy = right(
        "system: ACME\nlan: { interfaces: eth1, clients: 192.168.20.0/24 }\n\
         uplinks: [{ name: isp-a, interface: eth0, source_nat: 198.51.100.7 }]\nunmatched: pass\nmode: 'audit'\n\
         sessions: { udp_idle: 2 min, tcp_idle: 2h 4min }\ndatapath: { mark: 0xc0, xdp: off }\n",
    );
    assert_eq!(policy.system, "acme");
    assert_eq!(policy.uplinks[0].source_nat, SourceNat::Address([198, 51, 100, 7].into()));
    assert_eq!(policy.unmatched, Unmatched::Pass);
    assert_eq!(policy.sessions.udp_idle, Duration::from_secs(120));
    assert_eq!(policy.sessions.tcp_idle, Duration::from_secs(7440));
    assert_eq!(policy.datapath.mark, 0xc0);
}

#[test]
fn a_host_and_a_flow_take_several_of_everything_in_both_families() {
    let policy = right(&format!(
        "{SMALLEST}hosts:\n  pbx:\n    names: [a.example, \"b.{{system}}.example\"]\n    \
         addresses: [203.0.113.7, 198.51.100.0/24, \"2001:db8:7::7\", \"2001:db8:8::/48\"]\nflows:\n  \
         - {{ name: all, to: pbx, ports: [443/tcp, 80/tcp, 5060-5080/udp, 16000-20000/udp, icmp] }}\n  \
         - {{ name: dns, to: {{ names: x.example, addresses: [192.0.2.53, \"2001:db8::53\"] }}, ports: [53/udp, 53/tcp] }}\n"
    ));
    assert_eq!(policy.hosts[0].names, ["a.example", "b.acme.example"]);
    assert_eq!(policy.hosts[0].addresses.len(), 4);
    assert_eq!(policy.flows[0].ports.len(), 5);
    assert!(policy.flows[0].ports.contains(&PortRange::PING));
    assert_eq!(policy.hosts[1].addresses[1].to_string(), "2001:db8::53/128");
    let text = describe(&policy);
    assert!(text.contains("203.0.113.7, 198.51.100.0/24, 2001:db8:7::7, 2001:db8:8::/48"), "{text}");
    assert!(text.contains("443/tcp, 5060-5080/udp, 16000-20000/udp, icmp  to pbx"), "{text}");
}

#[test]
fn answers_segments_and_translation_are_told() {
    let text = describe(&right(
        "system: acme\nlan: { interfaces: eth1, clients: [192.168.20.0/24, \"fd00:20::/64\"] }\nrefuse: reject\n\
         uplinks: [{ interface: eth0, source_nat: none }]\nmss_clamp: 1400\nsessions: { ports_per_client: 77 }",
    ));
    for part in [
        "clients 192.168.20.0/24, fd00:20::/64 on eth1",
        "eth0: clients keep their own addresses",
        "A client whose packet is refused is told so",
        "200 new ones a second, 77 ports",
        "262144 of IPv4, and 65536 of IPv6",
        "about 95 MiB of the kernel's from the start, and 131 MiB when all tables are full",
        "1400 bytes at most",
    ] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    assert!(!describe(&right(SMALLEST)).contains("told"));
    let audit = describe(&right(&format!("{SMALLEST}mode: audit\nrefuse: reject\n")));
    assert!(audit.contains("In audit mode nobody is told.") && !audit.contains("told so"), "{audit}");
}

#[test]
fn a_wildcard_stands_for_one_label_in_front_of_two() {
    let policy = right(&format!(
        "{SMALLEST}hosts:\n  thulium: {{ names: [\"*.Thulium.com\", \"*.{{system}}.thulium.com.\"] }}\n  \
         stun: {{ names: [stun.l.google.com], private_answers: true }}\n"
    ));
    assert_eq!(policy.hosts[0].names, ["*.thulium.com", "*.acme.thulium.com"]);
    assert_eq!(policy.hosts.iter().map(|host| host.private_answers).collect::<Vec<_>>(), [false, true]);
    let text = describe(&policy);
    assert!(text.contains("private addresses for stun only; names with a `*` are known by that alone."), "{text}");
    assert!(describe(&right(SMALLEST)).contains("What they and the gateway itself answer to clients is learned, too."));
}

#[test]
fn private_answers_of_a_host_without_names_are_a_warning() {
    let warnings = |host: &str| {
        right(&format!(
            "{SMALLEST}hosts: {{ thulium: {{ {host} }} }}\nflows: [{{ name: web, to: thulium, ports: [443/tcp] }}]"
        ))
        .warnings
    };
    let expected = "`private_answers: true` has no effect on the host `thulium`: it has no names";
    assert_eq!(warnings("addresses: [10.0.0.1], private_answers: true"), [expected]);
    for silent in ["addresses: [10.0.0.1], private_answers: false", "names: [a.example], private_answers: true"] {
        assert_eq!(warnings(silent), Vec::<String>::new(), "{silent}");
    }
}

#[test]
fn what_is_legal_but_doubtful_is_a_warning() {
    let policy = right(&format!(
        "{SMALLEST}sessions: {{ udp_idle: 60s }}\nhosts: {{ thulium: {{ names: [] }}, spare: {{ names: [a.example] }} }}"
    ));
    let warnings = policy.warnings.join("\n");
    assert!(warnings.contains("60s") || warnings.contains("1m"), "{warnings}");
    assert!(warnings.contains("no flow leads to the host `spare`"), "{warnings}");
    assert!(warnings.contains("`thulium` has neither names nor addresses"), "{warnings}");
}

#[test]
fn the_meaning_names_clients_flows_hosts_and_the_rest() {
    let text = describe(&right(SMALLEST));
    for part in [
        "every client in the networks of eth1",
        "media  16000-20000/udp  to thulium",
        "acme.thulium.com",
        "Everything else is refused and counted.",
        "ends after 5 min of silence",
        "ends after 2 h 4 min of silence",
        "used 1 day longer",
        "IPv4 clients appear as its address; IPv6 clients keep their addresses",
    ] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
}

proptest! {
    /// A policy that is written out in full means the same.
    #[test]
    fn the_full_document_reads_back_as_the_same_policy(
        udp_idle in 50_u64..90_000,
        port in 1_u16..=65535,
        share in 1_u16..=25536,
        system in "[a-z0-9]{1,20}",
        flow in "[a-zA-Z0-9][a-zA-Z0-9._-]{0,20}",
        audit in any::<bool>(),
        clients in any::<bool>(),
        segment in prop::sample::select(vec!["auto", "off", "1452"]),
        reject in any::<bool>(),
    ) {
        prop_assume!(flow != "thulium" && udp_idle <= 86400);
        let text = format!(
            "system: \"{system}\"\nmode: {}\nlan: {{ interfaces: [\"0e1\", no]{} }}\nuplinks: [{{ interface: \"1.0\"{} }}]\n\
             mss_clamp: {segment}\nrefuse: {}\nsessions: {{ udp_idle: {udp_idle}s, ports_per_client: {share} }}\nresolvers: [\"2001:db8::53\"]\n\
             flows: [{{ name: \"{flow}\", to: {{ names: [yes.example, \"*.{{system}}.example\"], private_answers: {reject}, addresses: [10.0.0.0/8, \"fd00::/8\"] }}, ports: [{port}/tcp, icmp] }}]",
            if audit { "audit" } else { "enforce" },
            if clients { ", clients: [192.168.0.0/16, \"fd00::/8\"]" } else { "" },
            if clients { ", source_nat: none" } else { "" },
            if reject { "reject" } else { "drop" },
        );
        let policy = right(&text);
        let yaml = Document::from(&policy).to_yaml().expect("YAML");
        prop_assert_eq!(silent(right(&yaml)), silent(policy));
    }
}
