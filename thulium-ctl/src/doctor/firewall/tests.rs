//! What the tools print, captured, and what is made of it.

mod ipv6;
mod uplinks;

use std::collections::BTreeMap;

use super::{
    met::{DROP, HELPER, ICMP, MARK, NAT},
    *,
};
use crate::doctor::{
    Origin, Status,
    interfaces::{Interface, Interfaces},
};

const POLICY: &str = "\
system: acme
lan: { interfaces: [lan0] }
uplinks: [{ interface: wan0 }]
hosts: { thulium: { names: [], addresses: [203.0.113.10] } }
flows:
  - { name: web, to: thulium, ports: 443/tcp }
  - { name: sip, to: thulium, ports: 15060/udp }
";

fn subject(more: &str) -> Subject {
    let policy = crate::policy::parse("policy.yaml", format!("{POLICY}{more}").as_bytes()).unwrap();
    let mut subject = Subject::of_policy("default", Origin::Pins, policy, true);
    subject.clients = vec!["192.168.20.0/24".parse().unwrap()];
    subject
}

fn interfaces(uplink_mtu: u32) -> Interfaces {
    let with = |mtu| Interface { mtu, ..Interface::default() };
    Interfaces(Ok(BTreeMap::from([("lan0".to_owned(), with(1500)), ("wan0".to_owned(), with(uplink_mtu))])))
}

fn servers() -> Servers {
    [("thulium".to_owned(), vec!["203.0.113.10/32".parse().unwrap()])].into()
}

/// What is found with an uplink of a smaller MTU than the LAN's.
fn found(facts: &Facts) -> Vec<Finding> {
    judge(facts, &subject(""), &interfaces(1492), &servers())
}

/// `rules` are those of one chain; nft prints them as JSON and as text.
fn nft(chain: &str, rules: &[(&str, &str)]) -> Facts {
    let handles = || (10_u64..).zip(rules);
    let json: Vec<String> = handles()
        .map(|(handle, (_, json))| {
            format!(
                r#"{{"rule": {{"family": "inet", "table": "t", "chain": "c", "handle": {handle}, "expr": [{json}]}}}}"#
            )
        })
        .collect();
    let comma = if rules.is_empty() { "" } else { "," };
    let json = format!(
        r#"{{"nftables": [{{"chain": {{"family": "inet", "table": "t", "name": "c", {chain}}}}}{comma}{}]}}"#,
        json.join(",")
    );
    let text: String = handles().map(|(handle, (text, _))| format!("\t\t{text} # handle {handle}\n")).collect();
    let text = format!("table inet t {{ # handle 1\n\tchain c {{ # handle 1\n{text}\t}}\n}}\n");
    facts(Ok((json, text)), Vec::new(), Vec::new())
}

const FORWARD: &str = r#""type": "filter", "hook": "forward", "prio": 0, "policy": "drop""#;
const FORWARD_ACCEPTS: &str = r#""type": "filter", "hook": "forward", "prio": 0, "policy": "accept""#;
const PREROUTING: &str = r#""type": "filter", "hook": "prerouting", "prio": -150, "policy": "accept""#;
const POSTROUTING: &str = r#""type": "nat", "hook": "postrouting", "prio": 100, "policy": "accept""#;

const ACCEPT: &str = r#"{"accept": null}"#;
const DROP_RULE: (&str, &str) = ("drop", r#"{"drop": null}"#);

fn only(findings: &[Finding]) -> (&str, Status, &str) {
    let [one] = findings else { panic!("{findings:#?}") };
    (one.check, one.status, one.fix.as_deref().unwrap_or_default())
}

#[test]
fn a_forward_chain_that_drops_is_named_with_its_exemption() {
    let established =
        r#"{"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}}, "#;
    let strict = nft(FORWARD, &[("ct state established,related accept", &format!("{established}{ACCEPT}"))]);
    let fix =
        "nft 'insert rule inet t c iifname \"lan0\" oifname \"wan0\" meta mark & 0x30000000 == 0x20000000 accept'";
    let findings = found(&strict);
    assert_eq!(only(&findings), (DROP, Status::Fail, fix));
    assert!(findings[0].seen.contains("family inet, table t, chain c, its policy is drop"), "{}", findings[0].seen);
    assert!(findings[0].seen.contains("flows sip and web"), "{}", findings[0].seen);
}

#[test]
fn while_nothing_needs_the_kernel_it_is_a_warning() {
    let findings = judge(&nft(FORWARD, &[]), &subject(""), &interfaces(1500), &servers());
    assert_eq!(only(&findings).1, Status::Warn);
    assert!(findings[0].fix.is_some());
}

#[test]
fn what_is_accepted_before_is_not_dropped() {
    let lan = r#"{"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": {"set": ["lan0", "lan1"]}}}"#;
    let client = r#"{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": {"prefix": {"addr": "192.168.0.0", "len": 16}}}}"#;
    let accept = format!("{lan}, {client}, {ACCEPT}");
    assert_eq!(only(&found(&nft(FORWARD, &[("…", &accept)]))).1, Status::Pass);
    let other = accept.replace("192.168.0.0", "10.0.0.0");
    assert_eq!(only(&found(&nft(FORWARD, &[("…", &other)]))).1, Status::Fail);
    let exempt = format!(
        r#"{{"match": {{"op": "==", "left": {{"&": [{{"meta": {{"key": "mark"}}}}, 805306368]}}, "right": 536870912}}}}, {ACCEPT}"#
    );
    assert_eq!(only(&found(&nft(FORWARD, &[("…", &exempt)]))).1, Status::Pass);
}

#[test]
fn a_rule_that_may_drop_is_a_warning() {
    let limited = r#"{"limit": {"rate": 3, "burst": 5, "per": "second"}}, {"reject": null}"#;
    let findings = found(&nft(FORWARD_ACCEPTS, &[("limit rate 3/second reject", limited)]));
    assert_eq!(only(&findings).1, Status::Warn);
    assert!(findings[0].seen.contains("perhaps refuses"), "{}", findings[0].seen);
}

#[test]
fn rules_for_others_are_of_no_concern() {
    let port = r#"{"match": {"op": "==", "left": {"payload": {"protocol": "udp", "field": "dport"}}, "right": 5060}}, {"drop": null}"#;
    let state = r#"{"vmap": {"key": {"ct": {"key": "state"}}, "data": {"set": [["invalid", {"drop": null}], ["established", {"accept": null}]]}}}"#;
    let spoofed = r#"{"match": {"op": "==", "left": {"fib": {"result": "oif", "flags": ["saddr", "iif"]}}, "right": false}}, {"drop": null}"#;
    let rules = [("udp dport 5060 drop", port), ("ct state vmap …", state), ("fib … missing drop", spoofed)];
    assert_eq!(only(&found(&nft(FORWARD_ACCEPTS, &rules))).1, Status::Pass);
}

#[test]
fn a_part_of_a_flow_is_told_from_perhaps() {
    let policy = POLICY.replace("15060/udp", "15060-15069/udp");
    let port = |ports: &str, verdict: &str| {
        format!(
            r#"{{"match": {{"op": "==", "left": {{"payload": {{"protocol": "udp", "field": "dport"}}}}, "right": {ports}}}}}, {{"{verdict}": null}}"#
        )
    };
    let found = |chain: &str, rules: &[(&str, &str)]| {
        let policy = crate::policy::parse("policy.yaml", policy.as_bytes()).unwrap();
        let subject = Subject::of_policy("default", Origin::Pins, policy, true);
        judge(&nft(chain, rules), &subject, &interfaces(1492), &servers())
    };
    let one = port("15065", "drop");
    let findings = found(FORWARD_ACCEPTS, &[("udp dport 15065 drop", &one)]);
    assert_eq!(only(&findings).1, Status::Fail);
    assert!(findings[0].seen.ends_with("refuses some packets of flow sip"), "{}", findings[0].seen);
    // What is accepted in parts is accepted as a whole.
    let parts = port(r#"{"set": [{"range": [15060, 15064]}, {"range": [15065, 15070]}]}"#, "accept");
    let tcp = r#"{"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": "tcp"}}, {"accept": null}"#;
    assert_eq!(
        only(&found(FORWARD, &[("udp dport { … } accept", &parts), ("meta l4proto tcp accept", tcp)])).1,
        Status::Pass
    );
    // Of a part that is accepted and a part that is dropped it is not known whether they are the same.
    let first = port(r#"{"range": [15060, 15064]}"#, "accept");
    let findings = found(FORWARD_ACCEPTS, &[("udp dport 15060-15064 accept", &first), ("udp dport 15065 drop", &one)]);
    assert_eq!(only(&findings).1, Status::Warn);
}

#[test]
fn chains_of_the_admins_are_followed_and_left() {
    let saved = |office: &str| {
        format!(
            "*filter\n:FORWARD DROP [0:0]\n:office - [0:0]\n-A FORWARD -i lan0 -j office\n-A FORWARD -o wan0 -j ACCEPT\n{office}\nCOMMIT\n"
        )
    };
    let statuses = |office: &str| {
        let findings = found(&legacy(&saved(office)));
        findings.iter().filter(|one| one.check == DROP).map(|one| one.status).collect::<Vec<_>>()
    };
    assert_eq!(statuses(""), []);
    assert_eq!(statuses("-A office -j RETURN\n-A office -j DROP"), []);
    assert_eq!(statuses("-A office -p udp -j DROP"), [Status::Fail]);
    assert_eq!(statuses("-A office -m set --match-set bad src -j DROP"), [Status::Warn]);
    assert_eq!(statuses("-A office -j ACCEPT\n-A office -j DROP"), []);
}

#[test]
fn a_port_of_tcp_is_none_of_udp() {
    let tcp = r#"{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 15060}}, {"drop": null}"#;
    assert_eq!(only(&found(&nft(FORWARD_ACCEPTS, &[("tcp dport 15060 drop", tcp)]))).1, Status::Pass);
    let udp = tcp.replace("tcp", "udp");
    assert_eq!(only(&found(&nft(FORWARD_ACCEPTS, &[("udp dport 15060 drop", &udp)]))).1, Status::Fail);
}

#[test]
fn an_output_chain_that_drops_icmp_errors_is_named() {
    let output = FORWARD.replace("forward", "output");
    let related = r#"{"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}}, {"accept": null}"#;
    assert_eq!(only(&found(&nft(&output, &[("ct state established,related accept", related)]))).1, Status::Pass);
    let findings = found(&nft(&output, &[("ct state established accept", &related.replace(", \"related\"", ""))]));
    let fix = "nft 'insert rule inet t c oifname \"lan0\" icmp type destination-unreachable accept'";
    assert_eq!(only(&findings), (ICMP, Status::Fail, fix));
    let icmp = r#"{"match": {"op": "==", "left": {"payload": {"protocol": "icmp", "field": "type"}}, "right": {"set": ["echo-reply", "destination-unreachable"]}}}, {"accept": null}"#;
    assert_eq!(only(&found(&nft(&output, &[("icmp type { … } accept", icmp)]))).1, Status::Pass);
}

#[test]
fn a_verdict_map_sorts_packets_by_interface() {
    let map = r#"{"vmap": {"key": {"meta": {"key": "iifname"}}, "data": {"set": [["wan0", {"accept": null}], ["lan0", {"drop": null}]]}}}"#;
    assert_eq!(only(&found(&nft(FORWARD_ACCEPTS, &[("iifname vmap …", map)]))).1, Status::Fail);
}

#[test]
fn masquerading_is_named_with_its_exemption() {
    let rule =
        r#"{"match": {"op": "==", "left": {"meta": {"key": "oifname"}}, "right": "wan0"}}, {"masquerade": null}"#;
    let findings = found(&nft(POSTROUTING, &[("oifname \"wan0\" masquerade", rule)]));
    let fix = "nft 'insert rule inet t c oifname \"wan0\" meta mark & 0x30000000 == 0x20000000 accept'";
    assert_eq!(only(&findings), (NAT, Status::Fail, fix));
    assert!(findings[0].seen.contains("handle 10: oifname \"wan0\" masquerade"), "{}", findings[0].seen);
    let elsewhere = rule.replace("wan0", "tun0");
    assert_eq!(only(&found(&nft(POSTROUTING, &[("…", &elsewhere)]))).1, Status::Pass);
}

#[test]
fn while_the_policy_does_not_enforce_no_exemption_is_offered() {
    for more in ["mode: audit\n", "unmatched: pass\n"] {
        let findings = judge(&nft(FORWARD, &[DROP_RULE]), &subject(more), &interfaces(1492), &servers());
        let (_, status, fix) = only(&findings);
        assert_eq!((status, fix), (Status::Warn, ""), "it would open the firewall");
        assert!(findings[0].meaning.contains("does not enforce"), "{}", findings[0].meaning);
    }
}

#[test]
fn a_mark_that_is_overwritten_is_masked() {
    let findings = |text: &str, value: &str| {
        let json = format!(r#"{{"mangle": {{"key": {{"meta": {{"key": "mark"}}}}, "value": {value}}}}}"#);
        found(&nft(PREROUTING, &[(text, &json)]))
    };
    let constant = findings("iifname \"lan0\" meta mark set 0x00000001 accept", "1");
    let fix = "nft 'replace rule inet t c handle 10 iifname \"lan0\" meta mark set meta mark & 0x30000000 | 0x00000001 accept'";
    assert_eq!(only(&constant), (MARK, Status::Fail, fix));
    let masked = r#"{"|": [{"&": [{"meta": {"key": "mark"}}, 805306368]}, 1]}"#;
    assert_eq!(only(&findings("…", masked)).1, Status::Pass);
    let low = r#"{"|": [{"&": [{"meta": {"key": "mark"}}, 4294901760]}, 5]}"#;
    assert_eq!(only(&findings("…", low)).1, Status::Pass, "other bits than ours");
    let restored = findings("meta mark set ct mark", r#"{"ct": {"key": "mark"}}"#);
    let fix = "nft 'replace rule inet t c handle 10 meta mark & 0x30000000 == 0 meta mark set ct mark'";
    assert_eq!(only(&restored), (MARK, Status::Fail, fix));
}

#[test]
fn a_hardware_flowtable_steals_packets() {
    // As Linux with `nf_flow_table` has it; the text tells of the hardware.
    let json = r#"{"nftables": [
        {"flowtable": {"family": "inet", "name": "f", "table": "t", "handle": 4, "hook": "ingress", "prio": 0, "dev": ["lan0", "wan0"]}},
        {"chain": {"family": "inet", "table": "t", "name": "c", "type": "filter", "hook": "forward", "prio": 0, "policy": "accept"}},
        {"rule": {"family": "inet", "table": "t", "chain": "c", "handle": 7, "expr": [{"flow": {"op": "add", "flowtable": "@f"}}]}}
    ]}"#;
    let text = "table inet t { # handle 1\n\tflowtable f { # handle 4\n\t\thook ingress priority filter\n\
                \t\tdevices = { lan0, wan0 }\n\t\tflags offload\n\t}\n\tchain c { # handle 1\n\t\tflow add @f # handle 7\n\t}\n}\n";
    let facts = |text: &str| facts(Ok((json.to_owned(), text.to_owned())), Vec::new(), Vec::new());
    let of = |text: &str| found(&facts(text)).into_iter().filter(|one| one.check == FLOWTABLE).collect::<Vec<_>>();
    let fix = "nft 'delete rule inet t c handle 7; delete flowtable inet t f'";
    assert_eq!(only(&of(text)), (FLOWTABLE, Status::Fail, fix));
    assert_eq!(only(&of(&text.replace("\t\tflags offload\n", ""))).1, Status::Pass, "in software it comes behind TC");
}

#[test]
fn a_chain_at_the_uplinks_egress_is_met_too() {
    let json = r#"{"nftables": [
        {"chain": {"family": "netdev", "table": "t", "name": "c", "type": "filter", "hook": "egress", "prio": 0, "policy": "accept"}},
        {"rule": {"family": "netdev", "table": "t", "chain": "c", "handle": 2, "expr": [
            {"match": {"op": "==", "left": {"payload": {"protocol": "udp", "field": "dport"}}, "right": 15060}}, {"drop": null}]}}
    ]}"#;
    let text = "table netdev t { # handle 1\n\tchain c { # handle 1\n\t\ttype filter hook egress device \"wan0\" priority filter; \
                policy accept;\n\t\tudp dport 15060 drop # handle 2\n\t}\n}\n";
    let facts = facts(Ok((json.to_owned(), text.to_owned())), Vec::new(), Vec::new());
    let fix = "nft 'insert rule netdev t c meta mark & 0x30000000 == 0x20000000 accept'";
    assert_eq!(only(&found(&facts)), (DROP, Status::Fail, fix));
}

/// `iptables-save` of a usual gateway.
const SAVED: &str = r#"# Generated by iptables-save v1.8.9
*mangle
:PREROUTING ACCEPT [0:0]
-A PREROUTING -i lan0 -m comment --comment "two links" -j MARK --set-xmark 0x1/0xffffffff
COMMIT
*raw
:PREROUTING ACCEPT [0:0]
-A PREROUTING -p udp -m udp --dport 15060 -j CT --helper sip
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:office - [0:0]
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD ! -o wan0 -j ACCEPT
-A FORWARD -j office
-A office -s 10.0.0.0/8 -j ACCEPT
COMMIT
*nat
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -s 192.168.0.0/16 -o wan0 -p udp -m multiport --dports 80,15000:16000 -j MASQUERADE
COMMIT
"#;

fn legacy(saved: &str) -> Facts {
    facts(Err("nft is not installed".to_owned()), Vec::new(), vec![("iptables-legacy", Ok(saved.to_owned()))])
}

#[test]
fn iptables_is_told_in_its_own_words() {
    let findings = found(&legacy(SAVED));
    let told: Vec<_> =
        findings.iter().map(|one| (one.check, one.status, one.fix.as_deref().unwrap_or_default())).collect();
    assert_eq!(
        told,
        [
            (RULES, Status::NotTested, ""),
            (
                MARK,
                Status::Fail,
                "iptables-legacy -t mangle -R PREROUTING 1 -i lan0 -m comment --comment \"two links\" -j MARK --set-xmark 0x1/0xcfffffff"
            ),
            (
                HELPER,
                Status::Fail,
                "iptables-legacy -t raw -D PREROUTING -p udp -m udp --dport 15060 -j CT --helper sip"
            ),
            (
                DROP,
                Status::Fail,
                "iptables-legacy -t filter -I FORWARD -i lan0 -o wan0 -m mark --mark 0x20000000/0x30000000 -j ACCEPT"
            ),
            (
                NAT,
                Status::Fail,
                "iptables-legacy -t nat -I POSTROUTING -o wan0 -m mark --mark 0x20000000/0x30000000 -j ACCEPT"
            ),
        ]
    );
    assert_eq!(findings[0].seen, "nftables: nft is not installed");
}

#[test]
fn a_chain_of_the_admins_may_accept_what_the_policy_would_drop() {
    let accepted = SAVED.replace("-A office -s 10.0.0.0/8 -j ACCEPT", "-A office -s 192.168.20.0/24 -j ACCEPT");
    assert!(found(&legacy(&accepted)).iter().all(|one| one.check != DROP));
}

#[test]
fn restored_marks_are_masked_too() {
    let saved = "*mangle\n:PREROUTING ACCEPT [0:0]\n\
                 -A PREROUTING -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff\nCOMMIT\n";
    let fix =
        "iptables-legacy -t mangle -R PREROUTING 1 -j CONNMARK --restore-mark --nfmask 0xcfffffff --ctmask 0xffffffff";
    assert_eq!(only(&found(&legacy(saved))[1..]), (MARK, Status::Fail, fix));
    let masked = saved.replace("--nfmask 0xffffffff", "--nfmask 0xff");
    assert!(found(&legacy(&masked)).iter().all(|one| one.check != MARK));
}
