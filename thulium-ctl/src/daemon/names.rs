//! Names while the daemon serves: what the datapath is told of them, what it tells, and what the log hears.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use aya::Ebpf;
use ipnet::IpNet;
use tokio::sync::mpsc;

use super::say;
use crate::{
    datapath::{replies::Replies, tables::Tables},
    names::{Entry, HostReport, Lesson, Snapshot, trusted},
    observe::status::unresolved,
    policy::image::Slots,
};

/// A task that hands on what the replies to clients say of names, for ever.
///
/// # Errors
/// If the programs do not hand over replies.
pub(super) fn learn(
    ebpf: &mut Ebpf,
    teacher: mpsc::Sender<Lesson>,
) -> anyhow::Result<impl Future<Output = ()> + Send + use<>> {
    let mut replies = Replies::open(ebpf)?;
    Ok(async move {
        loop {
            match replies.next().await {
                Ok(message) => {
                    // Without a taker the daemon is ending.
                    if let Some(lesson) = Lesson::read(&message)
                        && teacher.send(lesson).await.is_err()
                    {
                        return;
                    }
                }
                Err(error) => return say(&format!("what clients learn of names is no longer heard: {error:#}")),
            }
        }
    })
}

/// What the datapath was last told of names.
#[derive(Debug, Default)]
pub(super) struct Told {
    entries: BTreeMap<IpNet, Entry>,
    resolvers: BTreeSet<IpAddr>,
}

impl Told {
    /// Tells it of the addresses of names.
    ///
    /// # Errors
    /// If the map is full or the kernel refuses.
    pub(super) fn addresses(&mut self, snapshot: &Snapshot, slots: &Slots, tables: &mut Tables) -> anyhow::Result<()> {
        tables.publish_remotes(snapshot, slots)?;
        tables.forget_learned(lost(&self.entries, &snapshot.entries))?;
        self.entries.clone_from(&snapshot.entries);
        Ok(())
    }

    /// Tells it whose replies teach, if that has changed.
    ///
    /// # Errors
    /// If the kernel does not list the gateway's addresses, or refuses.
    pub(super) fn resolvers(&mut self, upstreams: &[IpAddr], tables: &mut Tables) -> anyhow::Result<()> {
        let resolvers = trusted(upstreams)?;
        if resolvers != self.resolvers {
            tables.publish_resolvers(&resolvers)?;
            self.resolvers = resolvers;
        }
        Ok(())
    }
}

/// The addresses that a host had and has no longer.
fn lost(was: &BTreeMap<IpNet, Entry>, is: &BTreeMap<IpNet, Entry>) -> Vec<IpAddr> {
    let has_all = |prefix, was: &Entry| is.get(prefix).is_some_and(|is: &Entry| is.hosts.is_superset(&was.hosts));
    was.iter().filter(|(prefix, was)| !has_all(prefix, was)).map(|(prefix, _)| prefix.addr()).collect()
}

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
            refused: Vec::new(),
        };
        HostReport { name: "thulium".to_owned(), keep_old: 0, names: vec![name], addresses: Vec::new() }
    }

    #[test]
    fn an_address_is_lost_when_one_of_its_hosts_has_it_no_longer() {
        let entries = |rows: &[(&str, &[&str])]| -> BTreeMap<IpNet, Entry> {
            let entry = |hosts: &[&str]| Entry { hosts: hosts.iter().map(ToString::to_string).collect(), until: None };
            rows.iter().map(|(prefix, hosts)| (prefix.parse().unwrap(), entry(hosts))).collect()
        };
        let was = entries(&[("192.0.2.1/32", &["a", "b"]), ("192.0.2.2/32", &["a"]), ("192.0.2.3/32", &["a"])]);
        let is = entries(&[("192.0.2.1/32", &["b"]), ("192.0.2.3/32", &["a", "b"]), ("192.0.2.4/32", &["a"])]);
        assert_eq!(lost(&was, &is), ["192.0.2.1", "192.0.2.2"].map(|address| address.parse::<IpAddr>().unwrap()));
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
