//! The interfaces of a policy, and the programs that belong there.

use aya::programs::TcAttachType;
use nix::net::if_::if_nametoindex;
use thulium_ebpf::abi::{Interface, Role};

use crate::{datapath::link, observe::status::Role as ReportedRole, policy::Policy};

/// The program at LAN ingress.
const LAN: &[(&str, TcAttachType)] = &[("lan_ingress", TcAttachType::Ingress)];
/// The programs at an uplink. The guard first: nothing leaves unjudged while the others follow.
const UPLINK: &[(&str, TcAttachType)] =
    &[("uplink_egress", TcAttachType::Egress), ("uplink_ingress", TcAttachType::Ingress)];

/// The programs by which names learn their addresses. Optional: enforcement does not depend on them.
const LEARNERS: &[(&str, TcAttachType)] =
    &[("lan_queries", TcAttachType::Ingress), ("lan_replies", TcAttachType::Egress)];

/// True for a program that a gateway can do without.
pub fn is_optional(program: &str) -> bool {
    LEARNERS.iter().any(|(name, _)| *name == program)
}

/// Where a program belongs, if it is one of ours.
pub(super) fn kind_of(program: &str) -> Option<TcAttachType> {
    let mut all = LAN.iter().chain(UPLINK).chain(LEARNERS);
    all.find(|(name, _)| *name == program).map(|(_, kind)| *kind)
}

/// An interface of the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// Its index.
    pub index: u32,
    /// What it is to the gateway.
    pub role: Role,
    /// Bytes of the link header in front of its IP packets.
    pub link_header: u32,
}

impl Target {
    /// The interfaces of a policy that are there: uplinks first, so that what the LAN opens meets a complete way out.
    pub fn present(policy: &Policy) -> Vec<Self> {
        let uplinks = policy.uplinks.iter().map(|uplink| (&uplink.interface, Role::Uplink));
        let lan = policy.lan.interfaces.iter().map(|name| (name, Role::Lan));
        let target = |(name, role): (&String, Role)| {
            let index = if_nametoindex(name.as_str()).ok()?;
            Some(Self { name: name.clone(), index, role, link_header: link::header(name)? })
        };
        uplinks.chain(lan).filter_map(target).collect()
    }

    /// The interface of an entry of the pinned maps; `None` if it is no interface of the policy any more.
    pub fn from_entry(index: u32, interface: &Interface) -> Option<Self> {
        let role = match interface.role {
            role if role == Role::Lan as u32 => Role::Lan,
            role if role == Role::Uplink as u32 => Role::Uplink,
            _ => return None,
        };
        let end = interface.name.iter().position(|byte| *byte == 0).unwrap_or(interface.name.len());
        let name = String::from_utf8_lossy(&interface.name[..end]).into_owned();
        Some(Self { name, index, role, link_header: interface.link_header })
    }

    /// The TC programs that have to be there, in the order in which they are attached.
    pub(super) const fn programs(&self) -> &'static [(&'static str, TcAttachType)] {
        match self.role {
            Role::Lan => LAN,
            Role::Uplink => UPLINK,
        }
    }

    /// The TC programs that may be there, too. They are attached behind the others, and so stand in front of them: what the
    /// others send on never comes to those behind.
    pub(super) const fn learners(&self) -> &'static [(&'static str, TcAttachType)] {
        match self.role {
            Role::Lan => LEARNERS,
            Role::Uplink => &[],
        }
    }

    /// Its role in reports.
    pub(super) const fn reported_role(&self) -> ReportedRole {
        match self.role {
            Role::Lan => ReportedRole::Lan,
            Role::Uplink => ReportedRole::Uplink,
        }
    }
}
