//! `iptables-save` and `ip6tables-save` → rules.

use ipnet::IpNet;

use super::{
    nft::protocol,
    rules::{Action, Chain, ChainId, Field, Hook, Match, Rule, Ruleset, Tool, Value},
};
use crate::doctor::family::Family;

/// The rules that `command` lists and changes: that of IPv6 begins with `ip6`.
pub(super) fn parse(text: &str, command: &'static str) -> Ruleset {
    let mut ruleset = Ruleset::default();
    let mut table = String::new();
    let id = |table: &str, name: &str| ChainId {
        tool: Tool::Iptables(command),
        family: if command.starts_with("ip6") { "ip6" } else { "ip" }.to_owned(),
        table: table.to_owned(),
        name: name.to_owned(),
    };
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('*') {
            name.trim().clone_into(&mut table);
        } else if let Some(chain) = line.strip_prefix(':') {
            let mut words = chain.split_whitespace();
            let (name, policy) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let chain = Chain {
                hook: hook(name),
                priority: priority(&table),
                devices: Vec::new(),
                policy_drops: policy == "DROP",
                rules: Vec::new(),
            };
            ruleset.chains.insert(id(&table, name), chain);
        } else if let Some(rule) = line.strip_prefix("-A ") {
            let words = words(rule);
            let Some((name, arguments)) = words.split_first() else { continue };
            if let Some(chain) = ruleset.chains.get_mut(&id(&table, name)) {
                let number = chain.rules.len() as u64 + 1;
                let (matches, actions) = read(arguments);
                chain.rules.push(Rule { number, text: rule.to_owned(), matches, actions });
            }
        }
    }
    ruleset
}

fn hook(chain: &str) -> Option<Hook> {
    match chain {
        "PREROUTING" => Some(Hook::Prerouting),
        "FORWARD" => Some(Hook::Forward),
        "POSTROUTING" => Some(Hook::Postrouting),
        "OUTPUT" => Some(Hook::Output),
        _ => None,
    }
}

/// Of the tables, as `linux/netfilter_ipv4.h` orders them; in the hooks that matter here.
fn priority(table: &str) -> i64 {
    match table {
        "raw" => -300,
        "mangle" => -150,
        "nat" => 100,
        "security" => 50,
        _ => 0,
    }
}

/// Words as a shell would split them: `--comment "two words"` is two.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut is_quoted, mut is_escaped) = (String::new(), false, false);
    for c in line.chars().chain([' ']) {
        match c {
            _ if is_escaped => {
                word.push(c);
                is_escaped = false;
            }
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            ' ' if !is_quoted => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            _ => word.push(c),
        }
    }
    words
}

fn read(arguments: &[String]) -> (Vec<Match>, Vec<Action>) {
    let mut matches = Vec::new();
    let mut actions = Vec::new();
    let mut negated = false;
    let mut left = arguments.iter().map(String::as_str);
    while let Some(option) = left.next() {
        match option {
            "!" => {
                negated = true;
                continue;
            }
            "-m" => {
                // Its own options say what it looks for; a match without any that is known may hold.
                let is_known = left.next().is_some_and(|module| KNOWN.contains(&module));
                matches.extend((!is_known).then(|| Match::of(Field::Unknown, Vec::new())));
            }
            "-j" => {
                let target = left.next().unwrap_or_default();
                let options: Vec<&str> = left.by_ref().collect();
                actions.extend(action(target, &options));
            }
            "-g" => actions.extend(left.next().map(|target| Action::Goto(target.to_owned()))),
            "--comment" => drop(left.next()),
            option if option.starts_with('-') => {
                matches.push(condition(option, negated, &mut left));
            }
            _ => {}
        }
        negated = false;
    }
    (matches, actions)
}

/// Modules of matches that are looked into.
const KNOWN: &[&str] = &[
    "tcp",
    "udp",
    "multiport",
    "conntrack",
    "state",
    "mark",
    "comment",
    "addrtype",
    "rpfilter",
    "icmp",
    "icmp6",
    "iprange",
];

fn condition<'a>(option: &str, negated: bool, left: &mut impl Iterator<Item = &'a str>) -> Match {
    let mut list = || left.next().unwrap_or_default().split(',').map(str::to_owned).collect::<Vec<_>>();
    let (field, values) = match option {
        "-i" => (Field::InterfaceIn, list().into_iter().map(Value::Text).collect()),
        "-o" => (Field::InterfaceOut, list().into_iter().map(Value::Text).collect()),
        "-p" => (Field::Protocol, list().iter().map(|name| numbers(protocol(name).zip(protocol(name)))).collect()),
        "-s" => (Field::Source, list().iter().map(|text| prefix(text)).collect()),
        "-d" => (Field::Destination, list().iter().map(|text| prefix(text)).collect()),
        "--sport" | "--sports" => (Field::SourcePort, list().iter().map(|text| ports(text)).collect()),
        "--dport" | "--dports" => (Field::DestinationPort, list().iter().map(|text| ports(text)).collect()),
        "--ctstate" | "--state" => {
            (Field::State, list().into_iter().map(|state| Value::Text(state.to_lowercase())).collect())
        }
        "--mark" => {
            let text = list().concat();
            let (value, mask) = text
                .split_once('/')
                .map_or((text.as_str(), u32::MAX), |(value, mask)| (value, number(mask).unwrap_or(u32::MAX)));
            let value = number(value).map(u64::from);
            (Field::Mark(mask), vec![numbers(value.zip(value))])
        }
        // What is forwarded is not for the gateway itself; what is refused as spoofed never comes here.
        "--dst-type" if list() == ["LOCAL"] => (Field::Never, Vec::new()),
        "--invert" => (Field::Never, Vec::new()),
        "--icmp-type" => {
            let text = list().concat();
            let value = match text.split_once('/') {
                // Of its codes only "fragmentation needed" matters.
                Some(("3", code)) if code != "4" => None,
                Some((kind, _)) => kind.parse().ok(),
                None => text.parse().ok(),
            };
            (Field::IcmpType(Family::Ipv4), vec![numbers(value.zip(value))])
        }
        "--icmpv6-type" => {
            let text = list().concat();
            let value = text.split('/').next().and_then(|kind| kind.parse().ok());
            (Field::IcmpType(Family::Ipv6), vec![numbers(value.zip(value))])
        }
        _ => (Field::Unknown, Vec::new()),
    };
    // Of "never", the opposite is not looked into.
    let field = if negated && field == Field::Never { Field::Unknown } else { field };
    Match { field, negated, values }
}

fn numbers(range: Option<(u64, u64)>) -> Value {
    range.map_or(Value::Unknown, |(first, last)| Value::Range(first, last))
}

fn ports(text: &str) -> Value {
    let (first, last) = text.split_once(':').unwrap_or((text, text));
    numbers(first.parse().ok().zip(last.parse().ok()))
}

fn prefix(text: &str) -> Value {
    let parsed = text.parse::<IpNet>().ok().or_else(|| text.parse::<std::net::IpAddr>().ok().map(IpNet::from));
    parsed.map_or(Value::Unknown, Value::Prefix)
}

/// `0x…` or decimal.
fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

fn action(target: &str, options: &[&str]) -> Option<Action> {
    let after =
        |option: &str| options.iter().position(|one| *one == option).and_then(|at| options.get(at + 1).copied());
    Some(match target {
        "ACCEPT" => Action::Accept,
        "DROP" | "REJECT" => Action::Refuse,
        "RETURN" => Action::Return,
        "MASQUERADE" | "SNAT" | "NETMAP" => Action::SourceNat,
        "MARK" => {
            let (value, mask) = after("--set-xmark")?.split_once('/')?;
            let (value, mask) = (number(value)?, number(mask)?);
            // The bits of the mask are cleared, then those of the value are inverted.
            Action::SetMark(mask | value, (value & !mask == 0).then_some(value))
        }
        "CONNMARK" if options.contains(&"--restore-mark") => {
            Action::SetMark(after("--nfmask").and_then(number).unwrap_or(u32::MAX), None)
        }
        "CT" => Action::Helper(after("--helper")?.to_owned()),
        "FLOWOFFLOAD" => Action::Offload(String::new()),
        "LOG" | "NFLOG" | "TCPMSS" | "CLASSIFY" | "CONNMARK" | "DSCP" | "TOS" | "TTL" | "CHECKSUM" | "DNAT"
        | "REDIRECT" | "SET" | "NOTRACK" | "TPROXY" | "AUDIT" | "RATEEST" | "TRACE" => return None,
        chain => Action::Jump(chain.to_owned()),
    })
}
