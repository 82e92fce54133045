//! Several uplinks: rules at each of them, and marks that name it.

use super::*;
use crate::datapath::marks::Marks;

fn with_two_uplinks() -> Subject {
    let mut subject = subject("");
    subject.uplinks.push("wan1".to_owned());
    subject.mark = Marks::of(0xf000_0000, 2);
    subject
}

fn found_by_two(facts: &Facts) -> Vec<Finding> {
    judge(facts, &with_two_uplinks(), &interfaces(1492), &servers())
}

#[test]
fn what_exempts_packets_does_so_whatever_their_uplink() {
    let fix = "nft 'insert rule inet t c iifname \"lan0\" oifname { \"wan0\", \"wan1\" } \
               meta mark & 0xf0000000 { 0x20000000, 0x40000000-0xb0000000 } accept'";
    assert_eq!(only(&found_by_two(&nft(FORWARD, &[]))), (DROP, Status::Fail, fix));
    let exempt = format!(
        r#"{{"match": {{"op": "==", "left": {{"&": [{{"meta": {{"key": "mark"}}}}, 4026531840]}},
            "right": {{"set": [536870912, {{"range": [1073741824, 2952790016]}}]}}}}}}, {ACCEPT}"#
    );
    assert_eq!(only(&found_by_two(&nft(FORWARD, &[("…", &exempt)]))).1, Status::Pass);
    let of_one_uplink_alone = exempt.replace("{\"range\": [1073741824, 2952790016]}", "1073741824");
    assert_eq!(only(&found_by_two(&nft(FORWARD, &[("…", &of_one_uplink_alone)]))).1, Status::Fail);
}

#[test]
fn iptables_knows_values_with_masks() {
    let saved = "*filter\n:FORWARD DROP [0:0]\nCOMMIT\n";
    let findings = found_by_two(&facts(
        Ok((r#"{"nftables": []}"#.to_owned(), String::new())),
        vec![("iptables-nft", Ok(saved.to_owned()))],
        Vec::new(),
    ));
    let fix = only(&findings).2.to_owned();
    for (interface, mark) in
        [("wan0", "0x20000000/0xf0000000"), ("wan1", "0x40000000/0xc0000000"), ("wan1", "0x80000000/0xc0000000")]
    {
        let rule = format!("iptables-nft -t filter -I FORWARD -i lan0 -o {interface} -m mark --mark {mark} -j ACCEPT");
        assert!(fix.contains(&rule), "{fix}");
    }
}

#[test]
fn a_rule_at_the_second_uplink_is_met_too() {
    let masquerade =
        r#"{"match": {"op": "==", "left": {"meta": {"key": "oifname"}}, "right": "wan1"}}, {"masquerade": null}"#;
    assert_eq!(only(&found_by_two(&nft(POSTROUTING, &[("oifname \"wan1\" masquerade", masquerade)]))).0, NAT);
}

#[test]
fn a_mark_over_any_of_our_four_bits_is_told() {
    let set = |bits: u32| {
        format!(
            r#"{{"mangle": {{"key": {{"meta": {{"key": "mark"}}}}, "value": {{"|": [{{"&": [{{"meta": {{"key": "mark"}}}}, {}]}}, {bits}]}}}}}}"#,
            !bits
        )
    };
    assert_eq!(only(&found_by_two(&nft(PREROUTING, &[("…", &set(0x8000_0000))]))).0, MARK);
    assert_eq!(only(&found_by_two(&nft(PREROUTING, &[("…", &set(0x0800_0000))]))).1, Status::Pass);
}
