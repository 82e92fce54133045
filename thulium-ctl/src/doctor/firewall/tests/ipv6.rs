//! The same for IPv6, which is judged where it is governed.

use super::*;

/// What is found where clients and the server have IPv6, too.
fn found6(facts: &Facts) -> Vec<Finding> {
    let mut subject = subject("");
    subject.clients.push("2001:db8:20::/64".parse().unwrap());
    let mut servers = servers();
    servers.values_mut().for_each(|addresses| addresses.push("2001:db8:7::10/128".parse().unwrap()));
    judge(facts, &subject, &interfaces(1492), &servers)
}

/// The facts of `nft`, in a table of the family `ip6`.
fn nft6(chain: &str, rules: &[(&str, &str)]) -> Facts {
    let mut facts = nft(chain, rules);
    let chains = std::mem::take(&mut facts.rules.chains);
    let ip6 = |id: ChainId| ChainId { family: "ip6".to_owned(), ..id };
    facts.rules.chains = chains.into_iter().map(|(id, chain)| (ip6(id), chain)).collect();
    facts
}

fn matching(left: &str, right: &str, verdict: &str) -> String {
    format!(r#"{{"match": {{"op": "==", "left": {left}, "right": {right}}}}}, {{"{verdict}": null}}"#)
}

fn payload(protocol: &str, field: &str) -> String {
    format!(r#"{{"payload": {{"protocol": "{protocol}", "field": "{field}"}}}}"#)
}

const OUTPUT: &str = r#""type": "filter", "hook": "output", "prio": 0, "policy": "drop""#;

#[test]
fn a_table_of_ipv6_concerns_nobody_who_has_none() {
    let facts = nft6(OUTPUT, &[]);
    assert_eq!(only(&found(&facts)).1, Status::Pass);
    let findings = found6(&facts);
    let fix = "nft 'insert rule ip6 t c oifname \"lan0\" icmpv6 type packet-too-big accept'";
    assert_eq!(only(&findings), (ICMP, Status::Fail, fix));
    assert!(findings[0].seen.ends_with("ICMP errors to clients (IPv6)"), "{}", findings[0].seen);
}

#[test]
fn one_table_can_keep_back_answers_of_both() {
    let both = found6(&nft(OUTPUT, &[]));
    let fix = "nft 'insert rule inet t c oifname \"lan0\" icmp type destination-unreachable accept; \
               insert rule inet t c oifname \"lan0\" icmpv6 type packet-too-big accept'";
    assert_eq!(only(&both), (ICMP, Status::Fail, fix));
    for (left, right) in [
        (r#"{"meta": {"key": "nfproto"}}"#.to_owned(), "\"ipv4\""),
        (r#"{"meta": {"key": "protocol"}}"#.to_owned(), "\"ip\""),
        (r#"{"meta": {"key": "l4proto"}}"#.to_owned(), "\"icmp\""),
        (payload("icmp", "type"), "\"destination-unreachable\""),
        (payload("ip", "daddr"), r#"{"prefix": {"addr": "192.168.0.0", "len": 16}}"#),
    ] {
        let findings = found6(&nft(OUTPUT, &[("…", &matching(&left, right, "accept"))]));
        let fix = "nft 'insert rule inet t c oifname \"lan0\" icmpv6 type packet-too-big accept'";
        assert_eq!(only(&findings), (ICMP, Status::Fail, fix), "{left} {right}");
    }
}

#[test]
fn conditions_on_ipv6_are_looked_into() {
    for (left, right) in [
        (payload("icmpv6", "type"), r#"{"set": ["nd-neighbor-solicit", "packet-too-big"]}"#),
        (r#"{"meta": {"key": "l4proto"}}"#.to_owned(), "\"ipv6-icmp\""),
        (payload("ip6", "nexthdr"), "58"),
        (payload("ip6", "daddr"), r#"{"prefix": {"addr": "2001:db8::", "len": 32}}"#),
        (r#"{"ct": {"key": "state"}}"#.to_owned(), "\"related\""),
    ] {
        let accepts = matching(&left, right, "accept");
        assert_eq!(only(&found6(&nft6(OUTPUT, &[("…", &accepts)]))).1, Status::Pass, "{left} {right}");
    }
    let discovery = matching(&payload("icmpv6", "type"), "\"nd-neighbor-solicit\"", "accept");
    assert_eq!(only(&found6(&nft6(OUTPUT, &[("…", &discovery)]))).1, Status::Fail);
}

#[test]
fn large_packets_of_ipv6_come_to_no_chain_that_forwards() {
    assert_eq!(only(&found6(&nft6(FORWARD, &[]))).1, Status::Pass);
    let drops = matching(&payload("ip6", "saddr"), r#"{"prefix": {"addr": "2001:db8:20::", "len": 48}}"#, "drop");
    let findings = found6(&nft6(PREROUTING, &[("ip6 saddr 2001:db8:20::/48 drop", &drops)]));
    let fix = "nft 'insert rule ip6 t c iifname \"lan0\" meta mark & 0x30000000 == 0x20000000 accept'";
    assert_eq!(only(&findings), (DROP, Status::Fail, fix));
    assert!(findings[0].meaning.contains("does not learn the smaller size"), "{}", findings[0].meaning);
    // Nothing that the guard would miss.
    let mark = r#"{"mangle": {"key": {"meta": {"key": "mark"}}, "value": 1}}"#;
    assert_eq!(only(&found6(&nft6(PREROUTING, &[("meta mark set 0x1", mark)]))).1, Status::Pass);
}

#[test]
fn what_is_not_of_one_family_is_of_the_other() {
    let other = |family: &str| {
        format!(
            r#"{{"match": {{"op": "!=", "left": {{"meta": {{"key": "nfproto"}}}}, "right": "{family}"}}}}, {{"drop": null}}"#
        )
    };
    let ipv6_drops = found6(&nft(PREROUTING, &[("meta nfproto != ipv4 drop", &other("ipv4"))]));
    assert!(ipv6_drops[0].seen.ends_with("(IPv6)"), "{}", ipv6_drops[0].seen);
    let ipv4_drops = found6(&nft(PREROUTING, &[("meta nfproto != ipv6 drop", &other("ipv6"))]));
    assert!(!ipv4_drops[0].seen.ends_with("(IPv6)"), "{}", ipv4_drops[0].seen);
    // Nor is a packet of IPv6 one that is not from an IPv4 address.
    let not_from = r#"{"match": {"op": "!=", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": {"prefix": {"addr": "192.168.20.0", "len": 24}}}}, {"drop": null}"#;
    assert_eq!(only(&found6(&nft(PREROUTING, &[("ip saddr != 192.168.20.0/24 drop", not_from)]))).1, Status::Pass);
}

#[test]
fn ip6tables_is_told_in_its_own_words() {
    let legacy6 = |saved: &str| {
        let saved = vec![("ip6tables-legacy", Ok(saved.to_owned()))];
        facts(Ok((r#"{"nftables": []}"#.to_owned(), String::new())), Vec::new(), saved)
    };
    let saved = "*filter\n:OUTPUT DROP [0:0]\n-A OUTPUT -p ipv6-icmp -m icmp6 --icmpv6-type 135 -j ACCEPT\nCOMMIT\n";
    let fix = "ip6tables-legacy -t filter -I OUTPUT -o lan0 -p ipv6-icmp -m icmp6 --icmpv6-type 2 -j ACCEPT";
    assert_eq!(only(&found6(&legacy6(saved))), (ICMP, Status::Fail, fix));
    assert_eq!(only(&found6(&legacy6(&saved.replace("type 135", "type 2")))).1, Status::Pass);
    assert_eq!(only(&found(&legacy6(saved))).1, Status::Pass);
}
