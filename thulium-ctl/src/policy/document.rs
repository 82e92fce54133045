//! Model → document: the whole policy in its own language, with every default written out.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv6Net};
use serde::{Serialize, Serializer};

use super::{
    Flow, Host, Mode, MssClamp, OnUplinkDown, Policy, PortRange, Protocol, Refuse, SourceNat, TcMode, TlsVersion,
    Unmatched, UplinkPolicy, XdpMode, model, read::show,
};

/// A policy as a document; as YAML it is a policy file that means the same.
#[derive(Debug, Serialize)]
pub struct Document<'a> {
    version: u32,
    system: &'a str,
    mode: &'static str,
    lan: Lan<'a>,
    uplinks: Vec<Uplink<'a>>,
    on_uplink_down: &'static str,
    release_after_idle: String,
    health: Health<'a>,
    #[serde(serialize_with = "by_name")]
    hosts: &'a [Host],
    flows: Vec<FlowEntry<'a>>,
    unmatched: &'static str,
    refuse: &'static str,
    mss_clamp: String,
    sessions: Sessions,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    resolvers: &'a [IpAddr],
    datapath: Datapath,
}

#[derive(Debug, Serialize)]
struct Lan<'a> {
    interfaces: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    clients: Option<&'a [IpNet]>,
}

#[derive(Debug, Serialize)]
struct Uplink<'a> {
    name: &'a str,
    interface: &'a str,
    source_nat: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<u8>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    next_hop: Vec<IpAddr>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    prefixes: &'a [Ipv6Net],
}

#[derive(Debug, Serialize)]
struct Health<'a> {
    link_down: String,
    black_hole: String,
    probe: Probe<'a>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Probe<'a> {
    Word(&'static str),
    To { to: &'a str, port: String },
}

#[derive(Debug, Serialize)]
struct HostEntry<'a> {
    names: &'a [String],
    addresses: &'a [IpNet],
    keep_old: String,
    private_answers: bool,
}

#[derive(Debug, Serialize)]
struct FlowEntry<'a> {
    name: &'a str,
    to: &'a str,
    ports: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_min: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Sessions {
    udp_idle: String,
    tcp_idle: String,
    capacity: u32,
    per_client: u32,
    new_per_client: u32,
    ports_per_client: u32,
}

#[derive(Debug, Serialize)]
struct Datapath {
    xdp: &'static str,
    tc: &'static str,
    mark: String,
}

impl Document<'_> {
    /// The document as YAML.
    ///
    /// # Errors
    /// None that a policy can cause.
    pub fn to_yaml(&self) -> anyhow::Result<String> {
        Ok(serde_yaml::to_string(self)?)
    }
}

impl<'a> From<&'a Policy> for Document<'a> {
    fn from(policy: &'a Policy) -> Self {
        let sessions = &policy.sessions;
        Self {
            version: 1,
            system: &policy.system,
            mode: match policy.mode {
                Mode::Enforce => "enforce",
                Mode::Audit => "audit",
            },
            lan: Lan { interfaces: &policy.lan.interfaces, clients: policy.lan.clients.as_deref() },
            uplinks: policy.uplinks.iter().map(uplink).collect(),
            on_uplink_down: match policy.on_uplink_down {
                OnUplinkDown::Move => "move",
                OnUplinkDown::Hold => "hold",
            },
            release_after_idle: show(policy.release_after_idle),
            health: health(&policy.health),
            hosts: &policy.hosts,
            flows: policy.flows.iter().map(flow).collect(),
            unmatched: match policy.unmatched {
                Unmatched::Drop => "drop",
                Unmatched::Pass => "pass",
            },
            refuse: match policy.refuse {
                Refuse::Drop => "drop",
                Refuse::Reject => "reject",
            },
            mss_clamp: match policy.mss_clamp {
                MssClamp::Auto => "auto".to_owned(),
                MssClamp::Off => "off".to_owned(),
                MssClamp::Bytes(bytes) => bytes.to_string(),
            },
            sessions: Sessions {
                udp_idle: show(sessions.udp_idle),
                tcp_idle: show(sessions.tcp_idle),
                capacity: sessions.capacity,
                per_client: sessions.per_client,
                new_per_client: sessions.new_per_client,
                ports_per_client: sessions.ports_per_client,
            },
            resolvers: &policy.resolvers,
            datapath: Datapath {
                xdp: match policy.datapath.xdp {
                    XdpMode::Auto => "auto",
                    XdpMode::Native => "native",
                    XdpMode::Off => "off",
                },
                tc: match policy.datapath.tc {
                    TcMode::Auto => "auto",
                    TcMode::Tcx => "tcx",
                    TcMode::Clsact => "clsact",
                },
                mark: format!("{:#010x}", policy.datapath.mark),
            },
        }
    }
}

fn uplink(uplink: &UplinkPolicy) -> Uplink<'_> {
    let source_nat = match uplink.source_nat {
        SourceNat::Masquerade => "masquerade".to_owned(),
        SourceNat::Address(address) => address.to_string(),
        SourceNat::None => "none".to_owned(),
    };
    let routers = [uplink.next_hop4.map(IpAddr::V4), uplink.next_hop6.map(IpAddr::V6)];
    Uplink {
        name: &uplink.name,
        interface: &uplink.interface,
        source_nat,
        weight: uplink.weight,
        next_hop: routers.into_iter().flatten().collect(),
        prefixes: &uplink.prefixes,
    }
}

fn health(health: &model::Health) -> Health<'_> {
    let probe = match &health.probe {
        model::Probe::Auto => Probe::Word("auto"),
        model::Probe::Off => Probe::Word("off"),
        model::Probe::To { host, port } => {
            Probe::To { to: host, port: PortRange { protocol: Protocol::Tcp, first: *port, last: *port }.to_string() }
        }
    };
    Health { link_down: show(health.link_down), black_hole: show(health.black_hole), probe }
}

fn flow(flow: &Flow) -> FlowEntry<'_> {
    let tls_min = flow.tls_min.map(|version| match version {
        TlsVersion::V1_2 => "1.2",
        TlsVersion::V1_3 => "1.3",
    });
    FlowEntry { name: &flow.name, to: &flow.host, ports: flow.ports.iter().map(ToString::to_string).collect(), tls_min }
}

/// Hosts as a mapping that keeps their order.
fn by_name<S: Serializer>(hosts: &[Host], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(hosts.iter().map(|host| {
        let entry = HostEntry {
            names: &host.names,
            addresses: &host.addresses,
            keep_old: show(host.keep_old),
            private_answers: host.private_answers,
        };
        (host.name.as_str(), entry)
    }))
}
