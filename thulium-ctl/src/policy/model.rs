//! The policy as the rest of the program sees it: typed, checked, complete. Every default is filled in here.

use std::{
    collections::BTreeSet,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use ipnet::{IpNet, Ipv6Net};

/// A policy that passed every check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The tenant; `{system}` in host names was replaced by it.
    pub system: String,
    /// What happens to packets that the policy does not admit.
    pub mode: Mode,
    /// The office's side.
    pub lan: Lan,
    /// The ways out, in order of preference.
    pub uplinks: Vec<UplinkPolicy>,
    /// What becomes of the clients of an uplink that is lost.
    pub on_uplink_down: OnUplinkDown,
    /// How long a client without sessions stays pinned to its uplink.
    pub release_after_idle: Duration,
    /// How an uplink is known to be lost.
    pub health: Health,
    /// Named remote hosts, in the order of the document. Hosts that a flow writes inline are here too, named after the flow.
    pub hosts: Vec<Host>,
    /// What clients may open, in order: the first match names the flow.
    pub flows: Vec<Flow>,
    /// What happens to packets that no flow names.
    pub unmatched: Unmatched,
    /// What a client hears of a packet that is refused.
    pub refuse: Refuse,
    /// The largest segment that TCP connections are told of.
    pub mss_clamp: MssClamp,
    /// Lifetimes and limits.
    pub sessions: Sessions,
    /// Whom the daemon asks for names; empty: the system's resolvers.
    pub resolvers: Vec<IpAddr>,
    /// How the programs are attached.
    pub datapath: DatapathPolicy,
    /// Things that are legal but that the admin should know, one sentence each.
    pub warnings: Vec<String>,
}

/// What happens to packets that the policy does not admit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Refused and counted.
    Enforce,
    /// Counted, and left to the kernel.
    Audit,
}

/// The office's side of the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lan {
    /// Interface names, at least one.
    pub interfaces: Vec<String>,
    /// Who is governed; `None`: the on-link prefixes of `interfaces`, read when the policy is applied.
    pub clients: Option<Vec<IpNet>>,
}

/// A way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UplinkPolicy {
    /// Its name in the policy; the interface's name by default.
    pub name: String,
    /// Interface name.
    pub interface: String,
    /// How source addresses are translated.
    pub source_nat: SourceNat,
    /// Its share of new clients among the uplinks that have a weight, 1 to 64. None: it takes new clients only if no uplink before it can.
    pub weight: Option<u8>,
    /// The IPv4 router behind it; `None`: what the kernel's routes say.
    pub next_hop4: Option<Ipv4Addr>,
    /// The IPv6 router behind it; `None`: as above.
    pub next_hop6: Option<Ipv6Addr>,
    /// IPv6 prefixes of clients that belong to it; empty for all uplinks: what the kernel's routes say.
    pub prefixes: Vec<Ipv6Net>,
}

/// What becomes of the clients of an uplink that is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnUplinkDown {
    /// They move to another uplink, together.
    Move,
    /// They wait for it.
    Hold,
}

/// How an uplink is known to be lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// How long its link must be down, 0 s to 60 s.
    pub link_down: Duration,
    /// How long it must carry nothing though its link is up, 3 s to 10 min.
    pub black_hole: Duration,
    /// How that is found out.
    pub probe: Probe,
}

/// What tells whether an uplink carries anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// TCP connections to the first flow of the policy that has a TCP port.
    Auto,
    /// TCP connections to this port of a host of the policy.
    To {
        /// Name of the host, one of [`Policy::hosts`].
        host: String,
        /// TCP port.
        port: u16,
    },
    /// Nothing: only the link, the address and the next hop's neighbour entry count.
    Off,
}

/// How the IPv4 source addresses of an uplink's sessions are translated. IPv6's never are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceNat {
    /// To the interface's address.
    Masquerade,
    /// To this address.
    Address(Ipv4Addr),
    /// Not at all: the world knows the way to the clients.
    None,
}

/// A named set of remote addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Its name in the policy.
    pub name: String,
    /// DNS names, lower case, without a trailing dot. One that begins with `*.` stands for all names with one label in place of the `*`: their
    /// addresses are learned from the replies to clients.
    pub names: Vec<String>,
    /// Fixed addresses and prefixes.
    pub addresses: Vec<IpNet>,
    /// How long an address that left DNS still admits new sessions.
    pub keep_old: Duration,
    /// Whether DNS replies to clients may teach it private, link-local and loopback addresses.
    pub private_answers: bool,
}

/// What clients may open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Its name.
    pub name: String,
    /// Name of the host it leads to, one of [`Policy::hosts`].
    pub host: String,
    /// Remote ports, and [`PortRange::PING`].
    pub ports: BTreeSet<PortRange>,
    /// The lowest TLS version that its TCP connections may settle on; none: they may carry anything.
    pub tls_min: Option<TlsVersion>,
}

/// A range of ports of a protocol, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortRange {
    /// Which protocol's; ICMP has none, and stands for the one range [`PortRange::PING`].
    pub protocol: Protocol,
    /// First port, 1 to 65535.
    pub first: u16,
    /// Last port, `first` to 65535.
    pub last: u16,
}

/// A protocol that a flow can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// Protocol number 6.
    Tcp,
    /// Protocol number 17.
    Udp,
    /// Echo requests: protocol number 1 in IPv4, 58 in IPv6.
    Icmp,
}

/// A TLS version that `tls_min` can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2.
    V1_2,
    /// TLS 1.3.
    V1_3,
}

impl TlsVersion {
    /// The minor version that hellos write; the major one is 3.
    pub const fn minor(self) -> u8 {
        match self {
            Self::V1_2 => 3,
            Self::V1_3 => 4,
        }
    }
}

/// What happens to packets that no flow names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmatched {
    /// Refused and counted.
    Drop,
    /// Left to the kernel's own rules, and counted.
    Pass,
}

/// What a client hears of a packet that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refuse {
    /// Nothing: it waits for its own timeout.
    Drop,
    /// A RST for TCP, else an ICMP error "administratively prohibited".
    Reject,
}

/// The largest segment (MSS) that the SYNs of TCP connections announce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MssClamp {
    /// What the smaller MTU of the two ways has room for.
    Auto,
    /// SYNs stay as they are.
    Off,
    /// At most this, bytes.
    Bytes(u32),
}

/// Lifetimes and limits of sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sessions {
    /// Lifetime of an idle UDP session; 50 s at least (T8).
    pub udp_idle: Duration,
    /// Lifetime of an idle established TCP session; 7440 s at least (RFC 5382 REQ-5).
    pub tcp_idle: Duration,
    /// Sessions in all, 1 to 4,194,304.
    pub capacity: u32,
    /// Sessions of one client at once, at least 1.
    pub per_client: u32,
    /// New sessions of one client a second, at least 1.
    pub new_per_client: u32,
    /// External ports that one client holds at once, 1 to 65535.
    pub ports_per_client: u32,
}

/// How the programs are attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatapathPolicy {
    /// Whether XDP is used.
    pub xdp: XdpMode,
    /// How TC programs are attached.
    pub tc: TcMode,
    /// Adjacent bits of the packet mark that the datapath may use, as a mask: two or four with one uplink (default 0x30000000), four
    /// with several (default 0xf0000000).
    pub mark: u32,
}

/// Whether XDP is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XdpMode {
    /// Where it is right: see `datapath::xdp`.
    Auto,
    /// Everywhere, or the start fails.
    Native,
    /// Nowhere.
    Off,
}

/// How TC programs are attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcMode {
    /// TCX where the kernel has it (6.6), clsact otherwise.
    Auto,
    /// TCX, or the start fails.
    Tcx,
    /// The clsact qdisc.
    Clsact,
}

impl Protocol {
    /// IANA protocol numbers, of either family.
    pub const fn numbers(self) -> &'static [u8] {
        match self {
            Self::Tcp => &[6],
            Self::Udp => &[17],
            Self::Icmp => &[1, 58],
        }
    }
}

impl PortRange {
    /// Echo requests and their replies, which have no port.
    pub const PING: Self = Self { protocol: Protocol::Icmp, first: 0, last: 0 };

    /// Whether the two have a port in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.protocol == other.protocol && self.first <= other.last && other.first <= self.last
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
        })
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.protocol {
            Protocol::Icmp => write!(f, "{}", self.protocol),
            _ if self.first == self.last => write!(f, "{}/{}", self.first, self.protocol),
            _ => write!(f, "{}-{}/{}", self.first, self.last, self.protocol),
        }
    }
}
