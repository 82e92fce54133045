//! One question to the resolvers.

use std::{
    collections::BTreeSet,
    fs,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use hickory_resolver::{
    Hosts, Resolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts, ServerOrderingStrategy},
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    proto::{
        op::{Query, ResponseCode},
        rr::{Name, Record, RecordType},
    },
    system_conf::parse_resolv_conf,
};
use thulium_ebpf::abi::Family;
use tokio::time::timeout;

use super::Answer;

/// The port of DNS.
const PORT: u16 = 53;
/// How long one attempt waits for an answer.
const ATTEMPT: Duration = Duration::from_secs(2);
/// Further attempts of one lookup.
const RETRIES: usize = 2;
/// How long a lookup may take in all, whatever the resolvers do.
const PATIENCE: Duration = Duration::from_secs(10);
/// The hosts file has no TTL: it is read again this often.
const HOSTS_FILE_TTL: Duration = Duration::from_secs(60);

/// Whom to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Servers {
    /// The system's resolvers: first the hosts file, then the name servers of `resolv.conf`. Both are read again for each
    /// lookup, since DHCP changes the latter at any time; a file that is missing or broken is a failed lookup, no more.
    System(SystemFiles),
    /// These, and neither `/etc/hosts` nor `/etc/resolv.conf`.
    These(Vec<SocketAddr>),
}

/// Where the system says how names are resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemFiles {
    /// Usually `/etc/hosts`.
    pub hosts: PathBuf,
    /// Usually `/etc/resolv.conf`. Of it only the name servers count, no search domain and no option.
    pub resolv_conf: PathBuf,
}

impl Default for SystemFiles {
    fn default() -> Self {
        Self { hosts: "/etc/hosts".into(), resolv_conf: "/etc/resolv.conf".into() }
    }
}

impl Servers {
    /// The policy's resolvers; the system's if it names none.
    pub fn of_policy(resolvers: &[IpAddr]) -> Self {
        if resolvers.is_empty() {
            Self::System(SystemFiles::default())
        } else {
            Self::These(resolvers.iter().map(|address| SocketAddr::new(*address, PORT)).collect())
        }
    }
}

impl SystemFiles {
    /// The name servers of `resolv.conf`, in its order.
    pub(super) fn name_servers(&self) -> Result<Vec<IpAddr>, String> {
        let path = self.resolv_conf.display();
        let text = fs::read(&self.resolv_conf).map_err(|error| format!("{path} cannot be read: {error}"))?;
        let (config, _) = parse_resolv_conf(text).map_err(|_| format!("{path} names no resolver"))?;
        Ok(config.name_servers().iter().map(|server| server.ip).collect())
    }
}

/// Asks for addresses of names. Nothing is cached, and no search domain is ever appended.
#[derive(Clone, Debug)]
pub struct Lookup {
    servers: Servers,
}

impl Lookup {
    /// Asks these servers.
    pub const fn new(servers: Servers) -> Self {
        Self { servers }
    }

    /// Asks for the addresses of `name` in one family; takes 10 s at most.
    ///
    /// # Errors
    /// A sentence for the admin: why there is no answer.
    pub async fn ask(&self, name: &str, family: Family) -> Result<Answer, String> {
        let mut fqdn = Name::from_ascii(name).map_err(|error| format!("it is no valid DNS name: {error}"))?;
        fqdn.set_fqdn(true);
        if let Servers::System(files) = &self.servers
            && let Some(answer) = in_hosts_file(files, &fqdn, family)
        {
            return usable(answer);
        }
        let servers = self.servers()?;
        let asked = |error: &NetError| reason(error, &servers);
        let mut builder = Resolver::builder_with_config(config(&servers), TokioRuntimeProvider::default());
        *builder.options_mut() = options();
        let resolver = builder.build().map_err(|error| asked(&error))?;
        match timeout(PATIENCE, resolver.lookup(fqdn, record(family))).await.unwrap_or(Err(NetError::Timeout)) {
            Ok(found) => usable(answer(family, found.answers())),
            Err(error) if is_empty(&error) => Ok(answer(family, &[])),
            Err(error) => Err(asked(&error)),
        }
    }

    /// Whom to ask now.
    fn servers(&self) -> Result<Vec<SocketAddr>, String> {
        match &self.servers {
            Servers::These(servers) => Ok(servers.clone()),
            Servers::System(files) => {
                Ok(files.name_servers()?.into_iter().map(|address| SocketAddr::new(address, PORT)).collect())
            }
        }
    }
}

fn config(servers: &[SocketAddr]) -> ResolverConfig {
    ResolverConfig::from_parts(None, Vec::new(), servers.iter().map(|server| name_server(*server)).collect())
}

/// The record that holds a family's addresses.
const fn record(family: Family) -> RecordType {
    match family {
        Family::Ipv4 => RecordType::A,
        Family::Ipv6 => RecordType::AAAA,
    }
}

/// A name that is in the hosts file has the addresses there and no others, as for everybody on this machine.
fn in_hosts_file(files: &SystemFiles, name: &Name, family: Family) -> Option<Answer> {
    let mut hosts = Hosts::default();
    hosts.read_hosts_conf(fs::File::open(&files.hosts).ok()?).ok()?;
    let find = |family| {
        let found = hosts.lookup_static_host(&Query::query(name.clone(), record(family)));
        let addresses = found.map(|found| answer(family, found.answers()).addresses).unwrap_or_default();
        Answer { family, addresses, ttl: HOSTS_FILE_TTL }
    };
    let is_there = [Family::Ipv4, Family::Ipv6].into_iter().any(|family| !find(family).addresses.is_empty());
    is_there.then(|| find(family))
}

/// The addresses of the family asked for. The TTL is the shortest of all records, those of aliases included.
fn answer(family: Family, records: &[Record]) -> Answer {
    let wanted = records.iter().filter(|found| found.record_type() == record(family));
    let addresses = wanted.filter_map(|record| record.data.ip_addr()).collect();
    let ttl = records.iter().map(|record| record.ttl).min().unwrap_or_default();
    Answer { family, addresses, ttl: Duration::from_secs(ttl.into()) }
}

fn name_server(server: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = server.port();
        connection
    });
    // One server's NXDOMAIN must not hide another's answer: offices have internal and public resolvers side by side.
    NameServerConfig::new(server.ip(), false, connections.into())
}

fn options() -> ResolverOpts {
    let mut options = ResolverOpts::default();
    options.timeout = ATTEMPT;
    options.attempts = RETRIES;
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
    // All servers that resolv.conf can name at once: a dead one costs no time.
    options.num_concurrent_reqs = 3;
    // The kernel's choice avoids the ports that are reserved for clients' mappings; the library's own would not.
    options.os_port_selection = true;
    options
}

/// Leaves out what no client can have a session with; resolvers that block a name answer like this.
fn usable(answer: Answer) -> Result<Answer, String> {
    let (good, bad): (BTreeSet<IpAddr>, BTreeSet<IpAddr>) = answer.addresses.iter().partition(|ip| is_reachable(ip));
    match bad.first() {
        Some(example) if good.is_empty() => {
            Err(format!("the answer is {example}, which no client can reach: the resolver seems to block the name"))
        }
        _ => Ok(Answer { addresses: good, ..answer }),
    }
}

fn is_reachable(address: &IpAddr) -> bool {
    let unusable = match address {
        IpAddr::V4(address) => address.is_broadcast() || address.octets()[0] == 0,
        IpAddr::V6(address) => address.is_unicast_link_local() || address.to_ipv4_mapped().is_some(),
    };
    !(unusable || address.is_unspecified() || address.is_loopback() || address.is_multicast())
}

/// The name is there, and has no such record.
fn is_empty(error: &NetError) -> bool {
    matches!(error, NetError::Dns(DnsError::NoRecordsFound(none)) if none.response_code == ResponseCode::NoError)
}

/// Why a lookup at these servers failed, in an admin's words.
fn reason(error: &NetError, servers: &[SocketAddr]) -> String {
    let asked = || {
        let name = |server: &SocketAddr| match server.port() {
            PORT => server.ip().to_string(),
            _ => server.to_string(),
        };
        servers.iter().map(name).collect::<Vec<_>>().join(", ")
    };
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) if none.response_code == ResponseCode::NXDomain => {
            "the name does not exist (NXDOMAIN)".to_owned()
        }
        NetError::Dns(DnsError::NoRecordsFound(none)) => refused(none.response_code),
        NetError::Dns(DnsError::ResponseCode(code)) => refused(*code),
        NetError::Timeout => format!("no resolver answered in time (asked: {})", asked()),
        NetError::NoConnections => format!("no resolver could be reached (asked: {})", asked()),
        NetError::Io(error) => format!("no resolver could be reached (asked: {}): {}", asked(), plain(error)),
        other => plain(other),
    }
}

fn refused(code: ResponseCode) -> String {
    match code {
        ResponseCode::ServFail => "the resolver failed (SERVFAIL)".to_owned(),
        ResponseCode::Refused => "the resolver refuses to answer this gateway (REFUSED)".to_owned(),
        other => format!("the resolver answered with an error ({other})"),
    }
}

/// Errors can quote what came from the network: keep control characters off the admin's terminal.
fn plain(error: &impl std::fmt::Display) -> String {
    error.to_string().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(family: Family, addresses: &[&str]) -> Answer {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Answer { family, addresses, ttl: Duration::from_secs(60) }
    }

    #[test]
    fn addresses_that_no_client_can_reach_are_left_out() {
        assert_eq!(
            usable(answer(Family::Ipv4, &["0.0.0.0", "203.0.113.7", "127.0.0.1"])),
            Ok(answer(Family::Ipv4, &["203.0.113.7"]))
        );
        for blocked in
            ["0.0.0.0", "127.0.0.1", "255.255.255.255", "224.0.0.1", "::", "::1", "fe80::7", "::ffff:203.0.113.7"]
        {
            assert!(usable(answer(Family::Ipv4, &[blocked])).unwrap_err().contains("block"), "{blocked}");
        }
        assert_eq!(
            usable(answer(Family::Ipv4, &[])),
            Ok(answer(Family::Ipv4, &[])),
            "an empty answer is the book's to judge"
        );
    }

    #[test]
    fn who_did_not_answer_is_named() {
        let servers = ["192.0.2.53:53", "[2001:db8::53]:5353"].map(|server| server.parse().unwrap());
        let why = reason(&NetError::Timeout, &servers);
        assert_eq!(why, "no resolver answered in time (asked: 192.0.2.53, [2001:db8::53]:5353)");
    }

    #[test]
    fn the_policys_resolvers_come_before_the_systems() {
        assert_eq!(Servers::of_policy(&[]), Servers::System(SystemFiles::default()));
        let named = Servers::of_policy(&["192.0.2.53".parse().unwrap()]);
        assert_eq!(named, Servers::These(vec!["192.0.2.53:53".parse().unwrap()]));
    }

    fn system(directory: &std::path::Path) -> Lookup {
        let files = SystemFiles { hosts: directory.join("hosts"), resolv_conf: directory.join("resolv.conf") };
        Lookup::new(Servers::System(files))
    }

    #[tokio::test]
    async fn the_hosts_file_comes_first_and_is_read_each_time() {
        let directory = tempfile::tempdir().unwrap();
        let lookup = system(directory.path());
        fs::write(
            directory.path().join("hosts"),
            "203.0.113.7 Acme.Thulium.com www # ours\n2001:db8::7 acme.thulium.com\n",
        )
        .unwrap();
        assert_eq!(lookup.ask("acme.thulium.com", Family::Ipv4).await, Ok(answer(Family::Ipv4, &["203.0.113.7"])));
        assert_eq!(lookup.ask("acme.thulium.com", Family::Ipv6).await, Ok(answer(Family::Ipv6, &["2001:db8::7"])));
        fs::write(directory.path().join("hosts"), "203.0.113.8 acme.thulium.com\n").unwrap();
        assert_eq!(lookup.ask("acme.thulium.com", Family::Ipv4).await, Ok(answer(Family::Ipv4, &["203.0.113.8"])));
        let none = lookup.ask("acme.thulium.com", Family::Ipv6).await;
        assert_eq!(none, Ok(answer(Family::Ipv6, &[])), "no resolver is asked for what the file leaves out");
    }

    #[tokio::test]
    async fn a_missing_or_broken_resolv_conf_is_a_failed_lookup() {
        let directory = tempfile::tempdir().unwrap();
        let lookup = system(directory.path());
        assert!(lookup.ask("stun.test", Family::Ipv4).await.unwrap_err().contains("resolv.conf cannot be read"));
        for broken in ["", "nameserver\n", "nameserver here\n\u{0}\n", "search office.test\n"] {
            fs::write(directory.path().join("resolv.conf"), broken).unwrap();
            let why = lookup.ask("stun.test", Family::Ipv4).await.unwrap_err();
            assert!(why.contains("resolv.conf names no resolver"), "{broken:?}: {why}");
        }
    }

    #[tokio::test]
    async fn a_name_that_is_none_is_told() {
        for name in ["a..b", &"x".repeat(300)] {
            let why = Lookup::new(Servers::These(Vec::new())).ask(name, Family::Ipv4).await.unwrap_err();
            assert!(why.contains("no valid DNS name"), "{why}");
        }
    }
}
