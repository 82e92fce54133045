//! What `ip rule` prints, captured, and what is made of it.

use serde_json::json;

use super::*;
use crate::doctor::{Finding, Origin, Status, Subject, firewall::Servers};

const POLICY: &str = "\
system: acme
lan: { interfaces: [lan0] }
uplinks: [{ name: a, interface: wan0 }]
hosts: { thulium: { names: [], addresses: [203.0.113.10] } }
flows:
  - { name: sip, to: thulium, ports: 15060/udp }
";

/// A policy with uplinks by wan0 and wan1.
fn subject(uplinks: usize) -> Subject {
    let policy = crate::policy::parse("policy.yaml", POLICY.as_bytes()).unwrap();
    let mut subject = Subject::of_policy("default", Origin::Pins, policy, true);
    subject.clients = vec!["192.168.20.0/24".parse().unwrap()];
    subject.uplinks = ["wan0", "wan1"][..uplinks].iter().map(ToString::to_string).collect();
    subject.mark = crate::datapath::marks::Marks::of(if uplinks > 1 { 0xf000_0000 } else { 0x3000_0000 }, uplinks);
    subject
}

/// What is found of rules given as JSON and text, with a default route by wan0 in table 100 and one to a VPN in table 200.
fn found(rules: &[(Value, &str)], subject: &Subject) -> Vec<Finding> {
    let json: Vec<&Value> = rules.iter().map(|(rule, _)| rule).collect();
    let line = |(rule, text): &(Value, &str)| format!("{}:\t{text}\n", rule["priority"]);
    let text: String = rules.iter().map(line).collect();
    let by = |device: &str| vec![(None, vec![device.to_owned()])];
    let facts = Facts {
        family: Family::Ipv4,
        rules: Ok(parse(Family::Ipv4, &json!(json), &text)),
        tables: [("100", by("wan0")), ("200", by("wg0")), ("254", by("wan0"))]
            .map(|(table, routes)| (table.to_owned(), routes))
            .into(),
    };
    let servers = Servers::from([("thulium".to_owned(), vec!["203.0.113.10/32".parse().unwrap()])]);
    judge(&facts, subject, &servers)
}

fn only(findings: Vec<Finding>) -> (Status, Option<String>) {
    let [finding] = findings.try_into().unwrap();
    (finding.status, finding.fix)
}

fn from_clients() -> (Value, &'static str) {
    let rule = json!({"priority": 100, "src": "192.168.20.0", "srclen": 24, "table": "100", "protocol": "0"});
    (rule, "from 192.168.20.0/24 lookup 100")
}

#[test]
fn a_rule_that_goes_before_ours_is_moved_behind_them() {
    let (status, fix) = only(found(&[from_clients()], &subject(2)));
    assert_eq!(status, Status::Fail);
    let moved = "ip rule add from 192.168.20.0/24 lookup 100 priority 32016 && \
                 ip rule del from 192.168.20.0/24 lookup 100 priority 100";
    assert_eq!(fix.as_deref(), Some(moved));
    assert_eq!(only(found(&[from_clients()], &subject(1))).0, Status::Pass, "with one uplink all is well");
}

#[test]
fn the_order_of_rules_stays_when_one_is_moved() {
    let after = (json!({"priority": 200, "src": "192.168.20.7", "table": "200"}), "from 192.168.20.7 lookup 200");
    let (_, fix) = only(found(&[from_clients(), after], &subject(2)));
    assert!(fix.is_some_and(|fix| fix.contains("ip rule add from 192.168.20.7 lookup 200 priority 32017")));
}

#[test]
fn rules_for_others_or_to_a_vpn_are_left_alone() {
    let rules = [
        (json!({"priority": 0, "src": "all", "table": "local"}), "from all lookup local"),
        (
            json!({"priority": 90, "src": "192.168.30.0", "srclen": 24, "table": "100"}),
            "from 192.168.30.0/24 lookup 100",
        ),
        (
            json!({"priority": 91, "src": "192.168.20.0", "srclen": 24, "table": "200"}),
            "from 192.168.20.0/24 lookup 200",
        ),
        (
            json!({"priority": 92, "src": "all", "dst": "10.0.0.0", "dstlen": 8, "table": "100"}),
            "from all to 10.0.0.0/8 lookup 100",
        ),
        (json!({"priority": 93, "src": "all", "oif": "wan1", "table": "100"}), "from all oif wan1 lookup 100"),
        (json!({"priority": 94, "src": "all", "fwmark": "0x1", "fwmask": "0xff", "iif": "wg0", "table": "100"}), "…"),
        (json!({"priority": 95, "src": "all", "table": "main", "suppress_prefixlen": 0}), "…"),
        (
            json!({"priority": 32000, "src": "all", "fwmark": "0x40000000", "fwmask": "0xf0000000", "table": "main", "protocol": "84"}),
            "…",
        ),
        (json!({"priority": 32766, "src": "all", "table": "main"}), "from all lookup main"),
    ];
    assert_eq!(only(found(&rules, &subject(2))).0, Status::Pass);
}

#[test]
fn a_rule_by_another_mark_is_perhaps_in_the_way() {
    let rule = json!({"priority": 100, "src": "all", "fwmark": "0x1", "fwmask": "0xff", "table": "100"});
    assert_eq!(only(found(&[(rule, "from all fwmark 0x1/0xff lookup 100")], &subject(2))).0, Status::Warn);
}

#[test]
fn a_rule_by_our_bits_is_told() {
    let rule = json!({"priority": 40000, "src": "all", "fwmark": "0x10000000", "fwmask": "0x10000000", "table": "100"});
    let (status, fix) = only(found(&[(rule, "from all fwmark 0x10000000/0x10000000 lookup 100")], &subject(1)));
    assert_eq!((status, fix), (Status::Fail, None));
}

#[test]
fn a_rule_without_a_mask_gets_one() {
    let rule = json!({"priority": 50, "src": "all", "fwmark": "0x1", "table": "100"});
    let (status, fix) = only(found(&[(rule, "from all fwmark 0x1 lookup 100")], &subject(1)));
    assert_eq!(status, Status::Warn);
    let masked = "ip rule add from all fwmark 0x1/0xcfffffff lookup 100 priority 50 && \
                  ip rule del from all fwmark 0x1 lookup 100 priority 50";
    assert_eq!(fix.as_deref(), Some(masked));
    let not = json!({"priority": 50, "not": null, "src": "all", "fwmark": "0xca6c", "table": "200"});
    assert_eq!(only(found(&[(not, "not from all fwmark 0xca6c lookup 200")], &subject(1))).0, Status::Pass);
}
