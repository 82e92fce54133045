//! What exempts our packets from a rule: commands that can be pasted.

use std::collections::BTreeSet;

use super::{
    rules::{Action, ChainId, Flowtable, Hook, Rule, Ruleset, Tool},
    walk::{Event, What},
};
use crate::doctor::{command::quoted, family::Family, subject::Subject};

/// The command that keeps our packets, of these families, from what `event` tells.
pub(super) fn fix(event: &Event<'_>, families: &BTreeSet<Family>, subject: &Subject) -> Option<String> {
    match (&event.what, event.rule) {
        (What::Refused, _) if event.hook == Hook::Output => Some(let_answer(event, families, subject)),
        (What::Refused | What::Translated, _) => Some(exempt(event, subject)),
        (What::Marked(_), Some(rule)) => spare_mark(event.chain, rule, subject),
        (What::Helped(_), Some(rule)) => Some(delete(event.chain, rule)),
        _ => None,
    }
}

/// A rule in front of all others of the base chain: accepting ends this chain alone, and the guard at the uplink judges what leaves.
fn exempt(event: &Event<'_>, subject: &Subject) -> String {
    let ChainId { tool, family, table, name } = event.base;
    let marks = &subject.mark;
    let with_in = matches!(event.hook, Hook::Prerouting | Hook::Forward);
    let with_out = matches!(event.hook, Hook::Forward | Hook::Postrouting);
    match tool {
        Tool::Nft => {
            let mut rule = format!("insert rule {family} {table} {name}");
            if with_in {
                rule += &format!(" iifname {}", nft_set(&subject.lan));
            }
            if with_out {
                rule += &format!(" oifname {}", nft_set(&subject.uplinks));
            }
            rule += &match marks.of_slots() {
                None => format!(" meta mark & {:#010x} == {:#010x} accept", marks.mask, marks.governed),
                Some((first, last)) => {
                    let values = format!("{{ {:#010x}, {first:#010x}-{last:#010x} }}", marks.governed);
                    format!(" meta mark & {:#010x} {values} accept", marks.mask)
                }
            };
            format!("nft {}", quoted(&rule))
        }
        Tool::Iptables(command) => {
            let none = [String::new()];
            let ways_in = if with_in { subject.lan.as_slice() } else { &none };
            let ways_out = if with_out { subject.uplinks.as_slice() } else { &none };
            let option = |name: &str, interface: &String| match interface.as_str() {
                "" => String::new(),
                interface => format!(" {name} {}", quoted(interface)),
            };
            let rules = ways_in.iter().flat_map(|way_in| {
                ways_out.iter().flat_map(move |way_out| {
                    let (way_in, way_out) = (option("-i", way_in), option("-o", way_out));
                    let rule = format!("{command} -t {table} -I {name}{way_in}{way_out}");
                    let accepting =
                        |(value, mask)| format!("{rule} -m mark --mark {value:#010x}/{mask:#010x} -j ACCEPT");
                    marks.of_clients().into_iter().map(accepting).collect::<Vec<_>>()
                })
            });
            rules.collect::<Vec<_>>().join(" && ")
        }
    }
}

/// Lets the gateway tell its clients that a packet is too large.
fn let_answer(event: &Event<'_>, families: &BTreeSet<Family>, subject: &Subject) -> String {
    let ChainId { tool, family, table, name } = event.base;
    match tool {
        Tool::Nft => {
            let lan = nft_set(&subject.lan);
            let rule = |of: &Family| {
                let message = match of {
                    Family::Ipv4 => "icmp type destination-unreachable",
                    Family::Ipv6 => "icmpv6 type packet-too-big",
                };
                format!("insert rule {family} {table} {name} oifname {lan} {message} accept")
            };
            format!("nft {}", quoted(&families.iter().map(rule).collect::<Vec<_>>().join("; ")))
        }
        Tool::Iptables(command) => {
            let message = match event.base.only() {
                Some(Family::Ipv6) => "-p ipv6-icmp -m icmp6 --icmpv6-type 2",
                _ => "-p icmp -m icmp --icmp-type 3",
            };
            let rule = |lan: &String| {
                let lan = quoted(lan);
                format!("{command} -t {table} -I {name} -o {lan} {message} -j ACCEPT")
            };
            subject.lan.iter().map(rule).collect::<Vec<_>>().join(" && ")
        }
    }
}

/// `"a"`, or `{ "a", "b" }`.
fn nft_set(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    match names.as_slice() {
        [one] => one.clone(),
        several => format!("{{ {} }}", several.join(", ")),
    }
}

/// The same rule, which leaves our bits of the mark alone.
fn spare_mark(chain: &ChainId, rule: &Rule, subject: &Subject) -> Option<String> {
    let ChainId { tool, family, table, name } = chain;
    let number = rule.number;
    match tool {
        Tool::Nft => {
            // The kernel can mask a constant, not what it copies from elsewhere: such a rule is passed over.
            let text = match constant_mark(rule) {
                // It uses these very bits: only the admin can choose others, here or in the policy.
                Some((_, value)) if value & subject.mark.mask != 0 => return None,
                Some((bits, value)) => {
                    let (before, after) = split_mark(&rule.text)?;
                    let kept = !bits | subject.mark.mask;
                    format!(
                        "replace rule {family} {table} {name} handle {number} \
                         {before}meta mark set meta mark & {kept:#010x} | {value:#010x}{after}"
                    )
                }
                None => format!(
                    "replace rule {family} {table} {name} handle {number} meta mark & {:#010x} == 0 {}",
                    subject.mark.mask, rule.text
                ),
            };
            Some(format!("nft {}", quoted(&text)))
        }
        Tool::Iptables(command) => {
            let mut spared = rule.text.clone();
            for option in ["--set-xmark ", "--nfmask "] {
                spared = narrowed(&spared, option, !subject.mark.mask);
            }
            let arguments = spared.strip_prefix(name.as_str())?;
            Some(format!("{command} -t {table} -R {name} {number}{arguments}"))
        }
    }
}

/// The bits that a rule sets to a constant.
fn constant_mark(rule: &Rule) -> Option<(u32, u32)> {
    rule.actions.iter().find_map(|action| match action {
        Action::SetMark(bits, value) => value.map(|value| (*bits, value)),
        _ => None,
    })
}

/// What stands before and behind `meta mark set EXPRESSION` in the text of a rule. The expression ends where another statement
/// begins: it consists of numbers and operators.
fn split_mark(text: &str) -> Option<(&str, &str)> {
    let at = text.find("meta mark set ")?;
    let behind = &text[at + "meta mark set ".len()..];
    let mut end = 0;
    for word in behind.split(' ') {
        let is_part =
            word.starts_with(|c: char| c.is_ascii_digit()) || matches!(word, "meta" | "mark" | "&" | "|" | "^");
        if !is_part || (end > 0 && word == "meta") {
            break;
        }
        end += word.len() + 1;
    }
    Some((&text[..at], behind.get(end.saturating_sub(1)..).unwrap_or_default()))
}

/// The mask behind `option` (of `value/mask`, or alone) without our bits.
fn narrowed(text: &str, option: &str, kept: u32) -> String {
    let Some((before, rest)) = text.split_once(option) else { return text.to_owned() };
    let (argument, after) = rest.split_once(' ').map_or((rest, ""), |(argument, after)| (argument, after));
    let hex = |text: &str| u32::from_str_radix(text.trim_start_matches("0x"), 16).unwrap_or(u32::MAX);
    let argument = match argument.split_once('/') {
        Some((value, mask)) => format!("{:#x}/{:#x}", hex(value) & kept, hex(mask) & kept),
        None => format!("{:#x}", hex(argument) & kept),
    };
    format!("{before}{option}{argument} {after}").trim_end().to_owned()
}

fn delete(chain: &ChainId, rule: &Rule) -> String {
    let ChainId { tool, family, table, name } = chain;
    match tool {
        Tool::Nft => format!("nft delete rule {family} {table} {name} handle {}", rule.number),
        Tool::Iptables(command) => format!("{command} -t {table} -D {}", rule.text),
    }
}

/// Takes a flowtable away, with the rules that fill it.
pub(super) fn without_flowtable(rules: &Ruleset, table: &Flowtable) -> String {
    let Flowtable { family, table: parent, name, .. } = table;
    let is_there = |id: &ChainId| id.tool == Tool::Nft && id.family == *family && id.table == *parent;
    let fills = |rule: &&Rule| {
        let into = |action: &Action| matches!(action, Action::Offload(into) if into.trim_start_matches('@') == name);
        rule.actions.iter().any(into)
    };
    let chains = rules.chains.iter().filter(|(id, _)| is_there(id));
    let rules = chains.flat_map(|(id, chain)| {
        let handles = chain.rules.iter().filter(fills).map(|rule| rule.number);
        handles.map(move |handle| format!("delete rule {family} {parent} {} handle {handle}; ", id.name))
    });
    let text: String = rules.collect();
    format!("nft {}", quoted(&format!("{text}delete flowtable {family} {parent} {name}")))
}
