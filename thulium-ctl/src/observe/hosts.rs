//! The policy's hosts with their names and addresses.

use std::{collections::HashMap, fmt, net::IpAddr, time::Duration};

use ipnet::IpNet;
use serde::Serialize;

use super::{
    VERSION,
    quantity::{ago, count, duration},
    table::{Align, Table},
};
use crate::names::{AddressReport, AddressSource, AddressState, HostReport, NameReport, RefusedAnswer};

/// All hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// [`VERSION`].
    pub version: u32,
    /// The hosts in the policy's order; times are seconds since 1970.
    pub hosts: Vec<HostNow>,
    /// When the text is read; seconds since 1970.
    #[serde(skip)]
    now: u64,
}

/// A host, as of the moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostNow {
    /// Its name in the policy.
    pub name: String,
    /// How long an address that left DNS still admits new sessions, seconds.
    pub keep_old: u64,
    /// Its DNS names.
    pub names: Vec<NameReport>,
    /// Its addresses: fixed ones first.
    pub addresses: Vec<AddressNow>,
}

/// An address or prefix of a host, as of the moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AddressNow {
    /// What the daemon knows of it, with its present state.
    #[serde(flatten)]
    pub known: AddressReport,
    /// Since an answer or reply first named it, seconds.
    pub age: Option<u64>,
    /// How much longer the last answer or reply that named it is valid, seconds.
    pub ttl: Option<u64>,
    /// Live sessions to it; `None`: they cannot be counted.
    pub sessions: Option<u64>,
}

/// The hosts as of `now`, seconds since 1970, with the live sessions by remote address.
pub fn report(hosts: Vec<HostReport>, sessions: Option<&HashMap<IpAddr, u64>>, now: u64) -> Report {
    let host = |host: HostReport| HostNow {
        name: host.name,
        keep_old: host.keep_old,
        names: host.names,
        addresses: host.addresses.into_iter().map(|address| address_now(address, sessions, now)).collect(),
    };
    Report { version: VERSION, hosts: hosts.into_iter().map(host).collect(), now }
}

fn address_now(known: AddressReport, sessions: Option<&HashMap<IpAddr, u64>>, now: u64) -> AddressNow {
    AddressNow {
        age: known.first_seen.map(|first| now.saturating_sub(first)),
        ttl: known.valid_until.map(|until| until.saturating_sub(now)),
        sessions: sessions.and_then(|sessions| sessions_to(&known.address, sessions)),
        known: AddressReport { state: known.state_at(now), ..known },
    }
}

/// The sessions to an address, or to any of a prefix.
fn sessions_to(address: &str, sessions: &HashMap<IpAddr, u64>) -> Option<u64> {
    if let Ok(address) = address.parse::<IpAddr>() {
        return Some(sessions.get(&address).copied().unwrap_or_default());
    }
    let prefix: IpNet = address.parse().ok()?;
    Some(sessions.iter().filter(|(address, _)| prefix.contains(*address)).map(|(_, count)| count).sum())
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.hosts.is_empty() {
            return writeln!(f, "The policy has no hosts.");
        }
        for (index, host) in self.hosts.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            self.host(host, f)?;
        }
        Ok(())
    }
}

impl Report {
    fn host(&self, host: &HostNow, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", host.name)?;
        for name in &host.names {
            writeln!(f, "  {}  {}", name.name, self.name(name))?;
            for refused in &name.refused {
                writeln!(f, "    {}", self.refused(name, refused))?;
            }
        }
        if host.addresses.is_empty() {
            return writeln!(f, "  no address: nothing can be opened to this host");
        }
        let mut table = Table::new([
            ("  ADDRESS", Align::Left),
            ("SOURCE", Align::Left),
            ("STATE", Align::Left),
            ("AGE", Align::Left),
            ("TTL", Align::Left),
            ("LAST SEEN", Align::Left),
            ("SESSIONS", Align::Right),
        ]);
        for address in &host.addresses {
            table.push(self.cells(address));
        }
        write!(f, "{table}")
    }

    /// How a name fares.
    fn name(&self, name: &NameReport) -> String {
        let reply = name.last_reply.map(|last| ago(last, self.now));
        if let Some(names) = name.stands_for {
            return match reply {
                Some(last) => format!("learned from replies to clients: {}, the last {last}", count(names, "name")),
                None if names > 0 => format!("learned from replies to clients: {}", count(names, "name")),
                None => "learned from replies to clients: none yet".to_owned(),
            };
        }
        if let Some(why) = &name.why {
            let since = name.since.map_or(String::new(), |since| format!(", since {}", ago(since, self.now)));
            return format!("DOES NOT RESOLVE{since}: {why}");
        }
        let resolved = name.last_answer.map(|last| format!("resolved {}", ago(last, self.now)));
        let learned = reply.map(|last| format!("learned from a reply to a client {last}"));
        let parts: Vec<String> = resolved.into_iter().chain(learned).collect();
        if parts.is_empty() { "not asked for yet".to_owned() } else { parts.join(", ") }
    }

    /// What the host was not taught of a name.
    fn refused(&self, name: &NameReport, refused: &RefusedAnswer) -> String {
        let asked = if refused.name == name.name { String::new() } else { format!(" for {}", refused.name) };
        let (address, last) = (refused.address, ago(refused.last_reply, self.now));
        format!(
            "refused the private answer {address}{asked} from a reply to a client, {last}: \
             `private_answers: true` would admit it"
        )
    }

    fn cells(&self, address: &AddressNow) -> [String; 7] {
        let known = &address.known;
        let none = || "-".to_owned();
        let time = |seconds: Option<u64>| seconds.map_or_else(none, |time| duration(Duration::from_secs(time)));
        let source = match known.source {
            AddressSource::Fixed => "policy",
            AddressSource::Resolver => "DNS",
            AddressSource::Learned => "learned",
        };
        let state = match (known.state, known.until) {
            (AddressState::Live, _) => "live".to_owned(),
            (AddressState::Expired, until) => {
                until.map_or_else(|| "expired".to_owned(), |until| format!("expired {}", ago(until, self.now)))
            }
            (AddressState::Kept, until) => {
                let left = until.unwrap_or_default().saturating_sub(self.now);
                format!("kept for {}", duration(Duration::from_secs(left)))
            }
        };
        [
            format!("  {}", known.address),
            source.to_owned(),
            state,
            time(address.age),
            time(address.ttl),
            known.last_seen.map_or_else(none, |last| ago(last, self.now)),
            address.sessions.map_or_else(none, |sessions| sessions.to_string()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str, why: Option<&str>) -> NameReport {
        NameReport {
            name: name.to_owned(),
            resolves: why.is_none(),
            why: why.map(str::to_owned),
            since: why.map(|_| 900),
            last_answer: Some(940),
            last_reply: None,
            stands_for: None,
            refused: Vec::new(),
        }
    }

    fn wildcard(name: &str, last_reply: Option<u64>) -> NameReport {
        let stands_for = Some(last_reply.map_or(0, |_| 2));
        NameReport { last_answer: None, last_reply, stands_for, ..self::name(name, None) }
    }

    fn address(address: &str, state: AddressState) -> AddressReport {
        AddressReport {
            address: address.to_owned(),
            source: AddressSource::Resolver,
            state,
            names: vec!["acme.thulium.com".to_owned()],
            first_seen: Some(100),
            last_seen: Some(940),
            valid_until: Some(1020),
            until: (state != AddressState::Live).then_some(4600),
        }
    }

    #[test]
    fn a_host_shows_its_names_and_the_state_of_its_addresses() {
        let learned = AddressReport {
            source: AddressSource::Learned,
            until: Some(4620),
            ..address("203.0.113.9", AddressState::Live)
        };
        let host = HostReport {
            name: "thulium".to_owned(),
            keep_old: 86_400,
            names: vec![
                name("acme.thulium.com", None),
                NameReport { last_reply: Some(990), ..name("both.test", None) },
                name("gone.test", Some("the name does not exist (NXDOMAIN)")),
                wildcard("*.thulium.com", Some(995)),
                wildcard("*.quiet.test", None),
            ],
            addresses: vec![
                address("203.0.113.7", AddressState::Live),
                address("203.0.113.8", AddressState::Kept),
                learned,
            ],
        };
        let sessions = HashMap::from([("203.0.113.7".parse().unwrap(), 12)]);
        let report = report(vec![host.clone()], Some(&sessions), 1000);
        let expected = "\
thulium
  acme.thulium.com  resolved 1m00s ago
  both.test  resolved 1m00s ago, learned from a reply to a client 10s ago
  gone.test  DOES NOT RESOLVE, since 1m40s ago: the name does not exist (NXDOMAIN)
  *.thulium.com  learned from replies to clients: 2 names, the last 5s ago
  *.quiet.test  learned from replies to clients: none yet
  ADDRESS      SOURCE   STATE           AGE     TTL  LAST SEEN  SESSIONS
  203.0.113.7  DNS      live            15m00s  20s  1m00s ago        12
  203.0.113.8  DNS      kept for 1h00m  15m00s  20s  1m00s ago         0
  203.0.113.9  learned  live            15m00s  20s  1m00s ago         0
";
        assert_eq!(report.to_string(), expected);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["version"], 1);
        assert_eq!(json["hosts"][0]["addresses"][1]["state"], "kept");
        assert_eq!(json["hosts"][0]["addresses"][2]["source"], "learned");
        assert_eq!(json["hosts"][0]["addresses"][0]["sessions"], 12);
        assert_eq!(json["hosts"][0]["addresses"][0]["ttl"], 20);
        assert_eq!(json["hosts"][0]["names"][2]["resolves"], false);
        assert!(json.get("now").is_none());

        let state = |now| self::report(vec![host.clone()], None, now).hosts[0].addresses[2].known.state;
        let states = [state(1020), state(1021), state(4620), state(4621)];
        let (kept, expired) = (AddressState::Kept, AddressState::Expired);
        assert_eq!(states, [AddressState::Live, kept, kept, expired], "without a word from the daemon");
        assert!(self::report(vec![host], None, 4660).to_string().contains("learned  expired 40s ago"));
    }

    #[test]
    fn a_prefix_has_the_sessions_of_all_its_addresses() {
        let fixed = AddressReport { valid_until: None, ..address("203.0.113.0/28", AddressState::Live) };
        let host = HostReport { name: "pbx".to_owned(), keep_old: 0, names: vec![], addresses: vec![fixed] };
        let sessions = ["203.0.113.1", "203.0.113.15", "203.0.113.16"].map(|address| (address.parse().unwrap(), 2));
        let report = report(vec![host], Some(&sessions.into()), 1000);
        assert_eq!(report.hosts[0].addresses[0].sessions, Some(4));
    }

    #[test]
    fn a_private_answer_that_was_refused_stands_below_its_name() {
        let refused = |name: &str, address: &str| RefusedAnswer {
            address: address.parse().unwrap(),
            name: name.to_owned(),
            last_reply: 997,
        };
        let names = vec![
            NameReport { refused: vec![refused("gone.test", "192.168.5.5")], ..name("gone.test", None) },
            NameReport { refused: vec![refused("a.test", "fd00::1")], ..wildcard("*.test", None) },
        ];
        let host = HostReport { name: "pbx".to_owned(), keep_old: 0, names, addresses: vec![] };
        let report = report(vec![host], None, 1000);
        let expected = "\
pbx
  gone.test  resolved 1m00s ago
    refused the private answer 192.168.5.5 from a reply to a client, 3s ago: `private_answers: true` would admit it
  *.test  learned from replies to clients: none yet
    refused the private answer fd00::1 for a.test from a reply to a client, 3s ago: `private_answers: true` would admit it
  no address: nothing can be opened to this host
";
        assert_eq!(report.to_string(), expected);
        let json = serde_json::to_value(&report).unwrap();
        let first = &json["hosts"][0]["names"][0]["refused"][0];
        assert_eq!((&first["address"], &first["last_reply"]), (&"192.168.5.5".into(), &997.into()));
    }

    #[test]
    fn a_host_without_an_address_says_what_that_means() {
        let host = HostReport { name: "stun".to_owned(), keep_old: 0, names: vec![], addresses: vec![] };
        assert!(report(vec![host], None, 0).to_string().contains("nothing can be opened to this host"));
    }
}
