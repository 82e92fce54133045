//! Whether the policy's names resolve, at each of the resolvers.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;
use thulium_ebpf::abi::Family;
use tokio::task::JoinSet;

use super::{finding::Finding, firewall::Servers};
use crate::{
    names::{Answer as Found, Lookup, Servers as Resolvers, is_wildcard},
    observe::addresses as addresses_of,
    policy::Policy,
};

const NAMES: &str = "names";

/// What one resolver said of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer {
    host: String,
    name: String,
    /// Whom it was asked of, in words.
    resolver: String,
    addresses: Result<BTreeSet<IpAddr>, String>,
}

/// The answers, and the hosts that have fixed addresses.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    answers: Vec<Answer>,
    /// Hosts to which sessions can be opened without DNS.
    fixed: BTreeSet<String>,
    /// See [`Subject::known`](super::Subject::known).
    known: Option<BTreeMap<String, u64>>,
}

/// Asks each resolver for each name, all at once; takes 10 s at most. `known`: see [`Subject::known`](super::Subject::known).
///
/// # Errors
/// If nothing can be asked.
pub(super) fn look(policy: &Policy, known: Option<BTreeMap<String, u64>>) -> Result<Facts, String> {
    let failed = |error: std::io::Error| format!("names cannot be asked for: {error}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let answers = runtime.block_on(async {
        let mut asking = JoinSet::new();
        for (resolver, servers) in resolvers(policy) {
            for (host, name) in names(policy) {
                let (resolver, lookup) = (resolver.clone(), Lookup::new(servers.clone()));
                asking.spawn(async move {
                    let addresses =
                        addresses(lookup.ask(&name, Family::Ipv4).await, lookup.ask(&name, Family::Ipv6).await);
                    Answer { host, name, resolver, addresses }
                });
            }
        }
        asking.join_all().await
    });
    let has_fixed = policy.hosts.iter().filter(|host| !host.addresses.is_empty());
    Ok(Facts { answers, fixed: has_fixed.map(|host| host.name.clone()).collect(), known })
}

/// Hosts and their names, without wildcards: nobody can be asked for these.
fn names(policy: &Policy) -> impl Iterator<Item = (String, String)> {
    let all = policy.hosts.iter().flat_map(|host| host.names.iter().map(|name| (host.name.clone(), name.clone())));
    all.filter(|(_, name)| !is_wildcard(name))
}

/// The addresses of both families; a failure of one counts only where the other has none either.
fn addresses(ipv4: Result<Found, String>, ipv6: Result<Found, String>) -> Result<BTreeSet<IpAddr>, String> {
    let found: BTreeSet<IpAddr> =
        [&ipv4, &ipv6].into_iter().flatten().flat_map(|found| found.addresses.clone()).collect();
    if found.is_empty() { ipv4.and(ipv6).map(|none| none.addresses) } else { Ok(found) }
}

/// Those of the policy one by one; the system's together, as they are asked.
fn resolvers(policy: &Policy) -> Vec<(String, Resolvers)> {
    if policy.resolvers.is_empty() {
        return vec![("the system's resolvers".to_owned(), Resolvers::of_policy(&[]))];
    }
    let one = |address: &IpAddr| (address.to_string(), Resolvers::of_policy(&[*address]));
    policy.resolvers.iter().map(one).collect()
}

/// What a host has besides the answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    /// Fixed addresses.
    Fixed,
    /// So many addresses that the daemon in force knows.
    Known(u64),
    /// Perhaps some, of an earlier run: no daemon has this policy in force.
    Unknown,
}

impl Facts {
    fn rest(&self, host: &str) -> Rest {
        match &self.known {
            _ if self.fixed.contains(host) => Rest::Fixed,
            Some(known) => Rest::Known(known.get(host).copied().unwrap_or_default()),
            None => Rest::Unknown,
        }
    }

    /// Fixed addresses and answers, by host.
    pub(super) fn servers(&self, policy: &Policy) -> Servers {
        let mut servers: Servers =
            policy.hosts.iter().map(|host| (host.name.clone(), host.addresses.clone())).collect();
        for answer in &self.answers {
            let addresses = answer.addresses.iter().flatten().copied().map(IpNet::from);
            servers.entry(answer.host.clone()).or_default().extend(addresses);
        }
        servers
    }
}

/// Whether every name resolves.
pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let names: BTreeSet<(&str, &str)> =
        facts.answers.iter().map(|answer| (answer.host.as_str(), answer.name.as_str())).collect();
    if names.is_empty() {
        return vec![Finding::pass(NAMES, "the policy's hosts have no names that can be asked for")];
    }
    let of = |name: &str| facts.answers.iter().filter(move |answer| answer.name == name).collect::<Vec<_>>();
    names.into_iter().map(|(host, name)| judge_name(host, name, &of(name), facts.rest(host))).collect()
}

fn judge_name(host: &str, name: &str, answers: &[&Answer], rest: Rest) -> Finding {
    let addresses: BTreeSet<IpAddr> =
        answers.iter().filter_map(|answer| answer.addresses.as_ref().ok()).flatten().copied().collect();
    let failure = |answer: &&&Answer| match &answer.addresses {
        Err(why) => Some(format!("{}: {why}", answer.resolver)),
        Ok(addresses) if addresses.is_empty() => Some(format!("{}: the name has no address", answer.resolver)),
        Ok(_) => None,
    };
    let failures: Vec<String> = answers.iter().filter_map(|answer| failure(&answer)).collect();
    let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    if failures.is_empty() {
        return Finding::pass(NAMES, format!("{name} is {}", shown.join(", ")));
    }
    let failed = failures.join("; ");
    let check = check(name, answers);
    if !shown.is_empty() {
        let meaning = format!("The other answers are used, but a resolver that fails delays the start. {check}");
        return Finding::warn(NAMES, format!("{name} is {}, but not for {failed}", shown.join(", ")), meaning);
    }
    let seen = format!("{name} does not resolve ({failed})");
    match rest {
        Rest::Fixed => Finding::warn(NAMES, seen, format!("Host {host} has its fixed addresses only. {check}")),
        Rest::Known(known @ 1..) => {
            let known = addresses_of(known);
            let meaning = format!(
                "Host {host} goes on with the {known} that the daemon knows (see `thulium-ctl hosts`). {check}"
            );
            Finding::warn(NAMES, seen, meaning)
        }
        Rest::Known(0) => {
            let meaning =
                format!("Nothing can be opened to host {host}: the daemon knows no address of it either. {check}");
            Finding::fail(NAMES, seen, meaning)
        }
        Rest::Unknown => {
            let meaning = format!(
                "Nothing can be opened to host {host}, unless an earlier run of the daemon has left addresses of it. {check}"
            );
            Finding::fail(NAMES, seen, meaning)
        }
    }
}

/// What to do about a name that a resolver does not know: a command that asks the first that failed.
fn check(name: &str, answers: &[&Answer]) -> String {
    let is_bad = |answer: &&&Answer| answer.addresses.as_ref().map_or(true, BTreeSet::is_empty);
    let asked = answers.iter().find(is_bad).and_then(|answer| answer.resolver.parse::<IpAddr>().ok());
    let at = asked.map_or(String::new(), |resolver| format!(" @{resolver}"));
    format!(
        "`dig {name}{at}` asks by hand; check the name's spelling in the policy, and `resolvers` or /etc/resolv.conf."
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;

    fn answer(resolver: &str, addresses: Result<&str, &str>) -> Answer {
        let addresses = addresses.map(|address| [address.parse().unwrap()].into()).map_err(str::to_owned);
        Answer { host: "thulium".to_owned(), name: "a.test".to_owned(), resolver: resolver.to_owned(), addresses }
    }

    fn found(answers: &[Answer], fixed: bool) -> Finding {
        let rest = if fixed { Rest::Fixed } else { Rest::Unknown };
        judge_name("thulium", "a.test", &answers.iter().collect::<Vec<_>>(), rest)
    }

    #[test]
    fn a_name_that_nobody_knows_is_a_failure() {
        let dead = answer("192.0.2.53", Err("no resolver answered in time"));
        let finding = found(std::slice::from_ref(&dead), false);
        assert_eq!(finding.status, Status::Fail);
        assert!(finding.seen.contains("192.0.2.53: no resolver answered in time"), "{}", finding.seen);
        assert_eq!(found(&[dead], true).status, Status::Warn, "fixed addresses are there");
    }

    #[test]
    fn what_the_daemon_knows_is_said_and_who_can_be_asked() {
        let facts = |known: Option<u64>| {
            let answers = vec![answer("192.0.2.53", Err("no resolver answered in time"))];
            let known = known.map(|known| [("thulium".to_owned(), known)].into());
            judge(&Facts { answers, fixed: BTreeSet::new(), known }).swap_remove(0)
        };
        let finding = facts(Some(2));
        assert_eq!(finding.status, Status::Warn);
        assert!(
            finding.meaning.starts_with("Host thulium goes on with the 2 addresses that the daemon knows"),
            "{finding:?}"
        );
        assert!(finding.meaning.contains("`dig a.test @192.0.2.53`"), "{finding:?}");
        let nothing = facts(Some(0));
        assert_eq!(nothing.status, Status::Fail);
        assert!(nothing.meaning.contains("the daemon knows no address of it either"), "{nothing:?}");
        assert!(facts(None).meaning.contains("unless an earlier run"), "no daemon has the policy in force");
    }

    #[test]
    fn one_resolver_of_two_that_fails_is_a_warning() {
        let dead = answer("192.0.2.53", Err("no resolver answered in time"));
        let finding = found(&[dead, answer("192.0.2.54", Ok("203.0.113.10"))], false);
        assert_eq!(finding.status, Status::Warn);
        assert!(finding.seen.starts_with("a.test is 203.0.113.10, but not for 192.0.2.53"), "{}", finding.seen);
    }
}
