//! Policies with several uplinks: what is read, written, explained and warned of.

use std::time::Duration;

use proptest::prelude::*;

use super::{SMALLEST, right};
use crate::policy::{Document, Health, OnUplinkDown, Policy, Probe, describe};

const OFFICE: &str = "system: acme\nlan: { interfaces: [eth1] }\nuplinks:\n";

fn with_uplinks(uplinks: &str, rest: &str) -> Policy {
    right(&format!("{OFFICE}{uplinks}\n{rest}\n"))
}

fn says(policy: &Policy, parts: &[&str]) {
    let text = describe(policy);
    for part in parts {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
}

#[test]
fn every_key_of_an_uplink_is_read() {
    let policy = with_uplinks(
        "  - { name: a, interface: a0, weight: 3, next_hop: [198.51.100.1, \"fe80::1\"], prefixes: [\"2001:db8:20::/48\"] }\n  \
         - { name: vpn, interface: wg0, next_hop: \"2001:db8::1\", prefixes: \"2001:db8:30::/48\" }",
        "on_uplink_down: hold\nrelease_after_idle: 1 day\n\
         health: { link_down: 0s, black_hole: 30s, probe: { to: thulium, port: 443/tcp } }",
    );
    let [a, vpn] = &policy.uplinks[..] else { panic!("{:?}", policy.uplinks) };
    assert_eq!((a.weight, vpn.weight), (Some(3), None));
    assert_eq!((a.next_hop4, a.next_hop6), (Some([198, 51, 100, 1].into()), "fe80::1".parse().ok()));
    assert_eq!((vpn.next_hop4, vpn.next_hop6), (None, "2001:db8::1".parse().ok()));
    assert_eq!(a.prefixes, ["2001:db8:20::/48".parse().expect("a prefix")]);
    assert_eq!(vpn.prefixes, ["2001:db8:30::/48".parse().expect("a prefix")]);
    assert_eq!(policy.on_uplink_down, OnUplinkDown::Hold);
    assert_eq!(policy.release_after_idle, Duration::from_secs(86400));
    let probe = Probe::To { host: "thulium".to_owned(), port: 443 };
    assert_eq!(policy.health, Health { link_down: Duration::ZERO, black_hole: Duration::from_secs(30), probe });
}

#[test]
fn the_smallest_policy_has_the_defaults_of_a_working_day() {
    let policy = right(SMALLEST);
    assert_eq!(policy.on_uplink_down, OnUplinkDown::Move);
    assert_eq!(policy.release_after_idle, Duration::from_secs(12 * 3600));
    let (link_down, black_hole) = (Duration::from_secs(1), Duration::from_secs(10));
    assert_eq!(policy.health, Health { link_down, black_hole, probe: Probe::Auto });
    assert_eq!((policy.uplinks[0].weight, policy.uplinks[0].prefixes.len()), (None, 0));
}

#[test]
fn several_uplinks_use_four_bits_of_the_mark_and_one_uses_two_or_four() {
    let two = "  - { interface: a0 }\n  - { interface: b0 }";
    assert_eq!(right(SMALLEST).datapath.mark, 0x3000_0000);
    assert_eq!(with_uplinks(two, "").datapath.mark, 0xf000_0000);
    assert_eq!(with_uplinks(two, "datapath: { mark: 0xf0 }").datapath.mark, 0xf0);
    assert_eq!(right(&format!("{SMALLEST}datapath: {{ mark: 0xf0 }}")).datapath.mark, 0xf0);
}

#[test]
fn eight_uplinks_are_the_most() {
    let uplinks = (0..8).map(|n| format!("  - {{ interface: up{n} }}\n")).collect::<String>();
    assert_eq!(with_uplinks(&uplinks, "").uplinks.len(), 8);
}

#[test]
fn the_probe_may_use_a_host_that_no_flow_leads_to() {
    let text = "  - { interface: a0 }\n  - { interface: b0 }";
    let policy = with_uplinks(
        text,
        "health: { probe: { to: status, port: 80/tcp } }\nflows: [{ name: sip, to: thulium, ports: 15060/udp }]\n\
         hosts: { thulium: { names: [a.example] }, status: { addresses: [203.0.113.80] } }",
    );
    assert_eq!(policy.warnings, Vec::<String>::new());
    assert!(policy.hosts.iter().any(|host| host.name == "status"));
    let default_host = with_uplinks(
        text,
        "health: { probe: { to: thulium, port: 443/tcp } }\nflows: [{ name: s, to: stun, ports: 19302/udp }]",
    );
    assert_eq!(default_host.hosts.iter().map(|host| host.name.as_str()).collect::<Vec<_>>(), ["thulium", "stun"]);
}

#[test]
fn the_meaning_tells_who_takes_which_uplink() {
    let ordered =
        "  - { name: fibre, interface: a0 }\n  - { name: cable, interface: b0 }\n  - { name: vpn, interface: wg0 }";
    says(
        &with_uplinks(ordered, ""),
        &[
            "Uplink     cable on b0: IPv4 clients appear as its address",
            "New clients take fibre.\n  While it is not usable, they take cable.\n  While none of these is usable, they take vpn.",
            "no session for 12 h is given one anew",
            "IPv6 leaves by the uplink to which the kernel's routes send",
        ],
    );
    let shared = "  - { name: fibre, interface: a0, weight: 3, prefixes: [\"2001:db8:20::/48\"] }\n  \
                  - { name: cable, interface: b0, weight: 1 }\n  - { name: vpn, interface: wg0 }";
    says(
        &with_uplinks(shared, ""),
        &[
            "New clients take fibre (3 of 4) and cable (1 of 4).\n  While none of these is usable, they take vpn.",
            "IPv6 leaves by its source address: 2001:db8:20::/48 by fibre; others are refused.",
        ],
    );
    let one = describe(&right(SMALLEST));
    assert!(!one.contains("Which uplink") && !one.contains("fails"), "{one}");
}

#[test]
fn the_meaning_tells_how_a_failure_is_noticed_and_what_follows() {
    let two = "  - { interface: a0 }\n  - { interface: b0 }";
    says(
        &with_uplinks(two, ""),
        &[
            "had no link, address, route or next hop for 1 s, if another one has.",
            "So it is within 10 s when TCP connections to thulium, port 443, get no answer, if another one's do.",
            "Its IPv4 clients move to another one together",
            "IPv6 does not move, since addresses belong to their uplink: new sessions wait, refused as uplink-down.",
            "Nobody moves in a call.",
        ],
    );
    says(
        &with_uplinks(two, "on_uplink_down: hold\nhealth: { black_hole: 1min, probe: { to: stun, port: 80/tcp } }"),
        &[
            "So it is within 1 min when TCP connections to stun, port 80, get no answer",
            "wait for it (hold)",
            "New clients take another",
        ],
    );
    says(&with_uplinks(two, "health: { probe: off }"), &["Nothing is probed"]);
}

#[test]
fn what_has_no_effect_is_a_warning() {
    let warnings = |uplinks: &str, rest: &str| with_uplinks(uplinks, rest).warnings.join("\n");
    let one = warnings("  - { name: a, interface: a0, weight: 2, prefixes: [\"2001:db8:20::/48\"] }", "");
    assert!(one.contains("the weight of the uplink `a` has no effect"), "{one}");
    assert!(one.contains("the prefixes of the uplink `a` have no effect"), "{one}");
    let alone = right(&format!("{SMALLEST}on_uplink_down: hold")).warnings.join("\n");
    assert!(alone.contains("`on_uplink_down: hold` has no effect"), "{alone}");
    let between = "  - { interface: a0, weight: 2 }\n  - { interface: b0 }\n  - { interface: c0, weight: 1 }";
    let between = warnings(between, "");
    assert!(between.contains("`b0` has no weight and stands before `c0`, which has one"), "{between}");
    let unprobed = warnings(
        "  - { interface: a0 }\n  - { interface: b0 }",
        "flows: [{ name: sip, to: thulium, ports: 15060/udp }]",
    );
    assert!(unprobed.contains("no flow has a TCP port, so that no uplink is probed"), "{unprobed}");
    let policy = right(
        "system: acme\nlan: { interfaces: [eth1], clients: [192.168.20.0/24, \"2001:db8:20::/64\", \"2001:db8:40::/64\"] }\n\
         uplinks: [{ interface: a0, prefixes: \"2001:db8:20::/48\" }, { interface: b0 }]",
    );
    let homeless = policy.warnings.join("\n");
    assert!(homeless.contains("2001:db8:40::/64") && homeless.contains("uplink-prefix"), "{homeless}");
    assert!(!homeless.contains("2001:db8:20::/64") && !homeless.contains("192.168"), "{homeless}");
}

proptest! {
    /// A policy with several uplinks that is written out in full means the same.
    #[test]
    fn the_full_document_of_several_uplinks_reads_back_as_the_same_policy(
        weights in prop::collection::vec(prop::option::of(1_u8..=64), 1..=8),
        routers in 0_u8..4,
        prefixes in any::<bool>(),
        hold in any::<bool>(),
        idle in 60_u64..=2_592_000,
        link_down in 0_u64..=60_000,
        black_hole in 3_u64..=600,
        probe in prop::sample::select(vec!["auto", "off", "{ to: thulium, port: 8443/tcp }"]),
    ) {
        let mut text = OFFICE.to_owned();
        for (n, weight) in weights.iter().enumerate() {
            text += &format!("  - interface: up{n}\n");
            if let Some(weight) = weight {
                text += &format!("    weight: {weight}\n");
            }
            text += match routers {
                0 => "",
                1 => "    next_hop: 192.0.2.1\n",
                2 => "    next_hop: \"fe80::1\"\n",
                _ => "    next_hop: [\"fe80::1\", 192.0.2.1]\n",
            };
            if prefixes {
                text += &format!("    prefixes: [\"2001:db8:{n}::/48\", \"fd00:{n}::/48\"]\n");
            }
        }
        let down = if hold { "hold" } else { "move" };
        text += &format!("on_uplink_down: {down}\nrelease_after_idle: {idle}s\n");
        text += &format!("health: {{ link_down: {link_down}ms, black_hole: {black_hole}s, probe: {probe} }}\n");
        let policy = right(&text);
        let yaml = Document::from(&policy).to_yaml().expect("YAML");
        prop_assert_eq!(right(&yaml), policy);
    }
}
