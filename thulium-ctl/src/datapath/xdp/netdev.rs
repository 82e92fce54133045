//! What drivers can do for XDP, by the kernel's generic netlink family `netdev` (Linux 6.3; `netlink/specs/netdev.yaml` there).

use std::{collections::BTreeMap, io};

use rtnetlink::{
    packet_core::NlasIterator,
    sys::{AsyncSocket as _, AsyncSocketExt as _, TokioSocket, protocols::NETLINK_GENERIC},
};

use super::generic::{Generic, attribute};
use crate::datapath::netlink::Netlink;

/// The kernel's directory of families (`GENL_ID_CTRL`).
const DIRECTORY: u16 = 0x10;
/// `CTRL_CMD_GETFAMILY`.
const GET_FAMILY: u8 = 3;
/// `CTRL_ATTR_FAMILY_ID`.
const FAMILY_ID: u16 = 1;
/// `CTRL_ATTR_FAMILY_NAME`.
const FAMILY_NAME: u16 = 2;
/// `CTRL_ATTR_MCAST_GROUPS`: in it one attribute a group, and in that these two.
const GROUPS: u16 = 7;
/// `CTRL_ATTR_MCAST_GRP_NAME`.
const GROUP_NAME: u16 = 1;
/// `CTRL_ATTR_MCAST_GRP_ID`.
const GROUP_ID: u16 = 2;
/// The group that hears of interfaces whose features change.
const CHANGES: &[u8] = b"mgmt\0";
/// `NETDEV_CMD_DEV_GET`.
const GET_DEVICE: u8 = 1;
/// `NETDEV_A_DEV_IFINDEX`.
const INDEX: u16 = 1;
/// `NETDEV_A_DEV_XDP_FEATURES`.
const FEATURES: u16 = 3;
/// `NETDEV_XDP_ACT_BASIC`, `…_REDIRECT` and `…_NDO_XMIT` of `enum netdev_xdp_act`.
const BASIC: u64 = 1;
const REDIRECT: u64 = 1 << 1;
const NDO_XMIT: u64 = 1 << 2;

/// What a driver can do for XDP, as it says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Features {
    /// It runs programs, and sends on what they redirect.
    pub(super) runs: bool,
    /// It transmits frames that were redirected to it. Some drivers can as soon as a program is attached to them, veth as soon as
    /// its other end can take such frames.
    pub(super) transmits: bool,
}

impl Features {
    const fn of(bits: u64) -> Self {
        Self { runs: bits & (BASIC | REDIRECT) == BASIC | REDIRECT, transmits: bits & NDO_XMIT != 0 }
    }
}

/// The features of all interfaces of this network namespace, by index; `None`: this kernel does not tell.
///
/// # Errors
/// If the kernel refuses.
pub(super) fn features() -> io::Result<Option<BTreeMap<u32, Features>>> {
    let mut kernel = Netlink::open(NETLINK_GENERIC)?;
    let Some(family) = family(&mut kernel)? else { return Ok(None) };
    let answers = kernel.list(Generic { family: family.id, command: GET_DEVICE, attributes: Vec::new() })?;
    let of_device = |answer: &Generic| {
        let index = u32::from_ne_bytes(answer.attribute(INDEX)?.try_into().ok()?);
        let features = u64::from_ne_bytes(answer.attribute(FEATURES)?.try_into().ok()?);
        Some((index, Features::of(features)))
    };
    Ok(Some(answers.iter().filter_map(of_device).collect()))
}

/// Tells when the features of some interface change.
pub struct FeatureChanges {
    /// `None`: this kernel tells nothing.
    socket: Option<TokioSocket>,
}

impl FeatureChanges {
    /// Begins to listen, if the kernel tells. Needs a tokio runtime.
    pub fn listen() -> Self {
        Self { socket: listen().ok().flatten() }
    }

    /// Waits for a change.
    pub async fn next(&mut self) {
        let Some(socket) = &mut self.socket else { return std::future::pending().await };
        if let Err(error) = socket.recv_from_full().await
            && error.raw_os_error() != Some(libc::ENOBUFS)
        {
            // The interfaces are looked at from time to time, too.
            self.socket = None;
        }
    }
}

fn listen() -> io::Result<Option<TokioSocket>> {
    let family = family(&mut Netlink::open(NETLINK_GENERIC)?)?;
    let Some(group) = family.and_then(|family| family.changes) else { return Ok(None) };
    let mut socket = TokioSocket::new(NETLINK_GENERIC)?;
    socket.socket_mut().bind_auto()?;
    socket.socket_mut().add_membership(group)?;
    Ok(Some(socket))
}

/// The family `netdev`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Family {
    id: u16,
    /// Its group that hears of changes.
    changes: Option<u32>,
}

/// Asks the kernel for the family; `None`: it has none.
fn family(kernel: &mut Netlink) -> io::Result<Option<Family>> {
    // `nlattr`: length, type, value, padded to four bytes.
    let name = b"netdev\0";
    let length = (4 + name.len() as u16).to_ne_bytes();
    let attributes = [&length[..], &FAMILY_NAME.to_ne_bytes(), name, &[0]].concat();
    match kernel.ask(Generic { family: DIRECTORY, command: GET_FAMILY, attributes }) {
        Ok(answers) => Ok(answers.iter().find_map(Family::read)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl Family {
    fn read(answer: &Generic) -> Option<Self> {
        let id = u16::from_ne_bytes(answer.attribute(FAMILY_ID)?.try_into().ok()?);
        let groups = answer.attribute(GROUPS).unwrap_or_default();
        let group = |group: &[u8]| {
            let is_ours = attribute(group, GROUP_NAME)? == CHANGES;
            let id = u32::from_ne_bytes(attribute(group, GROUP_ID)?.try_into().ok()?);
            is_ours.then_some(id)
        };
        Some(Self { id, changes: NlasIterator::new(groups).flatten().find_map(|one| group(one.value())) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_that_cannot_redirect_runs_no_programs_of_ours() {
        assert_eq!(Features::of(0), Features::default());
        assert_eq!(Features::of(BASIC), Features::default());
        assert_eq!(Features::of(BASIC | REDIRECT), Features { runs: true, transmits: false });
        assert_eq!(Features::of(0x7f), Features { runs: true, transmits: true });
    }

    #[test]
    fn the_family_and_its_group_are_read() {
        let nla = |kind: u16, value: &[u8]| {
            let mut bytes = [&(4 + value.len() as u16).to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat();
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes
        };
        let group = |index, name: &[u8], id: u32| {
            nla(index, &[nla(GROUP_ID, &id.to_ne_bytes()), nla(GROUP_NAME, name)].concat())
        };
        let groups = [group(1, b"page-pool\0", 7), group(2, CHANGES, 6)].concat();
        let attributes = [nla(FAMILY_NAME, b"netdev\0"), nla(FAMILY_ID, &[30, 0]), nla(GROUPS, &groups)].concat();
        let answer = Generic { family: DIRECTORY, command: 1, attributes };
        let id = u16::from_ne_bytes([30, 0]);
        assert_eq!(Family::read(&answer), Some(Family { id, changes: Some(6) }));
    }
}
