//! What the log hears of names.

use std::collections::BTreeSet;

use super::say;
use crate::{names::HostReport, observe::status::unresolved};

/// The names that do not resolve, and of which the log has heard so.
#[derive(Debug, Default)]
pub(super) struct TroubledNames(BTreeSet<String>);

impl TroubledNames {
    /// Tells the log of names that do not resolve any more, or do again: once each, however often they are asked for.
    pub(super) fn tell(&mut self, hosts: &[HostReport]) {
        for line in self.news(hosts) {
            say(&line);
        }
    }

    fn news(&mut self, hosts: &[HostReport]) -> Vec<String> {
        let mut lines = Vec::new();
        let mut now = BTreeSet::new();
        for name in unresolved(hosts) {
            // A name of several hosts is asked for once.
            if now.insert(name.name.clone()) && !self.0.contains(&name.name) {
                lines.push(format!("{} does not resolve: {}", name.name, name.why));
            }
        }
        lines.extend(self.0.difference(&now).map(|name| format!("{name} resolves again")));
        self.0 = now;
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::NameReport;

    fn host(why: Option<&str>) -> HostReport {
        let name = NameReport {
            name: "acme.thulium.com".to_owned(),
            resolves: why.is_none(),
            why: why.map(str::to_owned),
            since: why.map(|_| 900),
            last_answer: None,
            last_reply: None,
            stands_for: None,
        };
        HostReport { name: "thulium".to_owned(), keep_old: 0, names: vec![name], addresses: Vec::new() }
    }

    #[test]
    fn a_name_that_does_not_resolve_is_told_once() {
        let mut troubled = TroubledNames::default();
        assert!(troubled.news(&[host(None)]).is_empty());
        let both = [host(Some("SERVFAIL")), host(Some("SERVFAIL"))];
        assert_eq!(troubled.news(&both), ["acme.thulium.com does not resolve: SERVFAIL"]);
        assert!(troubled.news(&both).is_empty());
        assert!(troubled.news(&[host(Some("NXDOMAIN"))]).is_empty());
        assert_eq!(troubled.news(&[host(None)]), ["acme.thulium.com resolves again"]);
    }
}
