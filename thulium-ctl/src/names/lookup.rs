//! One question to the resolvers.

use std::{
    collections::BTreeSet,
    fs,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

pub use hickory_resolver::proto::rr::RecordType;
use hickory_resolver::{
    Hosts, Resolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts, ServerOrderingStrategy},
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    proto::{
        op::{Query, ResponseCode},
        rr::{Name, Record},
    },
    system_conf::parse_resolv_conf,
};
use tokio::time::timeout;

use super::Answer;

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
            Self::These(resolvers.iter().map(|address| SocketAddr::new(*address, 53)).collect())
        }
    }
}

impl SystemFiles {
    fn name_servers(&self) -> Result<Vec<IpAddr>, String> {
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
    record: RecordType,
}

impl Lookup {
    /// Asks these servers for records of this type: [`RecordType::A`], or one day [`RecordType::AAAA`].
    pub fn new(servers: Servers, record: RecordType) -> Self {
        Self { servers, record }
    }

    /// Asks for the addresses of `name`; takes 10 s at most.
    ///
    /// # Errors
    /// A sentence for the admin: why there is no address.
    pub async fn ask(&self, name: &str) -> Result<Answer, String> {
        let mut fqdn = Name::from_ascii(name).map_err(|error| format!("it is no valid DNS name: {error}"))?;
        fqdn.set_fqdn(true);
        if let Servers::System(files) = &self.servers
            && let Some(answer) = self.in_hosts_file(files, &fqdn)
        {
            return usable(answer);
        }
        let mut builder = Resolver::builder_with_config(self.config()?, TokioRuntimeProvider::default());
        *builder.options_mut() = options();
        let resolver = builder.build().map_err(|error| reason(&error, self.record))?;
        let found = timeout(PATIENCE, resolver.lookup(fqdn, self.record)).await.unwrap_or(Err(NetError::Timeout));
        let found = found.map_err(|error| reason(&error, self.record))?;
        usable(self.answer(found.answers()))
    }

    fn config(&self) -> Result<ResolverConfig, String> {
        let servers = match &self.servers {
            Servers::These(servers) => servers.iter().map(|server| name_server(*server)).collect(),
            Servers::System(files) => {
                let addresses = files.name_servers()?.into_iter();
                addresses.map(|address| name_server(SocketAddr::new(address, 53))).collect()
            }
        };
        Ok(ResolverConfig::from_parts(None, Vec::new(), servers))
    }

    fn in_hosts_file(&self, files: &SystemFiles, name: &Name) -> Option<Answer> {
        let mut hosts = Hosts::default();
        hosts.read_hosts_conf(fs::File::open(&files.hosts).ok()?).ok()?;
        let found = hosts.lookup_static_host(&Query::query(name.clone(), self.record))?;
        let answer = self.answer(found.answers());
        (!answer.addresses.is_empty()).then_some(Answer { ttl: HOSTS_FILE_TTL, ..answer })
    }

    /// The addresses of the type asked for. The TTL is the shortest of all records, those of aliases included.
    fn answer(&self, records: &[Record]) -> Answer {
        let wanted = records.iter().filter(|record| record.record_type() == self.record);
        let addresses = wanted.filter_map(|record| record.data.ip_addr()).collect();
        let ttl = records.iter().map(|record| record.ttl).min().unwrap_or_default();
        Answer { addresses, ttl: Duration::from_secs(ttl.into()) }
    }
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
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast() || address.octets()[0] == 0);
    !(broadcast || address.is_unspecified() || address.is_loopback() || address.is_multicast())
}

/// Why a lookup failed, in an admin's words.
fn reason(error: &NetError, record: RecordType) -> String {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) if none.response_code == ResponseCode::NXDomain => {
            "the name does not exist (NXDOMAIN)".to_owned()
        }
        NetError::Dns(DnsError::NoRecordsFound(none)) if none.response_code == ResponseCode::NoError => {
            format!("the name has no address (no {record} record)")
        }
        NetError::Dns(DnsError::NoRecordsFound(none)) => refused(none.response_code),
        NetError::Dns(DnsError::ResponseCode(code)) => refused(*code),
        NetError::Timeout => "no resolver answered in time".to_owned(),
        NetError::NoConnections => "no resolver could be reached".to_owned(),
        NetError::Io(error) => format!("no resolver could be reached: {}", plain(error)),
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

    fn answer(addresses: &[&str]) -> Answer {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Answer { addresses, ttl: Duration::from_secs(60) }
    }

    #[test]
    fn addresses_that_no_client_can_reach_are_left_out() {
        assert_eq!(usable(answer(&["0.0.0.0", "203.0.113.7", "127.0.0.1"])), Ok(answer(&["203.0.113.7"])));
        for blocked in ["0.0.0.0", "127.0.0.1", "255.255.255.255", "224.0.0.1", "::", "::1"] {
            assert!(usable(answer(&[blocked])).unwrap_err().contains("block"), "{blocked}");
        }
        assert_eq!(usable(answer(&[])), Ok(answer(&[])), "an empty answer is the book's to judge");
    }

    #[test]
    fn the_policys_resolvers_come_before_the_systems() {
        assert_eq!(Servers::of_policy(&[]), Servers::System(SystemFiles::default()));
        let named = Servers::of_policy(&["192.0.2.53".parse().unwrap()]);
        assert_eq!(named, Servers::These(vec!["192.0.2.53:53".parse().unwrap()]));
    }

    fn system(directory: &std::path::Path) -> Lookup {
        let files = SystemFiles { hosts: directory.join("hosts"), resolv_conf: directory.join("resolv.conf") };
        Lookup::new(Servers::System(files), RecordType::A)
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
        assert_eq!(lookup.ask("acme.thulium.com").await, Ok(answer(&["203.0.113.7"])));
        fs::write(directory.path().join("hosts"), "203.0.113.8 acme.thulium.com\n").unwrap();
        assert_eq!(lookup.ask("acme.thulium.com").await, Ok(answer(&["203.0.113.8"])));
    }

    #[tokio::test]
    async fn a_missing_or_broken_resolv_conf_is_a_failed_lookup() {
        let directory = tempfile::tempdir().unwrap();
        let lookup = system(directory.path());
        assert!(lookup.ask("stun.test").await.unwrap_err().contains("resolv.conf cannot be read"));
        for broken in ["", "nameserver\n", "nameserver here\n\u{0}\n", "search office.test\n"] {
            fs::write(directory.path().join("resolv.conf"), broken).unwrap();
            let why = lookup.ask("stun.test").await.unwrap_err();
            assert!(why.contains("resolv.conf names no resolver"), "{broken:?}: {why}");
        }
    }

    #[tokio::test]
    async fn a_name_that_is_none_is_told() {
        for name in ["a..b", &"x".repeat(300)] {
            let why = Lookup::new(Servers::These(Vec::new()), RecordType::A).ask(name).await.unwrap_err();
            assert!(why.contains("no valid DNS name"), "{why}");
        }
    }
}
