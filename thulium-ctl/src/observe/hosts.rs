//! The policy's hosts with their names and addresses.

use std::{fmt, time::Duration};

use serde::Serialize;

use super::{
    VERSION,
    quantity::{ago, duration},
    table::{Align, Table},
};
use crate::names::{AddressReport, AddressSource, AddressState, HostReport};

/// All hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// [`VERSION`].
    pub version: u32,
    /// The hosts in the policy's order; times are seconds since 1970.
    pub hosts: Vec<HostReport>,
    /// When the text is read; seconds since 1970.
    #[serde(skip)]
    now: u64,
}

/// The hosts as of `now`, seconds since 1970.
pub fn report(hosts: Vec<HostReport>, now: u64) -> Report {
    Report { version: VERSION, hosts, now }
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
    fn host(&self, host: &HostReport, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", host.name)?;
        for name in &host.names {
            match (&name.why, name.since, name.last_answer) {
                (Some(why), since, _) => {
                    let since = since.map_or(String::new(), |since| format!(", since {}", ago(since, self.now)));
                    writeln!(f, "  {}  DOES NOT RESOLVE{since}: {why}", name.name)?;
                }
                (None, _, Some(last)) => writeln!(f, "  {}  resolved {}", name.name, ago(last, self.now))?,
                (None, _, None) => writeln!(f, "  {}  not asked for yet", name.name)?,
            }
        }
        if host.addresses.is_empty() {
            return writeln!(f, "  no address: nothing can be opened to this host");
        }
        let mut table = Table::new([
            ("  ADDRESS", Align::Left),
            ("SOURCE", Align::Left),
            ("STATE", Align::Left),
            ("FIRST SEEN", Align::Left),
            ("LAST SEEN", Align::Left),
        ]);
        for address in &host.addresses {
            table.push(self.cells(address));
        }
        write!(f, "{table}")
    }

    fn cells(&self, address: &AddressReport) -> [String; 5] {
        let seen = |time: Option<u64>| time.map_or_else(|| "-".to_owned(), |time| ago(time, self.now));
        let source = match address.source {
            AddressSource::Fixed => "policy",
            AddressSource::Resolver => "DNS",
        };
        let state = match (address.state, address.until) {
            (AddressState::Live, _) => "live".to_owned(),
            (AddressState::Expired, _) => "expired".to_owned(),
            (AddressState::Kept, until) => {
                let left = until.unwrap_or_default().saturating_sub(self.now);
                format!("kept for {}", duration(Duration::from_secs(left)))
            }
        };
        let place = format!("  {}", address.address);
        [place, source.to_owned(), state, seen(address.first_seen), seen(address.last_seen)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::NameReport;

    fn name(name: &str, why: Option<&str>) -> NameReport {
        let (why, since) = (why.map(str::to_owned), why.map(|_| 900));
        NameReport { name: name.to_owned(), resolves: why.is_none(), why, since, last_answer: Some(940) }
    }

    fn address(address: &str, state: AddressState) -> AddressReport {
        AddressReport {
            address: address.to_owned(),
            source: AddressSource::Resolver,
            state,
            names: vec!["acme.thulium.com".to_owned()],
            first_seen: Some(100),
            last_seen: Some(940),
            valid_until: Some(1000),
            until: (state == AddressState::Kept).then_some(4600),
        }
    }

    #[test]
    fn a_host_shows_its_names_and_the_state_of_its_addresses() {
        let host = HostReport {
            name: "thulium".to_owned(),
            keep_old: 86_400,
            names: vec![name("acme.thulium.com", None), name("gone.test", Some("the name does not exist (NXDOMAIN)"))],
            addresses: vec![address("203.0.113.7", AddressState::Live), address("203.0.113.8", AddressState::Kept)],
        };
        let report = report(vec![host], 1000);
        let expected = "\
thulium
  acme.thulium.com  resolved 1m00s ago
  gone.test  DOES NOT RESOLVE, since 1m40s ago: the name does not exist (NXDOMAIN)
  ADDRESS      SOURCE  STATE           FIRST SEEN  LAST SEEN
  203.0.113.7  DNS     live            15m00s ago  1m00s ago
  203.0.113.8  DNS     kept for 1h00m  15m00s ago  1m00s ago
";
        assert_eq!(report.to_string(), expected);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["version"], 1);
        assert_eq!(json["hosts"][0]["addresses"][1]["state"], "kept");
        assert_eq!(json["hosts"][0]["names"][1]["resolves"], false);
        assert!(json.get("now").is_none());
    }

    #[test]
    fn a_host_without_an_address_says_what_that_means() {
        let host = HostReport { name: "stun".to_owned(), keep_old: 0, names: vec![], addresses: vec![] };
        assert!(report(vec![host], 0).to_string().contains("nothing can be opened to this host"));
    }
}
