//! A TCP connection through an uplink, to see whether somebody answers. It carries no data: who accepts the connection, or refuses
//! it, is there.

use std::{
    io::{self, ErrorKind},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};

use libc::linger;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::{net::TcpSocket, time::timeout};

use super::{Fault, Trial};
use crate::{
    names::Snapshot,
    observe::status::Link,
    policy::{self, Policy, Protocol},
};

/// Whom to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Name of the host in the policy.
    pub host: String,
    /// Its addresses with the port, IPv4 first.
    pub addresses: Vec<SocketAddr>,
}

/// Through what.
#[derive(Clone, Copy, Debug)]
pub struct Path<'a> {
    /// Name of the uplink's interface.
    pub interface: &'a str,
    /// What that says of itself.
    pub link: Link,
    /// The packet mark that leads out of it; 0: none.
    pub mark: u32,
    /// The interface's own IPv4 address, if IPv4 gets out of it.
    pub source4: Option<Ipv4Addr>,
    /// The interface's own IPv6 address, if IPv6 gets out of it.
    pub source6: Option<Ipv6Addr>,
}

/// Whether a policy wants probes: one uplink alone is probed only if it says so, since nothing follows from it.
pub fn is_asked_for(policy: &Policy) -> bool {
    match policy.health.probe {
        policy::Probe::Off => false,
        policy::Probe::Auto => policy.uplinks.len() > 1,
        policy::Probe::To { .. } => true,
    }
}

/// Whom a policy wants asked, with the addresses that are known at present.
///
/// # Errors
/// If nobody can be asked: why, a part of a sentence.
pub fn targets(policy: &Policy, names: &Snapshot) -> Result<Target, String> {
    let (host, port) = match &policy.health.probe {
        policy::Probe::Off => return Err("the policy says `probe: off`".to_owned()),
        policy::Probe::Auto if policy.uplinks.len() == 1 => return Err("there is only one uplink".to_owned()),
        policy::Probe::To { host, port } => (host, *port),
        policy::Probe::Auto => first_tcp(policy).ok_or("no flow of the policy is TCP, and `probe` names nobody")?,
    };
    let admits = |entry| names.remaining(entry).is_none_or(|left| !left.is_zero());
    let of_host = names.entries.iter().filter(|(_, entry)| entry.hosts.contains(host) && admits(entry));
    let single = of_host.filter(|(prefix, _)| prefix.prefix_len() == prefix.max_prefix_len());
    let mut addresses: Vec<_> = single.map(|(prefix, _)| SocketAddr::new(prefix.addr(), port)).collect();
    addresses.sort_by_key(|address| address.is_ipv6());
    if addresses.is_empty() {
        return Err(format!("no address of the host {host} is known yet"));
    }
    Ok(Target { host: host.clone(), addresses })
}

/// The first TCP port of the first flow that has one, and whose it is.
fn first_tcp(policy: &Policy) -> Option<(&String, u16)> {
    policy.flows.iter().find_map(|flow| {
        let port = flow.ports.iter().find(|range| range.protocol == Protocol::Tcp)?.first;
        Some((&flow.host, port))
    })
}

/// A connection that is about to be tried.
#[derive(Debug)]
pub struct Probe {
    socket: TcpSocket,
    /// Whom it asks.
    pub target: SocketAddr,
    /// Its local port.
    pub port: u16,
}

impl Probe {
    /// Binds a socket to the uplink. After `attempt` failures another address of the target is asked.
    ///
    /// # Errors
    /// If it cannot be made: why, a part of a sentence.
    pub fn bind(path: Path<'_>, target: &Target, attempt: u32) -> Result<Self, String> {
        let of_family = |is_ipv6: bool| -> Vec<SocketAddr> {
            target.addresses.iter().filter(|address| address.is_ipv6() == is_ipv6).copied().collect()
        };
        let ipv4 = path.source4.map(|source| (IpAddr::V4(source), of_family(false)));
        let ipv6 = path.source6.map(|source| (IpAddr::V6(source), of_family(true)));
        let possible = [ipv4, ipv6].into_iter().flatten().find(|(_, addresses)| !addresses.is_empty());
        let Some((source, addresses)) = possible else {
            return Err(match Fault::of_link(path.link) {
                Some(fault) => fault.to_string(),
                None => format!("no address of a family that the host {} has leads out of it", target.host),
            });
        };
        let target = addresses[attempt as usize % addresses.len()];
        let (socket, port) =
            bound(path, source).map_err(|error| format!("no connection can be made through it: {error}"))?;
        Ok(Self { socket, target, port })
    }

    /// Tries the connection, for at most `patience`.
    pub async fn run(self, patience: Duration) -> Trial {
        let start = Instant::now();
        match timeout(patience, self.socket.connect(self.target)).await {
            Err(_) => Trial::Silent,
            Ok(Ok(_)) => Trial::Answered(start.elapsed()),
            Ok(Err(error)) => outcome(&error, start.elapsed()),
        }
    }
}

fn bound(path: Path<'_>, source: IpAddr) -> io::Result<(TcpSocket, u16)> {
    let socket = if source.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.bind_device(Some(path.interface.as_bytes()))?;
    setsockopt(&socket, sockopt::Mark, &path.mark)?;
    // It ends by a RST: nothing that comes later has to find its way back here.
    setsockopt(&socket, sockopt::Linger, &linger { l_onoff: 1, l_linger: 0 })?;
    socket.bind(SocketAddr::new(source, 0))?;
    let port = socket.local_addr()?.port();
    Ok((socket, port))
}

/// What an error says of the uplink: who refuses is there; what the gateway itself does not allow says nothing.
fn outcome(error: &io::Error, after: Duration) -> Trial {
    match error.kind() {
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset => Trial::Answered(after),
        ErrorKind::TimedOut | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => Trial::Silent,
        _ => Trial::NotRun(format!("no connection can be made through it: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::{names::Entry, policy};

    const ONE: &str = "\
version: 1
system: acme
lan: { interfaces: [eth1] }
uplinks: [{ interface: eth0 }]
";

    fn with(probe: policy::Probe, uplinks: usize) -> Policy {
        let mut policy = policy::parse("policy.yaml", ONE.as_bytes()).unwrap();
        policy.uplinks = vec![policy.uplinks[0].clone(); uplinks];
        policy.health.probe = probe;
        policy
    }

    fn names(addresses: &[(&str, &str)]) -> Snapshot {
        let entry = |host: &str| Entry { hosts: [host.to_owned()].into(), until: None };
        let entries = addresses.iter().map(|(address, host)| (address.parse().unwrap(), entry(host))).collect();
        Snapshot {
            taken: SystemTime::now(),
            entries,
            hosts: Vec::new(),
            expired: Default::default(),
            state_trouble: None,
        }
    }

    #[test]
    fn the_first_tcp_flow_says_whom_to_ask() {
        let known = [
            ("2001:db8::10/128", "thulium"),
            ("203.0.113.10/32", "thulium"),
            ("203.0.113.0/24", "thulium"),
            ("203.0.113.20/32", "stun"),
        ];
        let target = targets(&with(policy::Probe::Auto, 2), &names(&known)).unwrap();
        let addresses: Vec<String> = target.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["203.0.113.10:443", "[2001:db8::10]:443"], "single addresses, IPv4 first");
        let other = policy::Probe::To { host: "stun".to_owned(), port: 80 };
        let target = targets(&with(other, 1), &names(&known)).unwrap();
        assert_eq!(target.addresses, ["203.0.113.20:80".parse().unwrap()]);
    }

    #[test]
    fn why_nobody_is_asked_is_told() {
        let told = |probe, uplinks| targets(&with(probe, uplinks), &names(&[])).unwrap_err();
        assert_eq!(told(policy::Probe::Off, 2), "the policy says `probe: off`");
        assert_eq!(told(policy::Probe::Auto, 1), "there is only one uplink");
        assert_eq!(told(policy::Probe::Auto, 2), "no address of the host thulium is known yet");
    }

    #[test]
    fn where_nothing_gets_out_the_interfaces_fault_is_told() {
        let target = Target { host: "thulium".to_owned(), addresses: vec!["203.0.113.10:443".parse().unwrap()] };
        let told = |link, source6| {
            let path = Path { interface: "eth0", link, mark: 0, source4: None, source6 };
            Probe::bind(path, &target, 0).unwrap_err()
        };
        assert_eq!(told(Link::Gone, None), "its interface is gone");
        assert_eq!(told(Link::Down, None), "its interface is switched off");
        let ipv6 = "2001:db8::1".parse().ok();
        assert_eq!(told(Link::Up, ipv6), "no address of a family that the host thulium has leads out of it");
    }

    #[test]
    fn only_silence_is_a_failure() {
        let kind = |kind: ErrorKind| outcome(&kind.into(), Duration::ZERO);
        assert_eq!(kind(ErrorKind::ConnectionRefused), Trial::Answered(Duration::ZERO));
        assert_eq!(kind(ErrorKind::HostUnreachable), Trial::Silent);
        assert!(matches!(kind(ErrorKind::PermissionDenied), Trial::NotRun(_)), "a firewall of the gateway's own");
        assert!(matches!(kind(ErrorKind::AddrNotAvailable), Trial::NotRun(_)));
    }
}
